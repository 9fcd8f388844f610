/** How every engine plans, continues and ends redeliveries. */
import { conditionOf, type MarkTable, storedName } from "./items.ts";
import {
  primaryDestination,
  type QuarantineFilter,
  type Redelivery,
  type RedeliveryProgress,
  startOfJournal,
} from "./journal.ts";

/** Stored redeliveries, including changes of the open transaction. One that cannot be read counts as absent. */
export interface StoredRedeliveries {
  get(name: `redelivery.${string}`): Redelivery | undefined;
  set(name: `redelivery.${string}`, value: Redelivery | undefined): void;
}

interface RedeliveryName extends Pick<Redelivery, "name"> {
  readonly destination?: string | undefined;
}

/** Result of planning: the first and last row or mark, and the number of records. */
export interface Planned {
  readonly first: number | null;
  readonly last: number | null;
  readonly total: number;
}

export function redeliveryKey({ name, destination = primaryDestination }: RedeliveryName): `redelivery.${string}` {
  return destination === primaryDestination ? `redelivery.${name}` : `redelivery.${name}.${destination}`;
}

/** The running redeliveries of that name, for the primary destination and the given ones. */
export function runningRedeliveries(
  stored: Pick<StoredRedeliveries, "get">,
  name: Redelivery["name"],
  destinations: readonly string[],
): readonly Redelivery[] {
  return [undefined, ...destinations].flatMap((destination) => running(stored, { name, destination }) ?? []);
}

/** Stores their progress. Returns the ids of marks to remove. */
export function reportRedeliveries(
  stored: StoredRedeliveries,
  reports: readonly RedeliveryProgress[],
  now: number,
): readonly number[] {
  return reports.flatMap(({ id, cursor, taken, isOver, ...of }) => {
    const known = running(stored, of);
    if (known?.id !== id) return [];
    stored.set(redeliveryKey(of), { ...known, cursor, ...(isOver && { endedAt: now }) });
    return taken;
  });
}

/** Returns true if it was running. */
export function cancelRedelivery(stored: StoredRedeliveries, of: RedeliveryName, now: number): boolean {
  const known = running(stored, of);
  if (known !== undefined) stored.set(redeliveryKey(of), { ...known, endedAt: now, isCancelled: true });
  return known !== undefined;
}

/** A replay of the planned rows. */
export function replayOf(
  { first, last, total }: Planned,
  range: NonNullable<Redelivery["range"]>,
  id: number,
  destination: string,
): Redelivery {
  const cursor = { ...startOfJournal, seq: first ?? 1 };
  return { name: "replay", ...named(destination), id, range, cursor, untilSeq: (last ?? 0) + 1, total };
}

/** A retry of the current dead letters that match. */
export async function planRetry(table: MarkTable, filter: QuarantineFilter, id: number): Promise<Redelivery> {
  const { destination = primaryDestination } = filter;
  const marks: QuarantineFilter = { ...filter, class: "dead_letter", destination };
  const { where, values } = conditionOf(marks, table);
  const columns = "MIN(seq) AS first, MAX(id) AS last, COALESCE(SUM(to_line - from_line), 0) AS total";
  const [found] = await table.query<Planned>(columns, `WHERE ${where}`, values);
  const { first, last, total } = found ?? { first: null, last: null, total: 0 };
  const cursor = { ...startOfJournal, seq: first ?? 1 };
  return { name: "retry", ...named(destination), id, marks, cursor, untilSeq: (last ?? 0) + 1, total };
}

function running(stored: Pick<StoredRedeliveries, "get">, of: RedeliveryName): Redelivery | undefined {
  const known = stored.get(redeliveryKey(of));
  return known?.endedAt === undefined ? known : undefined;
}

function named(destination: string): Pick<Redelivery, "destination"> {
  return storedName(destination) === null ? {} : { destination };
}
