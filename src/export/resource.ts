/** Who is speaking: the OTLP resource of each signal, and the scope that all of it shares. */
import type { InstrumentationScope } from "@opentelemetry/core";
import { SDK_INFO } from "@opentelemetry/core";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";

export interface ResourceOptions {
  /** Kept in the state directory: a host name changes with every container and would start every counter anew. */
  readonly instanceId: string;
  /** Empty: left out. */
  readonly hostName: string;
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly platform: string;
  /** The operator's own; they win. */
  readonly attributes: Readonly<Record<string, string>>;
}

export type ResourceAttributes = Readonly<Record<string, string>>;

const scopeName = "tailscale2otel";

/** Values of `os.type` in the semantic conventions that are not Node's word. */
const osTypes: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" };

/** No `service.version`: it would start every series anew at each upgrade. */
export function metricsResourceAttributes(options: ResourceOptions): ResourceAttributes {
  return {
    "service.name": scopeName,
    "service.instance.id": options.instanceId,
    "os.type": osTypes[options.platform] ?? options.platform,
    "telemetry.sdk.language": String(SDK_INFO["telemetry.sdk.language"]),
    "telemetry.sdk.name": String(SDK_INFO["telemetry.sdk.name"]),
    "telemetry.sdk.version": String(SDK_INFO["telemetry.sdk.version"]),
    ...options.attributes,
  };
}

export function logsResourceAttributes(options: ResourceOptions): ResourceAttributes {
  const host = options.hostName === "" ? {} : { "host.name": options.hostName };
  return { ...host, ...metricsResourceAttributes(options) };
}

export function resourceOf(attributes: ResourceAttributes): Resource {
  return resourceFromAttributes(attributes);
}

export function scopeOf(version: string): InstrumentationScope {
  return { name: scopeName, version };
}
