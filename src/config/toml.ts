/** Reads the settings in a TOML file, each with its line number. */
import { parse, TomlError } from "smol-toml";
import type { Finding } from "./diagnosis.ts";
import { addValue, findKey, isFormerSection, type Layers, namesIn } from "./layers.ts";
import { arrayKeys } from "./schema.ts";
import { redacted } from "./values.ts";

/**
 * Reads the text of a file. `file`: its path as shown to users. Returns true if it is TOML; if not, there is a single finding.
 */
export function readToml(file: string, toml: string, layers: Layers): boolean {
  let tables: object;
  try {
    tables = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    layers.findings.push(syntaxProblem(file, toml, error));
    return false;
  }
  const lineOf = locateKeys(toml);
  const visit = (path: readonly string[], written: unknown): void => {
    const key = path.join(".");
    // In TOML, dotted names of a map's entries are tables: `deployment.environment.name = "production"`.
    const isVisited = namesIn(key) !== undefined || isFormerSection(key) || findKey(key)?.setting.kind === "map";
    if (arrayKeys.has(key) && Array.isArray(written) && written.every(isTable)) {
      const allowed = arrayKeys.get(key) ?? 0;
      layers.tables.set(key, Math.min(written.length, allowed));
      if (written.length > allowed)
        layers.findings.push({
          severity: "error",
          origin: { from: "file", file, line: lineOf([...path, String(allowed)]) },
          key,
          message: `there are ${written.length} tables, and at most ${allowed} are allowed`,
          remedy: "Remove some.",
        });
      for (const [index, table] of written.slice(0, allowed).entries()) visit([...path, String(index)], table);
    } else if (isVisited && isTable(written)) {
      for (const [name, inner] of Object.entries(written)) visit([...path, name], inner);
    } else {
      addValue(layers, path, { origin: { from: "file", file, line: lineOf(path) }, written, form: "typed" });
    }
  };
  visit([], tables);
  return true;
}

function isTable(written: unknown): written is object {
  return typeof written === "object" && written !== null && !Array.isArray(written) && !(written instanceof Date);
}

const multiline = /"""(?:\\[\s\S]|[^\\])*?"""+|'''[\s\S]*?'''+/.source;
const quoted = /"(?:\\.|[^"\\\n])*"|'[^'\n]*'/.source;
const part = `(?:[A-Za-z0-9_-]+|${quoted})`;
const dotted = `${part}(?:[ \\t]*\\.[ \\t]*${part})*`;
const skipped = new RegExp(`(${multiline}|#[^\\n]*)|${quoted}`, "g");
const header = new RegExp(`^\\s*\\[\\[?[ \\t]*(${dotted})[ \\t]*\\]\\]?\\s*$`);
const keyOfLine = new RegExp(`^\\s*(${dotted})[ \\t]*=`);

/**
 * Finds the line of each key in valid TOML, from 1, because the parser keeps no positions: the line of the key, or that of the
 * nearest enclosing table.
 */
