/** Collects the raw values from every source of settings, and resolves names to settings. */
import { editDistance, nearest } from "../lib/text.ts";
import type { Finding, Origin } from "./diagnosis.ts";
import { arrayKeys, possibleSections, sections, settings } from "./schema.ts";
import { inTable, type Section, type Setting } from "./setting.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** All sources of settings; nothing else is read. */
export interface ConfigSources {
  readonly configPath?: string;
  /** The text of that file, if already known; then the file is not read. */
  readonly configText?: string;
  readonly environment: Environment;
  /** The values of `--set`: `key=value`. */
  readonly assignments: readonly string[];
  readonly workingDirectory: string;
  readonly system: System;
  /** The program is already running and must not block, so a pipe is rejected. */
  readonly isReload?: boolean;
  /**
   * Returns why `run` could not use a state directory with a journal, or with those of several tailnets. If absent, this is not
   * checked.
   */
  readonly whyUnusableState?: (
    path: string,
    tailnets: readonly string[],
  ) => Pick<Finding, "message" | "remedy"> | undefined;
}

/** System properties that decide the default state directory. */
export interface System {
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly platform: string;
  readonly homeDirectory: string;
  /** The user id; absent on systems without one. */
  readonly uid?: number | undefined;
}

/** The target of a name: a setting, the file of a secret, or an entry of a map. */
export interface Target {
  readonly setting: Setting;
  readonly part: "value" | "secretFile" | { readonly entry: string };
}

/** One value as written. */
export interface Given extends Target {
  readonly origin: Origin;
  readonly written: unknown;
  /** `text` from variables and flags, which are always text; `typed` from TOML. */
  readonly form: "text" | "typed";
  /** From one of OpenTelemetry's own variables, used only if the program's own are not set. */
  readonly isStandard?: true;
}

/** The values so far, and problems with them. Later values win. */
export interface Layers {
  readonly given: Given[];
  readonly findings: Finding[];
  /** Number of tables in each array of tables of the file, including empty ones. */
  readonly tables: Map<string, number>;
}

export const configVariable = "TS2OTEL_CONFIG";

/** Variables that are read but are not settings: the path of the configuration, and what `install.sh` downloads. */
export const otherVariables: ReadonlySet<string> = new Set([configVariable, "TS2OTEL_INSTALL_BASE_URL"]);

/** Adds a value under its key, or a finding about the key. `written` is missing if a flag had no value. */
export function addValue(
  { given, findings }: Pick<Layers, "given" | "findings">,
  path: readonly string[],
  { origin, written, form }: Pick<Given, "origin" | "written" | "form">,
): void {
  const key = path.join(".");
  const names = namesIn(key)?.join(", ");
  const target = findKey(key);
  const fail = (message: string, remedy: string) =>
    void findings.push({ severity: "error", origin, key, message, remedy });
  if (key === "") {
    fail("the name of the setting is missing", "Use --set key=value, for example --set log_level=debug.");
  } else if (names !== undefined) {
    const remedy =
      origin.from === "flag"
        ? `Use --set ${key}.NAME=value; the names are: ${names}.`
        : `Write ${headerOf(key)} on a line of its own, and its settings below it: ${names}.`;
    fail("this is a section, not a setting", remedy);
  } else if (arrayKeys.has(key)) {
    fail(
      "this is an array of tables",
      `Write [[${key}]] before the settings of each; in a flag, --set ${key}.0.NAME=value.`,
    );
  } else if (target === undefined) {
    findings.push(unknownKey(path, origin, written === undefined ? "Use --set key=value. " : ""));
  } else if (written === undefined) {
    fail("the value is missing", `Use --set ${key}=value.`);
  } else {
    given.push({ ...target, origin, written, form });
  }
}

/** Reads settings from `TS2OTEL_*` variables. An empty one counts as unset; an unknown one may belong to another program. */
export function readEnvironment(environment: Environment, { given, findings }: Layers): void {
  for (const variable of Object.keys(environment).sort()) {
    if (!variable.toUpperCase().startsWith(prefix) || otherVariables.has(variable)) continue;
    const origin: Origin = { from: "environment", variable };
    const written = environment[variable] ?? "";
    const target = findVariable(variable);
    if (target === undefined) findings.push(unknownVariable(variable));
    else if (written !== "") given.push({ ...target, origin, written, form: "text" });
  }
}

