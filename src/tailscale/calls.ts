/** The calls of Tailscale's API that the program makes, as one table: method, path, scope, and what a refusal means. */
import type { ApiEndpoint } from "../catalogue/metrics.ts";
import type { LogName } from "./types.ts";

export interface Call {
  readonly endpoint: ApiEndpoint;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the base address on. */
  readonly path: string;
  /** The scope that an OAuth client needs for it; nothing for the token itself. */
  readonly scope: string | undefined;
  /** Whether to make it twice is to make it once. If not, it is repeated only after an answer that says it was not taken. */
  readonly isRepeatable: boolean;
  /** What to do where the tailnet does not have it. */
  readonly enabling: string | undefined;
}

const flowLogsOff =
  "Turn network flow logs on in the admin console under Logs; the tailnet's plan must include them (or set collectors.flowlogs.enabled = false).";
const streamingOff = "Log streaming must be part of the tailnet's plan, and the log itself must be turned on.";

/** Every call, for a tailnet by its name; `-` is the credentials' own. */
export function callsOf(tailnet: string) {
  const root = `/api/v2/tailnet/${encodeURIComponent(tailnet)}`;
  const webhook = (id: string): string => `/api/v2/webhooks/${encodeURIComponent(id)}`;
  return {
    token: call("oauth_token", "POST", "/api/v2/oauth/token", undefined),
    logs: (log: LogName): Call => ({
      ...call(`${log}_logs`, "GET", `${root}/logging/${log}`, `logs:${log}:read`),
      enabling: log === "network" ? flowLogsOff : undefined,
    }),
    devices: call("devices", "GET", `${root}/devices`, "devices:core:read"),
    logStream: (method: "GET" | "PUT" | "DELETE", log: LogName): Call => ({
      ...call(
        "log_stream",
        method,
        `${root}/logging/${log}/stream`,
        method === "GET" ? "log_streaming:read" : "log_streaming",
      ),
      enabling: streamingOff,
    }),
    logStreamStatus: (log: LogName): Call => ({
      ...call("log_stream_status", "GET", `${root}/logging/${log}/stream/status`, "log_streaming:read"),
      enabling: streamingOff,
    }),
    webhooks: call("webhooks", "GET", `${root}/webhooks`, "webhooks:read"),
    createWebhook: { ...call("webhooks", "POST", `${root}/webhooks`, "webhooks"), isRepeatable: false },
    updateWebhook: (id: string): Call => call("webhook", "PATCH", webhook(id), "webhooks"),
    deleteWebhook: (id: string): Call => call("webhook", "DELETE", webhook(id), "webhooks"),
    testWebhook: (id: string): Call => call("webhook_test", "POST", `${webhook(id)}/test`, "webhooks"),
    /** A rotation whose answer was lost has made a secret that nobody knows; the next one replaces it. */
    rotateWebhook: (id: string): Call => call("webhook_rotate", "POST", `${webhook(id)}/rotate`, "webhooks"),
  };
}

function call(endpoint: ApiEndpoint, method: Call["method"], path: string, scope: string | undefined): Call {
  return { endpoint, method, path, scope, isRepeatable: true, enabling: undefined };
}
