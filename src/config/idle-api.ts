/** Why settings about Tailscale's API do nothing. */
import { collectedLogs, hasCredentials, usesOauth } from "./api-use.ts";
import { credentials } from "./api-rules.ts";
import type { Cause } from "./cause.ts";

const pollKeys = (log: string): readonly string[] =>
  ["interval", "lag", "initial_lookback", "max_window", "replay_overlap"].map((name) => `collectors.${log}.${name}`);

/** The first that fits is said. */
export const apiCauses: readonly Cause[] = [
  ...collectedLogs.flatMap((log): readonly Cause[] => [
    {
      holds: ({ collectors }) => !collectors[log].enabled,
      reason: `collectors.${log}.enabled is false`,
      remedy: `Set collectors.${log}.enabled = true, or remove it.`,
      keys: [`collectors.${log}.source`, ...pollKeys(log)],
    },
    {
      holds: ({ collectors }) => collectors[log].source === "stream",
      reason: `collectors.${log}.source is "stream", so the log is not polled`,
      remedy: `Set collectors.${log}.source to "poll" or "both", or remove it.`,
      keys: pollKeys(log),
    },
  ]),
  {
    holds: ({ collectors }) => !collectors.devices.enabled,
    reason: "collectors.devices.enabled is false",
    remedy: "Set collectors.devices.enabled = true, or remove it.",
    keys: ["collectors.devices.interval"],
  },
  {
    holds: (config) => !hasCredentials(config),
    reason: "there are no credentials for the API",
    remedy: `Set ${credentials}, or remove it.`,
    keys: [
      ...collectedLogs.flatMap(pollKeys),
      "collectors.devices.interval",
      "tailscale.base_url",
      "tailscale.http.",
      "tailscale.auth.oauth.scopes",
    ],
  },
  {
    holds: usesOauth,
    reason: "tailscale.auth.oauth is set, and wins",
    remedy: "Remove one of them.",
    keys: ["tailscale.auth.apikey"],
  },
  {
    holds: (config) => !usesOauth(config),
    reason: "scopes belong to an OAuth client, and there is an API key",
    remedy: `Set ${credentials}, or remove it.`,
    keys: ["tailscale.auth.oauth.scopes"],
  },
];
