/**
 * Keeps the history by minute of acceptance. It is derived from the sums of the open interval: when the minute changes, the
 * interval ends or a reader asks, the interval's growth since the last time is added to the minute. Nothing is done per entry.
 */
import { setImmediate as afterOthers } from "node:timers/promises";
import { Damaged, type Journal, type MinuteChanges, type MinuteGap, type StoredMinute } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";
import { Growth } from "./growth.ts";
import { addMinute, addRecords, minuteMs, type MinuteSums, noMinute, totalsLength } from "./minute.ts";
import { addPacked, packMinute, unpackMinute, unpackTotals } from "./packed-minute.ts";
import type { FlowSums } from "./talkers.ts";

/** Minutes kept unpacked, because one that has ended is soon added to again if records were in flight then. */
const maxOpen = 4;

/** Packed minutes kept until they are stored. Beyond that, only totals are kept, and rebuilding waits. */
const maxPacked = 2000;

/** Minutes whose totals are read from the journal at once. */
const minutesAtOnce = 200;

/** Edges whose growth is added in one step: about 2 ms. */
const edgesPerStep = 4096;

/** Adds everything that is known about a minute to `into`. Resolves with false if it is damaged. */
export type AddTo = (into: MinuteSums) => Promise<boolean>;

interface OpenMinute {
  readonly sums: MinuteSums;
  /** True if the sums include what was stored of it before. */
  isWhole: boolean;
  /** True if it has changes that are not stored yet. */
  isChanged: boolean;
  /** Its stored form, unless it has changed since. */
  packed: StoredMinute | undefined;
}

export class Minutes {
  readonly #journal: Pick<Journal, "minutes">;
  readonly #logger: Logger;
  readonly #interval: () => FlowSums;
  readonly #growth = new Growth();
  /** Most recently used last. */
  readonly #open = new Map<number, OpenMinute>();
  /** Closed minutes that are not stored yet. */
  readonly #packed = new Map<number, StoredMinute>();
  #isClosing = false;
  /** The minute to which growth belongs. */
  #at: number | undefined;
  #gap: MinuteGap | undefined;
  #storedSeq: number;
  /** The totals of everything counted since the start, as of the last `settle`. */
  readonly counted = new Float64Array(totalsLength);

  /** `storedSeq`: the last row that the stored minutes include. */
  constructor(journal: Pick<Journal, "minutes">, logger: Logger, storedSeq: number, interval: () => FlowSums) {
    this.#journal = journal;
    this.#logger = logger;
    this.#interval = interval;
    this.#storedSeq = storedSeq;
    this.#gap = journal.minutes.gap;
  }

