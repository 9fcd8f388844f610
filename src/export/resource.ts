/** Who is speaking: the OTLP resource of each signal, the scope, and the attributes that all points share. */
import { hostname } from "node:os";
import type { InstrumentationScope } from "@opentelemetry/core";
import { SDK_INFO } from "@opentelemetry/core";
import type { Config } from "../config/schema.ts";
import type { ProcessorSettings } from "../processors/index.ts";
import { privacyOf } from "../processors/privacy.ts";
import type { Signal } from "./answer.ts";

export type ResourceAttributes = Readonly<Record<string, string>>;

/**
 * The resource of each signal. The operator's own attributes win. Metrics have no `host.name`, which changes with every
 * container and would start every series anew, and neither has a `service.version`, which would do so at each upgrade.
 * @param instanceId the journal's, which serves if the settings name none.
 */
export function resourcesOf(
  config: Config,
  settings: ProcessorSettings,
  instanceId: string,
): Readonly<Record<Signal, ResourceAttributes>> {
  const own = config.self_observability.instance_id;
  const metrics = {
    "service.name": scopeName,
    "service.instance.id": own === "" ? instanceId : own,
    "os.type": osTypes[process.platform] ?? process.platform,
    "telemetry.sdk.language": String(SDK_INFO["telemetry.sdk.language"]),
    "telemetry.sdk.name": String(SDK_INFO["telemetry.sdk.name"]),
    "telemetry.sdk.version": String(SDK_INFO["telemetry.sdk.version"]),
    ...config.resource.attributes,
  };
  const host = shownHostName(hostname(), settings);
  return { metrics, logs: { ...(host === "" ? {} : { "host.name": host }), ...metrics } };
}

export function scopeOf(version: string): InstrumentationScope {
  return { name: scopeName, version };
}

/** Attributes of every point: the name of the tailnet, as far as privacy shows it. */
export function commonAttributes({ tailnet, privacy }: ProcessorSettings): ResourceAttributes {
  const shown = privacy === undefined ? tailnet : privacyOf(privacy).value("tailnet_name", tailnet);
  return tailnet === "" || shown === undefined ? {} : { "tailscale.tailnet": shown };
}

/** This machine is a node too. Empty if privacy drops its name. */
function shownHostName(name: string, { privacy }: ProcessorSettings): string {
  return privacy === undefined ? name : (privacyOf(privacy).node(name) ?? "");
}

const scopeName = "tailscale2otel";

/** Values of `os.type` in the semantic conventions that are not Node's word. */
const osTypes: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" };
