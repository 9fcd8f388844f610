/** Settings that are set but have no effect, because of another one. */
import type { Warning } from "./diagnosis.ts";
import { credentialKeys } from "./rules.ts";
import { collectedLogs, type Config, hasCredentials, settings, usesOauth, valueOf } from "./schema.ts";

/** One warning for each such setting, with the first cause that applies. Defaults are not meant by anybody. */
export function ineffectiveSettings(config: Config, isGiven: (key: string) => boolean): readonly Warning[] {
  const causes = allCauses.filter(({ when }) => when(config));
  return settings.flatMap((setting) => {
    const isDefault = JSON.stringify(valueOf(config, setting)) === JSON.stringify(setting.default);
    if (isDefault || !isGiven(setting.key)) return [];
    const cause = causes.find((candidate) => covers(candidate, setting.key));
    if (cause === undefined) return [];
    return [{ key: setting.key, message: `it has no effect: ${cause.reason}`, remedy: cause.remedy }];
  });
}

interface Cause {
  readonly when: (config: Config) => boolean;
  readonly reason: string;
  readonly remedy: string;
  /** Keys, and sections with a dot at the end. */
  readonly keys: readonly string[];
  readonly except?: readonly string[];
}

function covers({ keys, except = [] }: Cause, key: string): boolean {
  return !except.includes(key) && keys.some((one) => (one.endsWith(".") ? key.startsWith(one) : key === one));
}

function polling(log: string): readonly string[] {
  return ["interval", "lag", "initial_lookback", "max_window", "replay_overlap"].map(
    (name) => `collectors.${log}.${name}`,
  );
}

/** Settings of the transport to the backend. */
const transport = ["otlp.headers", "otlp.compression", "otlp.timeout", "otlp.tls.", "otlp.grafana_cloud."];

/** A switch that is off. */
function off(key: string, isOn: (config: Config) => boolean, keys: readonly string[]): Cause {
  const remedy = `Set ${key} = true, or remove it.`;
  return { when: (config) => !isOn(config), reason: `${key} is false`, remedy, keys, except: [key] };
}

