/** Space and age: what may leave the journal, when, and what must not be taken in because there is no room for it. */
import { statSync } from "node:fs";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import type { SeenKey } from "../records/identity.ts";
import type { AgeClock } from "./age-clock.ts";
import type { Ballast } from "./ballast.ts";
import { readMeta, writeMeta } from "./meta.ts";
import { DamagedBlob } from "./pack.ts";
import { maxCharacters } from "./quarantine.ts";
import { sourceBits } from "./key-table.ts";
import { type Forgotten, type KeyClass, keyClasses, type SeenKeys, unpackKeys } from "./seen-keys.ts";
import type { Append, JournalSpace, PolledType } from "./types.ts";

/** Kept free for what leads out of "full": cursor, snapshot, deletion. */
const reserveBytes = 16 * 1024 * 1024;

/** Rows that leave in one go, so that no append waits long. */
const rowsAtOnce = 500;
const keyRowsAtOnce = 500;

/** Pages given back to the disk in one go: 1 MiB, and that several times while it is full. */
const vacuumPages = 256;
const timesWhenFull = 16;

/** A log of this size is part of the reserve: it is checkpointed at 4 MiB, and one transaction can write as much again. */
const usualWalBytes = 8 * 1024 * 1024;

/** Room beside a batch's own bytes for its keys, tally and pages. */
const overheadBytes = 64 * 1024;

