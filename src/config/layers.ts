/** What each source of settings gives before any value is read, and which setting a name stands for. */
import type { Origin, Problem, Warning } from "./diagnosis.ts";
import { nearest } from "../lib/text.ts";
import { sections, settings } from "./schema.ts";
import type { Setting } from "./setting.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** One value as it was written. */
export interface Given extends Target {
  readonly origin: Origin;
  readonly written: unknown;
  /** `text` from variables and flags, where everything is text; `typed` from TOML. */
  readonly form: "text" | "typed";
}

export interface Layer {
  readonly given: Given[];
  readonly problems: Problem[];
  readonly warnings: Warning[];
}

export function emptyLayer(): Layer {
  return { given: [], problems: [], warnings: [] };
}

/** Notes a key that does not exist. */
export function addUnknown(layer: Layer, origin: Origin, path: readonly string[], hint = ""): void {
  const { message, remedy, meant } = unknownKey(path);
  layer.problems.push({ origin, key: path.join("."), message, remedy: hint + remedy, ...(meant && { meant }) });
}

/** The settings in `TS2OTEL_*` variables. An empty one counts as unset; an unknown one may belong to another program. */
export function readEnvironment(environment: Environment): Layer {
  const layer = emptyLayer();
  for (const variable of Object.keys(environment).sort()) {
    if (!variable.toUpperCase().startsWith("TS2OTEL_") || variable === configVariable) continue;
    const origin: Origin = { from: "environment", variable };
    const text = environment[variable];
    const target = findVariable(variable);
    if (target === undefined) {
      const { message, remedy, isFatal } = unknownVariable(variable);
      const key = variable.slice(0, 200);
      if (isFatal) layer.problems.push({ origin, key, message, remedy });
      else layer.warnings.push({ key, message, remedy });
    } else if (text !== undefined && text !== "") {
      layer.given.push({ ...target, origin, written: text, form: "text" });
    }
  }
  return layer;
}

/** The settings given as `--set key=value`. */
export function readFlags(assignments: readonly string[]): Layer {
  const layer = emptyLayer();
  for (const assignment of assignments) {
    const cut = assignment.indexOf("=");
    const key = (cut === -1 ? assignment : assignment.slice(0, cut)).trim();
    const origin: Origin = { from: "flag", key };
    const target = findKey(key.split("."));
    const names = key === "" ? undefined : namesIn(key);
    if (names !== undefined) {
      const remedy = `Use --set ${key}.NAME=value; the names are: ${names.join(", ")}.`;
      layer.problems.push({ origin, key, message: "this is a section, not a setting", remedy });
    } else if (key === "") {
      const remedy = "Use --set key=value, for example --set log_level=debug.";
      layer.problems.push({ origin, key, message: "the name of the setting is missing", remedy });
    } else if (target === undefined) {
      addUnknown(layer, origin, key.split("."), cut === -1 ? "Use --set key=value. " : "");
    } else if (cut === -1) {
      layer.problems.push({ origin, key, message: "the value is missing", remedy: `Use --set ${key}=value.` });
    } else {
      layer.given.push({ ...target, origin, written: assignment.slice(cut + 1), form: "text" });
    }
  }
  return layer;
}

/**
 * OpenTelemetry's own variables, and the settings that they stand in for. Of two for one setting the first wins.
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and …/configuration/sdk-environment-variables/
 */
export const otelVariables: readonly (readonly [variable: string, key: string])[] = [
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint"],
  ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "otlp.logs.endpoint"],
  ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otlp.metrics.endpoint"],
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "otlp.protocol"],
  ["OTEL_EXPORTER_OTLP_COMPRESSION", "otlp.compression"],
  ["OTEL_EXPORTER_OTLP_TIMEOUT", "otlp.timeout"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "otlp.headers"],
  ["OTEL_EXPORTER_OTLP_LOGS_HEADERS", "otlp.logs.headers"],
  ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "otlp.metrics.headers"],
  ["OTEL_SERVICE_NAME", "resource.attributes.service.name"],
  ["OTEL_RESOURCE_ATTRIBUTES", "resource.attributes"],
];

/** The settings in OpenTelemetry's own variables, which serve only if ours are not given. */
export function readOtelEnvironment(environment: Environment): Layer {
  const layer = emptyLayer();
  for (const [variable, key] of otelVariables) {
    const text = environment[variable]?.trim() ?? "";
    const target = findKey(key.split("."));
    if (text === "" || target === undefined) continue;
    const origin: Origin = { from: "environment", variable };
    const { setting } = target;
    if (setting.kind === "map" && target.part === "value") {
      for (const [entry, written] of pairsOf(text)) {
        layer.given.push({ setting, part: { entry }, origin, written, form: "typed" });
      }
    } else if (key === "otlp.protocol" && text === "grpc") {
      layer.warnings.push({
        key: variable,
        message: `"grpc" is not supported, so ${setting.default} is used`,
        remedy: "Set otlp.protocol, and an endpoint that accepts OTLP over HTTP (usually port 4318).",
      });
    } else {
      // The specification counts this one in milliseconds.
      const written = setting.kind === "duration" && /^\d+$/.test(text) ? `${text}ms` : text;
      layer.given.push({ ...target, origin, written, form: target.part === "value" ? "text" : "typed" });
    }
  }
  return layer;
}

/** `name=value,name=value`, percent-encoded as W3C Baggage. Anything else gets an empty name, and is refused later. */
function pairsOf(text: string): readonly (readonly [name: string, value: string])[] {
  return text.split(",").flatMap((pair) => {
    if (pair.trim() === "") return [];
    const cut = pair.indexOf("=");
    if (cut === -1) return [["", ""] as const];
    return [[decoded(pair.slice(0, cut).trim()), decoded(pair.slice(cut + 1).trim())] as const];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

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
  const names = sectionNames.get(section)?.join(", ");
  return { message, remedy: `${place} there are: ${names}. To see every setting, run: tailscale2otel check` };
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
    meant === undefined
      ? "Remove it. docs/configuration.md lists every variable, and tailscale2otel check every setting."
      : `Did you mean ${prefix}${meant}?`;
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
  ...settings
    .filter(({ path }) => path[0] === "privacy")
    .map(({ path: [, name = ""] }): [string, string] => [`pii_filter.${name}`, hiddenBy(name)]),
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
