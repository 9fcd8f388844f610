/** Lays the layers on one another: which value a setting has in the end, and where it comes from. */
import { assignment, defaultOrigin, type Origin, type Problem, type Warning } from "./diagnosis.ts";
import type { Given, Layer } from "./layer.ts";
import { readSecretFile } from "./secret-file.ts";
import { type Complaint, readEntry, readText, readTyped } from "./value.ts";
import type { Setting } from "./walk.ts";

export interface Resolved {
  /** In the form of `Config`, by key; a map is a record. */
  readonly values: ReadonlyMap<string, unknown>;
  /** By key; for a map by key and entry (`otlp.headers.x-scope`). Defaults are in it too. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Keys with a mistake: they have their default, and nothing is concluded from that. */
  readonly broken: ReadonlySet<string>;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Warning[];
}

/** Later layers win. `standard` serves only where they give nothing; what is wrong in it is a warning. */
export function resolve(settings: readonly Setting[], layers: readonly Layer[], standard: Layer): Resolved {
  const draft: ResolveDraft = {
    slots: new Map(settings.map((setting) => [setting.key, emptySlot(setting)])),
    broken: new Set(layers.flatMap((layer) => layer.meant)),
    problems: layers.flatMap((layer) => layer.problems),
    warnings: [...standard.warnings, ...layers.flatMap((layer) => layer.warnings)],
  };
  for (const layer of layers) {
    for (const given of layer.given) place(draft, given, (problem) => refuse(draft, given, problem));
  }
  const own = new Set([...draft.slots.values()].filter(isGiven).map((slot) => slot.setting.key));
  for (const given of standard.given) {
    if (own.has(given.setting.key) || draft.broken.has(given.setting.key)) continue;
    place(draft, given, (problem) => draft.warnings.push(ignored(given, problem)));
  }
  for (const slot of draft.slots.values()) resolveSecret(draft, slot);
  return { ...collect(draft), broken: draft.broken, problems: draft.problems, warnings: draft.warnings };
}

interface Slot {
  readonly setting: Setting;
  own: { readonly value: unknown; readonly origin: Origin } | undefined;
  secretFile: { readonly path: string; readonly origin: Origin } | undefined;
  /** Entries of a map in the order of their first appearance. */
  readonly entries: Map<string, { readonly name: string; readonly value: string; readonly origin: Origin }>;
}

interface ResolveDraft {
  readonly slots: Map<string, Slot>;
  readonly broken: Set<string>;
  readonly problems: Problem[];
  readonly warnings: Warning[];
}

function emptySlot(setting: Setting): Slot {
  return { setting, own: undefined, secretFile: undefined, entries: new Map() };
}

function isGiven(slot: Slot): boolean {
  return slot.own !== undefined || slot.secretFile !== undefined || slot.entries.size > 0;
}

function place(draft: ResolveDraft, given: Given, complain: (complaint: Complaint) => void): void {
  const slot = draft.slots.get(given.setting.key);
  if (slot === undefined) throw new TypeError(`no setting ${given.setting.key}`);
  if (given.part === "value") return placeValue(slot, given, complain);
  if (given.part === "secretFile") return placeSecretFile(slot, given, complain);
  const reading = readEntry(given.setting, given.part.entry, given.written);
  if ("complaint" in reading) return complain(reading);
  const name = entryName(slot, given, given.part.entry);
  const id = given.setting.entry === "header" ? name.toLowerCase() : name;
  slot.entries.set(id, { name, value: String(reading.value), origin: given.origin });
}

function placeValue(slot: Slot, given: Given, complain: (complaint: Complaint) => void): void {
  const { setting, written, form, origin } = given;
  const reading = form === "text" ? readText(setting, String(written)) : readTyped(setting, written);
  if ("complaint" in reading) complain(reading);
  else slot.own = { value: reading.value, origin };
}

function placeSecretFile(slot: Slot, given: Given, complain: (complaint: Complaint) => void): void {
  if (typeof given.written === "string") {
    slot.secretFile = given.written === "" ? undefined : { path: given.written, origin: given.origin };
    return;
  }
  complain({ complaint: "this is not a path", allowed: "the path of a file", instead: '"/run/secrets/token"' });
}

/** A variable's name holds neither small letters nor dots nor dashes, so it is matched loosely with what is there. */
function entryName(slot: Slot, given: Given, written: string): string {
  if (given.origin.from !== "environment" || given.form !== "text") return written;
  const known = [...slot.entries.values()].find((entry) => loose(entry.name) === loose(written));
  if (known !== undefined) return known.name;
  if (/[a-z.-]/.test(written)) return written;
  return written.toLowerCase().replaceAll("_", given.setting.entry === "header" ? "-" : ".");
}

function loose(name: string): string {
  return name.toLowerCase().replace(/[._-]/g, "-");
}

/** A secret is given as text or as a file; which of them is meant cannot be guessed. */
function resolveSecret(draft: ResolveDraft, slot: Slot): void {
  const { setting, own, secretFile } = slot;
  if (secretFile === undefined) return;
  const { path, origin } = secretFile;
  const key = `${setting.key}_file`;
  if (own !== undefined && own.value !== "") {
    draft.broken.add(setting.key);
    const message = `${setting.key} is set as well`;
    draft.problems.push({
      origin,
      key,
      message,
      remedy: `Keep one of ${setting.key} and ${key}, and remove the other.`,
    });
    return;
  }
  const outcome = readSecretFile(path);
  const reading = "secret" in outcome ? readText(setting, outcome.secret) : undefined;
  if (reading !== undefined && "value" in reading) {
    slot.own = { value: reading.value, origin: { ...origin, secretFile: path } };
    return;
  }
  draft.broken.add(setting.key);
  const message = "complaint" in outcome ? outcome.complaint : `what is in ${JSON.stringify(path)} cannot be used`;
  draft.problems.push({
    origin,
    key,
    message,
    allowed: "a readable file with the secret alone in it, printable ASCII without spaces",
    remedy: "Fix the path or the file; the file must be readable for the user that runs this program.",
  });
}

function refuse(draft: ResolveDraft, given: Given, complaint: Complaint): void {
  draft.broken.add(given.setting.key);
  const key = keyOf(given);
  const name = typeof given.part === "string" ? key.slice(key.lastIndexOf(".") + 1) : given.part.entry;
  const { complaint: message, allowed, instead } = complaint;
  const remedy = `Write for example: ${assignment(given.origin, name, instead)}`;
  draft.problems.push({ origin: given.origin, key, message, allowed, remedy });
}

function ignored(given: Given, { complaint, allowed }: Complaint): Warning {
  return {
    key: describedVariable(given.origin),
    message: `${complaint}, so the variable is ignored`,
    remedy: `Allowed: ${allowed}. Or set ${given.setting.key}.`,
  };
}

function describedVariable(origin: Origin): string {
  return origin.from === "environment" ? origin.variable : "";
}

function keyOf({ setting, part }: Given): string {
  if (part === "value") return setting.key;
  return part === "secretFile" ? `${setting.key}_file` : `${setting.key}.${part.entry}`;
}

function collect(draft: ResolveDraft): Pick<Resolved, "values" | "origins"> {
  const values = new Map<string, unknown>();
  const origins = new Map<string, Origin>();
  for (const { setting, own, entries } of draft.slots.values()) {
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
