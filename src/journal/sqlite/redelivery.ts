/** Plans of what is delivered again: the rows of a replay, the marks of a retry. */
import type { DatabaseSync } from "node:sqlite";
import { recordTypes } from "../../records/types.ts";
import { primaryDestination, type QuarantineFilter, type Redelivery, startOfJournal } from "../journal.ts";
import type { Space, SpaceDeps } from "./space.ts";
import { conditionOf } from "./marks.ts";

/** Rows looked at before others get a turn. */
const rowsAtOnce = 2000;

const statements = {
  ahead: "SELECT seq FROM batch WHERE seq >= ? ORDER BY seq LIMIT 1 OFFSET ?",
  inRange: `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0) AS total FROM batch
    WHERE seq >= ? AND seq < ? AND accepted_at BETWEEN ? AND ? AND type IN (SELECT value FROM json_each(?))`,
};

export type PlanDeps = Pick<SpaceDeps, "database" | "state" | "destinations" | "health"> & { readonly space: Space };

/**
 * A replay of the rows that the destination has, as far as they were received in that range. Rows are looked at in steps, and
 * none leaves meanwhile.
 * @throws {Unavailable} if the journal is closed before it is done.
 */
export function planReplay(
  { database, state, destinations, health, space }: PlanDeps,
  range: NonNullable<Redelivery["range"]>,
  id: number,
  destination = primaryDestination,
): Promise<Redelivery> {
  const account = destinations.accounts.find(({ name }) => name === destination);
  const end = (account ?? state).cursor.seq;
  const types = JSON.stringify(account?.types ?? recordTypes);
  const [ahead, inRange] = [database.prepare(statements.ahead), database.prepare(statements.inRange)];
  return space.holding(async () => {
    const plan = { first: undefined as number | undefined, last: 0, total: 0 };
    for (let from = 1; from < end;) {
      const next = ahead.get(from, rowsAtOnce) as { seq: number } | undefined;
      const to = Math.min(next?.seq ?? end, end);
      const found = inRange.get(from, to, range.since, range.until, types) as Record<keyof typeof plan, number>;
      plan.first ??= found.first ?? undefined;
      plan.last = found.last ?? plan.last;
      plan.total += found.total;
      from = to;
      if (from < end) await new Promise(setImmediate);
      health.mustBeOpen();
    }
    const cursor = { ...startOfJournal, seq: plan.first ?? 1 };
    return { name: "replay", ...named(destination), id, range, cursor, untilSeq: plan.last + 1, total: plan.total };
  });
}

/** The primary destination has no name in what is stored. */
function named(destination: string): Pick<Redelivery, "destination"> {
  return destination === primaryDestination ? {} : { destination };
}

/** A retry of the present dead letters that match. */
export function planRetry(database: DatabaseSync, filter: QuarantineFilter, id: number): Redelivery {
  const { destination = primaryDestination } = filter;
  const marks: QuarantineFilter = { ...filter, class: "dead_letter", destination };
  const { where, values } = conditionOf(marks);
  const sql = `SELECT COALESCE(MIN(seq), 1) AS first, COALESCE(MAX(id), 0) AS last, COALESCE(SUM(to_line - from_line), 0) AS total
    FROM mark WHERE ${where}`;
  const { first, last, total } = database.prepare(sql).get(...values) as Record<"first" | "last" | "total", number>;
  return {
    name: "retry",
    ...named(destination),
    id,
    marks,
    cursor: { ...startOfJournal, seq: first },
    untilSeq: last + 1,
    total,
  };
}
