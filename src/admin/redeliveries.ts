/** Replays and retries of dead letters: their progress, and how they resume after a restart. */
import { type Journal, primaryDestination, type Redelivery } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";
import { timeText } from "../lib/rfc3339.ts";

export const redeliveryNames: readonly Redelivery["name"][] = ["replay", "retry"];

/** The progress of a replay, or of a retry of dead letters. Times are RFC 3339. */
export interface RedeliveryReport {
  readonly name: Redelivery["name"];
  /** Absent: the primary destination. */
  readonly destination?: string;
  readonly state: "in progress" | "finished" | "cancelled";
  readonly startedAt: string;
  readonly endedAt?: string;
  /** For a replay: when the records were received. */
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
  readonly cannotSend: (destination?: string) => string | undefined;
  /** Starts an export, or ends it. */
  readonly redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined, destination?: string) => void;
  /** Why it makes no progress, if so. */
  readonly troubleOf: (name: Redelivery["name"], destination?: string) => string | undefined;
}

/** Resumes redeliveries that were in progress when the program ended, or were requested while it was not running. */
export async function resumeRedeliveries(
  { journal, cannotSend, redeliver }: RedeliveryDeps,
  logger: Logger,
): Promise<void> {
  for (const redelivery of knownRedeliveries(journal)) {
    const { name, destination } = redelivery;
    if (!isInProgress(redelivery)) continue;
    const reason = cannotSend(destination);
    if (reason === undefined) {
      redeliver(name, redelivery, destination);
      continue;
    }
    await journal.cancelRedelivery(name, destination);
    logger.warn(`the ${name} that was in progress is cancelled`, { reason });
  }
}

/** The current or last redelivery of each name. */
export function redeliveryReports(deps: Pick<RedeliveryDeps, "journal" | "troubleOf">): readonly RedeliveryReport[] {
  return knownRedeliveries(deps.journal).map((known) => reportOf(known, deps));
}

function knownRedeliveries(journal: RedeliveryDeps["journal"]): readonly Redelivery[] {
  const destinations = [primaryDestination, ...journal.destinations.map(({ name }) => name)];
  return destinations.flatMap((one) => redeliveryNames.flatMap((name) => journal.redelivery(name, one) ?? []));
}

export function reportOf(redelivery: Redelivery, { troubleOf }: Pick<RedeliveryDeps, "troubleOf">): RedeliveryReport {
  const { name, destination, id, endedAt, isCancelled, total, cursor, range } = redelivery;
  const trouble = isInProgress(redelivery) ? troubleOf(name, destination) : undefined;
  return {
    name,
    ...(destination === undefined ? {} : { destination }),
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
