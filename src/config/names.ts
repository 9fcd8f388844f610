/** Finds the setting that a key or a variable names, the one that was probably meant, and what replaced one of the Go version. */
import { nearest } from "../lib/text.ts";
import { sections, settings } from "./schema.ts";
import type { Setting } from "./setting.ts";

/** What a name stands for: a setting, the file of a secret, or one entry of a map. */
export interface Target {
  readonly setting: Setting;
  readonly part: "value" | "secretFile" | { readonly entry: string };
}

/** The variable that names the configuration file. */
export const configVariable = "TS2OTEL_CONFIG";

const prefix = "TS2OTEL_";
const byKey = new Map<string, Target>();
const byVariable = new Map<string, Target>();
const sectionNames = new Map(sections.map(({ key, names }) => [key, names]));
const maps = settings.filter(({ kind }) => kind === "map");
for (const setting of settings) {
  byKey.set(setting.key, { setting, part: "value" });
  if (setting.kind !== "map") byVariable.set(setting.variable, { setting, part: "value" });
  if (setting.kind !== "secret") continue;
  byKey.set(`${setting.key}_file`, { setting, part: "secretFile" });
  byVariable.set(`${setting.variable}_FILE`, { setting, part: "secretFile" });
}

/** By the parts of its key. A map without an entry is found as `value`. */
export function findKey(path: readonly string[]): Target | undefined {
  const target = byKey.get(path.join("."));
  if (target !== undefined) return target;
  const setting = maps.find((map) => map.path.every((name, index) => path[index] === name));
  return setting && { setting, part: { entry: path.slice(setting.path.length).join(".") } };
}

export function findVariable(name: string): Target | undefined {
  const target = byVariable.get(name);
  if (target !== undefined) return target;
  const setting = maps.find((map) => name.startsWith(`${map.variable}__`) && name.length > map.variable.length + 2);
  return setting && { setting, part: { entry: name.slice(setting.variable.length + 2) } };
}

/** The names that are allowed in a section; `undefined` if the key is none. */
export function namesIn(key: string): readonly string[] | undefined {
  return sectionNames.get(key);
}

/** What to say about a key that does not exist. `meant`: the key that was probably meant. */
export interface UnknownName {
  readonly message: string;
  readonly remedy: string;
  readonly meant?: string;
}

export function unknownKey(path: readonly string[]): UnknownName {
  const key = path.join(".");
  const former = formerSetting(key);
  if (former !== undefined) return former;
  const message = "unknown setting";
  const meant = nearest(
    key,
    [...byKey.keys(), ...sectionNames.keys()].filter((known) => known !== ""),
  );
  if (meant !== undefined) return { message, remedy: `Did you mean ${meant}?`, meant };
  const parents = path.map((_, depth) => path.slice(0, depth).join(".")).reverse();
  const section = parents.find((parent) => sectionNames.has(parent)) ?? "";
  const place = section === "" ? "At the top level" : `In [${section}]`;
  return { message, remedy: `Remove it. ${place} there are: ${sectionNames.get(section)?.join(", ")}.` };
}

export function unknownVariable(variable: string): UnknownName & { readonly isFatal: boolean } {
  const path = variable.slice(prefix.length).toLowerCase().split("__");
  const former = formerSetting(path.join("."));
  if (former !== undefined) return { ...former, isFatal: path[0] === "pii_filter" };
  const isFatal = false;
  if (findKey(path)?.setting.kind === "map") {
    return {
      message: "this variable has no effect: the setting is a map",
      remedy: `Set one variable per entry: ${variable}__NAME=text.`,
      isFatal,
    };
  }
  const message = "no setting has this variable, so it has no effect";
  const known = [configVariable, ...byVariable.keys()].map((name) => name.slice(prefix.length));
  const meant = nearest(variable.toUpperCase().slice(prefix.length), known);
  const remedy =
    meant === undefined ? "Remove it; the reference lists every variable." : `Did you mean ${prefix}${meant}?`;
  return { message, remedy, isFatal };
}

/** Settings of the Go version by key, or by section with a dot at the end, and what to do instead. */
const formerSettings: readonly (readonly [key: string, remedy: string])[] = [
  ["admin.auth.token_file", replacedBy("admin.token_file")],
  ["admin.auth.token", replacedBy("admin.token")],
  [
    "tailscale.auth.method",
    "Remove it: an OAuth client is used if tailscale.auth.oauth is set, otherwise the API key.",
  ],
  ["tailscale.auth.workload_identity.", "Use an OAuth client: set tailscale.auth.oauth.client_id and client_secret."],
  ["tailscale.http.retry.max_attempts", replacedBy("tailscale.http.max_attempts")],
  ["otlp.tls.insecure", "Remove it: for plain HTTP, otlp.endpoint begins with http://."],
  ["prometheus.auth.token_file", replacedBy("admin.token_file")],
  ["prometheus.auth.token", replacedBy("admin.token")],
  ["prometheus.", `${replacedBy("admin.listen")} /metrics is served there.`],
  ["checkpoint.", replacedBy("state.path")],
  ["ingress_wal.max_bytes", replacedBy("state.max_bytes")],
  ["ingress_wal.", `${replacedBy("state.path")} Accepted records are always stored on disk.`],
  ["pii_filter.user_display_names", hiddenBy("emails")],
  ["pii_filter.free_text_details", hiddenBy("free_text")],
  ...[
    "emails",
    "user_ids",
    "hostnames",
    "node_ids",
    "tailscale_ips",
    "internal_ips",
    "external_ips",
    "tailnet_name",
  ].map((name): [string, string] => [`pii_filter.${name}`, hiddenBy(name)]),
  [
    "pii_filter.",
    'Remove it; to hide data, set the settings of [privacy] to "drop" or "hash" (TS2OTEL_PRIVACY__EMAILS=drop).',
  ],
];

/** Whether settings of the Go version were in this section. */
export function isFormerSection(key: string): boolean {
  return formerSettings.some(([former]) => former.startsWith(`${key}.`) && former !== `${key}.`);
}

function formerSetting(key: string): UnknownName | undefined {
  const found = formerSettings.find(([former]) =>
    former.endsWith(".") ? `${key}.`.startsWith(former) : key === former,
  );
  if (found === undefined) return undefined;
  const isHiding = key.startsWith("pii_filter");
  const message = isHiding
    ? "this setting of the Go version is not read, so what it hid would be exported"
    : "this setting of the Go version is not read";
  return { message, remedy: found[1] };
}

function replacedBy(key: string): string {
  return `Use ${key} (${variableOf(key)}).`;
}

function hiddenBy(name: string): string {
  const variable = variableOf(`privacy.${name}`);
  return `Remove it; to hide this, set privacy.${name} = "drop" or "hash" (${variable}=drop).`;
}

function variableOf(key: string): string {
  return prefix + key.replaceAll(".", "__").toUpperCase();
}