export class Retention {
  readonly #database: DatabaseSync;
  readonly #options: {
    readonly maxBytes: number;
    readonly retentionMs: number;
    readonly seen: SeenKeys;
    readonly age: AgeClock;
    readonly ballast: Ballast;
    /** The write-ahead log's. */
    readonly walPath: string;
  };
  readonly #pageCount: StatementSync;
  readonly #freePages: StatementSync;
  readonly #pageBytes: number;
  readonly #deleteOld: StatementSync;
  readonly #deleteKeys: StatementSync;
  readonly #readKeys: StatementSync;

  constructor(
    database: DatabaseSync,
    options: {
      readonly maxBytes: number;
      readonly retentionMs: number;
      readonly seen: SeenKeys;
      readonly age: AgeClock;
      readonly ballast: Ballast;
      readonly walPath: string;
    },
  ) {
    this.#database = database;
    this.#options = options;
    this.#pageCount = database.prepare("PRAGMA page_count");
    this.#freePages = database.prepare("PRAGMA freelist_count");
    this.#pageBytes = (database.prepare("PRAGMA page_size").get() as { page_size: number }).page_size;
    this.#deleteOld = database.prepare(
      "DELETE FROM journal WHERE accepted_at < ? AND seq IN (SELECT seq FROM journal WHERE seq < ? ORDER BY seq LIMIT ?)",
    );
    this.#deleteKeys = database.prepare("DELETE FROM keys WHERE id = ?");
    this.#readKeys = database.prepare("SELECT packed FROM keys WHERE id = ?");
  }

  space(): JournalSpace {
    const limitBytes = this.#options.maxBytes;
    let usedBytes: number;
    try {
      usedBytes = this.#usedBytes();
    } catch {
      /** A database that cannot be read takes nothing. */
      return { usedBytes: limitBytes, limitBytes, isFull: true };
    }
    const isFull = usedBytes + overheadBytes > limitBytes - reserveBytes || !this.#options.ballast.isHeld;
    return { usedBytes, limitBytes, isFull };
  }

  /**
   * The bytes that the batch needs, beside those of others in its transaction.
   * @throws {Unavailable} when it would eat into the reserve.
   */
  admit(append: Append, admittedBytes: number): number {
    if (!this.#options.ballast.isHeld) throw new Unavailable("the disk of the state directory is full");
    let bytes = overheadBytes;
    for (const { body, records } of append.parts) bytes += body.length + records * 32;
    for (const { text } of append.invalid) bytes += Math.min(text.length, maxCharacters);
    for (const text of append.samples) bytes += Math.min(text.length, maxCharacters);
    const limitBytes = this.#options.maxBytes - reserveBytes - admittedBytes - bytes;
    if (this.#usedBytes() <= limitBytes) return bytes;
    if (this.#logExcess() > 0) {
      this.#cutLog();
      if (this.#usedBytes() <= limitBytes) return bytes;
    }
    throw new Unavailable("the journal is full: state.max_bytes is reached and the backend has not taken what waits");
  }

  /** Delivered rows leave before their time. */
  isShort(): boolean {
    const { ballast, maxBytes } = this.#options;
    return !ballast.isHeld || this.#usedBytes() > (maxBytes - reserveBytes) * 0.9;
  }

  /** Deletes rows below `releasableBelow` that are past retention, or any of them while space is short, and keys that have outlived their window. */
  run({
    releasableBelow,
    polledUntil,
  }: {
    readonly releasableBelow: number;
    /** How far a type has been polled, whole seconds. */
    readonly polledUntil: (type: PolledType) => number | undefined;
  }): void {
    const { age, ballast } = this.#options;
    const now = age.now();
    ballast.take();
    const isShort = this.isShort();
    let forget: (() => void)[];
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      this.#deleteOld.run(
        isShort ? Number.MAX_SAFE_INTEGER : now - this.#options.retentionMs,
        releasableBelow,
        rowsAtOnce,
      );
      forget = this.#deleteLeavingKeys(now, polledUntil);
      age.save();
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
    for (const forgetRow of forget) forgetRow();
    if (!ballast.isHeld) return this.#makeRoom();
    this.#database.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
    if (this.#logExcess() > 0) this.#cutLog();
  }

  /** Gives back what it can. Every page that moves is in the log first, so that is cut each time, or a full disk would never be left. */
  #makeRoom(): void {
    this.#cutLog();
    for (let time = 0; time < timesWhenFull && this.#freePageCount() > 0; time++) {
      this.#database.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
      this.#cutLog();
    }
  }

  /** Gives the log's space back to the disk. Not while a reader is in it: then the next time. */
  #cutLog(): void {
    this.#database.exec("PRAGMA busy_timeout = 0");
    try {
      this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } finally {
      this.#database.exec("PRAGMA busy_timeout = 2000");
    }
  }

  #deleteLeavingKeys(now: number, polledUntil: (type: PolledType) => number | undefined): (() => void)[] {
    const { seen } = this.#options;
    return keyClasses.flatMap((keyClass) => {
      const polled = keyClass === "flow" || keyClass === "audit" ? polledUntil(keyClass) : undefined;
      const leaving = seen.leaving(keyClass, now, keyRowsAtOnce, polled === undefined ? undefined : polled * 1000);
      if (leaving.length === 0) return [];
      let { until, streamed } = seen.forgotten(keyClass);
      const forget = leaving.map((row) => {
        const stored = this.#readKeys.get(row.id) as { packed: Uint8Array } | undefined;
        const { keys, isStreamed } = readableKeys(stored?.packed, row.at);
        until = Math.max(until, row.at);
        if (isStreamed) streamed = Math.max(streamed, row.at);
        this.#deleteKeys.run(row.id);
        return () => seen.removeRow(keyClass, row, keys);
      });
      const forgotten = { until, streamed };
      writeForgotten(this.#database, keyClass, forgotten);
      return [...forget, () => seen.noteForgotten(keyClass, forgotten)];
    });
  }

  #usedBytes(): number {
    const { page_count: pages } = this.#pageCount.get() as {
      page_count: number;
    };
    return (pages - this.#freePageCount()) * this.#pageBytes + this.#logExcess();
  }

  #freePageCount(): number {
    return (this.#freePages.get() as { freelist_count: number }).freelist_count;
  }

  #logExcess(): number {
    const logBytes = statSync(this.#options.walPath, { throwIfNoEntry: false })?.size ?? 0;
    return Math.max(0, logBytes - usualWalBytes);
  }
}

/** Up to when keys of a class have left, as `meta` says it. @throws {DamagedBlob} */
export function readForgotten(database: DatabaseSync, keyClass: KeyClass): Forgotten | undefined {
  const value = readMeta(database, forgottenName(keyClass));
  return value === undefined ? undefined : (JSON.parse(value) as Forgotten);
}

/** Writes it down, inside the caller's transaction. */
export function writeForgotten(database: DatabaseSync, keyClass: KeyClass, forgotten: Forgotten): void {
  writeMeta(database, forgottenName(keyClass), JSON.stringify(forgotten));
}

function forgottenName(keyClass: KeyClass): string {
  return `forgotten_${keyClass}`;
}

/** The keys of a row that is leaving; a damaged one has none that could be found in memory, and may have been streamed. */
function readableKeys(packed: Uint8Array | undefined, at: number): { keys: readonly SeenKey[]; isStreamed: boolean } {
  if (packed === undefined) return { keys: [], isStreamed: true };
  try {
    const { keys, bits } = unpackKeys(packed, at);
    return { keys, isStreamed: bits.some((held) => (held & sourceBits.stream) !== 0) };
  } catch (error) {
    if (error instanceof DamagedBlob) return { keys: [], isStreamed: true };
    throw error;
  }
}