  /** Sets when what is counted from now on was received, epoch milliseconds. */
  begin(receivedAt: number): void {
    const at = minuteOf(receivedAt);
    if (at === this.#at) return;
    this.settle();
    this.#at = at;
  }

  /** Adds records to the minute that was begun. */
  count(type: "audit" | "webhook", records: number): void {
    if (this.#at !== undefined) addRecords(this.#changing(this.#at), type, records);
  }

  /** Brings the minutes up to date: up to 20 ms if the interval is full, and 1 ms right after `settleInSteps`. */
  settle(): void {
    this.#settle();
  }

  /** Leaves little for `settle` to do: only what other work counts between these steps. */
  async settleInSteps(): Promise<void> {
    for (let from = 0; from < this.#interval().seen.length; from += edgesPerStep) {
      this.#settle(from, Math.min(from + edgesPerStep, this.#interval().seen.length));
      await afterOthers();
    }
  }

  /** Brings the minutes up to date. True if `complete` must be called before `changes`. */
  get isIncomplete(): boolean {
    this.settle();
    return this.#open.values().some(({ isWhole }) => !isWhole);
  }

  /** Adds the stored part of the open minutes. @throws if the journal cannot be read. */
  async complete(): Promise<void> {
    for (const [at, minute] of this.#open) await this.#complete(at, minute);
  }

  /**
   * What has changed since it was last stored. It counts as stored once it is passed to `stored`. Called before an interval
   * ends, in the turn in which `isIncomplete` was false.
   */
  changes(): MinuteChanges {
    for (const [at, minute] of this.#open) if (minute.isChanged) minute.packed ??= packMinute(at, minute.sums);
    const open = [...this.#open.values()].flatMap(({ isChanged, packed }) => (isChanged && packed ? [packed] : []));
    return { changed: [...this.#packed.values(), ...open], gap: this.#gap };
  }

  /** Called when these changes are committed, with all rows up to `measuredSeq`. */
  stored({ changed }: MinuteChanges, measuredSeq: number): void {
    this.#storedSeq = measuredSeq;
    for (const minute of changed) {
      const { at } = minute;
      if (this.#packed.get(at) === minute) this.#packed.delete(at);
      const open = this.#open.get(at);
      if (open?.packed === minute) open.isChanged = false;
    }
  }

  /** Rows that are still to be added to the minutes, by `rebuild`. */
  get gap(): MinuteGap | undefined {
    return this.#gap;
  }

  get hasRoom(): boolean {
    return this.#packed.size < maxPacked;
  }

  /** The minute to which a row of the gap is added. */
  rebuild(receivedAt: number): MinuteSums {
    return this.#changing(minuteOf(receivedAt));
  }

  /** Called when all rows of the gap below `seq` have been added. */
  rebuilt(seq: number): void {
    if (this.#gap !== undefined) this.#gap = seq > this.#gap.until ? undefined : { ...this.#gap, from: seq };
  }

  /** The totals of the minutes from `since` up to `before` (exclusive), oldest first. */
  async *totals(since: number, before: number): AsyncGenerator<readonly [at: number, totals: Float64Array]> {
    for (let from = since; ;) {
      const read = await this.#journal.minutes.totals(from, before, minutesAtOnce);
      const stored = new Map(read.map(({ at, totals }) => [at, totals]));
      const end = stored.size < minutesAtOnce ? before : Math.max(...stored.keys()) + 1;
      const held = [...this.#open.keys(), ...this.#packed.keys()].filter((at) => at >= from && at < end);
      for (const at of [...new Set([...stored.keys(), ...held])].toSorted((one, other) => one - other)) {
        const open = this.#open.get(at);
        const packed = this.#packed.get(at)?.totals ?? stored.get(at);
        let totals = packed && unpackTotals(packed);
        if (open !== undefined) ({ totals } = await this.#complete(at, open));
        // A minute that was held may have been stored and released since.
        else if (totals === undefined && !stored.has(at))
          totals = await this.#closed(at, (one) => unpackTotals(one.totals));
        if (totals !== undefined) yield [at, totals];
        else if (stored.has(at)) this.#lost(at);
      }
      if (end === before) return;
      from = end;
    }
  }

  /** The same minutes, with functions that add everything that is known about them. */
  async *read(since: number, before: number): AsyncGenerator<readonly [at: number, addTo: AddTo]> {
    for await (const [at] of this.totals(since, before)) yield [at, (into) => this.#addTo(into, at)];
  }

  async #addTo(into: MinuteSums, at: number): Promise<boolean> {
    const open = this.#open.get(at);
    if (open !== undefined) addMinute(into, await this.#complete(at, open));
    return open !== undefined || (await this.#closed(at, (packed) => addPacked(into, packed))) !== undefined;
  }

  #settle(from?: number, end?: number): void {
    const at = this.#at;
    if (at !== undefined) this.#growth.addTo(() => this.#changing(at), this.#interval(), this.counted, from, end);
  }

  /** The sums of a minute to change. Never reads the journal, so that counting does not fail if reading does. */
  #changing(at: number): MinuteSums {
    const known = this.#open.get(at);
    const packed = known === undefined ? this.#packed.get(at) : undefined;
    const minute: OpenMinute = known ?? {
      sums: packed === undefined ? noMinute() : unpackMinute(packed),
      isWhole: packed !== undefined,
      isChanged: true,
      packed: undefined,
    };
    minute.isChanged = true;
    minute.packed = undefined;
    this.#packed.delete(at);
    this.#open.delete(at);
    this.#open.set(at, minute);
    void this.#closeOldest();
    return minute.sums;
  }

  /** Adds the stored part of an open minute, once. @throws if the journal cannot be read. */
  async #complete(at: number, minute: OpenMinute): Promise<MinuteSums> {
    if (minute.isWhole) return minute.sums;
    await this.#closed(at, (packed) => {
      if (!minute.isWhole) addPacked(minute.sums, packed);
      minute.isWhole = true;
    });
    minute.isWhole = true;
    return minute.sums;
  }

  /** Closes the least recently used minutes, or does so later if the journal cannot be read. Never rejects. */
  async #closeOldest(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    try {
      while (this.#open.size > maxOpen) {
        const [at, minute] = this.#open.entries().next().value as [number, OpenMinute];
        if (!minute.isWhole) await this.#complete(at, minute);
        this.#open.delete(at);
        if (minute.isChanged) this.#hold(at, minute.packed ?? packMinute(at, minute.sums));
      }
    } catch {
      // The minutes stay open.
    } finally {
      this.#isClosing = false;
    }
  }

  /** Holds a minute until it is stored; if there are too many, drops the details of the first one. */
  #hold(at: number, packed: StoredMinute): void {
    this.#packed.set(at, packed);
    if (this.#packed.size <= maxPacked) return;
    const first = this.#packed.values().find(({ detail }) => detail.length > noDetail.length);
    if (first !== undefined) this.#packed.set(first.at, { ...first, detail: noDetail });
  }

  /** What `read` returns for a minute that is not open; undefined if there is none, or if it is damaged. */
  async #closed<Result>(at: number, read: (packed: StoredMinute) => Result): Promise<Result | undefined> {
    try {
      const packed = this.#packed.get(at) ?? (await this.#journal.minutes.read(at));
      return packed && read(packed);
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      this.#lost(at);
      return undefined;
    }
  }

  /** Has a damaged minute rebuilt from its rows. One at a time, because others will be found again. */
  #lost(at: number): void {
    if (this.#gap !== undefined) return;
    const minute = new Date(at).toISOString();
    this.#logger.warn("a minute of the history is damaged; what the journal still holds of it is summed up again", {
      minute,
    });
    this.#gap = { from: 1, until: this.#storedSeq, since: at, before: at + minuteMs };
    this.#packed.set(at, packMinute(at, noMinute()));
  }
}

const noDetail = packMinute(0, noMinute()).detail;

function minuteOf(time: number): number {
  return Math.floor(time / minuteMs) * minuteMs;
}
