/** Replays and retries of dead letters: their progress, and how they resume after a restart. */
import type { Journal, Redelivery } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";

export const redeliveryNames: readonly Redelivery["name"][] = ["replay", "retry"];

/** The progress of a replay, or of a retry of dead letters. Times are RFC 3339. */
export interface RedeliveryReport {
  readonly name: Redelivery["name"];
  readonly state: "in progress" | "finished" | "cancelled";
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Of a replay: when the records were received. */
  readonly since?: string;
  readonly until?: string;
  /** In records. */
  readonly total: number;
  readonly delivered: number;
  readonly rejected: number;
  /** Why it makes no progress. */
  readonly trouble?: string;
}

export interface RedeliveryDeps {
  readonly journal: Journal;
  /** Why nothing can be exported; `undefined` if it can. */
  readonly cannotSend: () => string | undefined;
  /** Begins to export, or ends it. */
  readonly redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined) => void;
  /** Why it makes no progress, if it does not. */
  readonly troubleOf: (name: Redelivery["name"]) => string | undefined;
}

/** Resumes what was in progress when the program ended, or was requested while it was not running. */
export function resumeRedeliveries({ journal, cannotSend, redeliver }: RedeliveryDeps, logger: Logger): void {
  const reason = cannotSend();
  for (const name of redeliveryNames) {
    const redelivery = journal.redelivery(name);
    if (redelivery === undefined || !isInProgress(redelivery)) continue;
    if (reason === undefined) {
      redeliver(name, redelivery);
      continue;
    }
    journal.cancelRedelivery(name);
    logger.warn(`the ${name} that was in progress is cancelled`, { reason });
  }
}

/** The current or last one of each name. */
export function redeliveryReports(deps: Pick<RedeliveryDeps, "journal" | "troubleOf">): readonly RedeliveryReport[] {
  return redeliveryNames.flatMap((name) => {
    const known = deps.journal.redelivery(name);
    return known === undefined ? [] : [reportOf(known, deps)];
  });
}

export function reportOf(redelivery: Redelivery, { troubleOf }: Pick<RedeliveryDeps, "troubleOf">): RedeliveryReport {
  const { name, id, endedAt, isCancelled, total, cursor, range } = redelivery;
  const trouble = isInProgress(redelivery) ? troubleOf(name) : undefined;
  return {
    name,
    state: endedAt === undefined ? "in progress" : isCancelled === true ? "cancelled" : "finished",
    startedAt: timeText(id),
    ...(endedAt === undefined ? {} : { endedAt: timeText(endedAt) }),
    ...(range === undefined ? {} : { since: timeText(range.since), until: timeText(range.until) }),
    total,
    delivered: cursor.records.delivered,
    rejected: cursor.records.deadLettered,
    ...(trouble === undefined ? {} : { trouble }),
  };
}

export function isInProgress({ endedAt }: Redelivery): boolean {
  return endedAt === undefined;
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
