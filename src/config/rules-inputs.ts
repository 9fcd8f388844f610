/** Rules for the inputs: Tailscale's API, the collectors and the receivers. */
import { isIP } from "node:net";
import { isLoopback, parseListen } from "../lib/listen.ts";
import { formatDuration } from "../lib/units.ts";
import type { Rule } from "./diagnosis.ts";
import { defaultMaxBodyBytes, usesTls } from "./schema-inputs.ts";
import { collectedLogs, type Config, hasCredentials, isPolled, usesOauth, wantsPoll } from "./schema.ts";

/** The settings that give access to the API. */
export const credentialKeys = "tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret";

/** Rules for each receiver. */
const receiverRules = (config: Config): readonly Rule[] =>
  (
    [
      ["streaming", "token", "records", "a long random text, and use the same in Tailscale"],
      ["webhook", "secret", "events", "the secret that Tailscale showed when the webhook was created"],
    ] as const
  ).flatMap(([name, secret, what, value]): readonly Rule[] => {
    const { streaming, webhook } = config;
    const { enabled, listen, tls, public_url: url, auto_configure: isAutomatic } = config[name];
    const isOpen = name === "streaming" ? streaming.token === "" : webhook.secret === "" && !webhook.auto_configure;
    const isRequired = name === "streaming" ? streaming.require_token : webhook.require_secret;
    const isHere = isLocal({ listen });
    const notPublic = url === "" ? undefined : whyNotPublic(name, url);
    const missing = missingFor(name, config);
    return [
      {
        severity: "error",
        keys: [`${name}.require_${secret}`, `${name}.${secret}`, `${name}.auto_configure`],
        when: isOpen && isRequired,
        message: `a ${secret} is required, but ${name}.${secret} is empty`,
        remedy: `Set ${name}.${secret} or ${name}.${secret}_file, or ${name}.require_${secret} = false.`,
      },
      {
        severity: "warning",
        keys: [`${name}.${secret}`],
        when: enabled && isOpen && (name === "streaming" || webhook.secret_previous === ""),
        message: isHere
          ? `it is empty, so every program on this machine can send ${what}`
          : `it is empty and ${listen} is not loopback, so anyone who can reach this port can forge ${what}${!usesTls(tls) ? ", and they travel over plain HTTP" : ""}`,
        remedy: `Set ${name}.${secret} to ${value}${isHere ? "" : `, or listen on 127.0.0.1; ${name}.require_${secret} = true makes this an error`}.`,
      },
      {
        severity: "error",
        keys: [`${name}.public_url`],
        when: notPublic !== undefined,
        message: notPublic?.[0] ?? "",
        remedy: notPublic?.[1] ?? "",
      },
      {
        severity: "warning",
        keys: [`${name}.public_url`],
        when: enabled && url.includes("?"),
        message: "it has a query, which everyone with access to the Tailscale settings can see",
        remedy: "Put no secrets there.",
      },
      {
        severity: "error",
        keys: [
          `${name}.auto_configure`,
          `${name}.enabled`,
          `${name}.public_url`,
          "streaming.token",
          "tailscale.auth.apikey",
          "tailscale.auth.oauth.client_id",
          "tailscale.auth.oauth.client_secret",
        ],
        when: isAutomatic && missing.length > 0,
        message: `it also needs ${listed(missing)}`,
        remedy: `Set what is missing, or ${name}.auto_configure = false.`,
      },
    ];
  });

