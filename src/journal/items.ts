/** Quarantined texts and marks on rows, as every engine stores and lists them. */
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

/** The columns of a mark. */
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

/** The table of marks. Statements have a placeholder `?` for each value. */
export interface MarkTable {
  /** SQL that selects the texts of a list given as a JSON value. */
  readonly listed: string;
  /** Marks that are intact. `rest`: what follows the table's name in a SELECT. */
  marks(rest: string, values: readonly SqlValue[]): Awaitable<readonly StoredMark[]>;
  query<Row extends object>(columns: string, rest: string, values: readonly SqlValue[]): Awaitable<readonly Row[]>;
}

export const quarantinedClasses = ["invalid", "sample"] as const;
export const deliveredClasses = ["dead_letter", "note"] as const;

/** Maximum number of notes per reason; the newest are kept. */
export const maxNotes = 100;

/** Maximum total size of all rows of quarantined texts. */
export const maxQuarantinedBytes = 64 * 1024 * 1024;

/** Bytes counted per mark, and per row in addition to its body, so that their number is bounded too. */
export const overheadBytes = 256;

/** Maximum number of a mark's records that are shown. */
export const maxTexts = 100;

const maxMessageCharacters = 1024;

export function isQuarantine(rowTypeOrClass: string): boolean {
  return (quarantinedClasses as readonly string[]).includes(rowTypeOrClass);
}

export function isNote(why: MarkReason): boolean {
  return why === "partial" || why === "unmeasured";
}

/** The name as stored: null for the primary destination. */
export function storedName(destination: string): string | null {
  return destination === primaryDestination ? null : destination;
}

/** The filter as an SQL condition. */
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

/** What an item's id refers to: a line of a row, or a mark; undefined if it is not an id. */
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

/** `stored`: the text of the line. */
export function itemOfLine(mark: StoredMark, line: number, stored: string): QuarantineItem {
  const { detail } = JSON.parse(stored) as QuarantineLine;
  return { ...itemOf(mark), id: `${mark.seq}.${line}`, from: line, records: 1, detail };
}

/** A row's text, split into lines. */
export interface Lines {
  readonly text: Uint8Array;
  readonly ends: readonly number[];
}

export function linesOf(text: Uint8Array): Lines {
  return { text, ends: endsOfObjects(text) };
}

/** The existing lines from `from` up to `to` (exclusive). */
export function textsOf({ text, ends }: Lines, from: number, to: number): string[] {
  const decoder = new TextDecoder();
  const lineAt = (line: number) => decoder.decode(text.subarray(ends[line - 1] ?? 0, ends[line])).trim();
  return ends.slice(from, to).map((_, n) => lineAt(from + n));
}