/** Reads settings given as `--set key=value`. */
export function readFlags(assignments: readonly string[], layers: Layers): void {
  for (const assignment of assignments) {
    const [, name = "", written] = /^([^=]*)(?:=(.*))?$/s.exec(assignment) ?? [];
    const key = name.trim();
    addValue(layers, key.split("."), { origin: { from: "flag", key }, written, form: "text" });
  }
}

const prefix = "TS2OTEL_";

/** The names allowed in a section; undefined if there is no such section. */
export function namesIn(section: string): readonly string[] | undefined {
  return sectionNames.get(inFirstTable(section, ".").name);
}

const sectionNames = new Map(sections.map(({ key, names }) => [key, names]));

const maps = settings.filter(({ kind }) => kind === "map");
const targets: ReadonlyMap<string, Target> = new Map(
  settings.flatMap((setting): [string, Target][] => [
    [setting.key, { setting, part: "value" }],
    ...(setting.kind === "secret"
      ? [[`${setting.key}_file`, { setting, part: "secretFile" }] as [string, Target]]
      : []),
  ]),
);

/** Resolves a key. A map without an entry is found as `value`. */
export function findKey(key: string): Target | undefined {
  const { name, index } = inFirstTable(key, ".");
  const map = maps.find((one) => name.startsWith(`${one.key}.`));
  const target = map ? { setting: map, part: { entry: name.slice(map.key.length + 1) } } : targets.get(name);
  return target && { ...target, setting: inTable(target.setting, index) };
}

function findVariable(variable: string): Target | undefined {
  const { name: rest, index } = inFirstTable(variable.slice(prefix.length), "__");
  const name = prefix + rest;
  const map = maps.find((one) => name.startsWith(`${one.variable}__`));
  const entry = map === undefined ? "" : name.slice(map.variable.length + 2);
  if (map !== undefined && entry !== "") return { setting: inTable(map, index), part: { entry } };
  const target = findKey(keyOf(variable));
  return target?.setting.kind === "map" || variable !== variable.toUpperCase() ? undefined : target;
}

/** The same name in the first table of its array, which represents all tables, and the index of its own table. */
function inFirstTable(name: string, separator: "." | "__"): { readonly name: string; readonly index: number } {
  const parts = name.split(separator);
  for (const [array, most] of arrayKeys) {
    const path = array.split(".");
    const index = Number(parts[path.length]);
    const isIn = path.every((part, depth) => parts[depth]?.toLowerCase() === part);
    if (isIn && String(index) === parts[path.length] && index >= 0 && index < most)
      return { name: parts.with(path.length, "0").join(separator), index };
  }
  return { name, index: 0 };
}

function keyOf(variable: string): string {
  return variable.slice(prefix.length).toLowerCase().replaceAll("__", ".");
}

/** `TS2OTEL_OTLP__ENDPOINT` for `otlp.endpoint`. */
export function variableOf(key: string): string {
  return prefix + key.replaceAll(".", "__").toUpperCase();
}

/** All keys of settings, including those for files of secrets. */
function keysOf(all: readonly Section[]): readonly string[] {
  return all.flatMap(({ settings: of }) =>
    of.flatMap(({ key, kind }) => (kind === "secret" ? [key, `${key}_file`] : [key])),
  );
}

/** The finding for a key that does not exist. */
function unknownKey(path: readonly string[], origin: Origin, hint = ""): Finding {
  const key = path.join(".");
  const unknown = { severity: "error", origin, key, message: "unknown setting" } as const;
  const former = successorOf(key);
  if (former !== undefined) return { ...unknown, ...former };
  if (key === "tailnets") return { ...unknown, remedy: `${hint}Did you mean [[tailnet]]?` };
  const possible = possibleSections();
  const meant = nearest(
    key,
    [...keysOf(possible), ...possible.map((one) => one.key)].filter((known) => known !== "" && mayBeMeant(key, known)),
  );
  if (meant !== undefined) return { ...unknown, remedy: `${hint}Did you mean ${meant}?`, meant };
  const parents = path.map((_, depth) => path.slice(0, depth).join(".")).reverse();
  const section = parents.find((parent) => namesIn(parent) !== undefined) ?? "";
  const place = section === "" ? "At the top level" : `In ${headerOf(section)}`;
  const names = namesIn(section)?.join(", ");
  const remedy = `${hint}${place} there are: ${names}. To see every setting, run: tailscale2otel check`;
  return { ...unknown, remedy };
}

/** Within one section, more than half of the name must match. */
function mayBeMeant(key: string, known: string): boolean {
  const [written, other] = [key, known].map((name) => name.slice(name.lastIndexOf(".") + 1)) as [string, string];
  const areNeighbors = key.slice(0, -written.length) === known.slice(0, -other.length);
  return !areNeighbors || editDistance(written, other) * 2 < Math.max(written.length, other.length);
}

