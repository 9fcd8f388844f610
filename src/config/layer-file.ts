/** The settings in a TOML file. */
import { parse, TomlError } from "smol-toml";
import type { Problem } from "./diagnosis.ts";
import { redacted } from "./display.ts";
import { emptyLayer, type Layer, type LayerDraft } from "./layer.ts";
import { type KeyLines, locateKeys } from "./locate.ts";
import { type Names, unknownKeyHelp } from "./names.ts";

/** Reads the text of a file; `file` is its path as people know it. */
export function readFileLayer(names: Names, file: string, toml: string): Layer {
  const layer = emptyLayer();
  let tables: object;
  try {
    tables = parse(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    layer.problems.push(syntaxProblem(file, error));
    layer.isUnread = true;
    return layer;
  }
  visitTable({ names, file, lines: locateKeys(toml), layer }, [], tables);
  return layer;
}

interface Visit {
  readonly names: Names;
  readonly file: string;
  readonly lines: KeyLines;
  readonly layer: LayerDraft;
}

function visitTable(visit: Visit, path: readonly string[], table: object): void {
  for (const [name, written] of Object.entries(table)) visitKey(visit, [...path, name], written);
}

function visitKey(visit: Visit, path: readonly string[], written: unknown): void {
  const { names, layer } = visit;
  const key = path.join(".");
  const origin = { from: "file", file: visit.file, line: visit.lines.lineOf(path) } as const;
  if (names.isSection(key)) {
    if (isTable(written)) return visitTable(visit, path, written);
    const message = "this is a table, and cannot have a value itself";
    const allowed = names.neighbours([...path, ""]).join(", ");
    layer.problems.push({ origin, key, message, allowed, remedy: `Write [${key}], and its settings below it.` });
    return;
  }
  const target = names.key(path);
  if (target === undefined) {
    layer.problems.push(unknownKey(visit, path));
    const meant = names.nearestKey(key);
    if (meant !== undefined) layer.meant.push(meant);
    return;
  }
  // Dotted names of entries, which TOML turns into tables: `deployment.environment.name = "production"`.
  if (target.setting.kind === "map" && isTable(written)) return visitTable(visit, path, written);
  layer.given.push({ ...target, origin, written, form: "typed" });
}

function unknownKey(visit: Visit, path: readonly string[]): Problem {
  const { names } = visit;
  const key = path.join(".");
  const meant = names.nearestKey(key);
  return {
    origin: { from: "file", file: visit.file, line: visit.lines.lineOf(path) },
    key,
    message: "there is no such setting",
    ...unknownKeyHelp(names, path, meant),
  };
}

function isTable(written: unknown): written is object {
  return typeof written === "object" && written !== null && !Array.isArray(written) && !(written instanceof Date);
}

function syntaxProblem(file: string, error: TomlError): Problem {
  const [first = ""] = error.message.split("\n");
  const reason = first.replace(/^Invalid TOML document: /, "");
  return {
    origin: { from: "file", file, line: error.line },
    key: `column ${error.column}`,
    message: `this is not TOML: ${reason}`,
    remedy: `Fix this line:\n${withoutSecrets(error.codeblock.trimEnd())}`,
  };
}

const sensitive = /token|secret|password|passwd|key|auth|header|cookie|bearer|basic/i;

/** The frame shows lines around the mistake, and a secret may stand there. */
function withoutSecrets(frame: string): string {
  return frame
    .split("\n")
    .map((line) => (sensitive.test(line) && line.includes("=") ? line.replace(/=.*/, `= ${redacted}`) : line))
    .map((line) => `    ${line}`)
    .join("\n");
}
