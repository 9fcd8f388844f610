/** The state of an instance, in one word. */
import { expect, test } from "bun:test";
import type { Overview } from "../../../src/admin/overview.ts";
import { stateOf } from "../../../src/page/instance-state.ts";

function overview(change: Partial<Overview>): Overview {
  const counted = { received: 0, accepted: 0, duplicate: 0, skipped: 0, quarantined: 0 };
  return {
    version: "1.0.0",
    at: "2026-11-27T05:00:00Z",
    startedAt: "2026-11-27T04:00:00Z",
    notReady: [],
    degraded: [],
    counters: { kind: "current" },
    conservation: { ...counted, delivered: 0, pending: 0, deadLettered: 0, lost: 0, uncounted: 0 },
    entries: 0,
    talkers: [],
    talkersSince: "2026-11-27T04:00:00Z",
    ...change,
  };
}

test("an instance has the state of its worst reason, and names all reasons", () => {
  const restoring = { kind: "restoring", measuredRow: 1000, lastRow: 2500 } as const;
  expect(stateOf(undefined)).toEqual({ kind: "unknown", word: "Unknown", reasons: [] });
  expect(stateOf(overview({}))).toEqual({ kind: "ok", word: "Accepting", reasons: [] });
  expect(stateOf(overview({ counters: restoring }))).toEqual({
    kind: "ok",
    word: "Restoring",
    reasons: ["counters are being restored: row 1,000 of 2,500"],
  });
  expect(stateOf(overview({ degraded: ["log export failing"] }))).toMatchObject({ kind: "warn", word: "Degraded" });
  expect(stateOf(overview({ notReady: ["the disk is full"], degraded: ["log export failing"] }))).toEqual({
    kind: "bad",
    word: "Not ready",
    reasons: ["the disk is full", "log export failing"],
  });
});
