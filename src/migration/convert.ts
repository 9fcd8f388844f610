/** Converts the settings of the Go program with the mapping table, and collects remarks for the user. */
import { isAbsolute, resolve } from "node:path";
import { findKey } from "../config/layers.ts";
import type { Kind, Setting } from "../config/setting.ts";
import { readEntry, readTyped } from "../config/values.ts";
import { isLoopback, parseListen } from "../lib/listen.ts";
import { formatBytes, formatDuration } from "../lib/units.ts";
import { goBoolean, goDuration, goInteger, goList, goMap, goText } from "./go-values.ts";
import type { GoSettings, Mapping } from "./mapping.ts";
import { type GoGiven, type GoGivens, isVariable, placed } from "./source.ts";
import { rowOf, rows, settingsOf, similarKey } from "./table.ts";

/**
 * Something the user has to know. `task`: must be done by hand; `different`: set, but not to the same value; `missing`: has no
 * equivalent; `unused`: nothing like it is needed here, or it had no effect in the Go program either.
 */
export interface Remark {
  readonly kind: "task" | "different" | "missing" | "unused";
  /** The settings of the Go program, each with its place if it was given. */
  readonly about: string;
  readonly text: string;
}

export interface Converted {
  /** Values by key, in the form TOML has for them; a map is one value. */
  readonly values: ReadonlyMap<string, unknown>;
  readonly remarks: readonly Remark[];
}

export interface ConvertDeps {
  /** The base directory of relative paths in a file. Those in variables are relative to `workingDirectory`. */
  readonly directory: string;
  readonly workingDirectory: string;
  /** A new random secret. */
  readonly createToken: () => string;
}

export function convert(givens: GoGivens, deps: ConvertDeps): Converted {
  const go = settingsOf(givens);
  const values = new Map<string, unknown>();
  const remarks: Remark[] = [];
  const say = (kind: Remark["kind"], about: string, text: string): void => void remarks.push({ kind, about, text });

  for (const row of rows) {
    const given = givens.get(row.from);
    const trouble = row.to === undefined ? undefined : carry(row, row.to, given, go, values, deps);
    const about = given === undefined ? row.from.replace(/\.\*$/, "") : placed(row.from, given);
    const isUnused = trouble?.kind === "unused";
    if (trouble !== undefined && !isUnused) say(trouble.kind, about, trouble.text);
    else if (row.remark !== undefined && concerns(row, go))
      say(row.isTask ? "task" : row.to === undefined ? "missing" : "different", about, row.remark);
    else if (isUnused && row.concerns === undefined) say("unused", row.from, "");
  }
  let unknown = 0;
  for (const [key, given] of givens) {
    const row = rowOf(key);
    if (row !== undefined) {
      if (row.to === undefined && !concerns(row, go)) say("unused", isForeign(row) ? row.from : key, "");
      continue;
    }
    const similar = unknown++ < maxHints ? similarKey(key) : undefined;
    const hint = similar === undefined ? "" : `; did you mean ${similar}?`;
    say("task", placed(key, given), `unknown setting, not converted${hint}`);
  }
  separateHeaders(go, values, say);
  completeAdmin(go, values, deps, say);
  return { values, remarks };
}

/**
 * A search for a similar name takes milliseconds, and a file with more unknown settings than this hardly has that many typos.
 */
const maxHints = 20;

/** True for a section with no equivalent at all, so that its settings need not be listed one by one. */
function isForeign({ from }: Mapping): boolean {
  return from.endsWith(".*") && !rows.some((row) => row.to !== undefined && row.from.startsWith(from.slice(0, -1)));
}

type Trouble = Pick<Remark, "kind" | "text">;

const task = (text: string): Trouble => ({ kind: "task", text });

/** Puts the value of a row under its key here. Returns why a given value cannot be used. */
function carry(
  row: Mapping,
  to: string,
  given: GoGiven | undefined,
  go: GoSettings,
  values: Map<string, unknown>,
  { directory, workingDirectory }: ConvertDeps,
): Trouble | undefined {
  const target = findKey(to);
  if (target === undefined) throw new TypeError(`the table names ${to}, which is no setting`);
  const { setting, part } = target;
  const written = given === undefined ? row.initial : given.value;
  if (written === undefined || written === "") return undefined;
  const kind = part === "value" ? setting.kind : "text";
  const read =
    part === "secretFile" || kind === "file" || kind === "directory" ? goText(written) : readers[kind](written);
  if (read === undefined) return task(`this is not ${nouns[kind] ?? "text"}, so it is not converted`);
  let value = row.convert === undefined ? read : row.convert(read, go);
  if (value === undefined) {
    const isDefault = given === undefined || isSame(given.value, row.initial ?? "");
    return isDefault ? undefined : { kind: "unused", text: "" };
  }
  if (part === "secretFile" || kind === "file" || kind === "directory")
    value = absolute(String(value), given !== undefined && isVariable(given) ? workingDirectory : directory);
  if (part === "secretFile") return void values.set(`${setting.key}_file`, value);
  if (typeof part === "object") {
    const reading = readEntry(setting, part.entry, value);
    if ("message" in reading) return task(reading.message);
    values.set(setting.key, { ...(values.get(setting.key) as object | undefined), [part.entry]: value });
    return undefined;
  }
  return accept(setting, value, values);
}

