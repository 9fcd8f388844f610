/** What the process says about what it asks of Tailscale's API, by collector. */
import type { MetricDefinition } from "./definition.ts";

const collector = { "tailscale.collector": ["flowlogs", "auditlogs", "devices"] } as const;

export const scrapeMetrics = {
  "tailscale2otel.scrape.success": {
    origin: "process",
    kind: "gauge",
    unit: "{scrape}",
    description: "Whether the last question of a collector was answered: 1 or 0.",
    attributes: collector,
  },
  "tailscale2otel.scrape.last_timestamp": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description: "When a question of a collector was last answered, seconds since the epoch.",
    attributes: collector,
  },
  "tailscale2otel.scrape.lag": {
    origin: "process",
    kind: "gauge",
    unit: "s",
    description:
      "How far what a collector has read is behind the present: for the logs the end of the last window, for the devices the last answer.",
    attributes: collector,
  },
} as const satisfies Record<string, MetricDefinition>;
