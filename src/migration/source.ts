/**
 * Reads the settings of the Go program from YAML, the environment or a file of variables, without executing anything in them.
 */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { printable } from "../lib/text.ts";

/** A value and where it comes from: `config.yaml:12`, or the name of a variable. */
export interface GoGiven {
  readonly value: unknown;
  readonly place: string;
}

export function isVariable({ place }: GoGiven): boolean {
  return place.startsWith("TS2OTEL_");
}

/** A setting as the user knows it: `config.yaml:12: streaming.token`, or the variable. */
export function placed(key: string, given: GoGiven): string {
  return isVariable(given) ? given.place : `${given.place}: ${key}`;
}

/** Settings by dotted key. Later ones replace earlier ones, as variables replace the file in the Go program. */
export type GoGivens = Map<string, GoGiven>;

/** Parses a file of variables as `docker run --env-file` and shells read it; `undefined` if it is not one. */
export function parseVariables(text: string, environment: Environment): Environment | undefined {
  const variables: Record<string, string | undefined> = {};
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const [, name = "", , value] = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*(=(.*))?$/.exec(line) ?? [];
    if (name === "") return undefined;
    variables[name] = value === undefined ? environment[name] : unquoted(value.trim());
  }
  return variables;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings in `TS2OTEL_*` variables. An empty one counts as unset. `isTable`: true for keys with one variable per
 * entry.
 */
export function readVariables(variables: Environment, isTable: (key: string) => boolean, into: GoGivens): void {
  for (const [variable, value = ""] of Object.entries(variables)) {
    if (!variable.startsWith("TS2OTEL_") || variable === "TS2OTEL_CONFIG" || value === "") continue;
    const key = variable.slice("TS2OTEL_".length).toLowerCase().replaceAll("__", ".");
    const parts = key.split(".");
    const depth = parts.findIndex((_, index) => isTable(parts.slice(0, index).join(".")));
    const table = parts.slice(0, depth).join(".");
    const entry = { [parts.slice(depth).join(".")]: value };
    if (depth < 1) into.set(key, { value, place: variable });
    else into.set(table, { value: { ...(into.get(table)?.value as object | undefined), ...entry }, place: variable });
  }
}

/** More than any real configuration has. Aliases that expand to thousands of others would take too long. */
const limits = { nodes: 100_000, depth: 64 } as const;

/**
 * Reads the settings in YAML. `isTable`: true for keys whose value is a table of texts, such as headers.
 * @throws {Error} with the line if it is not valid YAML, or is built to be expensive.
 */
export function readYaml(text: string, file: string, isTable: (key: string) => boolean, into: GoGivens): void {
  const lines = new LineCounter();
  const at = (offset = 0): string => `${file}:${Math.max(1, lines.linePos(offset).line)}`;
  const fail = (offset: number | undefined, message: string): never => {
    throw new Error(`${at(offset)}: ${message}`);
  };
  const root = parsed(text, lines, fail);
  const anchors = new Map<string, Node>();
  let budget: number = limits.nodes;

  /** The node itself, or the target of an alias. */
  function target(node: unknown, depth: number): unknown {
    if (budget-- <= 0) fail(undefined, `there are more than ${limits.nodes} values, with aliases expanded`);
    if (depth > limits.depth) fail((node as Node).range?.[0], `nested deeper than ${limits.depth} levels`);
    if (isAlias(node))
      return anchors.get(node.source) ?? fail(node.range?.[0], `*${printable(node.source)} has no anchor above it`);
    const { anchor } = (node ?? {}) as { anchor?: string };
    if (anchor !== undefined) anchors.set(anchor, node as Node);
    return node;
  }

  function plain(written: unknown, depth: number): unknown {
    const node = target(written, depth);
    if (isMap(node))
      return Object.fromEntries([...pairsOf(node, depth)].map(([name, { value }]) => [name, plain(value, depth + 1)]));
    if (isSeq(node)) return node.items.map((item) => plain(item, depth + 1));
    return isScalar(node) ? node.value : null;
  }

  /** The members of a table with their places. A name in the table itself overrides the same name merged by `<<`. */
  function pairsOf(
    node: Node,
    depth: number,
  ): ReadonlyMap<string, { readonly value: unknown; readonly offset: number }> {
    const own = new Map<string, { readonly value: unknown; readonly offset: number }>();
    const merged: typeof own = new Map();
    for (const { key, value } of isMap(node) ? node.items : []) {
      const offset = (key as Node | null)?.range?.[0] ?? 0;
      const name = isScalar(key) ? String(key.value) : fail(offset, "a name must be text");
      if (name === "<<") {
        const from = target(value, depth + 1);
        for (const one of isSeq(from) ? from.items : [from])
          for (const [inner, found] of pairsOf(target(one, depth + 1) as Node, depth + 1))
            if (!merged.has(inner)) merged.set(inner, found);
        continue;
      }
      if (own.has(name)) fail(offset, `${JSON.stringify(printable(name))} is set twice`);
      own.set(name, { value, offset });
    }
    return new Map([...merged, ...own]);
  }

  function visit(written: unknown, path: string, place: string, depth: number): void {
    const node = target(written, depth);
    if (!isMap(node) || isTable(path)) {
      const value = plain(node, depth);
      if (value !== null && path !== "") into.set(path, { value, place });
      return;
    }
    for (const [name, { value, offset }] of pairsOf(node, depth))
      visit(value, path === "" ? name : `${path}.${name}`, at(offset), depth + 1);
  }

  if (root !== null && !isMap(root) && !(isScalar(root) && root.value === null))
    fail(0, "it is not a table of settings, so it is not a configuration of the Go program");
  visit(root, "", at(), 0);
}

function parsed(
  text: string,
  lines: LineCounter,
  fail: (offset: number | undefined, message: string) => never,
): unknown {
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      // The check compares every pair of names, which takes minutes for a long table.
      uniqueKeys: false,
      intAsBigInt: true,
      prettyErrors: false,
      logLevel: "error",
    });
    const [error] = document.errors;
    if (error !== undefined) fail(error.pos[0], explained(error.message, text.slice(error.pos[0], error.pos[1] + 1)));
    return document.contents;
  } catch (error) {
    if (error instanceof RangeError) return fail(undefined, `nested deeper than ${limits.depth} levels`);
    throw error;
  }
}

function explained(message: string, text: string): string {
  if (text.includes("\t") || /\btab/i.test(message)) return "invalid YAML: a tab cannot indent a line; use spaces";
  return `invalid YAML: ${printable(message.split("\n")[0] ?? "").replace(/[.:]$/, "")}`;
}

function unquoted(value: string): string {
  const quote = /^(["'])(.*?)\1(?:\s+#.*)?$/s.exec(value);
  if (quote === null) return value.replace(/\s+#.*$/, "");
  return quote[1] === "'" ? (quote[2] ?? "") : (quote[2] ?? "").replace(/\\(["\\$`])/g, "$1");
}
