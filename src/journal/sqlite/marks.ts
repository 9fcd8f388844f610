/** Marks: ranges of records on their rows that a destination did not take. Each pins its row; the backends' words are kept once. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Mark, MarkFilter, MarkReason, NewMark } from "../index.ts";
import { checksum } from "../packing.ts";

/** Why records are dead letters. The other reasons are notes on records that were delivered all the same. */
export const deadLetterReasons: readonly MarkReason[] = ["rejected", "too_large", "failing", "internal"];

export const noteReasons: readonly MarkReason[] = ["partial", "unmeasured"];

/** Marks of a reason that is a note; the newest stay. */
const maxNotes = 100;

/** Distinct messages: backends put the entry's own time into theirs. */
const maxMessages = 1000;

const maxMessageCharacters = 1024;

const furtherMessage = "(one of many different messages: the first 1000 are kept)";

/** A mark as it is read, with the text of its message. */
export type StoredMark = Mark & { readonly crc: number };

export const markColumns =
  'mark.id, destination, mark.seq, from_line AS "from", to_line AS "to", why, log_records AS logRecords, at, mark.crc, message.text AS message';
export const joinedMarks = "mark JOIN message ON message.id = mark.message_id";

/** All changes are in the caller's transaction. */
export class Marks {
  readonly #database: DatabaseSync;
  readonly #insert: StatementSync;
  readonly #findMessage: StatementSync;
  readonly #insertMessage: StatementSync;
  readonly #countMessages: StatementSync;
  readonly #delete: StatementSync;
  readonly #superfluous: StatementSync;
  readonly #isMarked: StatementSync;
  readonly #isThere: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insert = database.prepare(
      "INSERT INTO mark (id, destination, seq, from_line, to_line, why, log_records, message_id, at, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#findMessage = database.prepare("SELECT id FROM message WHERE text = ?");
    this.#insertMessage = database.prepare("INSERT INTO message (text) VALUES (?)");
    this.#countMessages = database.prepare("SELECT COUNT(*) AS messages FROM message");
    this.#delete = database.prepare("DELETE FROM mark WHERE id = ? RETURNING seq, to_line - from_line AS records, why");
    this.#superfluous = database.prepare(
      `SELECT id FROM mark WHERE why = ? ORDER BY id DESC LIMIT -1 OFFSET ${maxNotes}`,
    );
    this.#isThere = database.prepare("SELECT 1 FROM batch WHERE seq = ?");
    this.#isMarked = database.prepare("SELECT 1 FROM mark WHERE seq = ? LIMIT 1");
  }

  /** A mark on a row that is gone would hold nothing, and is not made. A salvaged one keeps its id. How many were made. */
  add(marks: readonly (NewMark & { readonly id?: number })[]): number {
    let made = 0;
    for (const mark of marks) {
      if (this.#isThere.get(mark.seq) === undefined) continue;
      const message = this.#interned(bounded(mark.message));
      const { id = null, destination, seq, from, to, why, logRecords, at } = mark;
      const crc = markChecksum(mark, message.text);
      this.#insert.run(id, destination, seq, from, to, why, logRecords, message.id, at, crc);
      made++;
    }
    return made;
  }

  /** Notes beyond the newest ones: their ids. */
  superfluousNotes(): readonly number[] {
    return noteReasons.flatMap((why) => (this.#superfluous.all(why) as { id: number }[]).map(({ id }) => id));
  }

  /** Deletes a mark. What it was, if it was there. */
  remove(id: number): RemovedMark | undefined {
    return this.#delete.get(id) as RemovedMark | undefined;
  }

  isMarked(seq: number): boolean {
    return this.#isMarked.get(seq) !== undefined;
  }

  /** Removes messages that no mark has any more, once there are as many as there may be. */
  forgetMessages(): void {
    const { messages } = this.#countMessages.get() as { messages: number };
    if (messages < maxMessages) return;
    this.#database.exec("DELETE FROM message WHERE id NOT IN (SELECT message_id FROM mark)");
  }

  #interned(message: string): { readonly id: number; readonly text: string } {
    const found = this.#findMessage.get(message) as { id: number } | undefined;
    if (found !== undefined) return { id: found.id, text: message };
    const { messages } = this.#countMessages.get() as { messages: number };
    if (messages >= maxMessages && message !== furtherMessage) return this.#interned(furtherMessage);
    return { id: Number(this.#insertMessage.run(message).lastInsertRowid), text: message };
  }
}

export interface RemovedMark {
  readonly seq: number;
  readonly records: number;
  readonly why: MarkReason;
}

/** Marks that share what the filter gives, from an id on, the oldest first. */
export function selectMarks(
  database: DatabaseSync,
  filter: MarkFilter,
  { afterId, marks: limit }: { readonly afterId: number; readonly marks: number },
): readonly Mark[] {
  return read(database, filter, "mark.id > ? ORDER BY mark.id LIMIT ?", [afterId, limit]);
}

/** Marks before a place, on the newest row first, and on one row the newest mark first. */
export function pageOfMarks(
  database: DatabaseSync,
  filter: MarkFilter,
  before: { readonly seq: number; readonly id: number },
  limit: number,
): readonly Mark[] {
  const order = "(mark.seq, mark.id) < (?, ?) ORDER BY mark.seq DESC, mark.id DESC LIMIT ?";
  return read(database, filter, order, [before.seq, before.id, limit]);
}

/** A mark whose checksum does not hold is passed over. */
function read(database: DatabaseSync, filter: MarkFilter, order: string, more: readonly number[]): readonly Mark[] {
  const { where, values } = markCondition(filter);
  const sql = `SELECT ${markColumns} FROM ${joinedMarks} WHERE ${where} AND ${order}`;
  const rows = database.prepare(sql).all(...values, ...more) as unknown as StoredMark[];
  return rows.map(markOf).filter((mark) => mark !== undefined);
}

/** The filter as a condition of SQL on `mark`. */
export function markCondition(filter: MarkFilter): { readonly where: string; readonly values: SQLInputValue[] } {
  const conditions = ["TRUE"];
  const values: SQLInputValue[] = [];
  const add = (condition: string, value: SQLInputValue | undefined): void => {
    if (value === undefined) return;
    conditions.push(condition);
    values.push(value);
  };
  add("mark.id IN (SELECT value FROM json_each(?))", filter.ids && JSON.stringify(filter.ids));
  add("destination = ?", filter.destination);
  add("why IN (SELECT value FROM json_each(?))", filter.why && JSON.stringify(filter.why));
  add("(SELECT type FROM batch WHERE batch.seq = mark.seq) = ?", filter.type);
  add("at < ?", filter.before);
  return { where: conditions.join(" AND "), values };
}

function markChecksum(mark: Omit<NewMark, "message">, message: string): number {
  const { destination, seq, from, to, why, logRecords, at } = mark;
  return checksum(`${destination} ${seq} ${from} ${to} ${why} ${logRecords} ${at} ${message}`);
}

/** Nothing if the mark is not what was written. */
export function markOf({ crc, ...mark }: StoredMark): Mark | undefined {
  return markChecksum(mark, mark.message) === crc ? mark : undefined;
}

/** Cut between code points. */
function bounded(message: string): string {
  if (message.length <= maxMessageCharacters) return message.toWellFormed();
  return `${message.slice(0, maxMessageCharacters).toWellFormed()}…`;
}
