/** What is asked and answered about what was kept: plain data, the same over HTTP and in the process. */
import type { ItemCount, ItemFilter, ListedItem } from "../journal/quarantine-items.ts";
import type { Redelivery, RedeliveryName } from "../journal/redelivery.ts";

/** It cannot be done, and the message says why. */
export class NotPossible extends Error {
  override readonly name = "NotPossible";
}

/** Items in one page of a list, and identifiers in one request. */
export const maxListed = 1000;

export interface ItemQuery extends ItemFilter {
  readonly limit: number;
  /** The page before that item. */
  readonly beforeId?: number;
}

/** Items by their identifiers, or all that share what is given. */
export interface Selection extends ItemFilter {
  readonly ids?: readonly number[];
  /** Goes on behind that item. */
  readonly after?: number;
}

export interface ShownItem extends Omit<ListedItem, "at"> {
  /** RFC 3339. */
  readonly at: string;
  /** Only where one item is shown; absent where it cannot be read. */
  readonly text?: string;
  /** Only the beginning of the text was kept. */
  readonly isCut?: boolean;
}

export interface ItemList {
  /** Of all items that match, by class and reason. */
  readonly counts: readonly ItemCount[];
  readonly items: readonly ShownItem[];
}

/** An item that stays, and why. */
export interface KeptBack {
  readonly id: number;
  readonly why: string;
}

export interface RetryReport {
  /** Records that were taken in and were new. */
  readonly accepted: number;
  /** Records that turned out to be known; their items have left too. */
  readonly duplicate: number;
  /** Dead letters that are on their way to the backend. */
  readonly queued: number;
  readonly kept: readonly KeptBack[];
  /** There may be more behind that item. */
  readonly nextAfter?: number;
}

export interface PurgeReport {
  readonly purged: number;
  /** Dead letters that were selected and stay. */
  readonly keptDeadLetters: number;
  readonly isDone: boolean;
}

export interface RedeliveryReport {
  readonly name: RedeliveryName;
  readonly state: "under way" | "ended" | "cancelled";
  /** RFC 3339. */
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Of a replay: when the records were received. */
  readonly since?: string;
  readonly until?: string;
  /** In records. */
  readonly total: number;
  readonly sent: number;
  readonly refused: number;
  /** Why it is not getting through at the moment. */
  readonly trouble?: string;
}

export function reportOf(redelivery: Redelivery, trouble: string | undefined): RedeliveryReport {
  const { name, id, endedAt, isCancelled, total, records } = redelivery;
  const range =
    redelivery.name === "replay"
      ? { since: timeText(redelivery.range.since), until: timeText(redelivery.range.until) }
      : {};
  return {
    name,
    state: endedAt === undefined ? "under way" : isCancelled === true ? "cancelled" : "ended",
    startedAt: timeText(id),
    ...(endedAt === undefined ? {} : { endedAt: timeText(endedAt) }),
    ...range,
    total,
    sent: records.delivered,
    refused: records.deadLettered,
    ...(trouble === undefined ? {} : { trouble }),
  };
}

/** Details can quote the record: they are shown like it. */
export function shownItem(item: ListedItem, clean: (text: string) => string): ShownItem {
  const { id, class: itemClass, type, seq, at, source, reason, detail } = item;
  const row = seq === undefined ? {} : { seq };
  return { id, class: itemClass, type, source, at: timeText(at), reason, detail: clean(detail), ...row };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