/** Sets a valid value. A number out of bounds is clamped, and the returned remark says so. */
function accept(setting: Setting, value: unknown, values: Map<string, unknown>): Trouble | undefined {
  if (setting.kind === "map") {
    for (const [name, text] of Object.entries(value as object)) {
      const reading = readEntry(setting, name, text);
      if ("message" in reading) return task(`${JSON.stringify(name)}: ${reading.message}`);
    }
    if (Object.keys(value as object).length > 0)
      values.set(setting.key, { ...(values.get(setting.key) as object | undefined), ...(value as object) });
    return undefined;
  }
  const { minimum, maximum } = setting.schema as { minimum?: number; maximum?: number };
  const isNumber = typeof value === "number" && minimum !== undefined && maximum !== undefined;
  const inside = isNumber ? Math.min(maximum, Math.max(minimum, value)) : value;
  const form = (one: unknown) => forms[setting.kind]?.(Number(one)) ?? one;
  const reading = readTyped(setting, form(inside));
  if ("message" in reading) return task(`${reading.message}: use ${reading.allowed}`);
  if (JSON.stringify(reading.value) !== JSON.stringify(setting.default)) values.set(setting.key, form(inside));
  if (inside === value) return undefined;
  return { kind: "different", text: `${String(form(value))} is out of bounds here, so it is ${String(form(inside))}` };
}

/** Writes a number as it appears in the file. */
const forms: Partial<Record<Kind, (value: number) => string>> = { bytes: formatBytes, duration: formatDuration };

const readers: Readonly<Record<Kind, (value: unknown) => unknown>> = {
  boolean: goBoolean,
  bytes: goInteger,
  choice: goText,
  directory: goText,
  duration: goDuration,
  file: goText,
  integer: goInteger,
  list: goList,
  listen: goText,
  map: goMap,
  route: goText,
  secret: goText,
  text: goText,
  url: goText,
};

const nouns: Partial<Record<Kind, string>> = {
  boolean: "true or false",
  bytes: "a whole number",
  duration: 'a duration with its unit, such as "30s"',
  integer: "a whole number",
  list: "a list of texts",
  map: "a table of texts",
};

/** A remark on a single setting is for users who changed it; a remark on a section is for users who enabled it. */
function concerns(row: Mapping, go: GoSettings): boolean {
  if (row.concerns !== undefined) return row.concerns(go);
  const given = go.given(row.from);
  return given !== undefined && !isSame(given, row.initial ?? "");
}

/** True if a value means the same as a default, however it is written. */
function isSame(given: unknown, initial: string): boolean {
  if (typeof given === "object" && given !== null) return Object.keys(given).length === 0 && initial === "";
  if (goText(given) === initial) return true;
  return [goBoolean, goDuration].some(
    (read) => initial !== "" && read(given) !== undefined && read(given) === read(initial),
  );
}

/**
 * In the Go program, the headers of one signal replace the common ones; here they are added to them. The common headers
 * therefore move to the other signal.
 */
function separateHeaders(go: GoSettings, values: Map<string, unknown>, say: Say): void {
  const own = (["metrics", "logs"] as const).filter((signal) => values.has(`otlp.${signal}.headers`));
  if (own.length === 0) return;
  const common = values.get("otlp.headers") as object | undefined;
  values.delete("otlp.headers");
  const other = (["metrics", "logs"] as const).find((signal) => !own.includes(signal));
  if (common !== undefined && other !== undefined) values.set(`otlp.${other}.headers`, common);
  if (go.text("otlp.grafana_cloud.instance_id") !== "")
    say(
      "task",
      "otlp.grafana_cloud",
      `its credentials go to both signals here; if they are not for ${own.join(" and ")}, set the Authorization header of the other signal instead`,
    );
}

/** Prometheus scrapes the admin listener here, which needs a token unless it listens on loopback. */
function completeAdmin(go: GoSettings, values: Map<string, unknown>, { createToken }: ConvertDeps, say: Say): void {
  if (values.get("admin.enabled") === false) return;
  const isLocal = (listen: string): boolean => isLoopback(parseListen(listen)?.hostname);
  const scraped = go.text("prometheus.listen");
  const isScraped = go.isOn("prometheus.enabled") || ["prometheus", "dual"].includes(go.text("delivery.mode"));
  if (isScraped && !isLocal(scraped) && isLocal(go.text("admin.listen")) && parseListen(scraped) !== undefined) {
    values.set("admin.listen", scraped);
    say(
      "different",
      "prometheus.listen",
      "the admin listener takes this address, so `/healthz` and `/readyz` move to it too",
    );
  }
  const listen = String(values.get("admin.listen") ?? go.text("admin.listen"));
  if (isLocal(listen) || values.has("admin.token") || values.has("admin.token_file")) return;
  values.set("admin.token", createToken());
  const text = `${listen} can be reached from the network, which requires a token here: a new one is set as admin.token; give it to Prometheus`;
  say("task", "admin.listen", text);
}

type Say = (kind: Remark["kind"], about: string, text: string) => void;

function absolute(path: string, directory: string): string {
  return path === "" || isAbsolute(path) ? path : resolve(directory, path);
}
