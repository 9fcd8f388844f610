/** The state of an instance as plain data: what `/api/status` answers and `status` shows. */
import type { Config } from "../config/schema.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import type { JournalSpace, PolledType } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Counting } from "../pipeline/counting.ts";
import { type Conservation, conservationOf, horizonMs } from "../pipeline/observe.ts";
import type { RedeliveryReport } from "./kept-types.ts";
import { type KeptDeps, redeliveryReports } from "./kept.ts";

export interface Status {
  readonly version: string;
  /** Why records cannot be accepted at the moment; empty if they can. */
  readonly notReady: readonly string[];
  readonly counters: CounterState;
  readonly conservation: Conservation;
  readonly delivery: {
    /** When the oldest record in the backlog was received, RFC 3339; absent if there is no backlog. */
    readonly pendingSince?: string;
    /** The last time that the backend accepted each signal since the start, RFC 3339. */
    readonly lastSuccess: Readonly<Record<string, string>>;
  };
  /** How far back duplicates are recognised, seconds. */
  readonly horizon: Readonly<Record<RecordType, number>>;
  /** Seconds of each log that were not polled, since duplicates of what the stream brought could not be recognised there. */
  readonly unverifiable: Readonly<Record<PolledType, number>>;
  readonly space: JournalSpace;
  readonly redeliveries: readonly RedeliveryReport[];
}

/**
 * After a start the ledger measures the rows behind its last snapshot again; until it has, the counters lack them, and so
 * do the ledger's terms of the conservation sums.
 */
export type CounterState =
  { readonly kind: "current" } | { readonly kind: "restoring"; readonly measuredRow: number; readonly lastRow: number };

export interface StatusDeps extends Pick<KeptDeps, "journal" | "troubleOf" | "clock"> {
  readonly ledger: Ledger;
  readonly dedup: Config["dedup"];
  readonly version: string;
  readonly counting: Pick<Counting, "isCaughtUp">;
  readonly notReady: () => readonly string[];
  /** By signal, epoch milliseconds. */
  readonly lastSuccess: () => Readonly<Partial<Record<string, number>>>;
}

/** The same with RFC 3339 for the times that the export's health has in epoch milliseconds. */
export function withWrittenTimes(status: object): object {
  if (!("export" in status) || typeof status.export !== "object" || status.export === null) return status;
  const health = Object.entries(status.export).map(([signal, state]: [string, unknown]) => {
    if (typeof state !== "object" || state === null || !("since" in state)) return [signal, state] as const;
    const { since } = state;
    return [signal, typeof since === "number" ? { ...state, since: new Date(since).toISOString() } : state] as const;
  });
  return { ...status, export: Object.fromEntries(health) };
}

export function statusOf(deps: StatusDeps): Status {
  const { journal, ledger, dedup, clock } = deps;
  const since = journal.pendingSince;
  const lastSuccess = Object.entries(deps.lastSuccess()).flatMap(([signal, at]) =>
    at === undefined ? [] : [[signal, new Date(at).toISOString()] as const],
  );
  const horizon = recordTypes.map((type) => [type, Math.round(horizonMs(journal, type, dedup, clock()) / 1000)]);
  return {
    version: deps.version,
    notReady: deps.notReady(),
    counters: deps.counting.isCaughtUp
      ? { kind: "current" }
      : { kind: "restoring", measuredRow: ledger.measuredSeq, lastRow: journal.lastSeq },
    conservation: conservationOf(journal, ledger),
    delivery: {
      ...(since === undefined ? {} : { pendingSince: new Date(since).toISOString() }),
      lastSuccess: Object.fromEntries(lastSuccess),
    },
    horizon: Object.fromEntries(horizon) as Record<RecordType, number>,
    unverifiable: {
      flow: ledger.sum("tailscale2otel.reconcile.unverifiable", { type: "flow" }),
      audit: ledger.sum("tailscale2otel.reconcile.unverifiable", { type: "audit" }),
    },
    space: journal.space,
    redeliveries: redeliveryReports(deps),
  };
}
