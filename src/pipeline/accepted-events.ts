/** Accepted records as log events, read back from the journal: for whoever watches, not for delivery. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { JournalReader, Row } from "../journal/index.ts";
import { FlowDescriber } from "../processors/flow.ts";
import { describe, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowColumns } from "../records/flow/columns.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import { linesOf } from "./lines.ts";
import { decodePlain } from "../records/plain.ts";

/** Log events of whole rows, and the row to go on from. */
export interface AcceptedEvents {
  readonly nextSeq: number;
  readonly events: readonly LogEvent[];
}

export class AcceptedEventReader {
  readonly #reader: JournalReader;
  readonly #settings: ProcessorSettings;
  readonly #describer: FlowDescriber;
  readonly #decoder = new FlowRowDecoder(new ClaimTable());
  readonly #columns = new FlowColumns();

  constructor(reader: JournalReader, settings: ProcessorSettings) {
    this.#reader = reader;
    this.#settings = settings;
    this.#describer = new FlowDescriber(settings);
  }

  /** Events of rows from `fromSeq` on, until there are `limit` of them. Records that cannot be described are left out. */
  read(fromSeq: number, limit: number): AcceptedEvents {
    const events: LogEvent[] = [];
    let nextSeq = fromSeq;
    while (events.length < limit) {
      const [row] = this.#reader.read(nextSeq, { rows: 1, bytes: 1 });
      if (row === undefined) break;
      nextSeq = row.seq + 1;
      if (row.type === "flow") this.#addFlows(row, events);
      if (row.type !== "audit" && row.type !== "webhook") continue;
      for (const line of linesOf(row.text)) {
        try {
          events.push(describe(decodePlain(recordOfLine(line, row.type)), this.#settings, row.acceptedAt));
        } catch {
          continue;
        }
      }
    }
    return { nextSeq, events };
  }

  close(): void {
    this.#reader.close();
  }

  #addFlows({ text, leftOut, acceptedAt }: Row, into: LogEvent[]): void {
    const columns = this.#columns;
    const describer = this.#describer;
    columns.clear();
    this.#decoder.decode(text, leftOut, columns);
    for (let record = 0; record < columns.records; record++) {
      into.push(...describer.events(columns, record, 0, Number.POSITIVE_INFINITY, acceptedAt));
    }
  }
}
