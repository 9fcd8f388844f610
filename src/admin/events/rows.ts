/** Decodes rows of the journal into events for viewers, with privacy: one per connection, audit record and webhook event. */
import type { LogEvent } from "../../catalogue/log-event.ts";
import { decodePlain } from "../../records/plain.ts";
import type { Row } from "../../journal/index.ts";
import { FlowDescriber } from "../../processors/flow.ts";
import { describe, type ProcessorSettings } from "../../processors/index.ts";
import { maxBodyBytes, type TextLimits } from "../../processors/outgoing.ts";
import { recordOfLine } from "../../records/envelope.ts";
import { ClaimTable } from "../../records/flow/claims.ts";
import { FlowColumns } from "../../records/flow/columns.ts";
import { FlowRowDecoder } from "../../records/flow/rows.ts";
import { linesOf } from "../../records/json.ts";
import type { NamesEnd, Wanted } from "./wanted.ts";

/** An event of a record, and its number in the record. */
export type NumberedEvent = readonly [number: number, event: LogEvent];

/** A decoded row, valid until the next one is opened. */
export interface EventRow {
  /** How many events a record has. */
  eventsOf(record: number): number;
  /** The wanted events of a record from `from` up to `to` (exclusive); none if it does not decode. */
  events(record: number, from: number, to: number, wanted: Pick<Wanted, "end" | "event">): readonly NumberedEvent[];
  /** The event of a record with that number, with its texts in full; `undefined` if there is none. */
  whole(record: number, number: number): LogEvent | undefined;
}

/** Limits for an event shown alone: enough for a policy file, but with privacy only as much as is searched for what it hides. */
const wholeTexts = (hasPrivacy: boolean): TextLimits => {
  const bytes = hasPrivacy ? maxBodyBytes : 2 * 1024 * 1024;
  return { attributeBytes: bytes, bodyBytes: bytes };
};

/** Decodes rows one after another; uses a few megabytes. */
export class EventRows {
  readonly #settings: ProcessorSettings;
  readonly #describer: FlowDescriber;
  readonly #decoder = new FlowRowDecoder(new ClaimTable());
  readonly #columns = new FlowColumns();

  constructor(settings: ProcessorSettings) {
    this.#settings = settings;
    // Independent of the mode that is exported.
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
      events(record, from, to, wanted) {
        const made = (first: number, end: number): NumberedEvent[] =>
          describer
            .events(columns, record, first, end, acceptedAt)
            .map((event, at): NumberedEvent => [first + at, event])
            .filter(([, event]) => wanted.event?.(event) ?? true);
        if (wanted.end === undefined) return made(from, to);
        describer.record(columns, record, acceptedAt);
        const numbers = withEnd(describer, columns, { record, from, to }, wanted.end);
        return numbers.length === to - from ? made(from, to) : numbers.flatMap((number) => made(number, number + 1));
      },
      whole(record, number) {
        if (number >= this.eventsOf(record)) return undefined;
        return describer.events(columns, record, number, number + 1, acceptedAt)[0];
      },
    };
  }

  #openPlain({ text, type, acceptedAt }: Row): EventRow {
    const settings = this.#settings;
    const lines = linesOf(text);
    const made = (record: number, limits?: TextLimits): LogEvent | undefined => {
      const line = lines[record];
      if (line === undefined || (type !== "audit" && type !== "webhook")) return undefined;
      try {
        return describe(decodePlain(recordOfLine(line, type)), settings, acceptedAt, limits);
      } catch {
        return undefined;
      }
    };
    return {
      eventsOf: (record) => (record < lines.length ? 1 : 0),
      events(record, from, to, { end, event: isWanted }) {
        const event = from > 0 || to < 1 ? undefined : made(record);
        const isShown = event !== undefined && (end?.(event) ?? true) && (isWanted?.(event) ?? true);
        return isShown ? [[0, event]] : [];
      },
      whole: (record, number) => (number === 0 ? made(record, wholeTexts(settings.privacy !== undefined)) : undefined),
    };
  }
}

/**
 * The numbers of a record's events from `from` up to `to` (exclusive) that have a wanted end. Builds no events: an end has the
 * same attribute set in all of them. `describer` is at the record.
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
