/** Reads the journal's rows for the destinations, and decodes them once for all destinations that get every type. */
import type { Awaitable, JournalReader, Redelivery, Row, RowHead } from "../journal/index.ts";
import { EndBook } from "../processors/ends.ts";
import { FlowDescriber } from "../processors/flow.ts";
import type { Directory, ProcessorSettings } from "../processors/index.ts";
import type { RecordType } from "../records/types.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import { marksOf, type OpenRedelivery } from "./redelivery.ts";
import { marked, replayed } from "./selection.ts";
import { type RowContext, RowSource } from "./rows.ts";
import { settled, type Steps, taken } from "./steps.ts";

/** The types that a destination gets; undefined means all. */
type Types = readonly RecordType[] | undefined;

export class SharedRows {
  readonly describer: FlowDescriber;
  readonly #reader: JournalReader;
  readonly #context: RowContext;
  readonly #ofAllTypes: RowSource;
  readonly #ofSomeTypes: RowSource[] = [];

  constructor(reader: JournalReader, settings: ProcessorSettings) {
    this.#reader = reader;
    this.describer = new FlowDescriber(settings, new EndBook(settings));
    this.#context = { decoder: new FlowRowDecoder(new ClaimTable()), describer: this.describer, settings };
    this.#ofAllTypes = new RowSource(this.#reader, this.#context);
  }

  /** Bytes of handed-over text that were read or dropped. */
  get readBytes(): number {
    return this.#ofAllTypes.readBytes;
  }

  /** Accepts rows that the main thread hands over. */
  offer(rows: readonly Row[]): void {
    this.#ofAllTypes.offer(rows);
  }

  /** Creates the source of fresh rows. Rows of other types make no log records, and their text is not read. */
  freshOf(types: Types): RowSource {
    if (types === undefined) return this.#ofAllTypes;
    const source = new RowSource(this.#readerOf(types), this.#context);
    this.#ofSomeTypes.push(source);
    return source;
  }

  /** The rows of a redelivery and, for a retry, its marks sorted by row and end. */
  open(types: Types, redelivery: Redelivery): Awaitable<OpenRedelivery> {
    return settled(this.#open(types, redelivery));
  }

  *#open(types: Types, redelivery: Redelivery): Steps<OpenRedelivery> {
    const marks = redelivery.name === "retry" ? yield* marksOf(this.#reader, redelivery) : [];
    const selection = redelivery.name === "retry" ? marked(marks) : replayed(redelivery);
    return { marks, source: new RowSource(this.#readerOf(types), this.#context, selection) };
  }

  useDirectory(directory: Directory | undefined): void {
    this.#context.settings.directory.current = directory;
    for (const source of [this.#ofAllTypes, ...this.#ofSomeTypes]) source.forget();
  }

  close(): void {
    this.#reader.close();
  }

  #readerOf(types: Types): Pick<JournalReader, "read"> {
    if (types === undefined) return this.#reader;
    const reader = this.#reader;
    function* read(fromSeq: number, limit: Parameters<JournalReader["read"]>[1]): Steps<readonly Row[]> {
      const rows: Row[] = [];
      let bytes = 0;
      for (const head of yield* taken(reader.heads(fromSeq, limit.rows))) {
        if (bytes >= limit.bytes) break;
        const isWanted = types?.some((type) => type === head.type) === true;
        const [row] = isWanted ? yield* taken(reader.read(head.seq, { rows: 1, bytes: 1 })) : [withoutRecords(head)];
        if (row?.seq !== head.seq) continue;
        rows.push(row);
        bytes += row.text.length;
      }
      return rows;
    }
    return { read: (fromSeq, limit) => settled(read(fromSeq, limit)) };
  }
}

/** A row without log records, which delivery only passes. */
function withoutRecords({ seq, acceptedAt }: RowHead): Row {
  const nothing = { records: 0, text: new Uint8Array(), leftOut: undefined, tally: undefined, damage: undefined };
  return { seq, acceptedAt, source: "stream", type: "tally", ...nothing };
}