/** Rules for each collector that polls a log. */
const collectorRules = (config: Config): readonly Rule[] =>
  collectedLogs.flatMap((log): readonly Rule[] => {
    const logs = log === "flowlogs" ? "flow logs" : "audit logs";
    const [source, enabled] = [`collectors.${log}.source`, `collectors.${log}.enabled`];
    const { streaming } = config;
    const of = config.collectors[log];
    return [
      {
        severity: "error",
        keys: [source, "streaming.enabled"],
        when: of.enabled && of.source === "stream" && !streaming.enabled,
        message: '"stream" needs the receiver, but streaming.enabled is false',
        remedy: `Set streaming.enabled = true, or ${enabled} = false.`,
      },
      {
        severity: "warning",
        keys: [source],
        when: wantsPoll(config, log) && !hasCredentials(config),
        message: `it is "${of.source}", but there are no API credentials, so ${logs} ${streaming.enabled ? "arrive only through the receiver" : "do not arrive at all"}`,
        remedy: `Set ${credentialKeys}, or ${streaming.enabled ? `${source} = "stream"` : `${enabled} = false`}.`,
      },
      {
        severity: "warning",
        keys: [source],
        when: isPolled(config, log) && streaming.enabled && of.source === "poll",
        message: `it is "poll" and streaming.enabled is true, so ${logs} arrive both ways, and each record counts once`,
        remedy: `Set ${source} = "both" if that is meant, which repairs gaps in the stream, or "stream" to stop polling.`,
      },
      {
        severity: "error",
        keys: [`collectors.${log}.replay_overlap`, `collectors.${log}.max_window`],
        when: of.max_window <= of.replay_overlap,
        message: `ranges of ${formatDuration(of.max_window)} that overlap by ${formatDuration(of.replay_overlap)} never advance`,
        remedy: `Set collectors.${log}.max_window above collectors.${log}.replay_overlap.`,
      },
    ];
  });

