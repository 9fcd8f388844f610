/** How much room the database takes, why an append is refused for want of it, and how room goes back to the disk. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import type { Append, JournalSpace } from "../index.ts";
import { reasonOf } from "../packing.ts";
import type { Ballast } from "./directory.ts";
import type { FileWatch } from "./damage.ts";

/** Kept free for what leads out of "full": cursor, marks, snapshot, deletion. */
const reserveBytes = 16 * 1024 * 1024;

/** A log of this size is part of the reserve: it is checkpointed at 4 MiB, and one transaction can write as much again. */
const usualLogBytes = 8 * 1024 * 1024;

/** Room that a transaction takes beside its batches, and a batch beside its own bytes, for tally and pages. */
const overheadBytes = 64 * 1024;
const batchOverheadBytes = 2 * 1024;

/** The largest batch that is usual: of 1 MiB. */
const maxWantedBytes = 1024 * 1024 + batchOverheadBytes;

/** Of a key in its row of `keys`, and of the row's share. */
const keyBytes = 32;

/** Pages given back to the disk in one go: 1 MiB, and that several times while it is full. */
const vacuumPages = 256;
const timesIfFull = 16;

/** Free pages are given back above this share of the file: most are used again at once. */
const vacuumAbove = 1 / 5;

export class Space {
  readonly #database: DatabaseSync;
  readonly #limitBytes: number;
  readonly #ballast: Ballast;
  readonly #watch: FileWatch;
  readonly #pages: StatementSync;
  readonly #pageBytes: number;
  #usedBytes = 0;
  /** What the last append needed that was refused, up to a bound: while there is no room for as much, the next will be too. */
  #wantedBytes = batchOverheadBytes;

  constructor(database: DatabaseSync, limitBytes: number, ballast: Ballast, watch: FileWatch) {
    this.#database = database;
    this.#limitBytes = limitBytes;
    this.#ballast = ballast;
    this.#watch = watch;
    this.#pages = database.prepare(
      "SELECT page_count AS pages, freelist_count AS free FROM pragma_page_count, pragma_freelist_count",
    );
    this.#pageBytes = (database.prepare("PRAGMA page_size").get() as { page_size: number }).page_size;
  }

  view(): JournalSpace {
    const limitBytes = this.#limitBytes;
    try {
      const usedBytes = this.usedBytes();
      const refusal = this.#refusal(usedBytes + this.#wantedBytes);
      if (refusal === undefined) this.#wantedBytes = batchOverheadBytes;
      return { usedBytes, limitBytes, refusal };
    } catch (error) {
      return { usedBytes: limitBytes, limitBytes, refusal: `the journal cannot be read: ${reasonOf(error)}` };
    }
  }

  /**
   * The bytes that the batch needs, beside those of others in its transaction.
   * @throws {Unavailable} if it would eat into the reserve.
   */
  admit(append: Append, admittedBytes: number): number {
    let bytes = batchOverheadBytes;
    for (const { body, records } of append.parts) bytes += body.length + records * keyBytes;
    for (const { body, lines } of append.quarantine) bytes += body.length + lines * keyBytes;
    let refusal = this.#refusal(this.usedBytes() + admittedBytes + bytes);
    if (refusal !== undefined && this.#logExcess() > 0) {
      this.#cutLog();
      refusal = this.#refusal(this.usedBytes() + admittedBytes + bytes);
    }
    if (refusal === undefined) return bytes;
    this.#wantedBytes = Math.min(bytes, maxWantedBytes);
    throw new Unavailable(refusal);
  }

  /** Delivered rows leave before their time. As it was when the space was looked at last: every append does. */
  get isShort(): boolean {
    return !this.#ballast.isHeld || this.#usedBytes > (this.#limitBytes - reserveBytes) * 0.9;
  }

  /** Of the database and of a log that is longer than usual. */
  usedBytes(): number {
    const { pages, free } = this.#readPages();
    this.#usedBytes = (pages - free) * this.#pageBytes + this.#logExcess();
    return this.#usedBytes;
  }

  /** Takes the ballast back if there is room, and gives free pages to the disk if they are many or it is full. */
  giveBack(): void {
    this.#ballast.reserve();
    const { pages, free } = this.#readPages();
    if (!this.#ballast.isHeld) {
      /** Every page that moves is in the log first, so that is cut each time, or a full disk would never be left. */
      this.#cutLog();
      for (let time = 0; time < timesIfFull && this.#readPages().free > 0; time++) {
        this.#vacuum();
        this.#cutLog();
      }
    } else if (free > vacuumPages && free > pages * vacuumAbove) this.#vacuum();
    else if (this.#logExcess() > 0) this.#cutLog();
  }

  #vacuum(): void {
    this.#database.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
    this.#watch.vacuumed(this.#readPages().pages * this.#pageBytes);
  }

  /** Gives the log's space back to the disk. Not while a reader is in it: then the next time. */
  #cutLog(): void {
    this.#database.exec("PRAGMA busy_timeout = 0");
    try {
      if (this.#watch.check() !== undefined) return;
      const done = this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get() as { busy: number };
      if (done.busy === 0) this.#watch.logCut();
    } finally {
      this.#database.exec("PRAGMA busy_timeout = 2000");
    }
  }

  #refusal(bytes: number): string | undefined {
    if (!this.#ballast.isHeld) {
      return `the disk of the state directory is full: ${this.#ballast.freeBytes} bytes are free, ${this.#ballast.neededBytes} are needed`;
    }
    if (bytes + overheadBytes <= this.#limitBytes - reserveBytes) return undefined;
    return `the journal is full: it has ${this.#usedBytes} bytes of undelivered records and dead letters, state.max_bytes is ${this.#limitBytes}, of which ${reserveBytes} are reserved`;
  }

  #readPages(): { readonly pages: number; readonly free: number } {
    return this.#pages.get() as { pages: number; free: number };
  }

  #logExcess(): number {
    return Math.max(0, this.#watch.logBytes - usualLogBytes);
  }
}
