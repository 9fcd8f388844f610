/** Pages of events: queries, answers, and positions in the journal as text. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import { Refusal } from "../../errors.ts";
import type { Journal, LogPosition } from "../../journal/index.ts";
import type { RecordType, Source } from "../../records/types.ts";
import type { EventFilter } from "./wanted.ts";

/** One of `from`, `since` and `last` says where to begin; without any, the page begins with what is accepted from now on. */
export interface EventQuery extends EventFilter {
  /** A position: an event's `id`, or `next` of the previous page. */
  readonly from?: string;
  /** Begins with what was received at this time, epoch milliseconds. */
  readonly since?: number;
  /** Begins with the last matching events: of all, of those before a position, or of those received before a time. */
  readonly last?: number;
  readonly before?: string;
  /** Epoch milliseconds. */
  readonly until?: number;
  readonly limit: number;
  /** How long to wait if there is nothing to show yet. */
  readonly waitMs: number;
}

/** An accepted event: a log record as it would be exported, and its place in the journal. Times are RFC 3339. */
export interface AcceptedEvent extends Omit<LogEvent, "time" | "observedTime"> {
  readonly id: string;
  readonly type: RecordType;
  readonly source: Source;
  readonly acceptedAt: string;
  readonly time: string;
  readonly observedTime: string;
}

export interface EventPage {
  readonly events: readonly AcceptedEvent[];
  /** Where the next page begins. */
  readonly next: string;
  /** Everything accepted so far has been read. */
  readonly isEnd: boolean;
  /** Age in seconds of the oldest unread row; 0 at the end. */
  readonly behindSeconds: number;
  /** What cannot be shown before these events. */
  readonly gap?: Gap;
  /** For a query with `since`, if rows have been deleted: when the oldest remaining one was received. */
  readonly oldest?: string;
  /** For a query with `last`. */
  readonly back?: SearchedBack;
}

/** How far the search for the last events has come. */
export interface SearchedBack {
  /** The value of `before` that continues the search. */
  readonly before: string;
  /** When the row searched last was received; absent if the journal is empty. */
  readonly to?: string;
  /** The whole journal has been searched: nothing is before this. */
  readonly isStart: boolean;
}

/**
 * `deleted`: rows removed by `state.retention`, `state.max_bytes` or a purge. `damaged`: rows that cannot be read.
 * `other_journal`: the position belongs to another journal, so reading begins with the first row of this one.
 */
export interface Gap {
  readonly reason: "deleted" | "damaged" | "other_journal";
  readonly rows: number;
}

/** A page while it is being read. */
export interface OpenPage {
  readonly events: AcceptedEvent[];
  place: LogPosition;
  /** Approximate length of its events. */
  characters: number;
  gap: Gap | undefined;
}

/** An empty page that begins at a place. */
export function newPage(place: LogPosition): OpenPage {
  return { events: [], place, characters: 0, gap: undefined };
}

/** The place before everything in a row. */
export function startOf(seq: number): LogPosition {
  return { seq, record: 0, logRecord: 0 };
}

type Positions = Pick<Journal, "identity" | "lastSeq">;

/** The position as text, which identifies its journal. */
export function idOf({ identity }: Pick<Journal, "identity">, { seq, record, logRecord }: LogPosition): string {
  return `${identity.createdAt.toString(36)}.${seq}.${record}.${logRecord}`;
}

/** `name`: the name of the parameter. @throws {Refusal} `unparsable` */
export function placeOf(
  journal: Positions,
  text: string,
  name: "from" | "before" | "id",
): { readonly place: LogPosition; readonly isOurs: boolean } {
  const match = /^([0-9a-z]{1,11})\.([1-9]\d{0,14})\.(\d{1,9})\.(\d{1,9})$/.exec(text);
  if (match === null) throw new Refusal("unparsable", `${name} must be the id of an event, or a position of an answer`);
  const [seq = 0, record = 0, logRecord = 0] = match.slice(2).map(Number);
  const isOurs = match[1] === journal.identity.createdAt.toString(36) && seq <= journal.lastSeq + 1;
  return { place: { seq, record, logRecord }, isOurs };
}