/** The line above the settings of a section: `[streaming]`, `[[tailnet]]`, `[tailnet.streaming]`. */
function headerOf(section: string): string {
  const name = section.replace(/\.\d+(?=\.|$)/, "");
  return arrayKeys.has(name) ? `[[${name}]]` : `[${name}]`;
}

function unknownVariable(variable: string): Finding {
  const key = keyOf(variable);
  const shown = variable.slice(0, 200);
  // These variables are meant to restrict or add exports, so ignoring one would export too much or too little.
  const isSerious = key.startsWith("pii_filter.") || arrayKeys.keys().some((array) => key.startsWith(`${array}.`));
  const severity = isSerious ? "error" : "warning";
  const unknown = { severity, origin: { from: "environment", variable: shown }, key: shown } as const;
  const former = successorOf(key);
  if (former !== undefined) return { ...unknown, ...former };
  if (findKey(key)?.setting.kind === "map") {
    const message = "this variable has no effect: the setting is a map";
    return { ...unknown, message, remedy: `Set one variable per entry: ${variable}__NAME=text.` };
  }
  const names = [configVariable, ...keysOf(possibleSections()).map(variableOf)].map((name) =>
    name.slice(prefix.length),
  );
  const meant = nearest(variable.toUpperCase().slice(prefix.length), names);
  const remedy =
    meant === undefined
      ? "Remove it. docs/configuration.md lists every variable, and tailscale2otel check every setting."
      : `Did you mean ${prefix}${meant}?`;
  return { ...unknown, message: "no setting has this variable, so it has no effect", remedy };
}

/** Settings of the Go version, by key or by section ending in a dot: the setting that replaces them, or what to do. */
const formerSettings: Readonly<Record<string, string>> = {
  "admin.auth.token_file": "admin.token_file",
  "admin.auth.token": "admin.token",
  "tailscale.auth.method": "Remove it: an OAuth client is used if tailscale.auth.oauth is set, otherwise the API key.",
  "tailscale.auth.workload_identity.": "Use an OAuth client: set tailscale.auth.oauth.client_id and client_secret.",
  "tailscale.http.retry.max_attempts": "tailscale.http.max_attempts",
  "otlp.tls.insecure": "Remove it: for plain HTTP, otlp.endpoint begins with http://.",
  "prometheus.auth.token_file": "admin.token_file",
  "prometheus.auth.token": "admin.token",
  "prometheus.": "admin.listen",
  "checkpoint.": "state.path",
  "ingress_wal.max_bytes": "state.max_bytes",
  "ingress_wal.": "state.path",
  "pii_filter.user_display_names": "privacy.emails",
  "pii_filter.free_text_details": "privacy.free_text",
  "pii_filter.":
    'Remove it; to hide data, set the settings of [privacy] to "drop" or "hash" (TS2OTEL_PRIVACY__EMAILS=drop).',
};

/** True if settings of the Go version were in this section. */
export function isFormerSection(key: string): boolean {
  return Object.keys(formerSettings).some((former) => former.startsWith(`${key}.`) && former !== `${key}.`);
}

function successorOf(key: string): Pick<Finding, "message" | "remedy"> | undefined {
  const shared = key.replace(/^tailnet\.\d+\./, "");
  if (shared !== key && targets.has(shared))
    return {
      message: "this is one setting for all tailnets",
      remedy: `Set ${shared} instead (${variableOf(shared)}).`,
    };
  if (shared !== key && sectionNames.has(shared))
    return { message: "all tailnets share this section", remedy: `Move it out of [[tailnet]], to [${shared}].` };
  const isHiding = key.startsWith("pii_filter");
  const sameName = key.replace(/^pii_filter\./, "privacy.");
  const section = Object.keys(formerSettings).find((former) => former.endsWith(".") && `${key}.`.startsWith(former));
  const found = formerSettings[key] ?? (isHiding && targets.has(sameName) ? sameName : formerSettings[section ?? ""]);
  if (found === undefined) return undefined;
  const message = `this setting of the Go version is not read${isHiding ? ", so what it hid would be exported" : ""}`;
  if (!targets.has(found)) return { message, remedy: found };
  const variable = variableOf(found);
  return isHiding
    ? { message, remedy: `Remove it; to hide this, set ${found} = "drop" or "hash" (${variable}=drop).` }
    : { message, remedy: `Use ${found} (${variable}).` };
}
