/** The standard variables of OpenTelemetry exporters, which serve where a setting of ours is not given. */
import type { Environment } from "./layer-environment.ts";
import { emptyLayer, type Layer, type LayerDraft } from "./layer.ts";
import type { Names } from "./names.ts";

/** Each variable, and the setting that it stands in for. https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
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
];

export function readOtelLayer(names: Names, environment: Environment): Layer {
  const layer = emptyLayer();
  for (const [variable, key] of otelVariables) {
    const text = environment[variable]?.trim() ?? "";
    if (text !== "") readVariable(names, layer, { variable, key, text });
  }
  return layer;
}

interface Standard {
  readonly variable: string;
  readonly key: string;
  readonly text: string;
}

function readVariable(names: Names, layer: LayerDraft, { variable, key, text }: Standard): void {
  const target = names.key(key.split("."));
  if (target === undefined) throw new TypeError(`no setting ${key}`);
  const origin = { from: "environment", variable } as const;
  if (target.setting.kind === "map") {
    for (const [entry, written] of listedHeaders(text)) {
      layer.given.push({ setting: target.setting, part: { entry }, origin, written, form: "typed" });
    }
    return;
  }
  if (key === "otlp.protocol" && text === "grpc") {
    layer.warnings.push({
      key: variable,
      message: `"grpc" is not spoken here, so ${target.setting.default} is used`,
      remedy: "Set otlp.protocol, and give an address that takes OTLP over HTTP (usually port 4318).",
    });
    return;
  }
  // The standard counts this one in milliseconds.
  const written = target.setting.kind === "duration" && /^\d+$/.test(text) ? `${text}ms` : text;
  layer.given.push({ ...target, origin, written, form: "text" });
}

/** `name=value,name=value`, percent-encoded as W3C Baggage is. What is no pair keeps an empty name, and is refused later. */
function listedHeaders(text: string): readonly (readonly [name: string, value: string])[] {
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
