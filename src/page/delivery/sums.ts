/** The two conservation sums, term by term, and whether they hold. */
import type { CounterState, Status } from "../../admin/status.ts";
import { countersText } from "../../screen/status-text.ts";
import type { Branch, Flow } from "./flow-geometry.ts";

type Conservation = Status["conservation"];

export interface Sum {
  readonly left: readonly Branch[];
  readonly right: readonly Branch[];
  readonly holds: boolean;
}

/** `received = …` and `accepted = …`; terms that only a damaged journal has are omitted if zero. */
export function sumsOf(of: Conservation): readonly [Sum, Sum] {
  const inbound: Sum["right"] = [
    { name: "accepted", amount: of.accepted },
    { name: "duplicate", amount: of.duplicate },
    { name: "skipped", amount: of.skipped },
    { name: "quarantined", amount: of.quarantined },
  ];
  const accepted = [{ name: "accepted", amount: of.accepted }, ...rare("uncounted", of.uncounted)];
  const outbound = [
    { name: "delivered", amount: of.delivered },
    { name: "pending", amount: of.pending },
    { name: "dead-lettered", amount: of.deadLettered },
    ...rare("lost", of.lost),
  ];
  return [sum([{ name: "received", amount: of.received }], inbound), sum(accepted, outbound)];
}

/** The same sums as a flow from left to right. */
export function flowOf(of: Conservation): Flow {
  const [{ left, right: first }, { right: second }] = sumsOf(of);
  const [source = { name: "received", amount: 0 }] = left;
  return { source, first, extra: { name: "uncounted", amount: of.uncounted }, second };
}

export interface Verdict {
  readonly kind: "ok" | "warn" | "bad";
  readonly text: string;
}

/** Says in one sentence whether every record is accounted for. */
export function verdictOf(of: Conservation, counters: CounterState): Verdict {
  const restoring = countersText(counters);
  if (restoring !== undefined) return { kind: "warn", text: `Counters ${restoring}` };
  if (sumsOf(of).every(({ holds }) => holds))
    return { kind: "ok", text: "The sums hold: every record is accounted for" };
  return {
    kind: "bad",
    text: "The sums do not add up. That is a bug: please report it with the output of status --json",
  };
}

function sum(left: readonly Branch[], right: readonly Branch[]): Sum {
  return { left, right, holds: totalOf(left) === totalOf(right) };
}

function rare(name: string, amount: number): readonly Branch[] {
  return amount === 0 ? [] : [{ name, amount }];
}

function totalOf(terms: readonly Branch[]): number {
  return terms.reduce((total, { amount }) => total + amount, 0);
}

/** The meaning of each term of the sums. */
export const meanings: Readonly<Record<string, string>> = {
  received: "records that came in, by stream, webhook or poll",
  accepted: "valid and new: stored, and the sender was answered",
  duplicate: "received before: not counted again",
  skipped: "of a kind that is not collected",
  quarantined: "invalid: kept below with the reason",
  uncounted: "stored or delivered, but missing from the counters since the journal was damaged",
  delivered: "accepted by the backend; if nothing is exported, stored",
  pending: "waiting for the backend, in the journal",
  "dead-lettered": "rejected by the backend: kept below, to be retried",
  lost: "gone with a damaged journal before they were known to be delivered",
};