export function locateKeys(toml: string): (path: readonly string[]) => number {
  const lines = new Map<string, number>();
  const note = (path: readonly string[], line: number): void => {
    for (let depth = 1; depth <= path.length; depth++) {
      const name = JSON.stringify(path.slice(0, depth));
      if (!lines.has(name)) lines.set(name, line);
    }
  };
  // Comments and long strings could contain text that looks like a key.
  const plain = toml.replace(skipped, (text, skip) => (skip === undefined ? text : text.replace(/[^\n]/g, " ")));
  /** Number of tables of each array so far, which becomes part of the keys in them. */
  const tables = new Map<string, number>();
  const numbered = (path: readonly string[], begins: boolean): readonly string[] => {
    const all: string[] = [];
    for (const [depth, name] of path.entries()) {
      all.push(name);
      const key = all.join(".");
      if (!arrayKeys.has(key)) continue;
      if (begins && depth === path.length - 1) tables.set(key, (tables.get(key) ?? -1) + 1);
      all.push(String(tables.get(key) ?? 0));
    }
    return all;
  };
  let table: readonly string[] = [];
  for (const [index, line] of plain
    .replace(/^\ufeff/, "")
    .split("\n")
    .entries()) {
    const section = header.exec(line);
    const key = section === null ? keyOfLine.exec(line) : null;
    if (section !== null) note((table = numbered(partsOf(section[1] ?? ""), /^\s*\[\[/.test(line))), index + 1);
    else if (key !== null) note([...table, ...partsOf(key[1] ?? "")], index + 1);
  }
  return (path) => {
    for (let depth = path.length; depth > 0; depth--) {
      const line = lines.get(JSON.stringify(path.slice(0, depth)));
      if (line !== undefined) return line;
    }
    return 1;
  };
}

/** Removing quotes and escapes is left to the TOML parser. */
function partsOf(key: string): readonly string[] {
  return [...key.matchAll(new RegExp(part, "g"))].map(([written]) =>
    /^["']/.test(written) ? (Object.keys(parse(`${written} = 0`))[0] ?? written) : written,
  );
}

function syntaxProblem(file: string, toml: string, error: TomlError): Finding {
  const other = otherFormat(toml);
  if (other !== undefined) {
    const conversion =
      other === "YAML" ? ` To convert a file of the Go program, run: tailscale2otel init --from ${file}` : "";
    const remedy = `Write tables such as [streaming] and lines such as key = value (docs/configuration.example.toml).${conversion}`;
    const origin = { from: "file", file, line: 0 } as const;
    return { severity: "error", origin, key: file, message: `it is not TOML; it looks like ${other}`, remedy };
  }
  const [first = ""] = error.message.replace(/^Invalid TOML document: /, "").split("\n");
  const again = /already defined/.test(first) ? nameOnLine(toml.split("\n")[error.line - 1] ?? "") : undefined;
  const bracket = /string|escape/.test(first) ? undefined : unclosedBracket(toml, error);
  const { line, column } = bracket ?? error;
  const unclosed = bracket === undefined ? first : `this ${bracket.text} is never closed`;
  const reason = again === undefined ? unclosed : `${again} is already defined above`;
  const here = first === "invalid value" ? "Fix this line (a text needs quotes)" : "Fix this line";
  const fix = bracket === undefined ? here : `Close it with ${bracket.text === "[" ? "]" : "}"}`;
  return {
    severity: "error",
    origin: { from: "file", file, line },
    key: `column ${column}`,
    message: `invalid TOML: ${reason}`,
    remedy: `${fix}:\n    ${line} | ${shownLine(toml.split("\n"), line - 1)}`,
  };
}

/** The language of a file that does not look like TOML at all. */
function otherFormat(toml: string): "JSON" | "YAML" | undefined {
  const lines = toml.split("\n").filter((line) => !/^\s*(?:#.*)?$/.test(line));
  if (lines.some((line) => header.test(line) || keyOfLine.test(line))) return undefined;
  const [first = ""] = lines;
  if (/^\s*\{/.test(first)) return "JSON";
  return /^(?:---|[\w."'-]+:(?:\s|$))/.test(first) ? "YAML" : undefined;
}

/** `[table]` or `key` in a line that defines one. */
function nameOnLine(line: string): string | undefined {
  const table = header.exec(line)?.[1];
  return table === undefined ? keyOfLine.exec(line)?.[1] : `[${table}]`;
}

interface Place {
  readonly line: number;
  readonly column: number;
}

/**
 * The last unclosed bracket before the error. The parser fails only at the first line that does not fit inside it, which is
 * itself correct.
 */
function unclosedBracket(toml: string, error: Place): (Place & { readonly text: string }) | undefined {
  const open: (Place & { readonly text: string })[] = [];
  const plain = toml.replace(skipped, (text) => text.replace(/[^\n]/g, " "));
  for (const [index, content] of plain.split("\n").entries()) {
    for (const { 0: text, index: at } of content.matchAll(/[[\]{}]/g)) {
      if (text === "]" || text === "}") open.pop();
      else open.push({ text, line: index + 1, column: at + 1 });
    }
  }
  return open.findLast(({ line, column }) => line < error.line || (line === error.line && column <= error.column));
}

/** A line of an invalid file, without possible secrets. Lines that are not settings or tables could continue one. */
function shownLine(lines: readonly string[], index: number): string {
  const text = lines[index]?.trimEnd() ?? "";
  const before = lines.slice(0, index);
  const isInLongString = (before.join("\n").match(/"""|'''/g)?.length ?? 0) % 2 === 1;
  const key = /^\s*[\w."'-]+\s*=/.exec(text)?.[0];
  if (isInLongString || (key === undefined && !/^\s*\[?[\w.]*\]?$/.test(text))) return redacted;
  const table = before.findLast((line) => /^\s*\[/.test(line)) ?? "";
  const isSensitive = /token|secret|password|passwd|key|auth|header|cookie|bearer|basic|@/i.test(table + text);
  return key !== undefined && isSensitive ? `${key} ${redacted}` : text;
}
