/** Requests and answers about quarantine, dead letters and replays: plain data, the same over HTTP and in the process. */
import { recordTypes } from "../records/types.ts";
import type { QuarantineFilter, QuarantineItem, Redelivery } from "../journal/index.ts";

/** It cannot be done, and the message says why. */
export class NotPossible extends Error {
  override readonly name = "NotPossible";
}

/** Items on one page of a list, and ids in one request. */
export const maxListed = 1000;

export const itemClasses: readonly QuarantineItem["class"][] = ["invalid", "sample", "note", "dead_letter"];

/** What an item can have been. */
export const itemTypes: readonly QuarantineItem["type"][] = [...recordTypes, "unknown"];

export const redeliveryNames: readonly Redelivery["name"][] = ["replay", "retry"];

/** Whether a text has the form of an item's id: `<row>.<line>` for a stored line, `m<number>` for a mark. */
export function isItemId(text: unknown): text is string {
  return typeof text === "string" && /^(?:[1-9]\d{0,14}\.(?:0|[1-9]\d{0,8})|m[1-9]\d{0,14})$/.test(text);
}

export interface ItemQuery extends QuarantineFilter {
  readonly limit: number;
  /** The page that begins behind that item. */
  readonly beforeId?: string;
}

/** Items by their ids, or all that match the filter. */
export interface Selection extends QuarantineFilter {
  readonly ids?: readonly string[];
  /** Goes on behind that item. */
  readonly beforeId?: string;
}

/** An item as it is listed. A dead letter or a note can stand for several records of one row. */
export interface ShownItem {
  readonly id: string;
  readonly class: QuarantineItem["class"];
  readonly type: QuarantineItem["type"];
  readonly source: QuarantineItem["source"];
  /** RFC 3339. */
  readonly at: string;
  readonly reason: string;
  /** Why, for a person; of a dead letter the backend's own words. */
  readonly detail: string;
  /** The row of the journal, its first line that is meant, and how many. */
  readonly row: number;
  readonly line: number;
  readonly records: number;
}

export interface ItemWithTexts extends ShownItem {
  /** The stored text, or those of the first records that it stands for; empty if they cannot be read. */
  readonly texts: readonly string[];
  /** There is more than is shown: only the beginning of the text was stored, or there are more records. */
  readonly isCut: boolean;
}

export interface ItemCount {
  readonly class: QuarantineItem["class"];
  readonly reason: string;
  readonly items: number;
}

export interface ItemList {
  /** Of all items that match, by class and reason. */
  readonly counts: readonly ItemCount[];
  readonly items: readonly ShownItem[];
}

/** An item that was not accepted and stays in quarantine. */
export interface KeptItem {
  readonly id: string;
  readonly why: string;
}

export interface RetryReport {
  /** Records that were accepted. */
  readonly accepted: number;
  /** Records that turned out to be duplicates; their items have left as well. */
  readonly duplicate: number;
  /** Records of dead letters that are queued for export. */
  readonly queued: number;
  readonly kept: readonly KeptItem[];
  /** Ids of which there is no item. */
  readonly missing: readonly string[];
  /** Present if there may be more behind that item. */
  readonly nextBeforeId?: string;
}

export interface PurgeReport {
  readonly purged: number;
  /** Dead letters that were selected and stay. */
  readonly keptDeadLetters: number;
  readonly isDone: boolean;
}

/** How a replay, or a retry of dead letters, is getting on. */
export interface RedeliveryReport {
  readonly name: Redelivery["name"];
  readonly state: "in progress" | "finished" | "cancelled";
  /** RFC 3339. */
  readonly startedAt: string;
  readonly endedAt?: string;
  /** Of a replay: when the records were received. */
  readonly since?: string;
  readonly until?: string;
  /** In records. */
  readonly total: number;
  readonly delivered: number;
  readonly rejected: number;
  /** Why it is not getting on at the moment. */
  readonly trouble?: string;
}

export function reportOf(redelivery: Redelivery, trouble: string | undefined): RedeliveryReport {
  const { name, id, endedAt, isCancelled, total, cursor, range } = redelivery;
  return {
    name,
    state: endedAt === undefined ? "in progress" : isCancelled === true ? "cancelled" : "finished",
    startedAt: timeText(id),
    ...(endedAt === undefined ? {} : { endedAt: timeText(endedAt) }),
    ...(range === undefined ? {} : { since: timeText(range.since), until: timeText(range.until) }),
    total,
    delivered: cursor.records.delivered,
    rejected: cursor.records.deadLettered,
    ...(trouble === undefined ? {} : { trouble }),
  };
}

/** Details can quote the record, so what privacy hides is hidden in them too. */
export function shownItem(item: QuarantineItem, clean: (text: string) => string): ShownItem {
  const { id, class: itemClass, type, source, at, reason, detail, seq, from, records } = item;
  return {
    id,
    class: itemClass,
    type,
    source,
    at: timeText(at),
    reason,
    detail: clean(detail),
    row: seq,
    line: from,
    records,
  };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
