/** Rows of the journal as the events that a person looks at: one per connection, audit record and webhook event, privacy applied. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import { decodePlain } from "../../records/plain.ts";
import type { Row } from "../../journal/index.ts";
import { FlowDescriber } from "../../processors/flow.ts";
import { describe, type ProcessorSettings } from "../../processors/index.ts";
import { recordOfLine } from "../../records/envelope.ts";
import { ClaimTable } from "../../records/flow/claims.ts";
import { FlowColumns } from "../../records/flow/columns.ts";
import { FlowRowDecoder } from "../../records/flow/rows.ts";
import { linesOf } from "../../records/json.ts";
import type { NamesEnd } from "./page.ts";

/** An event of a record, and its number there. */
export type NumberedEvent = readonly [number: number, event: LogEvent];

/** A decoded row. It is valid until the next one is opened. */
export interface EventRow {
  /** How many events a record makes. */
  eventsOf(record: number): number;
  /** Events `from` up to, but not including, `to` of a record that are wanted; none if it does not decode. */
  events(record: number, from: number, to: number, isWanted: NamesEnd | undefined): readonly NumberedEvent[];
}

/** Decodes rows one after another; holds a few megabytes. */
export class EventRows {
  readonly #settings: ProcessorSettings;
  readonly #describer: FlowDescriber;
  readonly #decoder = new FlowRowDecoder(new ClaimTable());
  readonly #columns = new FlowColumns();

  constructor(settings: ProcessorSettings) {
    this.#settings = settings;
    // Shown whatever is exported.
    this.#describer = new FlowDescriber({ ...settings, flowLogMode: "per_connection" });
  }

  /** @throws {Error} if the row does not decode. */
  open(row: Row): EventRow {
    return row.type === "flow" ? this.#openFlows(row) : this.#openPlain(row);
  }

  #openFlows({ text, leftOut, acceptedAt }: Row): EventRow {
    const columns = this.#columns;
    const describer = this.#describer;
    columns.clear();
    this.#decoder.decode(text, leftOut, columns);
    return {
      eventsOf: (record) => (record < columns.records ? describer.logRecords(columns, record) : 0),
      events(record, from, to, isWanted) {
        const made = (first: number, end: number): NumberedEvent[] =>
          describer.events(columns, record, first, end, acceptedAt).map((event, at) => [first + at, event]);
        if (isWanted === undefined) return made(from, to);
        describer.record(columns, record, acceptedAt);
        const wanted = withEnd(describer, columns, { record, from, to }, isWanted);
        return wanted.length === to - from ? made(from, to) : wanted.flatMap((number) => made(number, number + 1));
      },
    };
  }

  #openPlain({ text, type, acceptedAt }: Row): EventRow {
    const settings = this.#settings;
    const lines = linesOf(text);
    return {
      eventsOf: (record) => (record < lines.length ? 1 : 0),
      events(record, from, to, isWanted) {
        const line = lines[record];
        if (line === undefined || from > 0 || to < 1 || (type !== "audit" && type !== "webhook")) return [];
        try {
          const event = describe(decodePlain(recordOfLine(line, type)), settings, acceptedAt);
          return isWanted === undefined || isWanted(event) ? [[0, event]] : [];
        } catch {
          return [];
        }
      },
    };
  }
}

/**
 * The numbers of a record's events, `from` up to, but not including, `to`, one of whose ends is wanted. Without making events:
 * an end has the same attribute set in all of them. `describer` is at the record.
 */
function withEnd(
  describer: FlowDescriber,
  columns: FlowColumns,
  { record, from, to }: { readonly record: number; readonly from: number; readonly to: number },
  isWanted: NamesEnd,
): number[] {
  const { leftOut, firstEntry } = columns;
  const found: number[] = [];
  let number = 0;
  for (let entry = firstEntry[record] as number; number < to; entry++) {
    if (leftOut[entry] !== 0 || number++ < from) continue;
    describer.entry(columns, entry);
    const ends = [describer.sourceSet, describer.destinationSet];
    if (ends.some((end) => end !== undefined && isWanted(end))) found.push(number - 1);
  }
  return found;
}
