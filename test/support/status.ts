/** The `/api/v1/status` response of an instance that has received nothing, for stand-ins. */
import type { Status } from "../../src/admin/status.ts";

export const emptyStatus = {
  version: "0.1.0",
  notReady: [],
  counters: { kind: "current" },
  conservation: {
    received: 0,
    accepted: 0,
    duplicate: 0,
    skipped: 0,
    quarantined: 0,
    delivered: 0,
    pending: 0,
    deadLettered: 0,
    lost: 0,
    uncounted: 0,
  },
  delivery: { lastSuccess: {} },
  horizon: { flow: 0, audit: 0, webhook: 0 },
  unverifiable: { flow: 0, audit: 0 },
  space: { usedBytes: 0, limitBytes: 1, refusal: undefined },
  redeliveries: [],
} as const satisfies Status;
