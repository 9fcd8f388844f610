/** What was set aside, to be looked at and to be removed: pages of items, newest first, and their counts. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { recordTypes, type RecordType, type Source } from "../records/types.ts";
import { DamagedBlob, unpackText } from "./pack.ts";
import { maxCharacters, type Quarantine } from "./quarantine.ts";
import type { QuarantineClass } from "./types.ts";

export const quarantineClasses: readonly QuarantineClass[] = ["invalid", "sample", "note", "dead_letter"];

/** What items can have been. */
export const itemTypes: readonly (RecordType | "unknown")[] = [...recordTypes, "unknown"];

/** An item as it is listed: without its text. */
export interface ListedItem {
  readonly id: number;
  readonly class: QuarantineClass;
  readonly type: RecordType | "unknown";
  /** The row it was accepted in, for what was accepted. */
  readonly seq?: number;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly source: Source;
  readonly reason: string;
  readonly detail: string;
}

export interface KeptItem extends ListedItem {
  /** The text, or nothing where it cannot be read. */
  readonly text: string | undefined;
  /** It was longer when it came. */
  readonly isCut: boolean;
}

/** Items that share all that is given. */
export interface ItemFilter {
  readonly class?: QuarantineClass;
  readonly reason?: string;
  readonly type?: RecordType | "unknown";
  /** Set aside before that moment, epoch milliseconds. */
  readonly before?: number;
}

export interface ItemCount {
  readonly class: QuarantineClass;
  readonly reason: string;
  readonly items: number;
}

export class QuarantineItems {
  readonly #database: DatabaseSync;
  readonly #quarantine: Quarantine;

  constructor(database: DatabaseSync, quarantine: Quarantine) {
    this.#database = database;
    this.#quarantine = quarantine;
  }

  counts(filter: ItemFilter): readonly ItemCount[] {
    const { where, values } = conditionOf(filter);
    return this.#database
      .prepare(
        `SELECT class, reason, COUNT(*) AS items FROM quarantine WHERE ${where} GROUP BY class, reason ORDER BY class, reason`,
      )
      .all(...values) as unknown as ItemCount[];
  }

  /** Newest first, older than `beforeId`. */
  page(filter: ItemFilter, { beforeId = Number.MAX_SAFE_INTEGER, limit }: PageOptions): readonly ListedItem[] {
    const { where, values } = conditionOf(filter);
    return this.#database
      .prepare(`SELECT ${listed} FROM quarantine WHERE ${where} AND id < ? ORDER BY id DESC LIMIT ?`)
      .all(...values, beforeId, limit)
      .map(itemOf);
  }

  /** The next ones in the order they came, for work that goes through all of them. */
  idsAfter(filter: ItemFilter, afterId: number, limit: number): readonly number[] {
    const { where, values } = conditionOf(filter);
    return this.#database
      .prepare(`SELECT id FROM quarantine WHERE ${where} AND id > ? ORDER BY id LIMIT ?`)
      .all(...values, afterId, limit)
      .map(({ id }) => Number(id));
  }

  read(id: number): KeptItem | undefined {
    const row = this.#database.prepare(`SELECT ${listed}, text FROM quarantine WHERE id = ?`).get(id);
    if (row === undefined) return undefined;
    const item = itemOf(row);
    const text = textOf(row["text"] as Uint8Array);
    return { ...item, text, isCut: item.class !== "dead_letter" && (text?.length ?? 0) >= maxCharacters };
  }

  /** Deletes in a transaction of its own. How many of them were there. */
  remove(ids: readonly number[]): number {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const removed = ids.filter((id) => this.#quarantine.remove(id)).length;
      this.#database.exec("COMMIT");
      return removed;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      this.#quarantine.recount();
      throw error;
    }
  }
}

export interface PageOptions {
  readonly beforeId?: number;
  readonly limit: number;
}

const listed = "id, class, type, seq, at, source, reason, detail";

function conditionOf(filter: ItemFilter): { readonly where: string; readonly values: SQLInputValue[] } {
  const conditions = ["1"];
  const values: SQLInputValue[] = [];
  const add = (condition: string, value: SQLInputValue | undefined): void => {
    if (value === undefined) return;
    conditions.push(condition);
    values.push(value);
  };
  add("class = ?", filter.class);
  add("reason = ?", filter.reason);
  add("type = ?", filter.type);
  add("at < ?", filter.before);
  return { where: conditions.join(" AND "), values };
}

function itemOf(row: Record<string, unknown>): ListedItem {
  const { text: _, seq, ...item } = row;
  return { ...(item as unknown as ListedItem), ...(seq === null ? {} : { seq: Number(seq) }) };
}

function textOf(packed: Uint8Array): string | undefined {
  try {
    return unpackText(packed);
  } catch (error) {
    if (error instanceof DamagedBlob) return undefined;
    throw error;
  }
}
