/** What is kept for a person, as every engine stores and lists it: quarantined texts, and marks on rows. */
import { endsOfObjects } from "../records/json.ts";
import type { QuarantineLine } from "./batch.ts";
import {
  type Awaitable,
  type Mark,
  type MarkReason,
  primaryDestination,
  type QuarantineCount,
  type QuarantineFilter,
  type QuarantineItem,
} from "./journal.ts";

/** A mark's columns. */
export interface StoredMark {
  readonly id: number;
  readonly seq: number;
  readonly from_line: number;
  readonly to_line: number;
  readonly log_records: number;
  readonly at: number;
  readonly class: string;
  readonly type: string;
  readonly source: string;
  readonly why: string;
  readonly message: string;
  readonly destination: string | null;
}

/** The columns that readers need. */
export const markColumns =
  "id, seq, from_line, to_line, log_records, at, class, type, source, why, message, destination";

export type SqlValue = string | number | null;

/** The table of marks. Statements have a place `?` for each value. */
export interface MarkTable {
  /** SQL that selects the texts of a list, whose JSON is the value. */
  readonly listed: string;
  /** Marks that are what was written. `rest`: what follows the table's name in a SELECT. */
  marks(rest: string, values: readonly SqlValue[]): Awaitable<readonly StoredMark[]>;
  query<Row extends object>(columns: string, rest: string, values: readonly SqlValue[]): Awaitable<readonly Row[]>;
}

export const quarantinedClasses = ["invalid", "sample"] as const;
export const deliveredClasses = ["dead_letter", "note"] as const;

/** Notes of one reason; the newest stay. */
export const maxNotes = 100;

/** Bytes that all rows of quarantined texts share. */
export const maxQuarantinedBytes = 64 * 1024 * 1024;

/** Counted for a mark beside its row, and for a row beside its body, which bounds their number too. */
export const overheadBytes = 256;

/** Records of a mark that are shown. */
export const maxTexts = 100;

const maxMessageCharacters = 1024;

export function isQuarantine(rowTypeOrClass: string): boolean {
  return (quarantinedClasses as readonly string[]).includes(rowTypeOrClass);
}

export function isNote(why: MarkReason): boolean {
  return why === "partial" || why === "unmeasured";
}

/** The primary destination has no name in what is stored. */
export function storedName(destination: string): string | null {
  return destination === primaryDestination ? null : destination;
}

/** The filter as a condition of SQL. */
export function conditionOf(
  { ids, class: itemClass, reason, type, before, destination }: QuarantineFilter,
  { listed }: Pick<MarkTable, "listed">,
): { readonly where: string; readonly values: readonly SqlValue[] } {
  const given: readonly (readonly [sql: string, value: SqlValue | undefined])[] = [
    [`('m' || id) IN (${listed})`, ids && JSON.stringify(ids)],
    ["class = ?", itemClass],
    ["why = ?", reason],
    ["type = ?", type],
    ["at < ?", before],
    [`COALESCE(destination, '${primaryDestination}') = ?`, destination],
  ];
  const conditions = given.filter((one): one is readonly [string, SqlValue] => one[1] !== undefined);
  return {
    where: ["TRUE", ...conditions.map(([sql]) => sql)].join(" AND "),
    values: conditions.map(([, value]) => value),
  };
}

export function truncated(message: string): string {
  const isLong = message.length > maxMessageCharacters;
  return `${message.slice(0, maxMessageCharacters).toWellFormed()}${isLong ? "…" : ""}`;
}

export function addCount(counts: Map<string, QuarantineCount>, more: QuarantineCount): void {
  const name = `${more.class} ${more.reason}`;
  counts.set(name, { ...more, items: (counts.get(name)?.items ?? 0) + more.items });
}

/** What an item's id names: a line of a row, or a mark; nothing if it is no id. */
export function parseItemId(id: string): { readonly seq: number; readonly line: number } | number | undefined {
  const [, seq, number] = /^(?:m|(\d{1,15})\.)(\d{1,15})$/.exec(id) ?? [];
  if (number === undefined) return undefined;
  return seq === undefined ? Number(number) : { seq: Number(seq), line: Number(number) };
}

export function markOf(stored: StoredMark): Mark {
  const { id, seq, from_line: from, to_line: to, why, log_records: logRecords, message, at } = stored;
  return { id, seq, from, to, why: why as MarkReason, logRecords, message, at };
}

export function itemOf(mark: StoredMark): QuarantineItem {
  const { id, seq, from_line: from, to_line: to, at, why: reason, message: detail } = mark;
  const { class: itemClass, type, source } = mark as Pick<QuarantineItem, "class" | "type" | "source">;
  const of = mark.destination === null ? {} : { destination: mark.destination };
  return { id: `m${id}`, class: itemClass, type, seq, from, records: to - from, at, source, reason, detail, ...of };
}

/** `stored`: the line's own text. */
export function itemOfLine(mark: StoredMark, line: number, stored: string): QuarantineItem {
  const { detail } = JSON.parse(stored) as QuarantineLine;
  return { ...itemOf(mark), id: `${mark.seq}.${line}`, from: line, records: 1, detail };
}

/** A row's text by lines. */
export interface Lines {
  readonly text: Uint8Array;
  readonly ends: readonly number[];
}

export function linesOf(text: Uint8Array): Lines {
  return { text, ends: endsOfObjects(text) };
}

/** Lines from one up to another, as far as there are any. */
export function textsOf({ text, ends }: Lines, from: number, to: number): string[] {
  const decoder = new TextDecoder();
  const lineAt = (line: number) => decoder.decode(text.subarray(ends[line - 1] ?? 0, ends[line])).trim();
  return ends.slice(from, to).map((_, n) => lineAt(from + n));
}
