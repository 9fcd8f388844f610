/** The state of an instance as plain data, for `/api/v1/status`, `status` and `/readyz`. */
import type { Config } from "../config/schema.ts";
import type { Journal, JournalSpace, PolledType } from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { Clock } from "../lib/clock.ts";
import { timeText } from "../lib/rfc3339.ts";
import type { Counting } from "../pipeline/counting.ts";
import { type Conservation, conservationOf, horizonMs } from "../pipeline/observe.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import type { TailnetTrouble } from "../tailscale/index.ts";
import type { ScrapeStatus } from "../tailscale/scrape.ts";
import { type DestinationStatus, type SignalHealth, writtenTimes } from "./destinations.ts";
import { type RedeliveryDeps, type RedeliveryReport, redeliveryReports } from "./redeliveries.ts";

export type { SignalHealth } from "./destinations.ts";

export type PollHealth = ScrapeStatus & { readonly log: string };

/** What the components of a running instance report. */
export interface Health {
  /** Why records cannot be accepted; empty if they can. */
  readonly notReady: readonly string[];
  readonly export: Readonly<Record<"logs" | "metrics", SignalHealth>>;
  readonly polls: readonly PollHealth[];
  /** Further destinations; absent in the answer of an older version. */
  readonly destinations?: readonly DestinationStatus[];
  /** What should be set up in the tailnet, or read from it, and is not. */
  readonly tailnet: readonly TailnetTrouble[];
}

export interface Status {
  readonly version: string;
  /** The path of the journal; absent in the answer of an older version. */
  readonly statePath?: string;
  readonly notReady: readonly string[];
  readonly counters: CounterState;
  readonly conservation: Conservation;
  /** Rows that the journal lost; what was counted only in them is in neither sum. Absent in the answer of an older version. */
  readonly lostRows?: number;
  readonly delivery: {
    /** When the oldest record in the backlog was received, RFC 3339; absent if there is no backlog. */
    readonly pendingSince?: string;
    /** The last time that the backend accepted each signal since the start, RFC 3339. */
    readonly lastSuccess: Readonly<Record<string, string>>;
  };
  /** How far back duplicates are recognized, seconds. */
  readonly horizon: Readonly<Record<RecordType, number>>;
  /** Seconds of each log that were not polled because they are older than the dedup window. */
  readonly unverifiable: Readonly<Record<PolledType, number>>;
  readonly space: JournalSpace;
  readonly redeliveries: readonly RedeliveryReport[];
}

/** A running instance adds the following. */
export interface RunningStatus extends Status, Health {
  /** What is failing although records are accepted; empty if nothing is. */
  readonly degraded: readonly string[];
  /** All `notReady` and `degraded` reasons with their remedies; absent in the answer of an older version. */
  readonly troubles?: readonly Trouble[];
}

/** Something that is wrong now. */
export interface Trouble {
  /** `error`: records are not accepted. */
  readonly severity: "error" | "warning";
  readonly message: string;
  /** What to do, in sentences. */
  readonly remedy: string;
}

/**
 * After a start, the ledger counts the rows since its last snapshot again. Until then, they are missing from the counters and
 * from the ledger's terms of the conservation sums.
 */
export type CounterState =
  { readonly kind: "current" } | { readonly kind: "restoring"; readonly measuredRow: number; readonly lastRow: number };

export interface StatusDeps extends Pick<RedeliveryDeps, "journal" | "troubleOf"> {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly dedup: Config["dedup"];
  readonly version: string;
  readonly statePath: string;
  readonly counting: Pick<Counting, "isCaughtUp">;
  readonly notReady: () => readonly string[];
  /** By signal, epoch milliseconds. */
  readonly lastSuccess: () => Readonly<Partial<Record<string, number>>>;
}

export function statusOf(deps: StatusDeps): Status {
  const { journal, ledger, dedup, clock } = deps;
  const since = journal.pendingSince;
  const horizon = recordTypes.map((type) => [type, Math.round(horizonMs(journal, type, dedup, clock()) / 1000)]);
  const unverifiable = (type: PolledType) => ledger.sum("tailscale2otel.reconcile.unverifiable", { type });
  return {
    version: deps.version,
    statePath: deps.statePath,
    notReady: deps.notReady(),
    counters: deps.counting.isCaughtUp
      ? { kind: "current" }
      : { kind: "restoring", measuredRow: ledger.measuredSeq, lastRow: journal.lastSeq },
    conservation: conservationOf(journal, ledger),
    lostRows: journal.loss.rows,
    delivery: {
      ...(since === undefined ? {} : { pendingSince: timeText(since) }),
      lastSuccess: writtenTimes(deps.lastSuccess()),
    },
    horizon: Object.fromEntries(horizon) as Record<RecordType, number>,
    unverifiable: { flow: unverifiable("flow"), audit: unverifiable("audit") },
    space: journal.space,
    redeliveries: redeliveryReports(deps),
  };
}

/**
 * Why records cannot be accepted. The journal's reason is also the one for which an append fails and a receiver answers 503, so
 * they cannot disagree.
 */
export function notReadyReasons({ space }: Pick<Journal, "space">, isEnding: boolean): readonly string[] {
  return [...(space.refusal === undefined ? [] : [space.refusal]), ...(isEnding ? ["the program is stopping"] : [])];
}
