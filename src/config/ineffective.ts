/** Settings that are set but have no effect, because of another one. */
import type { Warning } from "./diagnosis.ts";
import { credentialKeys } from "./rules.ts";
import { collectedLogs, type Config, hasCredentials, settings, usesOauth, valueOf } from "./schema.ts";

/** One warning for each such setting, with the first cause that applies. Defaults are nobody's intention. */
export function ineffectiveSettings(config: Config, isGiven: (key: string) => boolean): readonly Warning[] {
  const applying = causes.filter(({ when }) => when(config));
  return settings.flatMap((setting) => {
    const isDefault = JSON.stringify(valueOf(config, setting)) === JSON.stringify(setting.default);
    const cause = isDefault || !isGiven(setting.key) ? undefined : applying.find(({ covers }) => covers(setting.key));
    return cause === undefined
      ? []
      : [{ key: setting.key, message: `it has no effect: ${cause.reason}`, remedy: cause.remedy }];
  });
}

interface Cause {
  readonly when: (config: Config) => boolean;
  readonly reason: string;
  readonly remedy: string;
  readonly covers: (key: string) => boolean;
}

/**
 * `keys`: settings, and sections with a dot at the end; with a minus before them, exceptions. `set`: what to set so that they
 * have an effect.
 */
function because(reason: string, set: string, keys: readonly string[], when: Cause["when"]): Cause {
  const isIn = (key: string, one: string): boolean => (one.endsWith(".") ? key.startsWith(one) : key === one);
  const covers = (key: string): boolean => !keys.includes(`-${key}`) && keys.some((one) => isIn(key, one));
  return { when, reason, remedy: set === "" ? "Remove one of them." : `Set ${set}, or remove it.`, covers };
}

/** The switch of a section is off. */
function off(section: string, isOn: (config: Config) => boolean, keys: readonly string[] = [`${section}.`]): Cause {
  const key = `${section}.enabled`;
  return because(`${key} is false`, `${key} = true`, [...keys, `-${key}`], (config) => !isOn(config));
}

const signals = ["metrics", "logs"] as const;
const transport = ["otlp.headers", "otlp.compression", "otlp.timeout", "otlp.tls.", "otlp.grafana_cloud."];
const exported = ["otlp.logs.", "-otlp.logs.enabled", "-otlp.logs.endpoint", "otlp.protocol", "otlp.metrics.headers"];
const perSignal = signals.flatMap((signal) => [`otlp.${signal}.endpoint`, `otlp.${signal}.headers`]);
const flow = "cardinality.flow";
const api = ["collectors.devices.interval", "tailscale.base_url", "tailscale.http.", "tailscale.auth.oauth.scopes"];
const polling = (log: string): readonly string[] =>
  ["interval", "lag", "initial_lookback", "max_window", "replay_overlap"].map((name) => `collectors.${log}.${name}`);

const causes: readonly Cause[] = [
  off("streaming", ({ streaming }) => streaming.enabled),
  because(
    "streaming.token is empty",
    "streaming.token",
    ["streaming.token_previous"],
    (of) => of.streaming.token === "",
  ),
  off("webhook", ({ webhook }) => webhook.enabled, ["webhook.", "dedup.webhook_window"]),
  because(
    "webhook.secret is empty, so signatures are not checked",
    "webhook.secret",
    ["webhook.tolerance", "webhook.late_retry_window"],
    ({ webhook }) => webhook.secret + webhook.secret_previous === "" && !webhook.auto_configure,
  ),
  because(
    "webhook.tolerance is 0",
    "webhook.tolerance",
    ["webhook.late_retry_window"],
    (of) => of.webhook.tolerance === 0,
  ),
  ...collectedLogs.flatMap((log) => [
    off(`collectors.${log}`, ({ collectors }) => collectors[log].enabled, [
      `collectors.${log}.source`,
      ...polling(log),
    ]),
    because(
      `collectors.${log}.source is "stream", so the log is not polled`,
      `collectors.${log}.source to "poll" or "both"`,
      polling(log),
      ({ collectors }) => collectors[log].source === "stream",
    ),
  ]),
  off("collectors.devices", ({ collectors }) => collectors.devices.enabled),
  because(
    "there are no API credentials",
    credentialKeys,
    [...api, ...collectedLogs.flatMap(polling)],
    (of) => !hasCredentials(of),
  ),
  because("tailscale.auth.oauth is set and wins", "", ["tailscale.auth.apikey"], usesOauth),
  because("scopes are for an OAuth client", credentialKeys, ["tailscale.auth.oauth.scopes"], (of) => !usesOauth(of)),
  because(
    `${flow}.metrics_mode is "all"`,
    `${flow}.metrics_mode to "rollup" or "both"`,
    [`${flow}.rollup_top_n`],
    ({ cardinality }) => cardinality.flow.metrics_mode === "all",
  ),
  because(
    `${flow}.metrics_mode is "rollup", whose metrics have no ports`,
    `${flow}.metrics_mode to "all" or "both"`,
    [`${flow}.source_port`, `${flow}.destination_port`],
    ({ cardinality }) => cardinality.flow.metrics_mode === "rollup",
  ),
  because(
    'collectors.flowlogs.log_mode is "off"',
    "collectors.flowlogs.log_mode",
    ["collectors.flowlogs.max_log_records_per_window"],
    ({ collectors }) => collectors.flowlogs.log_mode === "off",
  ),
  off("admin", ({ admin }) => admin.enabled),
  ...signals.map((signal) => off(`otlp.${signal}`, ({ otlp }) => otlp[signal].enabled)),
  because(
    'otlp.protocol is "stdout", so nothing is sent over the network',
    'otlp.protocol to "http/json" or "http/protobuf"',
    [...transport, "otlp.endpoint", ...perSignal],
    ({ otlp }) => otlp.protocol === "stdout",
  ),
  because(
    "no endpoint is set (local mode)",
    "otlp.endpoint",
    [...transport, ...exported, "self_observability.logs"],
    (config) => endpointsOf(config).length === 0,
  ),
  ...signals.map((signal) =>
    because(
      `${signal} have no endpoint`,
      `otlp.${signal}.endpoint`,
      [`otlp.${signal}.`, `-otlp.${signal}.enabled`, ...(signal === "logs" ? ["self_observability.logs"] : [])],
      ({ otlp }) => otlp.protocol !== "stdout" && otlp.endpoint + otlp[signal].endpoint === "",
    ),
  ),
  because("metrics and logs each have an endpoint of their own", "", ["otlp.endpoint"], ({ otlp }) =>
    signals.every((signal) => otlp[signal].endpoint !== ""),
  ),
  because(
    "otlp.tls.insecure_skip_verify is true",
    "",
    ["otlp.tls.ca_file"],
    ({ otlp }) => otlp.tls.insecure_skip_verify,
  ),
  because("no endpoint uses https", "an endpoint with https", ["otlp.tls."], (config) =>
    endpointsOf(config).every((endpoint) => !/^https:/i.test(endpoint)),
  ),
];

/** Where anything is sent over the network; with `stdout` an earlier cause applies. */
function endpointsOf({ otlp }: Config): readonly string[] {
  if (otlp.protocol === "stdout") return ["stdout:"];
  return signals
    .flatMap((signal) => (otlp[signal].enabled ? otlp[signal].endpoint || otlp.endpoint : []))
    .filter(Boolean);
}
