/** What is wrong with settings together: each rule says when it applies, what is wrong, and what to do. */
import { isIP } from "node:net";
import { formatDuration } from "../lib/units.ts";
import { isLoopback, overlaps, parseListen } from "../lib/listen.ts";
import { type CollectedLog, collectedLogs, type Config, hasCredentials } from "./schema.ts";

export type Text = string | ((config: Config) => string);

export interface Rule {
  /** The settings that it is about. */
  readonly keys: readonly string[];
  readonly when: (config: Config) => boolean;
  readonly message: Text;
  readonly remedy: Text;
}

export const receivers = ["streaming", "webhook"] as const;
type Receiver = (typeof receivers)[number];

/** What to set so that the API can be used. */
export const credentialKeys = "tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret";

const apiKeys = ["apikey", "oauth.client_id", "oauth.client_secret"].map((name) => `tailscale.auth.${name}`);

export const logNames: Readonly<Record<CollectedLog, string>> = { flowlogs: "flow logs", auditlogs: "audit logs" };

const pair = ["cert_file", "key_file"] as const;

export const errors: readonly Rule[] = [
  ...collectedLogs.map((log): Rule => ({
    keys: [`collectors.${log}.source`, "streaming.enabled"],
    when: ({ collectors, streaming }) =>
      collectors[log].enabled && collectors[log].source === "stream" && !streaming.enabled,
    message: '"stream" needs the receiver, but streaming.enabled is false',
    remedy: `Set streaming.enabled = true, or collectors.${log}.enabled = false.`,
  })),
  {
    keys: ["streaming.require_token", "streaming.token"],
    when: ({ streaming }) => streaming.require_token && streaming.token === "",
    message: "a token is required, but streaming.token is empty",
    remedy: "Set streaming.token or streaming.token_file, or streaming.require_token = false.",
  },
  {
    keys: ["webhook.require_secret", "webhook.secret", "webhook.auto_configure"],
    when: ({ webhook }) => webhook.require_secret && webhook.secret === "" && !webhook.auto_configure,
    message: "a secret is required, but webhook.secret is empty",
    remedy: "Set webhook.secret or webhook.secret_file, or webhook.require_secret = false.",
  },
  {
    keys: ["admin.listen", "admin.token", "admin.enabled"],
    when: ({ admin }) => admin.enabled && admin.token === "" && !isLocal(admin),
    message: ({ admin }) => `${JSON.stringify(admin.listen)} is not loopback, but admin.token is empty`,
    remedy: "Set admin.token or admin.token_file, or listen on 127.0.0.1.",
  },
  ...receivers.flatMap((name) => together(`${name}.tls`, pair, ({ [name]: { tls } }) => [tls.cert_file, tls.key_file])),
  ...together("otlp.tls", pair, ({ otlp: { tls } }) => [tls.cert_file, tls.key_file]),
  ...together("otlp.grafana_cloud", ["instance_id", "token"], ({ otlp: { grafana_cloud: of } }) => [
    of.instance_id,
    of.token,
  ]),
  ...together("tailscale.auth.oauth", ["client_id", "client_secret"], ({ tailscale: { auth } }) => [
    auth.oauth.client_id,
    auth.oauth.client_secret,
  ]),
  ...(
    [
      ["admin", "streaming"],
      ["admin", "webhook"],
      ["webhook", "streaming"],
    ] as const
  ).map(([one, other]): Rule => ({
    keys: [`${one}.listen`, `${other}.listen`, `${one}.enabled`, `${other}.enabled`],
    when: ({ [one]: first, [other]: second }) =>
      first.enabled &&
      second.enabled &&
      !(one === "webhook" && first.listen === second.listen) &&
      overlaps(first.listen, second.listen),
    message: ({ [one]: first, [other]: second }) =>
      `${one}.listen (${first.listen}) and ${other}.listen (${second.listen}) overlap, so only one of them can be bound`,
    remedy:
      one === "webhook" ? "Change one of them, or make both the same to share a listener." : "Change one of them.",
  })),
  {
    keys: ["webhook.listen", "streaming.listen", "webhook.tls.cert_file", "streaming.tls.cert_file"],
    when: (config) =>
      sharesListener(config) && pair.some((file) => config.webhook.tls[file] !== config.streaming.tls[file]),
    message: "both receivers share an address, but their TLS files differ",
    remedy: "Set webhook.tls to the same files as streaming.tls, or change webhook.listen.",
  },
  {
    keys: ["webhook.path", "streaming.path", "webhook.listen", "streaming.listen"],
    when: (config) => sharesListener(config) && hecPaths(config.streaming.path).includes(bare(config.webhook.path)),
    message: "on the shared listener, this path belongs to the HEC receiver",
    remedy: "Change webhook.path or webhook.listen.",
  },
  {
    keys: ["streaming.path"],
    when: ({ streaming }) => healthPaths.includes(bare(streaming.path)),
    message: "this is the path of HEC's own health check",
    remedy: "Change streaming.path.",
  },
  {
    keys: ["dedup.webhook_window", "webhook.late_retry_window", "webhook.tolerance"],
    when: ({ dedup, webhook }) => webhook.enabled && dedup.webhook_window < replayableMs(webhook),
    message: ({ dedup, webhook }) =>
      `events are remembered for ${formatDuration(dedup.webhook_window)}, but deliveries are accepted for ${formatDuration(replayableMs(webhook))}: webhook.late_retry_window plus twice webhook.tolerance`,
    remedy: "Raise dedup.webhook_window, or lower webhook.late_retry_window.",
  },
  {
    keys: ["tailscale.base_url"],
    when: ({ tailscale: { base_url: text } }) => text === "" || !/^https?:\/\/[^/?#@]+\/?$/i.test(text),
    message: "only scheme, host and port are allowed",
    remedy: "Remove it to use the public API, or set for example https://api.example.com:8443.",
  },
  ...collectedLogs.map((log): Rule => ({
    keys: [`collectors.${log}.replay_overlap`, `collectors.${log}.max_window`],
    when: ({ collectors: { [log]: of } }) => of.max_window <= of.replay_overlap,
    message: ({ collectors: { [log]: of } }) =>
      `ranges of ${formatDuration(of.max_window)} that overlap by ${formatDuration(of.replay_overlap)} never advance`,
    remedy: `Set collectors.${log}.max_window above collectors.${log}.replay_overlap.`,
  })),
  ...receivers.map((name): Rule => ({
    keys: [`${name}.public_url`],
    when: ({ [name]: { public_url: text } }) => text !== "" && whyNotPublic(name, text) !== undefined,
    message: ({ [name]: { public_url: text } }) => whyNotPublic(name, text)?.[0] ?? "",
    remedy: ({ [name]: { public_url: text } }) => whyNotPublic(name, text)?.[1] ?? "",
  })),
  ...receivers.map((name): Rule => ({
    keys: [`${name}.auto_configure`, `${name}.enabled`, `${name}.public_url`, "streaming.token", ...apiKeys],
    when: (config) => config[name].auto_configure && missingFor(name, config).length > 0,
    message: (config) => `it needs ${missingFor(name, config).join(", ")}`,
    remedy: `Set what is missing, or ${name}.auto_configure = false.`,
  })),
  {
    keys: ["otlp.endpoint"],
    when: ({ otlp }) => /\/v1\/(?:logs|metrics)\/?$/.test(otlp.endpoint),
    message: "it is the address of one signal, but /v1/logs and /v1/metrics are appended",
    remedy: "Remove the path from /v1 on, or set otlp.logs.endpoint or otlp.metrics.endpoint instead.",
  },
];

/** Of two texts, both or neither are needed. */
function together(
  section: string,
  names: readonly [string, string],
  of: (config: Config) => readonly [string, string],
): readonly Rule[] {
  return ([0, 1] as const).map((at): Rule => {
    const [present, missing] = [`${section}.${names[at]}`, `${section}.${names[1 - at]}`];
    return {
      keys: [present, missing],
      when: (config) => of(config)[at] !== "" && of(config)[1 - at] === "",
      message: `it is set, but ${missing} is not`,
      remedy: `Set ${missing} too, or remove ${present}.`,
    };
  });
}

export function isLocal({ listen }: { readonly listen: string }): boolean {
  return isLoopback(parseListen(listen)?.hostname);
}

function sharesListener({ streaming, webhook }: Config): boolean {
  return streaming.enabled && webhook.enabled && streaming.listen === webhook.listen;
}

const healthPaths: readonly string[] = ["/services/collector/health", "/services/collector/health/1.0"];

/** What the HEC receiver answers to: with the default path also its usual aliases, and always the health check. */
function hecPaths(path: string): readonly string[] {
  const aliases = ["/services/collector", "/services/collector/event/1.0"];
  return [bare(path), ...(bare(path) === "/services/collector/event" ? aliases : []), ...healthPaths];
}

function bare(path: string): string {
  return path.replace(/\/+$/, "");
}

/** How long a delivery can be sent again and still be accepted. */
function replayableMs({ late_retry_window: lateMs, tolerance }: Config["webhook"]): number {
  return lateMs + 2 * tolerance;
}

function missingFor(name: Receiver, config: Config): readonly string[] {
  return [
    ...(config[name].enabled ? [] : [`${name}.enabled = true`]),
    ...(config[name].public_url === "" ? [`${name}.public_url`] : []),
    // The API refuses a log stream without a token.
    ...(name === "streaming" && config.streaming.token === "" ? ["streaming.token"] : []),
    ...(hasCredentials(config) ? [] : [`API credentials (${credentialKeys})`]),
  ];
}

/** Why Tailscale could not use a URL, and what to do. The URL is never quoted: its query can be a secret. */
function whyNotPublic(name: Receiver, text: string): readonly [message: string, remedy: string] | undefined {
  const url = new URL(text);
  const host = url.hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1");
  if (url.username !== "" || url.password !== "") return ["it contains a user or a password", "Remove them."];
  if (url.hash !== "") return ["it has a fragment, which is never sent", "Remove the part from # on."];
  if (isPrivateIpv4(host)) {
    return [
      "Tailscale cannot reach a private IPv4 address",
      "Use a host name, or the Tailscale IPv6 address in brackets.",
    ];
  }
  if (name === "webhook") {
    // Names of the tailnet are public through Tailscale Funnel.
    const isPublic =
      host.endsWith(".ts.net") || (isIP(host) === 6 ? !/^(?:f[cd]|fe80|::1$)/.test(host) : !isPrivateHost(host));
    if (url.protocol !== "https:" || !isPublic) {
      return ["Tailscale delivers webhooks to public https addresses only", "Use a public host name with https."];
    }
    return ["", "80"].includes(url.port)
      ? undefined
      : [
          "Tailscale delivers webhooks to the ports 443 and 80 only",
          "Remove the port, and forward 443 to webhook.listen.",
        ];
  }
  if (url.protocol !== "http:" || isPrivateHost(host)) return undefined;
  return ["plain HTTP is possible only for private names and IPv6 addresses", "Use https."];
}

/** Loopback, link-local, RFC 1918 and RFC 6598, also as IPv4-mapped IPv6. */
function isPrivateIpv4(host: string): boolean {
  if (host.startsWith("::ffff:")) return true;
  return (
    isIP(host) === 4 &&
    /^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(host)
  );
}

/** A host inside the tailnet or a private network: an IPv6 address, a single label, or a name in a private zone. */
function isPrivateHost(host: string): boolean {
  const name = host.replace(/\.$/, "");
  return isIP(name) === 6 || (isIP(name) === 0 && !name.includes(".")) || privateZone.test(name);
}

/** RFC 6762 appendix G, RFC 8375, what ICANN has reserved, and Tailscale's own names. */
const privateZone = /\.(?:ts\.net|internal|local|localhost|home\.arpa|intranet|private|corp|home|lan)$/;
