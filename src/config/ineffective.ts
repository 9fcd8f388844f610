/** Finds settings that have no effect because of another setting. */
import type { Finding } from "./diagnosis.ts";
import { credentialKeys } from "./rules-inputs.ts";
import {
  collectedLogs,
  type Config,
  destinationSections,
  hasCredentials,
  settingsOf,
  usesOauth,
  valueAt,
} from "./schema.ts";

/** One warning for each such setting, with the first cause that applies. Defaults get none, because nobody chose them. */
export function ineffectiveSettings(config: Config, isGiven: (key: string) => boolean): readonly Finding[] {
  const applying = causesIn(config).filter(({ when }) => when(config));
  return settingsOf(config).flatMap(({ key, default: initial }): readonly Finding[] => {
    const isDefault = JSON.stringify(valueAt(config, key)) === JSON.stringify(initial);
    const cause = isDefault || !isGiven(key) ? undefined : applying.find(({ covers }) => covers(key));
    if (cause === undefined) return [];
    return [{ severity: "warning", key, message: `it has no effect: ${cause.reason}`, remedy: cause.remedy }];
  });
}

interface Cause {
  readonly when: (config: Config) => boolean;
  readonly reason: string;
  readonly remedy: string;
  readonly covers: (key: string) => boolean;
}

/**
 * `keys`: settings, and sections ending in a dot; a leading minus marks an exception. `set`: what to set so that they have an
 * effect.
 */
function because(reason: string, set: string, keys: readonly string[], when: Cause["when"]): Cause {
  const isIn = (key: string, one: string): boolean => (one.endsWith(".") ? key.startsWith(one) : key === one);
  const covers = (key: string): boolean => !keys.includes(`-${key}`) && keys.some((one) => isIn(key, one));
  return { when, reason, remedy: set === "" ? "Remove one of them." : `Set ${set}, or remove it.`, covers };
}

/** Applies if a setting has that value. `more`: the consequence. */
function is(key: string, value: unknown, keys: readonly string[], set = key, more = ""): Cause {
  const reason = `${key} is ${value === "" ? "empty" : JSON.stringify(value)}${more}`;
  return because(reason, set, keys, (config) => valueAt(config, key) === value);
}

/** Applies if a section is switched off. */
function off(section: string, keys: readonly string[] = [`${section}.`]): Cause {
  const key = `${section}.enabled`;
  return is(key, false, [...keys, `-${key}`], `${key} = true`);
}

const signals = ["metrics", "logs"] as const;
const transport = ["otlp.headers", "otlp.compression", "otlp.timeout", "otlp.tls.", "otlp.grafana_cloud."];
const exported = [
  "otlp.logs.",
  "-otlp.logs.enabled",
  "-otlp.logs.endpoint",
  "otlp.protocol",
  "otlp.metrics.headers",
  "otlp.metrics.temporality",
];
const perSignal = signals.flatMap((signal) => [`otlp.${signal}.endpoint`, `otlp.${signal}.headers`]);
const flow = "cardinality.flow";
const mode = `${flow}.metrics_mode`;
const api = ["collectors.devices.interval", "tailscale.base_url", "tailscale.http.", "tailscale.auth.oauth.scopes"];
const polling = (log: string): readonly string[] =>
  ["interval", "lag", "initial_lookback", "max_window", "replay_overlap"].map((name) => `collectors.${log}.${name}`);

const causesIn = (all: Config): readonly Cause[] => [
  off("streaming"),
  is("streaming.token", "", ["streaming.token_previous"]),
  off("webhook", ["webhook.", "dedup.webhook_window"]),
  because(
    "webhook.secret is empty, so signatures are not checked",
    "webhook.secret",
    ["webhook.tolerance", "webhook.late_retry_window"],
    ({ webhook }) => webhook.secret + webhook.secret_previous === "" && !webhook.auto_configure,
  ),
  is("webhook.tolerance", 0, ["webhook.late_retry_window"]),
  ...collectedLogs.flatMap((log) => {
    const source = `collectors.${log}.source`;
    return [
      off(`collectors.${log}`, [source, ...polling(log)]),
      is(source, "stream", polling(log), `${source} to "poll" or "both"`, ", so the log is not polled"),
    ];
  }),
  off("collectors.devices"),
  because(
    "there are no API credentials",
    credentialKeys,
    [...api, ...collectedLogs.flatMap(polling)],
    (of) => !hasCredentials(of),
  ),
  because(
    "no listener takes its certificate from tailscaled",
    "streaming.tls.tailscale = true",
    ["tailscale.socket"],
    ({ streaming, webhook, admin }) =>
      ![streaming, webhook, admin].some(({ enabled, tls }) => enabled && tls.tailscale),
  ),
  because("tailscale.auth.oauth is set and wins", "", ["tailscale.auth.apikey"], usesOauth),
  because("scopes are for an OAuth client", credentialKeys, ["tailscale.auth.oauth.scopes"], (of) => !usesOauth(of)),
  is(mode, "all", [`${flow}.rollup_top_n`], `${mode} to "rollup" or "both"`),
  is(
    mode,
    "rollup",
    [`${flow}.source_port`, `${flow}.destination_port`],
    `${mode} to "all" or "both"`,
    ", whose metrics have no ports",
  ),
  is("collectors.flowlogs.log_mode", "off", ["collectors.flowlogs.max_log_records_per_window"]),
  off("admin"),
  is("state.url", "", ["state.schema", "state.lease", "state.tls."], 'state.url to "postgres://…"'),
  because(
    "the database decides how commits are synced (synchronous_commit)",
    "",
    ["state.durability"],
    ({ state }) => state.url !== "",
  ),
  ...signals.map((signal) => off(`otlp.${signal}`)),
  is(
    "otlp.protocol",
    "stdout",
    [...transport, "otlp.endpoint", ...perSignal],
    'otlp.protocol to "http/json" or "http/protobuf"',
    ", so nothing is sent over the network",
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
  is("otlp.tls.insecure_skip_verify", true, ["otlp.tls.ca_file"], ""),
  ...destinationSections(all)
    .slice(1)
    .flatMap(([at]) => [
      off(`${at}.logs`, [`${at}.logs.`, `${at}.types`, `${at}.required`]),
      off(`${at}.metrics`),
      is(`${at}.tls.insecure_skip_verify`, true, [`${at}.tls.ca_file`], ""),
    ]),
  because("no endpoint uses https", "an endpoint with https", ["otlp.tls."], (config) =>
    endpointsOf(config).every((endpoint) => !/^https:/i.test(endpoint)),
  ),
];

/** The endpoints that data is sent to; with `stdout`, an earlier cause applies. */
export function endpointsOf({ otlp }: Config): readonly string[] {
  if (otlp.protocol === "stdout") return ["stdout:"];
  return signals
    .flatMap((signal) => (otlp[signal].enabled ? otlp[signal].endpoint || otlp.endpoint : []))
    .filter(Boolean);
}
