/** What works and is probably not intended: rules of the same form, whose findings are warnings. */
import { collectedLogs, type Config, hasCredentials, isPolled, usesOauth, wantsPoll } from "./schema.ts";
import { defaultMaxBodyBytes } from "./schema-inputs.ts";
import { isLoopback } from "../lib/listen.ts";
import { credentialKeys, isLocal, logNames, receivers, type Rule } from "./rules.ts";

const openTo = { machine: "every program on this machine", network: "anyone who can reach this port" };

export const warnings: readonly Rule[] = [
  ...(
    [
      ["streaming", "token", "records", "a long random text, and use the same in Tailscale"],
      ["webhook", "secret", "events", "the secret that Tailscale showed when the webhook was created"],
    ] as const
  ).map(([name, secret, what, value]): Rule => ({
    keys: [`${name}.${secret}`],
    when: ({ streaming, webhook }) =>
      name === "streaming"
        ? streaming.enabled && streaming.token === ""
        : webhook.enabled && webhook.secret + webhook.secret_previous === "" && !webhook.auto_configure,
    message: ({ [name]: receiver }) =>
      isLocal(receiver)
        ? `it is empty, so ${openTo.machine} can send ${what}`
        : `it is empty and ${receiver.listen} is not loopback, so ${openTo.network} can forge ${what}${receiver.tls.cert_file === "" ? ", and they travel over plain HTTP" : ""}`,
    remedy: ({ [name]: receiver }) =>
      `Set ${name}.${secret} to ${value}${isLocal(receiver) ? "" : `, or listen on 127.0.0.1; ${name}.require_${secret} = true makes this an error`}.`,
  })),
  {
    keys: ["webhook.tolerance"],
    when: ({ webhook }) =>
      webhook.enabled &&
      webhook.tolerance === 0 &&
      (webhook.secret + webhook.secret_previous !== "" || webhook.auto_configure),
    message: "it is 0, so a recorded delivery counts again after dedup.webhook_window",
    remedy: 'Set webhook.tolerance; if late deliveries are the reason, set webhook.late_retry_window = "25h".',
  },
  ...collectedLogs.flatMap((log): readonly Rule[] => [
    {
      keys: [`collectors.${log}.source`],
      when: (config) => wantsPoll(config, log) && !hasCredentials(config),
      message: ({ collectors, streaming }) =>
        `it is "${collectors[log].source}", but there are no API credentials, so ${logNames[log]} ${streaming.enabled ? "arrive only through the receiver" : "do not arrive at all"}`,
      remedy: ({ streaming }) =>
        `Set ${credentialKeys}, or ${streaming.enabled ? `collectors.${log}.source = "stream"` : `collectors.${log}.enabled = false`}.`,
    },
    {
      keys: [`collectors.${log}.source`],
      when: (config) => isPolled(config, log) && config.streaming.enabled,
      message: ({ collectors }) =>
        `it is "${collectors[log].source}" and streaming.enabled is true, so ${logNames[log]} arrive both ways, and each record counts once`,
      remedy: `Keep it to repair gaps in the stream, or set collectors.${log}.source = "stream" to stop polling.`,
    },
  ]),
  {
    keys: ["tailscale.auth.apikey"],
    when: (config) => hasCredentials(config) && !usesOauth(config),
    message: "an API key expires after at most 90 days and has all permissions of the person who created it",
    remedy: `Use an OAuth client: set ${credentialKeys}.`,
  },
  {
    keys: ["tailscale.base_url"],
    when: (config) => hasCredentials(config) && isPlainRemote(config.tailscale.base_url),
    message: "it is plain HTTP, so anyone in between can read the credentials",
    remedy: "Use https.",
  },
  {
    keys: ["streaming.public_url"],
    when: ({ streaming }) => streaming.enabled && /^http:/i.test(streaming.public_url),
    message: "it is plain HTTP, so only the tailnet protects the records and the token",
    remedy: "Use https, unless Tailscale reaches it inside the tailnet.",
  },
  ...receivers.map((name): Rule => ({
    keys: [`${name}.public_url`],
    when: ({ [name]: of }) => of.enabled && of.public_url.includes("?"),
    message: "it has a query, which everyone with access to the Tailscale settings can see",
    remedy: "Put no secrets there.",
  })),
  {
    keys: ["streaming.max_inflight_bytes"],
    when: ({ streaming }) =>
      streaming.enabled && (streaming.max_body_bytes || defaultMaxBodyBytes) > streaming.max_inflight_bytes,
    message:
      "it is smaller than the largest body (streaming.max_body_bytes, by default 64 MiB), so it limits single bodies",
    remedy: "Raise streaming.max_inflight_bytes, or lower streaming.max_body_bytes.",
  },
  {
    keys: ["otlp.endpoint"],
    when: ({ otlp }) => otlp.protocol !== "stdout" && /^https?:\/\/[^/?#]*:4317(?:[/?#]|$)/i.test(otlp.endpoint),
    message: "port 4317 is usually OTLP over gRPC, which is not supported",
    remedy: "Use the port for OTLP over HTTP, usually 4318.",
  },
  {
    keys: ["otlp.tls.insecure_skip_verify"],
    when: ({ otlp }) => otlp.tls.insecure_skip_verify,
    message:
      "the backend's certificate is not verified, so anyone in between can read everything, including credentials",
    remedy: "Set otlp.tls.ca_file to the CA to trust instead.",
  },
  {
    keys: ["state.path"],
    when: ({ state }) => state.path === ":memory:",
    message: "state is kept in memory, so a restart loses undelivered records and resets counters",
    remedy: "Set state.path to a directory.",
  },
  {
    keys: ["otlp.endpoint"],
    when: (config) => unaddressed(config).length > 0 && unaddressed(config).length === exportedSignals(config).length,
    message: (config) =>
      `${unaddressed(config).join(" and ")} are not exported, because no endpoint is set (local mode)`,
    remedy: "Set otlp.endpoint to export them to an OTLP backend.",
  },
  ...(["metrics", "logs"] as const).map((signal): Rule => ({
    keys: [`otlp.${signal}.endpoint`],
    when: (config) =>
      unaddressed(config).includes(signal) && exportedSignals(config).length === 2 && unaddressed(config).length === 1,
    message: `${signal} are not exported, because they have no endpoint`,
    remedy: `Set otlp.${signal}.endpoint, or otlp.${signal}.enabled = false.`,
  })),
];

function isPlainRemote(address: string): boolean {
  const { protocol, hostname } = new URL(address);
  return protocol === "http:" && !isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"));
}

function exportedSignals({ otlp }: Config): readonly ("metrics" | "logs")[] {
  return (["metrics", "logs"] as const).filter((signal) => otlp[signal].enabled);
}

/** The exported signals without an endpoint. */
function unaddressed(config: Config): readonly ("metrics" | "logs")[] {
  const { otlp } = config;
  if (otlp.protocol === "stdout" || otlp.endpoint !== "") return [];
  return exportedSignals(config).filter((signal) => otlp[signal].endpoint === "");
}
