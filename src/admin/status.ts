/** How an instance stands, in plain data: what `/api/status` and `status` show. */
import type { Journal } from "../journal/index.ts";
import type { JournalSpace, PolledType } from "../journal/types.ts";
import type { Ledger } from "../ledger/index.ts";
import { type Conservation, conservationOf } from "../pipeline/conservation.ts";
import { horizonMs, type StoreLimits } from "../pipeline/observe.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import { redeliveryReports, type KeptDeps } from "./kept.ts";
import type { RedeliveryReport } from "./kept-types.ts";

export interface Status {
  readonly version: string;
  /** Why nothing can be taken at the moment; empty where all is well. */
  readonly notReady: readonly string[];
  readonly conservation: Conservation;
  readonly delivery: {
    /** When the oldest record that waits was received, RFC 3339; absent where none waits. */
    readonly pendingSince?: string;
    /** When the backend took each signal last, RFC 3339; since the start. */
    readonly lastSuccess: Readonly<Record<string, string>>;
  };
  /** How far back records are known again, seconds. */
  readonly horizon: Readonly<Record<RecordType, number>>;
  /** Seconds of each log that were not polled, since what the stream brought there was no longer known. */
  readonly unverifiable: Readonly<Record<PolledType, number>>;
  readonly space: JournalSpace;
  readonly redeliveries: readonly RedeliveryReport[];
}

export interface StatusDeps extends Pick<KeptDeps, "journal" | "troubleOf" | "clock"> {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly limits: StoreLimits;
  readonly version: string;
  readonly notReady: () => readonly string[];
  /** By signal, epoch milliseconds. */
  readonly lastSuccess: () => Readonly<Partial<Record<string, number>>>;
}

export function statusOf(deps: StatusDeps): Status {
  const { journal, ledger, limits, clock } = deps;
  const since = journal.pendingSince;
  const lastSuccess = Object.entries(deps.lastSuccess()).flatMap(([signal, at]) =>
    at === undefined ? [] : [[signal, new Date(at).toISOString()] as const],
  );
  const horizon = recordTypes.map((type) => [type, Math.round(horizonMs(journal, type, limits, clock()) / 1000)]);
  return {
    version: deps.version,
    notReady: deps.notReady(),
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
