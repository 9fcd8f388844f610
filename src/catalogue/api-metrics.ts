/** The metrics of the calls to Tailscale's API. */
import type { MetricDefinition } from "./definition.ts";

/** The calls, by what is asked for. */
export const apiEndpoints = [
  "oauth_token",
  "network_logs",
  "configuration_logs",
  "devices",
  "log_stream",
  "log_stream_status",
  "webhooks",
  "webhook",
  "webhook_test",
  "webhook_rotate",
] as const;

export type ApiEndpoint = (typeof apiEndpoints)[number];

/** What an attempt came to: `none` is one without an answer. */
export const apiStatusCodes = [
  ..."200 201 202 204 301 302 303 307 308 400 401 403 404 405 408 409 413 415 422 429 500 502 503 504".split(" "),
  "other",
  "none",
];

const perCall = { endpoint: apiEndpoints, "http.response.status_code": apiStatusCodes } as const;

export const apiMetrics = {
  "tailscale2otel.api.requests": {
    origin: "process",
    kind: "counter",
    unit: "{request}",
    description: "Requests to Tailscale's API, each attempt counted.",
    attributes: perCall,
  },
  "tailscale2otel.api.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time of one request to Tailscale's API, its answer's body included.",
    attributes: perCall,
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  "tailscale2otel.api.retries": {
    origin: "process",
    kind: "counter",
    unit: "{retry}",
    description: "Requests to Tailscale's API that were made again, by what the earlier one came to.",
    attributes: perCall,
  },
} as const satisfies Record<string, MetricDefinition>;
