/** Settings that somebody set and that do nothing, because of another one. */
import { apiCauses } from "./idle-api.ts";
import type { Cause } from "./cause.ts";
import type { Warning } from "./diagnosis.ts";
import type { Config } from "./schema.ts";
import { givenAt, valueOf, type View } from "./view.ts";

/** One warning for each such setting, with the first reason that fits. The default is nobody's intention. */
export function idleSettings(view: View): readonly Warning[] {
  const reasons = causes.filter((cause) => cause.holds(view.config));
  return view.settings.flatMap((setting) => {
    const isDefault = JSON.stringify(valueOf(view.config, setting)) === JSON.stringify(setting.default);
    if (isDefault || givenAt(view, setting.key) === undefined) return [];
    const cause = reasons.find((candidate) => covers(candidate, setting.key));
    if (cause === undefined) return [];
    return [{ key: setting.key, message: `it is set and has no effect: ${cause.reason}`, remedy: cause.remedy }];
  });
}

const transport = ["otlp.headers", "otlp.compression", "otlp.timeout", "otlp.tls.", "otlp.grafana_cloud."];

const causes: readonly Cause[] = [
  {
    holds: ({ streaming }) => !streaming.enabled,
    reason: "the receiver is off",
    remedy: "Set streaming.enabled = true, or remove it.",
    keys: ["streaming."],
    except: ["streaming.enabled"],
  },
  {
    holds: ({ streaming }) => streaming.token === "",
    reason: "streaming.token is empty, so no token is asked for",
    remedy: "Set streaming.token, or remove it.",
    keys: ["streaming.token_previous"],
  },
  {
    holds: ({ webhook }) => !webhook.enabled,
    reason: "the webhook receiver is off",
    remedy: "Set webhook.enabled = true, or remove it.",
    keys: ["webhook.", "dedup.webhook_window"],
    except: ["webhook.enabled"],
  },
  {
    holds: ({ webhook }) => webhook.secret === "" && webhook.secret_previous === "" && !webhook.auto_configure,
    reason: "webhook.secret is empty, so no signature is asked for",
    remedy: "Set webhook.secret, or remove it.",
    keys: ["webhook.tolerance", "webhook.late_retry_window"],
  },
  {
    holds: ({ webhook }) => webhook.tolerance === 0,
    reason: "webhook.tolerance is 0, so no delivery is late",
    remedy: "Set webhook.tolerance, or remove it.",
    keys: ["webhook.late_retry_window"],
  },
  ...apiCauses,
  {
    holds: ({ cardinality }) => cardinality.flow.metrics_mode === "all",
    reason: 'cardinality.flow.metrics_mode is "all"',
    remedy: 'Set cardinality.flow.metrics_mode to "rollup" or "both", or remove it.',
    keys: ["cardinality.flow.rollup_top_n"],
  },
  {
    holds: ({ cardinality }) => cardinality.flow.metrics_mode === "rollup",
    reason: 'cardinality.flow.metrics_mode is "rollup", whose metrics have no ports',
    remedy: 'Set cardinality.flow.metrics_mode to "all" or "both", or remove it.',
    keys: ["cardinality.flow.source_port", "cardinality.flow.destination_port"],
  },
  {
    holds: ({ collectors }) => collectors.flowlogs.log_mode === "off",
    reason: 'collectors.flowlogs.log_mode is "off"',
    remedy: "Set collectors.flowlogs.log_mode, or remove it.",
    keys: ["collectors.flowlogs.max_log_records_per_window"],
  },
  {
    holds: ({ admin }) => !admin.enabled,
    reason: "the admin listener is off",
    remedy: "Set admin.enabled = true, or remove it.",
    keys: ["admin.listen", "admin.token"],
  },
  ...(["metrics", "logs"] as const).map((signal) => ({
    holds: ({ otlp }: Config) => !otlp[signal].enabled,
    reason: `otlp.${signal}.enabled is false`,
    remedy: `Set otlp.${signal}.enabled = true, or remove it.`,
    keys: [`otlp.${signal}.`],
    except: [`otlp.${signal}.enabled`],
  })),
  {
    holds: ({ otlp }) => otlp.protocol === "stdout",
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
    holds: (config) => addressesOf(config).length === 0,
    reason: "there is no address to send to (local mode)",
    remedy: "Set otlp.endpoint, or remove it.",
    keys: [...transport, "otlp.logs.", "otlp.protocol", "otlp.metrics.headers", "self_observability.logs"],
    except: ["otlp.logs.enabled", "otlp.logs.endpoint"],
  },
  {
    holds: ({ otlp }) => otlp.protocol !== "stdout" && otlp.endpoint === "" && otlp.logs.endpoint === "",
    reason: "logs have no address to go to",
    remedy: "Set otlp.logs.endpoint, or remove it.",
    keys: ["otlp.logs.", "self_observability.logs"],
    except: ["otlp.logs.enabled"],
  },
  {
    holds: ({ otlp }) => otlp.protocol !== "stdout" && otlp.endpoint === "" && otlp.metrics.endpoint === "",
    reason: "metrics have no address to go to",
    remedy: "Set otlp.metrics.endpoint, or remove it.",
    keys: ["otlp.metrics.headers"],
  },
  {
    holds: ({ otlp }) => otlp.logs.endpoint !== "" && otlp.metrics.endpoint !== "",
    reason: "metrics and logs have an address of their own each",
    remedy: "Remove it, or one of the others.",
    keys: ["otlp.endpoint"],
  },
  {
    holds: ({ otlp }) => otlp.tls.insecure_skip_verify,
    reason: "otlp.tls.insecure_skip_verify is true, so no certificate is checked",
    remedy: "Remove one of them.",
    keys: ["otlp.tls.ca_file"],
  },
  {
    holds: (config) => addressesOf(config).every((address) => !/^https:/i.test(address)),
    reason: "no address begins with https://",
    remedy: "Write the address with https://, or remove it.",
    keys: ["otlp.tls."],
  },
];

function covers(cause: Cause, key: string): boolean {
  if (cause.except?.includes(key) === true) return false;
  return cause.keys.some((covered) => (covered.endsWith(".") ? key.startsWith(covered) : key === covered));
}

/** Where anything is sent over the network; with `stdout`, nowhere, but then an earlier cause has spoken. */
function addressesOf({ otlp }: Config): readonly string[] {
  if (otlp.protocol === "stdout") return ["stdout:"];
  return (["metrics", "logs"] as const)
    .filter((signal) => otlp[signal].enabled)
    .map((signal) => otlp[signal].endpoint || otlp.endpoint)
    .filter((address) => address !== "");
}
