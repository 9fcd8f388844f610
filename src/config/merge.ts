/** Merges the layers: which value each setting has in the end, and where it comes from. */
import { assignment, defaultOrigin, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import { readSecretFile } from "./files.ts";
import type { Given, Layer } from "./layers.ts";
import { settings } from "./schema.ts";
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
  const problems = layers.flatMap((layer) => layer.problems);
  const warnings = [...standard.warnings, ...layers.flatMap((layer) => layer.warnings)];
  const broken = new Set(problems.flatMap(({ meant }) => meant ?? []));
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const setting of settings) {
    const { key } = setting;
    const of = (layer: Layer): readonly Given[] => layer.given.filter((given) => given.setting === setting);
    const slot: Slot = { entries: new Map() };
    const refuse = (problem: Problem | undefined): void => {
      if (problem === undefined) return;
      broken.add(key);
      problems.push(problem);
    };
    for (const given of layers.flatMap(of)) refuse(problemOf(given, place(slot, given, resolvePath)));
    // Attributes are independent of each other; of headers, half of a set of credentials is none.
    const own = new Set(slot.entries.keys());
    const isGiven =
      slot.value !== undefined || slot.secretFile !== undefined || (own.size > 0 && setting.entry === "header");
    for (const given of isGiven || broken.has(key) ? [] : of(standard)) {
      if (typeof given.part === "object" && (own.has(given.part.entry) || slot.entries.has(given.part.entry))) continue;
      const invalid = place(slot, given, resolvePath);
      if (invalid === undefined || given.origin.from !== "environment") continue;
      const message = `${invalid.message}, so the variable is ignored`;
      warnings.push({ key: given.origin.variable, message, remedy: `Use ${invalid.allowed}, or set ${key}.` });
    }
    refuse(readSecret(slot, key));
    const { value = { read: structuredClone(setting.default), origin: defaultOrigin }, entries } = slot;
    const record = Object.fromEntries([...entries.values()].map(({ name, text }) => [name, text]));
    values.set(key, setting.kind === "map" ? record : value.read);
    for (const { name, origin } of entries.values()) origins.set(`${key}.${name}`, origin);
    if (entries.size === 0) origins.set(key, value.origin);
  }
  return { values, origins, broken, problems, warnings };
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
    slot.entries.set(setting.entry === "header" ? name.toLowerCase() : name, {
      name,
      text: String(reading.value),
      origin,
    });
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
function readSecret(slot: Slot, setting: string): Problem | undefined {
  if (slot.secretFile === undefined) return undefined;
  const { path, origin } = slot.secretFile;
  const key = `${setting}_file`;
  if (slot.value !== undefined && slot.value.read !== "") {
    return { origin, key, message: `${setting} is set too`, remedy: `Remove one of ${setting} and ${key}.` };
  }
  const read = readSecretFile(path);
  if ("secret" in read) slot.value = { read: read.secret, origin: { ...origin, secretFile: path } };
  const remedy =
    "Name a file that this program can read and that contains only the secret: printable ASCII without spaces.";
  return "reason" in read ? { origin, key, message: read.reason, remedy } : undefined;
}

function problemOf({ setting, part, origin }: Given, invalid: Invalid | undefined): Problem | undefined {
  if (invalid === undefined) return undefined;
  const { message, allowed, example } = invalid;
  const key = setting.key + (part === "value" ? "" : part === "secretFile" ? "_file" : `.${part.entry}`);
  const name = typeof part === "object" ? part.entry : key.slice(key.lastIndexOf(".") + 1);
  return { origin, key, message, remedy: `Use ${allowed}, for example ${assignment(origin, name, example)}.` };
}
