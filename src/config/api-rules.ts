/** What can be wrong, or is probably not meant, about the use of Tailscale's API. */
import { formatDuration } from "../lib/duration.ts";
import { type CollectedLog, collectedLogs, hasCredentials, logNames, usesOauth, wantsPoll } from "./api-use.ts";
import type { Warning } from "./diagnosis.ts";
import { isLoopback } from "./listen.ts";
import { publicUrlCautions, publicUrlRule } from "./public-url.ts";
import { bothOrNeither, type Finding, type Rule } from "./rule.ts";
import type { Config } from "./schema.ts";

const clientKeys = ["tailscale.auth.oauth.client_id", "tailscale.auth.oauth.client_secret"] as const;
const credentialKeys = ["tailscale.auth.apikey", ...clientKeys];

/** What to set so that the API can be used. */
export const credentials = `${clientKeys[0]} and ${clientKeys[1]}`;

export const apiRules: readonly Rule[] = [
  {
    keys: clientKeys,
    find: ({ config: { tailscale } }) =>
      bothOrNeither(tailscale.auth.oauth.client_id, tailscale.auth.oauth.client_secret, clientKeys),
  },
  { keys: ["tailscale.base_url"], find: ({ config: { tailscale } }) => baseUrlComplaint(tailscale.base_url) },
  ...collectedLogs.map(stuckWindow),
  publicUrlRule("streaming"),
  publicUrlRule("webhook"),
  autoConfigureNeeds("streaming"),
  autoConfigureNeeds("webhook"),
];

export function apiCautions(config: Config): readonly Warning[] {
  return [
    ...collectedLogs.flatMap((log) => waysIn(config, log)),
    ...credentialCautions(config),
    ...publicUrlCautions(config),
  ];
}

function baseUrlComplaint(address: string): Finding | undefined {
  if (address === "") {
    return { message: "it is empty", remedy: "Remove it for the public API, or write an address." };
  }
  const { username, password, pathname, search, hash } = new URL(address);
  if (`${username}${password}${search}${hash}` === "" && pathname === "/") return undefined;
  return {
    message: "it is more than the address of a server",
    allowed: "http:// or https://, a host, and perhaps a port",
    remedy: "Remove what stands before the host, and after it or its port.",
  };
}

/** A window begins `replay_overlap` before the last one ended; one that is no longer than that goes nowhere. */
function stuckWindow(log: CollectedLog): Rule {
  const overlapKey = `collectors.${log}.replay_overlap`;
  const windowKey = `collectors.${log}.max_window`;
  return {
    keys: [overlapKey, windowKey],
    find({ config: { collectors } }) {
      const { replay_overlap: overlapMs, max_window: windowMs } = collectors[log];
      if (windowMs > overlapMs) return undefined;
      return {
        message: `windows of ${formatDuration(windowMs)} that overlap by ${formatDuration(overlapMs)} never come forward`,
        allowed: `${windowKey} above ${overlapKey}`,
        remedy: `Raise ${windowKey}, or lower ${overlapKey}.`,
      };
    },
  };
}

function autoConfigureNeeds(receiver: "streaming" | "webhook"): Rule {
  const key = `${receiver}.auto_configure`;
  return {
    keys: [key, `${receiver}.enabled`, `${receiver}.public_url`, "streaming.token", ...credentialKeys],
    find({ config }) {
      const { enabled, public_url: address, auto_configure: isAsked } = config[receiver];
      if (!isAsked) return undefined;
      const missing = [
        ...(enabled ? [] : [`${receiver}.enabled = true`]),
        ...(address === "" ? [`${receiver}.public_url`] : []),
        // A log stream without a token is one that the API does not take.
        ...(receiver === "streaming" && config.streaming.token === "" ? ["streaming.token"] : []),
        ...(hasCredentials(config) ? [] : [`credentials (${credentials})`]),
      ];
      if (missing.length === 0) return undefined;
      return {
        message: `${key} is true, and needs what is not set: ${missing.join(", ")}`,
        remedy: `Set what is missing, or ${key} = false.`,
      };
    },
  };
}

/** By which ways a log comes in, where that may surprise. */
function waysIn(config: Config, log: CollectedLog): readonly Warning[] {
  if (!wantsPoll(config, log)) return [];
  const { streaming, collectors } = config;
  const key = `collectors.${log}.source`;
  const name = logNames[log];
  const written = JSON.stringify(collectors[log].source);
  if (!hasCredentials(config)) {
    return [
      {
        key,
        message: `it is ${written}, and there are no credentials to poll with: ${streaming.enabled ? `${name} come only by the stream` : `no ${name} come in`}`,
        remedy: `Set ${credentials}, or ${streaming.enabled ? `${key} = "stream"` : `collectors.${log}.enabled = false`}.`,
      },
    ];
  }
  if (!streaming.enabled) return [];
  const message =
    collectors[log].source === "poll"
      ? `it is "poll", and streaming.enabled is true: it works as "both", and ${name} that come both ways count once`
      : `it is "both": ${name} come by the stream and by the poll, and what comes both ways counts once`;
  return [{ key, message, remedy: `Leave it to repair gaps of the stream, or set ${key} = "stream" to poll nothing.` }];
}

function credentialCautions(config: Config): readonly Warning[] {
  if (!hasCredentials(config)) return [];
  const found: Warning[] = [];
  if (!usesOauth(config)) {
    found.push({
      key: "tailscale.auth.apikey",
      message: "an API key expires after 90 days at most, and may do whatever the person may who made it",
      remedy: `Set ${credentials} instead.`,
    });
  }
  const { protocol, hostname } = new URL(config.tailscale.base_url);
  if (protocol === "http:" && !isLoopback(hostname.replace(/^\[(.*)\]$/, "$1"))) {
    found.push({
      key: "tailscale.base_url",
      message: "it is plain HTTP and not on this machine, so somebody in between can read the credentials",
      remedy: "Let it begin with https://.",
    });
  }
  return found;
}
