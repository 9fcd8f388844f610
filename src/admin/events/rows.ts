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

/** A decoded row. It is valid until the next one is opened. */
export interface EventRow {
  /** How many events a record makes; 0 for one that does not decode. */
  eventsOf(record: number): number;
  /** Events `from` up to, but not including, `to` of a record. */
  events(record: number, from: number, to: number): readonly LogEvent[];
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
      events: (record, from, to) => describer.events(columns, record, from, to, acceptedAt),
    };
  }

  #openPlain({ text, type, acceptedAt }: Row): EventRow {
    const settings = this.#settings;
    const events = linesOf(text).map((line) => {
      if (type !== "audit" && type !== "webhook") return undefined;
      try {
        return describe(decodePlain(recordOfLine(line, type)), settings, acceptedAt);
      } catch {
        return undefined;
      }
    });
    return {
      eventsOf: (record) => (events[record] === undefined ? 0 : 1),
      events: (record, from, to) => (events[record] === undefined ? [] : [events[record]]).slice(from, to),
    };
  }
}