const allCauses: readonly Cause[] = [
  off("streaming.enabled", ({ streaming }) => streaming.enabled, ["streaming."]),
  {
    when: ({ streaming }) => streaming.token === "",
    reason: "streaming.token is empty",
    remedy: "Set streaming.token, or remove it.",
    keys: ["streaming.token_previous"],
  },
  off("webhook.enabled", ({ webhook }) => webhook.enabled, ["webhook.", "dedup.webhook_window"]),
  {
    when: ({ webhook }) => webhook.secret + webhook.secret_previous === "" && !webhook.auto_configure,
    reason: "webhook.secret is empty, so signatures are not checked",
    remedy: "Set webhook.secret, or remove it.",
    keys: ["webhook.tolerance", "webhook.late_retry_window"],
  },
  {
    when: ({ webhook }) => webhook.tolerance === 0,
    reason: "webhook.tolerance is 0, so no delivery is too late",
    remedy: "Set webhook.tolerance, or remove it.",
    keys: ["webhook.late_retry_window"],
  },
  ...collectedLogs.flatMap((log): readonly Cause[] => [
    off(`collectors.${log}.enabled`, ({ collectors }) => collectors[log].enabled, [
      `collectors.${log}.source`,
      ...polling(log),
    ]),
    {
      when: ({ collectors }) => collectors[log].source === "stream",
      reason: `collectors.${log}.source is "stream", so the log is not polled`,
      remedy: `Set collectors.${log}.source to "poll" or "both", or remove it.`,
      keys: polling(log),
    },
  ]),
  off("collectors.devices.enabled", ({ collectors }) => collectors.devices.enabled, ["collectors.devices.interval"]),
  {
    when: (config) => !hasCredentials(config),
    reason: "there are no API credentials",
    remedy: `Set ${credentialKeys}, or remove it.`,
    keys: [
      ...collectedLogs.flatMap(polling),
      "collectors.devices.interval",
      "tailscale.base_url",
      "tailscale.http.",
      "tailscale.auth.oauth.scopes",
    ],
  },
  {
    when: usesOauth,
    reason: "tailscale.auth.oauth is set and wins",
    remedy: "Remove one of them.",
    keys: ["tailscale.auth.apikey"],
  },
  {
    when: (config) => !usesOauth(config),
    reason: "scopes are for an OAuth client, but there is an API key",
    remedy: `Set ${credentialKeys}, or remove it.`,
    keys: ["tailscale.auth.oauth.scopes"],
  },
  {
    when: ({ cardinality }) => cardinality.flow.metrics_mode === "all",
    reason: 'cardinality.flow.metrics_mode is "all"',
    remedy: 'Set cardinality.flow.metrics_mode to "rollup" or "both", or remove it.',
    keys: ["cardinality.flow.rollup_top_n"],
  },
  {
    when: ({ cardinality }) => cardinality.flow.metrics_mode === "rollup",
    reason: 'cardinality.flow.metrics_mode is "rollup", whose metrics have no ports',
    remedy: 'Set cardinality.flow.metrics_mode to "all" or "both", or remove it.',
    keys: ["cardinality.flow.source_port", "cardinality.flow.destination_port"],
  },
  {
    when: ({ collectors }) => collectors.flowlogs.log_mode === "off",
    reason: 'collectors.flowlogs.log_mode is "off"',
    remedy: "Set collectors.flowlogs.log_mode, or remove it.",
    keys: ["collectors.flowlogs.max_log_records_per_window"],
  },
  off("admin.enabled", ({ admin }) => admin.enabled, ["admin."]),
  ...(["metrics", "logs"] as const).map((signal) =>
    off(`otlp.${signal}.enabled`, ({ otlp }) => otlp[signal].enabled, [`otlp.${signal}.`]),
  ),
  {
    when: ({ otlp }) => otlp.protocol === "stdout",
    reason: 'otlp.protocol is "stdout", so nothing is sent over the network',
    remedy: 'Set otlp.protocol to "http/json" or "http/protobuf", or remove it.',
    keys: [
      ...transport,
      "otlp.endpoint",
      "otlp.metrics.endpoint",
      "otlp.metrics.headers",
      "otlp.logs.endpoint",
      "otlp.logs.headers",
    ],
  },
  {
    when: (config) => endpointsOf(config).length === 0,
    reason: "no endpoint is set (local mode)",
    remedy: "Set otlp.endpoint, or remove it.",
    keys: [...transport, "otlp.logs.", "otlp.protocol", "otlp.metrics.headers", "self_observability.logs"],
    except: ["otlp.logs.enabled", "otlp.logs.endpoint"],
  },
  {
    when: ({ otlp }) => otlp.protocol !== "stdout" && otlp.endpoint + otlp.logs.endpoint === "",
    reason: "logs have no endpoint",
    remedy: "Set otlp.logs.endpoint, or remove it.",
    keys: ["otlp.logs.", "self_observability.logs"],
    except: ["otlp.logs.enabled"],
  },
  {
    when: ({ otlp }) => otlp.protocol !== "stdout" && otlp.endpoint + otlp.metrics.endpoint === "",
    reason: "metrics have no endpoint",
    remedy: "Set otlp.metrics.endpoint, or remove it.",
    keys: ["otlp.metrics.headers"],
  },
  {
    when: ({ otlp }) => otlp.logs.endpoint !== "" && otlp.metrics.endpoint !== "",
    reason: "metrics and logs each have an endpoint of their own",
    remedy: "Remove it, or one of the others.",
    keys: ["otlp.endpoint"],
  },
  {
    when: ({ otlp }) => otlp.tls.insecure_skip_verify,
    reason: "otlp.tls.insecure_skip_verify is true, so no certificate is verified",
    remedy: "Remove one of them.",
    keys: ["otlp.tls.ca_file"],
  },
  {
    when: (config) => endpointsOf(config).every((endpoint) => !/^https:/i.test(endpoint)),
    reason: "no endpoint uses https",
    remedy: "Use https, or remove it.",
    keys: ["otlp.tls."],
  },
];

/** Where anything is sent over the network; with `stdout` an earlier cause applies. */
function endpointsOf({ otlp }: Config): readonly string[] {
  if (otlp.protocol === "stdout") return ["stdout:"];
  return (["metrics", "logs"] as const)
    .filter((signal) => otlp[signal].enabled)
    .map((signal) => otlp[signal].endpoint || otlp.endpoint)
    .filter((endpoint) => endpoint !== "");
}
