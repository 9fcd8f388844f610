/** The calls of Tailscale's API that the program makes: method, path, OAuth scope, and whether a retry is safe. */
import type { ApiEndpoint } from "../catalogue/metrics.ts";

/** One of the two logs, as the API's paths name it. */
export type LogName = "network" | "configuration";

export interface Call {
  readonly endpoint: ApiEndpoint;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Appended to the base address. */
  readonly path: string;
  /** The scope that an OAuth client needs; the token call needs none. */
  readonly scope?: string;
  /** Retried only if the answer says that nothing was done. */
  readonly isUnsafe?: true;
  /** What to do if the tailnet does not have the feature. */
  readonly enabling?: string;
}

const flowLogsOff =
  "Enable network flow logs in the admin console under Logs; the tailnet's plan must include them. Or set collectors.flowlogs.enabled = false.";
const streamingOff = "Log streaming must be part of the tailnet's plan, and the log itself must be enabled.";

export type Calls = ReturnType<typeof callsOf>;

/** Every call, for a tailnet by its name; `-` is the tailnet of the credentials. */
export function callsOf(tailnet: string) {
  const root = `/api/v2/tailnet/${encodeURIComponent(tailnet)}`;
  const webhook = (id: string): string => `/api/v2/webhooks/${encodeURIComponent(id)}`;
  return {
    token: call("oauth_token", "POST", "/api/v2/oauth/token"),
    logs: (log: LogName): Call => ({
      ...call(`${log}_logs`, "GET", `${root}/logging/${log}`, `logs:${log}:read`),
      ...(log === "network" && { enabling: flowLogsOff }),
    }),
    devices: call("devices", "GET", `${root}/devices`, "devices:core:read"),
    logStream(method: "GET" | "PUT" | "DELETE", log: LogName): Call {
      const scope = method === "GET" ? "log_streaming:read" : "log_streaming";
      return { ...call("log_stream", method, `${root}/logging/${log}/stream`, scope), enabling: streamingOff };
    },
    logStreamStatus: (log: LogName): Call => ({
      ...call("log_stream_status", "GET", `${root}/logging/${log}/stream/status`, "log_streaming:read"),
      enabling: streamingOff,
    }),
    webhooks: call("webhooks", "GET", `${root}/webhooks`, "webhooks:read"),
    createWebhook: { ...call("webhooks", "POST", `${root}/webhooks`, "webhooks"), isUnsafe: true as const },
    updateWebhook: (id: string) => call("webhook", "PATCH", webhook(id), "webhooks"),
    deleteWebhook: (id: string) => call("webhook", "DELETE", webhook(id), "webhooks"),
    testWebhook: (id: string) => call("webhook_test", "POST", `${webhook(id)}/test`, "webhooks"),
    /** If the answer of a rotation is lost, nobody knows the secret that it made; a retry replaces it. */
    rotateWebhook: (id: string) => call("webhook_rotate", "POST", `${webhook(id)}/rotate`, "webhooks"),
  };
}

function call(endpoint: ApiEndpoint, method: Call["method"], path: string, scope?: string): Call {
  return { endpoint, method, path, ...(scope !== undefined && { scope }) };
}
