/** Marks: ranges of records on their rows that a destination did not take. Each pins its row; the backends' words are kept once. */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type { Mark, MarkFilter, MarkReason, NewMark } from "../index.ts";
import { checksum } from "../packing.ts";

/** Why records are dead letters. The other reasons are notes on records that were delivered all the same. */
export const deadLetterReasons: readonly MarkReason[] = ["rejected", "too_large", "failing", "internal"];

/** Marks of a reason that is a note; the newest stay. */
const maxNotes = 100;

/** Distinct messages: backends put the entry's own time into theirs. */
const maxMessages = 1000;

const maxMessageCharacters = 1024;

const furtherMessage = "(one of many different messages: the first 1000 are kept)";

interface StoredMark {
  readonly id: number;
  readonly destination: string;
  readonly seq: number;
  readonly from_line: number;
  readonly to_line: number;
  readonly why: string;
  readonly log_records: number;
  readonly at: number;
  readonly crc: number;
  readonly message: string;
}

const columns =
  "mark.id, destination, mark.seq, from_line, to_line, why, log_records, at, mark.crc, message.text AS message";
const joined = "mark JOIN message ON message.id = mark.message_id";

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
      "INSERT INTO mark (destination, seq, from_line, to_line, why, log_records, message_id, at, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#findMessage = database.prepare("SELECT id FROM message WHERE text = ?");
    this.#insertMessage = database.prepare("INSERT INTO message (text) VALUES (?)");
    this.#countMessages = database.prepare("SELECT COUNT(*) AS messages FROM message");
    this.#delete = database.prepare("DELETE FROM mark WHERE id = ? RETURNING seq, from_line, to_line, why");
    this.#superfluous = database.prepare(
      `SELECT id FROM mark WHERE why = ? ORDER BY id DESC LIMIT -1 OFFSET ${maxNotes}`,
    );
    this.#isThere = database.prepare("SELECT 1 FROM batch WHERE seq = ?");
    this.#isMarked = database.prepare("SELECT 1 FROM mark WHERE seq = ? LIMIT 1");
  }

  /** A mark on a row that is gone would hold nothing, and is not made. */
  add(marks: readonly NewMark[]): void {
    for (const mark of marks) {
      if (this.#isThere.get(mark.seq) === undefined) continue;
      const message = bounded(mark.message);
      const { id, text } = this.#interned(message);
      const { destination, seq, from, to, why, logRecords, at } = mark;
      const crc = markChecksum(mark, text);
      this.#insert.run(destination, seq, from, to, why, logRecords, id, at, crc);
    }
  }

  /** Notes beyond the newest ones: their ids. */
  superfluousNotes(): readonly number[] {
    return (["partial", "unmeasured"] as const).flatMap((why) =>
      (this.#superfluous.all(why) as { id: number }[]).map(({ id }) => id),
    );
  }

  /** Deletes a mark. What it was, if it was there. */
  remove(id: number): RemovedMark | undefined {
    const row = this.#delete.get(id) as
      { seq: number; from_line: number; to_line: number; why: MarkReason } | undefined;
    return row && { seq: row.seq, records: row.to_line - row.from_line, why: row.why };
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

/** Marks that share what the filter gives, from an id on, the oldest first. A mark whose checksum does not hold is passed over. */
export function selectMarks(
  database: DatabaseSync,
  filter: MarkFilter,
  { afterId, marks: limit }: { readonly afterId: number; readonly marks: number },
): readonly Mark[] {
  const { where, values } = markCondition(filter);
  const sql = `SELECT ${columns} FROM ${joined} WHERE ${where} AND mark.id > ? ORDER BY mark.id LIMIT ?`;
  const rows = database.prepare(sql).all(...values, afterId, limit) as unknown as StoredMark[];
  return rows.map(markOf).filter((mark) => mark !== undefined);
}

/** Marks on rows below `belowSeq`, on the newest row first, and on one row the newest mark first. */
export function pageOfMarks(
  database: DatabaseSync,
  filter: MarkFilter,
  before: { readonly seq: number; readonly id: number },
  limit: number,
): readonly Mark[] {
  const { where, values } = markCondition(filter);
  const sql = `SELECT ${columns} FROM ${joined} WHERE ${where} AND (mark.seq < ? OR (mark.seq = ? AND mark.id < ?)) ORDER BY mark.seq DESC, mark.id DESC LIMIT ?`;
  const rows = database.prepare(sql).all(...values, before.seq, before.seq, before.id, limit);
  return (rows as unknown as StoredMark[]).map(markOf).filter((mark) => mark !== undefined);
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

export function markChecksum(mark: Omit<NewMark, "message">, message: string): number {
  const { destination, seq, from, to, why, logRecords, at } = mark;
  return checksum(`${destination} ${seq} ${from} ${to} ${why} ${logRecords} ${at} ${message}`);
}

function markOf(row: StoredMark): Mark | undefined {
  const mark: Mark = {
    id: row.id,
    destination: row.destination as Mark["destination"],
    seq: row.seq,
    from: row.from_line,
    to: row.to_line,
    why: row.why as MarkReason,
    logRecords: row.log_records,
    message: row.message,
    at: row.at,
  };
  return markChecksum(mark, mark.message) === row.crc ? mark : undefined;
}

/** Cut between code points. */
function bounded(message: string): string {
  if (message.length <= maxMessageCharacters) return message.toWellFormed();
  return `${message.slice(0, maxMessageCharacters).toWellFormed()}…`;
}
