/** The metrics that the process keeps about itself, in SDK instruments: they begin with it. */
import type { MetricDefinition } from "./definition.ts";

const recordType = ["flow", "audit", "webhook"] as const;

export const processMetrics = {
  "tailscale.stream.rejected": {
    origin: "process",
    kind: "counter",
    unit: "{rejection}",
    description: "Requests refused as a whole.",
    attributes: {
      reason: ["auth", "unparsable", "too_large", "overloaded", "unavailable", "timeout", "cross_site"],
    },
  },
  "tailscale.stream.inflight": {
    origin: "process",
    kind: "updown",
    unit: "{request}",
    description: "Requests being read, parsed or committed.",
    attributes: {},
  },
  "tailscale.stream.request.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time from the head of a request to its answer.",
    attributes: {},
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  "tailscale.stream.request.size": {
    origin: "process",
    kind: "histogram",
    unit: "By",
    description: "Size of request bodies on the wire.",
    attributes: {},
    buckets: [1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864],
  },
  "tailscale2otel.journal.pending": {
    origin: "process",
    kind: "gauge",
    unit: "{record}",
    description: "Accepted records whose logs have not been delivered yet.",
    attributes: {},
  },
  "tailscale2otel.journal.commit.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time of one append transaction.",
    attributes: {},
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  },
  "tailscale2otel.dedup.keys": {
    origin: "process",
    kind: "gauge",
    unit: "{key}",
    description: "Seen keys held, by record type.",
    attributes: { type: recordType },
  },
  "tailscale2otel.export.requests": {
    origin: "process",
    kind: "counter",
    unit: "{request}",
    description: "OTLP requests, by signal and outcome.",
    attributes: {
      signal: ["logs", "metrics"],
      outcome: ["success", "retry", "rejected"],
    },
  },
  "tailscale2otel.export.duration": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time of one OTLP request.",
    attributes: {
      signal: ["logs", "metrics"],
      outcome: ["success", "retry", "rejected"],
    },
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  "tailscale2otel.export.last_success": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "When the backend last took a request, seconds since the epoch.",
    attributes: { signal: ["logs", "metrics"] },
  },
  "tailscale2otel.series.overflowed": {
    origin: "process",
    kind: "counter",
    unit: "{series}",
    description: "New series folded into the overflow series of their metric.",
    attributes: { "metric.name": "text" },
  },
  "tailscale2otel.up": {
    origin: "process",
    kind: "gauge",
    unit: "1",
    description: "1 while the process runs.",
    attributes: {},
  },
  "tailscale2otel.build_info": {
    origin: "process",
    kind: "gauge",
    unit: "1",
    description: "1, with the version as an attribute.",
    attributes: { version: "text" },
  },
} as const satisfies Record<string, MetricDefinition>;