export function inputRules(config: Config): readonly Rule[] {
  const { streaming, webhook, dedup, tailscale } = config;
  const isShared = streaming.enabled && webhook.enabled && streaming.listen === webhook.listen;
  /** How long a delivery can be repeated and still be accepted. */
  const replayableMs = webhook.late_retry_window + 2 * webhook.tolerance;
  return [
    ...receiverRules(config),
    ...collectorRules(config),
    {
      severity: "error",
      keys: [
        "webhook.listen",
        "streaming.listen",
        ...["cert_file", "tailscale"].flatMap((name) => [`webhook.tls.${name}`, `streaming.tls.${name}`]),
      ],
      when: isShared && JSON.stringify(webhook.tls) !== JSON.stringify(streaming.tls),
      message: "both receivers share an address, but their TLS settings differ",
      remedy: "Set webhook.tls to the same as streaming.tls, or change webhook.listen.",
    },
    {
      severity: "error",
      keys: ["webhook.path", "streaming.path", "webhook.listen", "streaming.listen"],
      when: isShared && hecPaths(streaming.path).includes(bare(webhook.path)),
      message: "on the shared listener, this path belongs to the HEC receiver",
      remedy: "Change webhook.path or webhook.listen.",
    },
    {
      severity: "error",
      keys: ["streaming.path"],
      when: healthPaths.includes(bare(streaming.path)),
      message: "this is the path of HEC's own health check",
      remedy: "Change streaming.path.",
    },
    {
      severity: "warning",
      keys: ["streaming.public_url"],
      // The tailnet encrypts traffic to its names and to Tailscale's IPv6 addresses.
      when:
        streaming.enabled && /^http:\/\/(?![^/]*\.ts\.net(?:[.:/]|$)|\[fd7a:115c:a1e0:)/i.test(streaming.public_url),
      message: "it is plain HTTP at an address outside the tailnet, so nothing protects the records and the token",
      remedy: "Use https, or this machine's own name in the tailnet, such as node.tail1234.ts.net.",
    },
    {
      severity: "warning",
      keys: ["streaming.max_inflight_bytes"],
      when: streaming.enabled && (streaming.max_body_bytes || defaultMaxBodyBytes) > streaming.max_inflight_bytes,
      message:
        "it is smaller than the largest body (streaming.max_body_bytes, by default 64 MiB), so it limits single bodies",
      remedy: "Raise streaming.max_inflight_bytes, or lower streaming.max_body_bytes.",
    },
    {
      severity: "warning",
      keys: ["webhook.tolerance"],
      when:
        webhook.enabled &&
        webhook.tolerance === 0 &&
        (webhook.secret + webhook.secret_previous !== "" || webhook.auto_configure),
      message: "it is 0, so a recorded delivery counts again after dedup.webhook_window",
      remedy: 'Set webhook.tolerance; if late deliveries are the reason, set webhook.late_retry_window = "25h".',
    },
    {
      severity: "error",
      keys: ["dedup.webhook_window", "webhook.late_retry_window", "webhook.tolerance"],
      when: webhook.enabled && dedup.webhook_window < replayableMs,
      message: `events are remembered for ${formatDuration(dedup.webhook_window)}, but deliveries are accepted for ${formatDuration(replayableMs)}: webhook.late_retry_window plus twice webhook.tolerance`,
      remedy: "Raise dedup.webhook_window, or lower webhook.late_retry_window.",
    },
    {
      severity: "warning",
      keys: ["tailscale.auth.apikey"],
      when: hasCredentials(config) && !usesOauth(config),
      message: "an API key expires after at most 90 days and has all permissions of the person who created it",
      remedy: `Use an OAuth client: set ${credentialKeys}.`,
    },
    {
      severity: "error",
      keys: ["tailscale.base_url"],
      when: !/^https?:\/\/[^/?#@]+\/?$/i.test(tailscale.base_url),
      message: "only scheme, host and port are allowed",
      remedy: "Remove it to use the public API, or set for example https://api.example.com:8443.",
    },
    {
      severity: "warning",
      keys: ["tailscale.base_url"],
      when: hasCredentials(config) && isPlainRemote(tailscale.base_url),
      message: "it is plain HTTP, so anyone in between can read the credentials",
      remedy: "Use https.",
    },
  ];
}

export function isLocal({ listen }: { readonly listen: string }): boolean {
  return isLoopback(parseListen(listen)?.hostname);
}

function isPlainRemote(address: string): boolean {
  if (!/^http:/i.test(address)) return false;
  return !isLoopback(hostOf(new URL(address)));
}

/** Without the brackets of an IPv6 address. */
function hostOf({ hostname }: URL): string {
  return hostname.toLowerCase().replace(/^\[(.*)\]$/, "$1");
}

const healthPaths: readonly string[] = ["/services/collector/health", "/services/collector/health/1.0"];

/** The paths of the HEC receiver: with the default path also its usual aliases, and always the health check. */
function hecPaths(path: string): readonly string[] {
  const aliases = ["/services/collector", "/services/collector/event/1.0"];
  return [bare(path), ...(bare(path) === "/services/collector/event" ? aliases : []), ...healthPaths];
}

function bare(path: string): string {
  return path.replace(/\/+$/, "");
}

function missingFor(name: "streaming" | "webhook", config: Config): readonly string[] {
  return [
    ...(config[name].enabled ? [] : [`${name}.enabled = true`]),
    ...(config[name].public_url === "" ? [`${name}.public_url`] : []),
    // The API rejects a log stream without a token.
    ...(name === "streaming" && config.streaming.token === "" ? ["streaming.token"] : []),
    ...(hasCredentials(config) ? [] : [`API credentials (${credentialKeys})`]),
  ];
}

/** `a`, `a and b`, or `a, b and c`. */
function listed(items: readonly string[]): string {
  return [items.slice(0, -1).join(", "), ...items.slice(-1)].filter(Boolean).join(" and ");
}

/** Why Tailscale could not use a URL, and what to do. The URL is never quoted, because its query can be a secret. */
function whyNotPublic(
  name: "streaming" | "webhook",
  text: string,
): readonly [message: string, remedy: string] | undefined {
  const url = new URL(text);
  const host = hostOf(url);
  if (url.username !== "" || url.password !== "") return ["it contains a user or a password", "Remove them."];
  if (url.hash !== "") return ["it has a fragment, which is never sent", "Remove the part from # on."];
  if (isPrivateIpv4(host)) {
    return [
      "Tailscale cannot reach a private IPv4 address",
      "Use a host name, or the Tailscale IPv6 address in brackets.",
    ];
  }
  if (name === "webhook") {
    // Tailscale Funnel can make names of the tailnet public.
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

/** True for a host inside the tailnet or a private network: an IPv6 address, a single label, or a name in a private zone. */
function isPrivateHost(host: string): boolean {
  const name = host.replace(/\.$/, "");
  return isIP(name) === 6 || (isIP(name) === 0 && !name.includes(".")) || privateZone.test(name);
}

/** RFC 6762 appendix G, RFC 8375, names reserved by ICANN, and Tailscale's own names. */
const privateZone = /\.(?:ts\.net|internal|local|localhost|home\.arpa|intranet|private|corp|home|lan)$/;
