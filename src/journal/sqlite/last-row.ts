/**
 * The number of the last committed row, in a file beside the database. A write-ahead log that was truncated or deleted while
 * nothing ran looks to SQLite like a shorter sound one; this file shows at the next start how many rows are lost.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { Logger } from "../../lib/logger.ts";
import { reasonOf } from "../batch.ts";
import { createPrivately, lastRowName } from "./directory.ts";
import type { State } from "./state.ts";
import { maxSeq, raiseSequence, readSequence, transaction } from "./tables.ts";

/**
 * Written with each commit (about 3 µs), never synced. After a power failure it may be behind the database, and is then ignored,
 * or ahead of a database whose commits are not synced either, and is then correct.
 */
export class LastRow {
  readonly #path: string;
  readonly #logger: Logger;
  #file: number | undefined;
  #hasFailed = false;

  constructor(directory: string, logger: Logger) {
    this.#path = join(directory, lastRowName);
    this.#logger = logger;
  }

  /** The last number noted; 0 if there is none or it cannot be read. */
  read(): number {
    try {
      const text = readFileSync(this.#path, "latin1");
      const seq = Number(text.slice(0, digits));
      return text === textOf(seq) && seq <= maxSeq ? seq : 0;
    } catch {
      return 0;
    }
  }

  /** Never throws, because a commit does not depend on it. */
  note(seq: number): void {
    if (this.#hasFailed) return;
    try {
      this.#file ??= this.#open();
      writeSync(this.#file, textOf(seq), 0, "latin1");
    } catch (error) {
      this.#hasFailed = true;
      const message =
        "cannot write the number of the last row: the next start will not notice if the log of the journal is lost";
      this.#logger.warn(message, { path: this.#path, reason: reasonOf(error) });
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    this.#hasFailed = true;
  }

  #open(): number {
    createPrivately(this.#path);
    return openSync(this.#path, "r+");
  }
}

/**
 * The number of the last row that was ever committed, according to the database, or to the file if that is higher; the rows in
 * between are then lost.
 */
export function lastSeqOf(database: DatabaseSync, state: State, lastRow: LastRow, logger: Logger): number {
  const given = readSequence(database);
  const known = Math.max(given, state.cursor.seq - 1, state.measuredSeq);
  const lastSeq = Math.max(known, lastRow.read());
  if (lastSeq > given) raiseSequence(database, lastSeq);
  if (lastSeq === known) return lastSeq;
  const rows = lastSeq - known;
  transaction(database, () => state.set("loss", { ...state.loss, rows: state.loss.rows + rows }));
  state.committed();
  const message =
    "the journal has lost its newest rows: while the program was down its write-ahead log was cut or removed, or an older database put in its place";
  logger.error(message, { lost_rows: rows, last_row: known, path: database.location() ?? undefined });
  return lastSeq;
}

const digits = 16;

/** Has a fixed length, so that it is overwritten in place. */
function textOf(seq: number): string {
  const number = String(seq).padStart(digits, "0");
  return `${number} ${crc32(number).toString(16).padStart(8, "0")}\n`;
}
