/**
 * OpenTelemetry's own variables and the settings they set. If two set the same one, the last wins.
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and …/configuration/sdk-environment-variables/
 */
import { type Environment, findKey, type Given, type Layers } from "./layers.ts";

export const otelVariables: readonly (readonly [variable: string, key: string])[] = [
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "otlp.endpoint"],
  ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "otlp.logs.endpoint"],
  ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "otlp.metrics.endpoint"],
  ["OTEL_EXPORTER_OTLP_PROTOCOL", "otlp.protocol"],
  ["OTEL_EXPORTER_OTLP_COMPRESSION", "otlp.compression"],
  ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "otlp.metrics.temporality"],
  ["OTEL_EXPORTER_OTLP_TIMEOUT", "otlp.timeout"],
  ["OTEL_EXPORTER_OTLP_HEADERS", "otlp.headers"],
  ["OTEL_EXPORTER_OTLP_LOGS_HEADERS", "otlp.logs.headers"],
  ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "otlp.metrics.headers"],
  ["OTEL_RESOURCE_ATTRIBUTES", "resource.attributes"],
  ["OTEL_SERVICE_NAME", "resource.attributes.service.name"],
];

export function readOtelEnvironment(environment: Environment, { given, findings }: Layers): void {
  for (const [variable, key] of otelVariables) {
    const text = environment[variable]?.trim() ?? "";
    const target = findKey(key);
    if (text === "" || target === undefined) continue;
    const { setting, part } = target;
    const origin = { from: "environment", variable } as const;
    const add = (written: string, more: Partial<Given> = {}) =>
      void given.push({ ...target, origin, written, form: "typed", isStandard: true, ...more });
    if (setting.kind === "map" && part === "value") {
      for (const [entry, written] of pairsOf(text)) add(written, { part: { entry } });
    } else if (key === "otlp.protocol" && text === "grpc") {
      findings.push({
        severity: "warning",
        key: variable,
        message: `"grpc" is not supported, so ${setting.default} is used`,
        remedy: "Set otlp.protocol, and an endpoint that accepts OTLP over HTTP (usually port 4318).",
      });
    } else {
      // The specification gives durations in milliseconds and ignores case.
      const isMillis = setting.kind === "duration" && /^\d+$/.test(text);
      add(setting.kind === "choice" ? text.toLowerCase() : isMillis ? `${text}ms` : text);
    }
  }
}

/**
 * Parses `name=value,name=value`, percent-encoded as in W3C Baggage. Anything else gets an empty name, which is rejected later.
 */
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
