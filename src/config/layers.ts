/** What each source of settings gives, before any value is read: the common form of file, variables and flags. */
import type { Origin, Problem, Warning } from "./diagnosis.ts";
import { configVariable, findKey, findVariable, namesIn, type Target, unknownKey, unknownVariable } from "./names.ts";

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
export function addUnknown(layer: Layer, origin: Origin, path: readonly string[]): void {
  const { message, remedy, meant } = unknownKey(path);
  layer.problems.push({ origin, key: path.join("."), message, remedy, ...(meant && { meant }) });
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
    } else if (target === undefined) {
      addUnknown(layer, origin, key.split("."));
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
