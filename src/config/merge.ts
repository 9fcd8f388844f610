/** Merges the layers: which value each setting has in the end, and where it comes from. */
import { assignment, defaultOrigin, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { readSecretFile } from "./files.ts";
import type { Given, Layer } from "./layers.ts";
import { settings } from "./schema.ts";
import type { Setting } from "./setting.ts";
import { type Invalid, readEntry, readText, readTyped } from "./values.ts";

export interface Merged {
  /** In the form of `Config`, by key; a map is a record. */
  readonly values: ReadonlyMap<string, unknown>;
  /** By key; for the entries of a map by key and entry. Defaults are in it too. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Settings with a problem: they have their default, and nothing is concluded from that. */
  readonly broken: ReadonlySet<string>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Warning[];
}

/** Makes a path absolute: relative to the file it is written in, else to the working directory. */
export type ResolvePath = (path: string, origin: Origin) => string;

/** Later layers win. `standard` serves only if they give nothing; what is wrong in it is a warning. */
export function mergeLayers(layers: readonly Layer[], standard: Layer, resolvePath: ResolvePath): Merged {
  const slots = new Map(settings.map((setting): [string, Slot] => [setting.key, { setting, entries: new Map() }]));
  const problems = layers.flatMap((layer) => layer.problems);
  const warnings = [...standard.warnings, ...layers.flatMap((layer) => layer.warnings)];
  const broken = new Set(problems.flatMap(({ meant }) => meant ?? []));
  const context = { slots, resolvePath };
  for (const given of layers.flatMap((layer) => layer.given)) {
    const invalid = place(context, given);
    if (invalid === undefined) continue;
    broken.add(given.setting.key);
    problems.push(problemOf(given, invalid));
  }
  const own = new Set([...slots.values()].filter(isGiven).map(({ setting }) => setting.key));
  for (const given of standard.given) {
    const { setting, part, origin } = given;
    // Of headers, ours or theirs: half of a set of credentials is none. Attributes are independent of each other.
    const isOurs =
      setting.entry === "attribute" && typeof part === "object"
        ? slots.get(setting.key)?.entries.has(part.entry)
        : own.has(setting.key);
    if (isOurs === true || broken.has(setting.key)) continue;
    const invalid = place(context, given);
    if (invalid === undefined || origin.from !== "environment") continue;
    const remedy = `Use ${invalid.allowed}, or set ${setting.key}.`;
    warnings.push({ key: origin.variable, message: `${invalid.message}, so the variable is ignored`, remedy });
  }
  for (const slot of slots.values()) {
    const problem = readSecret(slot);
    if (problem === undefined) continue;
    broken.add(slot.setting.key);
    problems.push(problem);
  }
  return { ...collect(slots.values()), broken, problems, warnings };
}

interface Slot {
  readonly setting: Setting;
  own?: { readonly value: unknown; readonly origin: Origin } | undefined;
  secretFile?: { readonly path: string; readonly origin: Origin } | undefined;
  /** Entries of a map in the order of their first appearance; header names by their lower case. */
  readonly entries: Map<string, { readonly name: string; readonly value: string; readonly origin: Origin }>;
}

interface Context {
  readonly slots: ReadonlyMap<string, Slot>;
  readonly resolvePath: ResolvePath;
}

function isGiven(slot: Slot): boolean {
  return slot.own !== undefined || slot.secretFile !== undefined || slot.entries.size > 0;
}

/** Puts a value into its slot, or says why it is invalid. */
function place({ slots, resolvePath }: Context, given: Given): Invalid | undefined {
  const { setting, part, origin, written, form } = given;
  const slot = slots.get(setting.key);
  if (slot === undefined) throw new TypeError(`no setting ${setting.key}`);
  if (part === "secretFile") {
    if (typeof written !== "string") {
      return { message: "invalid path", allowed: "the path of a file", example: '"/run/secrets/token"' };
    }
    slot.secretFile = written === "" ? undefined : { path: resolvePath(written, origin), origin };
  } else if (part === "value") {
    const reading = form === "text" ? readText(setting, String(written)) : readTyped(setting, written);
    if ("message" in reading) return reading;
    const isPath = setting.kind === "file" && reading.value !== "";
    slot.own = { value: isPath ? resolvePath(String(reading.value), origin) : reading.value, origin };
  } else {
    const reading = readEntry(setting, part.entry, written);
    if ("message" in reading) return reading;
    const name = entryName(slot, given, part.entry);
    const id = setting.entry === "header" ? name.toLowerCase() : name;
    slot.entries.set(id, { name, value: String(reading.value), origin });
  }
  return undefined;
}

/** The name of a variable has neither lower case nor dots nor dashes, so it is matched loosely with the entries so far. */
function entryName(slot: Slot, given: Given, written: string): string {
  if (given.origin.from !== "environment" || given.form !== "text") return written;
  const loose = (name: string): string => name.toLowerCase().replace(/[._-]/g, "-");
  const known = [...slot.entries.values()].find((entry) => loose(entry.name) === loose(written));
  if (known !== undefined) return known.name;
  if (/[a-z.-]/.test(written)) return written;
  return written.toLowerCase().replaceAll("_", given.setting.entry === "header" ? "-" : ".");
}

/** A secret is given as text or as a file: which of the two is meant cannot be guessed. */
function readSecret(slot: Slot): Problem | undefined {
  const { setting, own, secretFile } = slot;
  if (secretFile === undefined) return undefined;
  const { path, origin } = secretFile;
  const key = `${setting.key}_file`;
  if (own !== undefined && own.value !== "") {
    return { origin, key, message: `${setting.key} is set too`, remedy: `Remove one of ${setting.key} and ${key}.` };
  }
  const read = readSecretFile(path);
  const reading = "secret" in read ? readText(setting, read.secret) : undefined;
  if (reading !== undefined && "value" in reading) {
    slot.own = { value: reading.value, origin: { ...origin, secretFile: path } };
    return undefined;
  }
  const message = "reason" in read ? read.reason : `invalid secret in ${JSON.stringify(path)}`;
  const remedy =
    "Name a file that this program can read, with nothing but the secret in it: printable ASCII without spaces.";
  return { origin, key, message, remedy };
}

function problemOf({ setting, part, origin }: Given, { message, allowed, example }: Invalid): Problem {
  const suffix = part === "value" ? "" : part === "secretFile" ? "_file" : `.${part.entry}`;
  const key = setting.key + suffix;
  const name = typeof part === "object" ? part.entry : key.slice(key.lastIndexOf(".") + 1);
  return { origin, key, message, remedy: `Use ${allowed}, for example ${assignment(origin, name, example)}.` };
}

function collect(slots: Iterable<Slot>): Pick<Merged, "values" | "origins"> {
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const { setting, own, entries } of slots) {
    if (setting.kind === "map") {
      values.set(setting.key, Object.fromEntries([...entries.values()].map(({ name, value }) => [name, value])));
      for (const { name, origin } of entries.values()) origins.set(`${setting.key}.${name}`, origin);
    } else {
      values.set(setting.key, own === undefined ? structuredClone(setting.default) : own.value);
    }
    if (entries.size === 0) origins.set(setting.key, own?.origin ?? defaultOrigin);
  }
  return { values, origins };
}
