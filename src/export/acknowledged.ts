/**
 * The totals that a destination has acknowledged, for `temporality = "delta"`. They are kept in the journal's state as soon as
 * a request is answered, so that a kill repeats only what had no answer yet. There are never more of them than the ledger has
 * series: 32 bytes each in memory, about 10 in the state.
 */
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { metrics as catalogue } from "../catalogue/metrics.ts";
import type { HrTime } from "../lib/clock.ts";
import { attempt, type Logger } from "../lib/logger.ts";
import type { Journal } from "../journal/index.ts";
import { directionOf, type Fold, type LedgerAttributes } from "../ledger/index.ts";
import type { Temporality } from "./fold-points.ts";

/** What is acknowledged of a series, by its number: four columns. A start of 0: no series has this number. */
export interface SeriesColumns {
  readonly total: number[];
  /** Epoch milliseconds; with the number, it tells one series from the next that gets the number. */
  readonly startAt: number[];
  /** Up to when it is acknowledged, epoch milliseconds. */
  readonly until: number[];
  readonly direction: string[];
}

/** What is acknowledged of the series that are retired, of one direction. */
export interface Retired {
  total: number;
  until: number;
}

interface MetricTotals {
  readonly series: SeriesColumns;
  readonly retired: Record<string, Retired>;
}

/** What is acknowledged of an instrument of the process: numbers that only grow while it lives. */
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
  /** The name under which they are kept. */
  readonly destination: string;
  /** The ledger's last committed fold. */
  readonly shown: () => Fold;
  readonly logger: Logger;
}

/**
 * What a destination has acknowledged, from the journal, and how to keep what it acknowledges from now on. A destination that
 * is new, or was sent totals until now, begins with the counters as they are: what was counted before is not for it.
 * @throws {Unavailable} if that cannot be kept.
 */
export function keptTotals(temporality: Temporality, { journal, destination, shown, logger }: KeepingDeps) {
  const name = `acknowledged/${destination}`;
  let acknowledged = journal.readState(name);
  const isKept = acknowledged !== undefined && acknowledged.length > 0;
  if (temporality === "cumulative") {
    acknowledged = undefined;
    if (isKept) journal.writeState(name, new Uint8Array());
  } else if (!isKept) {
    acknowledged = packTotals(totalsAt(shown()));
    journal.writeState(name, acknowledged);
  }
  return {
    acknowledged,
    keep: (totals: Uint8Array): void =>
      attempt("cannot keep what the backend acknowledged; after a crash it would be sent again", logger, () =>
        journal.writeState(name, totals),
      ),
  };
}

/** Forgets what other destinations have acknowledged: one that is removed and comes back is new. @throws {Unavailable} */
export function forgetOthers(journal: KeepingDeps["journal"], destinations: readonly string[]): void {
  const stored = journal.readState("acknowledged");
  const known = stored === undefined ? [] : (JSON.parse(Buffer.from(stored).toString()) as string[]);
  for (const name of known.filter((one) => !destinations.includes(one)))
    journal.writeState(`acknowledged/${name}`, new Uint8Array());
  const isSame = known.length === destinations.length && known.every((name) => destinations.includes(name));
  if (!isSame) journal.writeState("acknowledged", Buffer.from(JSON.stringify(destinations)));
}

/** Makes room for a series of that number. */
export function grow({ total, startAt, until, direction }: SeriesColumns, number: number): void {
  while (startAt.length <= number) {
    total.push(0);
    startAt.push(0);
    until.push(0);
    direction.push("");
  }
}

/** A series begins under that number, or with a start of 0 ends. */
export function begin(series: SeriesColumns, number: number, startAt: number, direction: string): void {
  series.total[number] = 0;
  series.startAt[number] = startAt;
  series.until[number] = startAt;
  series.direction[number] = direction;
}

export function noTotals(): MetricTotals {
  return { series: { total: [], startAt: [], until: [], direction: [] }, retired: {} };
}

/** The totals of a destination that has acknowledged the fold. */
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

/** @throws {Error} if these are none. */
export function unpackTotals(packed: Uint8Array): Totals {
  return JSON.parse(zstdDecompressSync(packed).toString()) as Totals;
}
