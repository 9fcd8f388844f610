/** Merges the layers: which value each setting has in the end, and where it comes from. */
import { assignment, defaultOrigin, type Finding, type Origin } from "./diagnosis.ts";
import { readSecretFile } from "./files.ts";
import type { Given, Layers } from "./layers.ts";
import { settings } from "./schema.ts";
import type { Setting } from "./setting.ts";
import { type Invalid, readEntry, readText, readTyped } from "./values.ts";

export interface Merged {
  /** In the form of `Config`, by key; a map is a record. */
  readonly values: ReadonlyMap<string, unknown>;
  /** By key; for the entries of a map by key and entry. Defaults are in it too. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Settings with a problem: nothing is concluded from their values. */
  readonly broken: ReadonlySet<string>;
  readonly findings: readonly Finding[];
}

/** Makes a path absolute: relative to the file it is written in, else to the working directory. */
export type ResolvePath = (path: string, origin: Origin) => string;

/** Later values win. What is invalid in OpenTelemetry's own variables is a warning. */
export function mergeLayers(layers: Layers, resolvePath: ResolvePath): Merged {
  const findings = [...layers.findings];
  const broken = new Set(findings.flatMap(({ meant }) => meant ?? []));
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const setting of settings) {
    const { key } = setting;
    const slot: Slot = { entries: new Map() };
    const found = givenFor(setting, layers.given).map((given) => findingOf(given, place(slot, given, resolvePath)));
    for (const finding of [...found, readSecret(slot, key)].filter((one) => one !== undefined)) {
      findings.push(finding);
      if (finding.severity === "error") broken.add(key);
    }
    const { value = { read: structuredClone(setting.default), origin: defaultOrigin }, entries } = slot;
    const record = Object.fromEntries([...entries.values()].map(({ name, text }) => [name, text]));
    values.set(key, setting.kind === "map" ? record : value.read);
    for (const { name, origin } of entries.values()) origins.set(`${key}.${name}`, origin);
    if (entries.size === 0) origins.set(key, value.origin);
  }
  return { values, origins, broken, findings };
}

/** Ours alone, if there are any. Attributes are independent of each other; of headers, half of a set of credentials is none. */
function givenFor(setting: Setting, given: readonly Given[]): readonly Given[] {
  const all = given.filter((one) => one.setting === setting);
  const own = all.filter(({ isStandard }) => isStandard !== true);
  return own.length > 0 && setting.entry !== "attribute" ? own : all;
}

/** What has been given for one setting. */
interface Slot {
  value?: { readonly read: unknown; readonly origin: Origin };
  secretFile?: { readonly path: string; readonly origin: Origin } | undefined;
  /** Entries of a map in the order of their first appearance; header names by their lower case. */
  readonly entries: Map<string, { readonly name: string; readonly text: string; readonly origin: Origin }>;
}

/** Puts a value into its slot, or says why it is invalid. */
function place(slot: Slot, given: Given, resolvePath: ResolvePath): Invalid | undefined {
  const { setting, part, origin, written, form } = given;
  if (part === "secretFile") {
    if (typeof written !== "string")
      return { message: "invalid path", allowed: "a path", example: '"/run/secrets/token"' };
    slot.secretFile = written === "" ? undefined : { path: resolvePath(written, origin), origin };
  } else if (part === "value") {
    const reading = form === "text" ? readText(setting, String(written)) : readTyped(setting, written);
    if ("message" in reading) return reading;
    const isPath = setting.kind === "file" && reading.value !== "";
    slot.value = { read: isPath ? resolvePath(String(reading.value), origin) : reading.value, origin };
  } else {
    const reading = readEntry(setting, part.entry, written);
    if ("message" in reading) return reading;
    const name = entryName(slot, given, part.entry);
    const entry = { name, text: String(reading.value), origin };
    slot.entries.set(setting.entry === "header" ? name.toLowerCase() : name, entry);
  }
  return undefined;
}

/** The name of a variable has neither lower case nor dots nor dashes, so it is matched loosely with the entries so far. */
function entryName(slot: Slot, { setting, origin, form }: Given, written: string): string {
  if (origin.from !== "environment" || form !== "text") return written;
  const loose = (name: string): string => name.toLowerCase().replace(/[._-]/g, "-");
  const known = [...slot.entries.values()].find((entry) => loose(entry.name) === loose(written));
  if (known !== undefined) return known.name;
  return /[a-z.-]/.test(written)
    ? written
    : written.toLowerCase().replaceAll("_", setting.entry === "header" ? "-" : ".");
}

/** A secret is given as text or as a file: which of the two is meant cannot be guessed. */
function readSecret(slot: Slot, setting: string): Finding | undefined {
  if (slot.secretFile === undefined) return undefined;
  const { path, origin } = slot.secretFile;
  const problem = { severity: "error", origin, key: `${setting}_file` } as const;
  if (slot.value !== undefined && slot.value.read !== "") {
    return { ...problem, message: `${setting} is set too`, remedy: `Remove one of ${setting} and ${setting}_file.` };
  }
  const read = readSecretFile(path);
  if ("reason" in read) {
    const remedy =
      "Name a file that this program can read and that contains only the secret: printable ASCII without spaces.";
    return { ...problem, message: read.reason, remedy };
  }
  slot.value = { read: read.secret, origin: { ...origin, secretFile: path } };
  return undefined;
}

function findingOf({ setting, part, origin, isStandard }: Given, invalid: Invalid | undefined): Finding | undefined {
  if (invalid === undefined) return undefined;
  const { message, allowed, example } = invalid;
  const key = setting.key + (part === "value" ? "" : part === "secretFile" ? "_file" : `.${part.entry}`);
  if (isStandard === true && origin.from === "environment") {
    const remedy = `Use ${allowed}, or set ${setting.key}.`;
    return { severity: "warning", key: origin.variable, message: `${message}, so the variable is ignored`, remedy };
  }
  const name = typeof part === "object" ? part.entry : key.slice(key.lastIndexOf(".") + 1);
  const remedy = `Use ${allowed}, for example ${assignment(origin, name, example)}.`;
  return { severity: "error", origin, key, message, remedy };
}
