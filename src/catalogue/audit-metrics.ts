/** The metrics of configuration audit logs: those that the ledger keeps, and the delays, which the process does. */
import type { MetricDefinition } from "./definition.ts";
import { actorTypes, auditActions, auditChanges, auditOrigins } from "./vocabulary.ts";

const delayBuckets = [1, 5, 30, 60, 300, 900, 3600, 21_600, 86_400] as const;

export const auditMetrics = {
  "tailscale.config.audit.events": {
    origin: "ledger",
    kind: "counter",
    unit: "{event}",
    description: "Accepted configuration audit records.",
    attributes: {
      "tailscale.audit.action": auditActions,
      "tailscale.audit.origin": auditOrigins,
    },
  },
  "tailscale.config.audit.changes": {
    origin: "ledger",
    kind: "counter",
    unit: "{event}",
    description: "Accepted audit records of changes that matter for security, by what was changed.",
    attributes: {
      "tailscale.audit.change": auditChanges,
      "tailscale.audit.action": auditActions,
      "tailscale.actor.type": actorTypes,
    },
  },
  "tailscale.config.audit.schema_drift": {
    origin: "ledger",
    kind: "counter",
    unit: "{observation}",
    description: "Words of accepted audit records, by whether this program knows them.",
    attributes: {
      field: ["action", "origin", "actor_type", "target_property"],
      status: ["known", "unknown"],
    },
  },
  "tailscale.config.audit.deferred.delay": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time between an event and the instant to which it was deferred.",
    attributes: {},
    buckets: delayBuckets,
  },
  "tailscale.config.audit.processing.delay": {
    origin: "process",
    kind: "histogram",
    unit: "s",
    description: "Time between an event and its receipt.",
    attributes: {},
    buckets: delayBuckets,
  },
} as const satisfies Record<string, MetricDefinition>;
