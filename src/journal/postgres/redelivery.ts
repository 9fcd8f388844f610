/** Plans of what is delivered again: the rows of a replay, the marks of a retry. */
import { recordTypes } from "../../records/types.ts";
import { storedName } from "../items.ts";
import { primaryDestination, type QuarantineFilter, type Redelivery, startOfJournal } from "../journal.ts";
import type { Destinations } from "./destinations.ts";
import { conditionOf } from "./rows.ts";
import { heldDay } from "./storage.ts";
import type { Leading } from "./writer.ts";

interface PlanDeps extends Leading {
  readonly destinations: Destinations;
}

const dayMs = 86_400_000;
const maxInteger = 2 ** 31 - 1;

/** A replay of the rows that the destination has, as far as they were received in that range. No row may leave meanwhile. */
export async function planReplay(
  { connection, schema, state, destinations }: PlanDeps,
  range: NonNullable<Redelivery["range"]>,
  id: number,
  destination = primaryDestination,
): Promise<Redelivery> {
  const account = destinations.accounts.find(({ name }) => name === destination);
  const end = (account ?? state).cursor.seq;
  const dayOf = (at: number): number => Math.max(0, Math.min(maxInteger, Math.floor(at / dayMs)));
  const [found] = await connection.query<{ first: number | null; last: number | null; total: number }>(
    `SELECT MIN(seq) AS first, MAX(seq) AS last, COALESCE(SUM(records), 0)::bigint AS total FROM ${schema}.batch
      WHERE seq < $1 AND accepted_at BETWEEN $2 AND $3 AND (day BETWEEN $4 AND $5 OR day = ${heldDay})
        AND type IN (SELECT json_array_elements_text($6::json))`,
    [
      end,
      Math.ceil(range.since),
      Math.floor(range.until),
      dayOf(range.since),
      dayOf(range.until),
      JSON.stringify(account?.types ?? recordTypes),
    ],
  );
  const { first, last, total } = found ?? { first: null, last: null, total: 0 };
  const cursor = { ...startOfJournal, seq: first ?? 1 };
  return { name: "replay", ...named(destination), id, range, cursor, untilSeq: (last ?? 0) + 1, total };
}

/** A retry of the present dead letters that match. */
export async function planRetry(
  { connection, schema }: Leading,
  filter: QuarantineFilter,
  id: number,
): Promise<Redelivery> {
  const { destination = primaryDestination } = filter;
  const marks: QuarantineFilter = { ...filter, class: "dead_letter", destination };
  const { where, values } = conditionOf(marks);
  const sql = `SELECT COALESCE(MIN(seq), 1) AS first, COALESCE(MAX(id), 0) AS last,
      COALESCE(SUM(to_line - from_line), 0)::bigint AS total FROM ${schema}.mark WHERE ${where}`;
  const [found] = await connection.query<{ first: number; last: number; total: number }>(sql, values);
  const { first, last, total } = found ?? { first: 1, last: 0, total: 0 };
  const cursor = { ...startOfJournal, seq: first };
  return { name: "retry", ...named(destination), id, marks, cursor, untilSeq: last + 1, total };
}

function named(destination: string): Pick<Redelivery, "destination"> {
  return storedName(destination) === null ? {} : { destination };
}
