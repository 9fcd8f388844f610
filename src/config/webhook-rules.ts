/** What can be wrong, or is probably not meant, about the webhook receiver. */
import { formatDuration } from "../lib/duration.ts";
import type { Warning } from "./diagnosis.ts";
import { isLoopback, parseListen } from "./listen.ts";
import { bothOrNeither, type Rule } from "./rule.ts";
import type { Config } from "./schema.ts";

export const webhookRules: readonly Rule[] = [
  {
    keys: ["webhook.require_secret", "webhook.secret", "webhook.auto_configure"],
    find: ({ config: { webhook } }) =>
      webhook.require_secret && webhook.secret === "" && !webhook.auto_configure
        ? {
            message: "a secret is required, and webhook.secret is empty",
            remedy: "Set webhook.secret or webhook.secret_file, or webhook.require_secret = false.",
          }
        : undefined,
  },
  {
    keys: ["webhook.tls.cert_file", "webhook.tls.key_file"],
    find: ({ config: { webhook } }) =>
      bothOrNeither(webhook.tls.cert_file, webhook.tls.key_file, ["webhook.tls.cert_file", "webhook.tls.key_file"]),
  },
  {
    keys: ["dedup.webhook_window", "webhook.late_retry_window", "webhook.tolerance"],
    find({ config: { dedup, webhook } }) {
      const leastMs = webhook.late_retry_window + 2 * webhook.tolerance;
      if (!webhook.enabled || dedup.webhook_window >= leastMs) return undefined;
      return {
        message: `events are known for ${formatDuration(dedup.webhook_window)}, and a delivery can be sent again for longer`,
        allowed: `${formatDuration(leastMs)} or more: webhook.late_retry_window and twice webhook.tolerance`,
        remedy: "Raise dedup.webhook_window, or lower webhook.late_retry_window.",
      };
    },
  },
  {
    keys: ["webhook.listen", "streaming.listen", "webhook.tls.cert_file", "streaming.tls.cert_file"],
    find({ config: { streaming, webhook } }) {
      if (!sharesListener({ streaming, webhook })) return undefined;
      const isSameTls =
        webhook.tls.cert_file === streaming.tls.cert_file && webhook.tls.key_file === streaming.tls.key_file;
      if (isSameTls) return undefined;
      return {
        message: "both receivers listen on one address, with TLS that differs",
        allowed: "the same tls.cert_file and tls.key_file, or another address",
        remedy: "Give webhook.tls what streaming.tls has, or change webhook.listen.",
      };
    },
  },
  {
    keys: ["webhook.path", "streaming.path", "webhook.listen", "streaming.listen"],
    find({ config: { streaming, webhook } }) {
      const isSamePath = webhook.path.replace(/\/+$/, "") === streaming.path.replace(/\/+$/, "");
      if (!isSamePath || !sharesListener({ streaming, webhook })) return undefined;
      return {
        message: "both receivers have the same path on one address",
        remedy: "Change webhook.path, or webhook.listen.",
      };
    },
  },
];

/**
 * Without a secret nobody's word is needed; without a time a recorded word is as good as a new one. With `auto_configure`
 * the secret is in the state directory.
 */
export function webhookCautions({ webhook }: Config): readonly Warning[] {
  if (!webhook.enabled) return [];
  const isUnsigned = webhook.secret === "" && webhook.secret_previous === "" && !webhook.auto_configure;
  if (isUnsigned) return [emptySecret(webhook)];
  if (webhook.tolerance > 0) return [];
  return [
    {
      key: "webhook.tolerance",
      message: "it is 0, so a delivery that somebody recorded counts again once dedup.webhook_window is over",
      remedy: 'Set webhook.tolerance, and webhook.late_retry_window = "25h" if late deliveries are the reason.',
    },
  ];
}

function emptySecret({ listen, tls }: Config["webhook"]): Warning {
  const isLocal = isLoopback(parseListen(listen)?.hostname);
  const plainly = tls.cert_file === "" ? ", and what is sent travels over plain HTTP" : "";
  return {
    key: "webhook.secret",
    message: isLocal
      ? "it is empty, so every program on this machine can send events"
      : `it is empty, and ${listen} is not loopback: whoever reaches this port can forge events${plainly}`,
    remedy: isLocal
      ? "Set webhook.secret to the secret that Tailscale showed when the webhook was created."
      : "Set webhook.secret to the secret that Tailscale showed when the webhook was created, or let webhook.listen begin with 127.0.0.1; webhook.require_secret = true makes this an error.",
  };
}

/** Port 0 is another one each time it is asked for, but equal addresses are asked for once. */
function sharesListener({ streaming, webhook }: Pick<Config, "streaming" | "webhook">): boolean {
  return streaming.enabled && webhook.enabled && streaming.listen === webhook.listen;
}
