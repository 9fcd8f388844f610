/** Whether the settings let the program use Tailscale's API, and what it then asks for. */
import type { Config } from "./schema.ts";

/** The logs that can be polled, as the settings name them. */
export type CollectedLog = "flowlogs" | "auditlogs";

export const collectedLogs: readonly CollectedLog[] = ["flowlogs", "auditlogs"];

/** As in the middle of a sentence. */
export const logNames: Readonly<Record<CollectedLog, string>> = { flowlogs: "flow logs", auditlogs: "audit logs" };

export function usesOauth({ tailscale: { auth } }: Pick<Config, "tailscale">): boolean {
  return auth.oauth.client_id !== "" && auth.oauth.client_secret !== "";
}

export function hasCredentials(config: Pick<Config, "tailscale">): boolean {
  return usesOauth(config) || config.tailscale.auth.apikey !== "";
}

/** Whether the settings ask for the log to be polled, credentials or not. */
export function wantsPoll({ collectors }: Pick<Config, "collectors">, log: CollectedLog): boolean {
  return collectors[log].enabled && collectors[log].source !== "stream";
}

/** Whether the log is polled. */
export function isPolled(config: Pick<Config, "collectors" | "tailscale">, log: CollectedLog): boolean {
  return wantsPoll(config, log) && hasCredentials(config);
}

/** Whether the directory of devices is read. */
export function readsDevices(config: Pick<Config, "collectors" | "tailscale">): boolean {
  return config.collectors.devices.enabled && hasCredentials(config);
}
