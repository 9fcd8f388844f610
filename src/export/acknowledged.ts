/**
 * The totals that a destination has acknowledged, for `temporality = "delta"`. They are saved in the journal's state as soon as
 * a request is answered, so a crash repeats only unanswered requests. There are never more of them than the ledger has
 * series: 32 bytes each in memory, about 10 in the state.
 */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { metrics as catalogue } from "../catalogue/metrics.ts";
import type { HrTime } from "../lib/clock.ts";
import { attempt, type Logger } from "../lib/logger.ts";
import type { Journal } from "../journal/index.ts";
import type { Fold } from "../ledger/index.ts";
import { directionOf, type LedgerAttributes } from "../ledger/series.ts";

/** Acknowledged totals as four columns, indexed by series number. A start of 0 means that no series has this number. */
export interface SeriesColumns {
  readonly total: number[];
  /** Epoch milliseconds; tells a series from a later one with the same number. */
  readonly startAt: number[];
  /** It is acknowledged up to this time, epoch milliseconds. */
  readonly until: number[];
  readonly direction: string[];
}

/** The acknowledged total of all retired series of one direction. */
export interface Retired {
  total: number;
  until: number;
}

interface MetricTotals {
  readonly series: SeriesColumns;
  readonly retired: Record<string, Retired>;
}

/** The acknowledged values of an instrument of the process, which only grow while the process lives. */
export interface InstrumentTotals {
  readonly start: HrTime;
  readonly until: HrTime;
  readonly numbers: readonly number[];
}

export interface Totals {
  /** Epoch milliseconds. */
  readonly begunAt: number;
  readonly metrics: Record<string, MetricTotals>;
  readonly instruments: Record<string, InstrumentTotals>;
}

export interface KeepingDeps {
  readonly journal: Pick<Journal, "readState" | "writeState">;
  /** The ledger's last committed fold. */
  readonly shown: () => Fold;
  readonly logger: Logger;
}

/** State key of the list of destinations that have totals. */
const listName = "acknowledged";

/**
 * Loads the acknowledged totals of each destination, by name. A destination that is new, or was absent at the last start,
 * begins with the current counters, so earlier counts are not sent to it. The totals of other destinations are deleted.
 */
export function openTotals(deps: KeepingDeps, destinations: readonly string[]): ReadonlyMap<string, Uint8Array> {
  const { journal, shown } = deps;
  const list = journal.readState(listName);
  const known = list === undefined ? [] : (JSON.parse(Buffer.from(list).toString()) as string[]);
  const totals = new Map<string, Uint8Array>();
  for (const name of destinations) {
    const stored = known.includes(name) ? journal.readState(`${listName}/${name}`) : undefined;
    totals.set(name, stored ?? packTotals(totalsAt(shown())));
    if (stored === undefined) keepTotals(deps, name, totals.get(name) as Uint8Array);
  }
  for (const name of known) if (!totals.has(name)) keepTotals(deps, name, new Uint8Array());
  const isSame = known.length === totals.size && known.every((name) => totals.has(name));
  if (!isSame) write(deps, listName, Buffer.from(JSON.stringify(destinations)));
  return totals;
}

/** Saves the acknowledged totals of a destination. */
export function keepTotals(deps: KeepingDeps, destination: string, totals: Uint8Array): void {
  write(deps, `${listName}/${destination}`, totals);
}

function write({ journal, logger }: KeepingDeps, name: string, value: Uint8Array): void {
  const failure = "cannot keep what a backend has acknowledged; after a restart it could be sent again";
  void attempt(failure, logger, () => journal.writeState(name, value));
}

/** Makes room for a series with this number. */
export function grow({ total, startAt, until, direction }: SeriesColumns, number: number): void {
  while (startAt.length <= number) {
    total.push(0);
    startAt.push(0);
    until.push(0);
    direction.push("");
  }
}

/** Starts a series under this number; a start of 0 ends it. */
export function begin(series: SeriesColumns, number: number, startAt: number, direction: string): void {
  series.total[number] = 0;
  series.startAt[number] = startAt;
  series.until[number] = startAt;
  series.direction[number] = direction;
}

export function noTotals(): MetricTotals {
  return { series: { total: [], startAt: [], until: [], direction: [] }, retired: {} };
}

/** The totals of a destination that has acknowledged the whole fold. */
function totalsAt({ at, metrics: folded }: Fold): Totals {
  const metrics: Totals["metrics"] = {};
  for (const { name, sets, values, startAt, retired } of folded) {
    if (catalogue[name].kind === "gauge") continue;
    const { series } = (metrics[name] = noTotals());
    grow(series, values.length - 1);
    for (const [number, value] of values.entries()) {
      const attributes: LedgerAttributes | undefined = sets[number];
      if (attributes === undefined || Number.isNaN(value)) continue;
      begin(series, number, startAt[number] as number, directionOf(attributes));
      series.total[number] = value;
      series.until[number] = at;
    }
    for (const [direction, total] of Object.entries(retired)) metrics[name].retired[direction] = { total, until: at };
  }
  return { begunAt: at, metrics, instruments: {} };
}

export function packTotals(totals: Totals): Uint8Array<ArrayBuffer> {
  return new Uint8Array(zstdCompressSync(JSON.stringify(totals)));
}

/** @throws {Error} if the bytes are not packed totals. */
export function unpackTotals(packed: Uint8Array): Totals {
  return JSON.parse(zstdDecompressSync(packed).toString()) as Totals;
}
