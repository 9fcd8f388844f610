/** Derives the state of an instance from its overview: one word, and the reasons. */
import type { Overview } from "../admin/overview.ts";
import { count } from "./format.ts";

export interface InstanceState {
  readonly kind: "ok" | "warn" | "bad" | "unknown";
  readonly word: string;
  readonly reasons: readonly string[];
}

/** The state according to an overview; `unknown` without one. */
export function stateOf(now: Overview | undefined): InstanceState {
  if (now === undefined) return { kind: "unknown", word: "Unknown", reasons: [] };
  const { notReady, degraded, counters } = now;
  const restoring =
    counters.kind === "restoring"
      ? [`counters are being restored: row ${count(counters.measuredRow)} of ${count(counters.lastRow)}`]
      : [];
  const reasons = [...notReady, ...degraded, ...restoring];
  if (notReady.length > 0) return { kind: "bad", word: "Not ready", reasons };
  if (degraded.length > 0) return { kind: "warn", word: "Degraded", reasons };
  return { kind: "ok", word: restoring.length > 0 ? "Restoring" : "Accepting", reasons };
}
