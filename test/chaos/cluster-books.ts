/** Compares what arrived at the backend of a cluster's chaos run, and what the counters say, with what was sent. */
import { setTimeout as wait } from "node:timers/promises";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { Account } from "./account.ts";
import { compareCounters } from "./comparison.ts";
import { totalNames } from "./traffic.ts";
import { CounterWatch } from "./watch.ts";

export interface ClusterBooks {
  readonly account: Account;
  readonly watch: CounterWatch;
  readonly sink: OtlpSink;
  /**
   * Resolves once everything answered has arrived and the counters match. If nothing changes for a long time, notes what is
   * missing and resolves as well.
   */
  settled(pending: () => Promise<number>): Promise<void>;
}

/** Far longer than any back-off of a running program; without a change for this long, it is stuck. */
export const stuckMs = 180_000;

/** Starts a backend that accepts everything and keeps it in the books alone. */
export async function openBooks(): Promise<ClusterBooks> {
  const account = new Account();
  const watch = new CounterWatch(account, "commits are told later");
  const sink = await startOtlpSink({ forgets: true });
  sink.behave((request) => {
    watch.exported(request.points);
    for (const log of request.logs) account.arrived(log, true);
    return { kind: "take" };
  });

  /** What is still missing, in words; undefined if nothing is. */
  async function missing(pending: () => Promise<number>): Promise<string | undefined> {
    const outstanding = account.outstanding();
    if (outstanding.length > 0) return `${outstanding.length} records have not arrived, such as ${outstanding[0]}`;
    const waiting = await pending();
    if (waiting !== 0) return `${waiting} records are pending`;
    const totals = watch.totals();
    const left = account.leftSums;
    const uneven = totalNames.find((name) => totals[name] !== left[name]);
    return uneven && `${uneven}: exported ${totals[uneven]}, arrived ${left[uneven]}`;
  }

  return {
    account,
    watch,
    sink,
    async settled(pending) {
      let before: string | undefined;
      let since = performance.now();
      for (let now = await missing(pending); now !== undefined; now = await missing(pending)) {
        if (account.violations.length > 0) return;
        if (now !== before) since = performance.now();
        before = now;
        if (performance.now() - since > stuckMs) return void account.violations.push(`stuck: ${now}`);
        await wait(20);
      }
      compareCounters(account, watch, account.accepted());
    },
  };
}
