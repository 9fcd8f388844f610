/**
 * Reads committed rows for log delivery. A returned row holds only counts and times; what its log records are made of is in
 * a few decoded stretches of the journal, and is read again if it has been dropped in the meantime.
 */
import type { LogEvent } from "../catalogue/log-event.ts";
import { hrTimeOfMillis, millisOfHrTime } from "../lib/clock.ts";
import { messageOf } from "../lib/system-error.ts";
import { linesOf } from "../records/json.ts";
import { decodePlain } from "../records/plain.ts";
import type { Awaitable, JournalReader, Row } from "../journal/index.ts";
import { collectGarbage, freeBuffer } from "../runtime/process.ts";
import type { FlowDescriber } from "../processors/flow.ts";
import { describe, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import { FlowColumns, noTime } from "../records/flow/columns.ts";
import { isRecordType } from "../records/types.ts";
import { decodeLeftOut, type FlowRowDecoder } from "../records/flow/rows.ts";
import { everyRow, firstAt, type IsSelected, type RowSelection } from "./selection.ts";
import { DeliveryRow, type DeliverySource, type RowContents, Unread } from "./requests.ts";

/** What rows are decoded with. */
export interface RowContext {
  readonly decoder: FlowRowDecoder;
  readonly describer: Pick<FlowDescriber, "logRecords">;
  readonly settings: ProcessorSettings;
}

/** Adjacent rows that are decoded together, so that small ones share columns. Covers `from` up to `end` (exclusive). */
interface Stretch {
  readonly columns: FlowColumns;
  readonly from: number;
  end: number;
  bytes: number;
  readonly rows: DeliveryRow[];
  readonly contents: RowContents[];
}

/** Limits of one stretch: a full part of 1 MiB, or small rows of that size. */
const stretchLimit = { rows: 512, bytes: 1_048_576 };

/** Decoded stretches in memory, enough for the rows of one request: 4 MiB of protobuf come from about 1.2 MiB of text. */
const maxStretches = 5;

/** This many left-out entries leave 10 MB of garbage, which the collector would let grow: 1 GB for one request of them. */
const leftOutPerCollection = 10_000;

/** A row full of audit records or webhook events, which are rare, leaves tens of MB of garbage, which the collector would let grow. */
const plainBytesPerCollection = 512 * 1024;

/**
 * Text of rows between two collections, about two seconds at the highest rate: the collector falls behind delivery at full
 * speed, and requests leave tens of MB of buffers. This costs less than one percent of that speed. The listening thread does
 * not do it, because its answers would have to wait.
 */
const bytesPerCollection = 64 * 1024 * 1024;

type ReadLimit = Parameters<JournalReader["read"]>[1];

/** Returns rows in order. Records outside its selection make no log records. */
export class RowSource implements DeliverySource {
  readonly #reader: Pick<JournalReader, "read">;
  readonly #context: RowContext;
  readonly #selection: RowSelection;
  /** Settles once the rows that are being read are in a stretch. */
  #reading: Promise<unknown> | undefined;
  /** Most recently used last. */
  #stretches: Stretch[] = [];
  /** Rows that the main thread has handed over, in the order of `seq`, each once. */
  #handed: Row[] = [];
  /** Bytes of handed-over text that were read or dropped. */
  readBytes = 0;
  /** Entries left out of the rows decoded since garbage was collected. */
  #leftOut = 0;
  #bytesSinceCollection = 0;

  constructor(reader: Pick<JournalReader, "read">, context: RowContext, selection: RowSelection = everyRow) {
    this.#reader = reader;
    this.#context = context;
    this.#selection = selection;
  }

  next(seq: number): Awaitable<DeliveryRow | undefined> {
    const { untilSeq } = this.#selection;
    const from = this.#selection.skipTo(seq);
    if (from >= untilSeq) return undefined;
    return this.#withStretchAt(from, (stretch) => {
      const row = stretch?.rows[firstAt(stretch.rows, from)];
      return row !== undefined && row.seq < untilSeq ? row : undefined;
    });
  }

  /**
   * Accepts rows that the main thread hands over as it commits them, in ascending order, so that they need not be read and
   * decompressed: 0.5 µs less per connection entry. This is only a cache: other rows are read from the journal.
   */
  offer(rows: readonly Row[]): void {
    this.#handed.push(...rows);
  }

  /** Drops decoded rows, because names may have changed. */
  forget(): void {
    this.#stretches = [];
  }

  readonly #openRow = (seq: number): Awaitable<RowContents> =>
    this.#withStretchAt(seq, (stretch) => {
      const place = stretch === undefined ? -1 : firstAt(stretch.rows, seq);
      if (stretch?.rows[place]?.seq !== seq) throw new Error(`row ${seq} has left the journal`);
      return stretch.contents[place] as RowContents;
    });

  /** Calls `ask` with the stretch that covers the row, or undefined if there is no such or later row. Reads one at a time. */
  #withStretchAt<Answer>(seq: number, ask: (stretch: Stretch | undefined) => Answer): Awaitable<Answer> {
    const found = this.#stretches.find(({ from, end }) => from <= seq && seq < end);
    if (found !== undefined) {
      if (this.#stretches.at(-1) !== found)
        this.#stretches = [...this.#stretches.filter((one) => one !== found), found];
      return ask(found);
    }
    if (this.#reading !== undefined) return this.#reading.then(() => this.#withStretchAt(seq, ask));
    const added = this.#read(seq);
    if (!(added instanceof Promise)) return added ? this.#withStretchAt(seq, ask) : ask(undefined);
    const ended = (): void => void (this.#reading = undefined);
    this.#reading = added.then(ended, ended);
    return added.then((isThere) => (isThere ? this.#withStretchAt(seq, ask) : ask(undefined)));
  }

  /** Adds the rows from `seq` on to the stretch that ends there, or to a new one. True if there are any. */
  #read(seq: number): Awaitable<boolean> {
    const { rows: most, bytes: mostBytes } = stretchLimit;
    const grown = this.#stretches.find(
      ({ end, bytes, rows }) => end === seq && rows.length < most && bytes < mostBytes,
    );
    const limit = { rows: most - (grown?.rows.length ?? 0), bytes: mostBytes - (grown?.bytes ?? 0) };
    const add = (rows: readonly Row[]): boolean => {
      if (rows.length === 0) return false;
      const isHeld = grown !== undefined && this.#stretches.includes(grown);
      const stretch = isHeld ? grown : this.#newStretch(seq);
      for (const row of rows) this.#add(row, stretch);
      return true;
    };
    const rows = this.#handedFrom(seq, limit) ?? this.#stored(seq, limit);
    return rows instanceof Promise ? rows.then(add) : add(rows);
  }

  /** The handed-over rows from `fromSeq` on, if any. They are returned once; earlier ones are dropped. */
  #handedFrom(fromSeq: number, limit: ReadLimit): readonly Row[] | undefined {
    const first = firstAt(this.#handed, fromSeq);
    let end = first;
    for (let bytes = 0; end - first < limit.rows && bytes < limit.bytes; end++) {
      const row = this.#handed[end];
      if (row?.seq !== fromSeq + end - first) break;
      bytes += row.text.length;
    }
    const gone = this.#handed.splice(0, end);
    for (const { text } of gone) this.readBytes += text.length;
    return end > first ? gone.slice(first) : undefined;
  }

  /** Rows from the journal, up to the first that was handed over. */
  #stored(fromSeq: number, limit: ReadLimit): Awaitable<readonly Row[]> {
    const rowsToNext = (this.#handed[0]?.seq ?? Number.POSITIVE_INFINITY) - fromSeq;
    const rows = this.#reader.read(fromSeq, { ...limit, rows: Math.min(limit.rows, rowsToNext) });
    if (!(rows instanceof Promise)) return rows;
    return rows.catch((error: unknown) => {
      throw new Unread(messageOf(error));
    });
  }

  #newStretch(from: number): Stretch {
    const dropped = this.#stretches.length >= maxStretches ? this.#stretches.shift() : undefined;
    const columns = dropped?.columns ?? new FlowColumns();
    columns.clear();
    const stretch: Stretch = { columns, from, end: from, bytes: 0, rows: [], contents: [] };
    this.#stretches.push(stretch);
    return stretch;
  }

  #add(row: Row, stretch: Stretch): void {
    const made = this.#decode(row, stretch.columns);
    stretch.rows.push(made.row);
    stretch.contents.push(made.contents);
    stretch.end = row.seq + 1;
    stretch.bytes += row.text.length;
    this.#bytesSinceCollection += row.text.length;
    freeBuffer(row.text);
    if (this.#bytesSinceCollection < bytesPerCollection) return;
    this.#bytesSinceCollection = 0;
    collectGarbage();
  }

  #decode(row: Row, columns: FlowColumns): { readonly row: DeliveryRow; readonly contents: RowContents } {
    const { type } = row;
    const isSelected = this.#selection.recordsOf(row);
    if (!isRecordType(type) || isSelected === undefined)
      return { row: new DeliveryRow(row, 0, this.#openRow), contents: noContents };
    const { records, ipv6Addresses } = columns;
    const texts = columns.addressTexts.length;
    const made = new DeliveryRow(row, row.records, this.#openRow);
    try {
      if (row.damage !== undefined) throw new Error(`the journal's row cannot be read: ${row.damage}`);
      const contents =
        type === "flow"
          ? this.#decodeFlows(row, isSelected, columns, made)
          : this.#decodePlain(row, isSelected, type, made);
      return { row: made, contents };
    } catch (error) {
      columns.truncate(records, ipv6Addresses, texts);
      for (const record of columns.defects.keys()) if (record >= records) columns.defects.delete(record);
      for (let record = 0; record < row.records; record++)
        made.note(record, 0, row.acceptedAt, isSelected(record) ? messageOf(error) : undefined);
      return { row: made, contents: noContents };
    }
  }

  #decodeFlows(row: Row, isSelected: IsSelected, columns: FlowColumns, into: DeliveryRow): RowContents {
    const { decoder, describer, settings } = this.#context;
    const first = columns.records;
    const before = columns.leftOutTexts.size;
    decoder.decode(row.text, row.leftOut, columns);
    this.#leftOut += columns.leftOutTexts.size - before;
    if (settings.recordUid === undefined) columns.leftOutTexts.clear();
    if (this.#leftOut >= leftOutPerCollection) {
      this.#leftOut = 0;
      collectGarbage();
    }
    checkLines(row, columns.records - first);
    const kept = keptOf(row);
    for (let record = 0; record < row.records; record++) {
      const at = first + record;
      const selected = isSelected(record);
      const made = selected ? describer.logRecords(columns, at) : 0;
      const logRecords = Math.min(made, kept?.[record] ?? made);
      const defect = selected ? columns.defects.get(at) : undefined;
      into.note(record, logRecords, timeOfFlow(columns, at, row.acceptedAt), defect);
    }
    return { kind: "flow", columns, first };
  }

  #decodePlain(row: Row, isSelected: IsSelected, type: "audit" | "webhook", into: DeliveryRow): RowContents {
    const { settings } = this.#context;
    const { acceptedAt } = row;
    const lines = linesOf(row.text);
    checkLines(row, lines.length);
    const kept = keptOf(row);
    const events = lines.map((line, record) => {
      let event: LogEvent | undefined;
      let defect: string | undefined;
      try {
        if (isSelected(record)) event = describeLine(line, type, settings, acceptedAt);
      } catch (error) {
        defect = messageOf(error);
      }
      const logRecords = event === undefined ? 0 : Math.min(1, kept?.[record] ?? 1);
      into.note(record, logRecords, event === undefined ? acceptedAt : millisOfHrTime(event.time), defect);
      return event;
    });
    if (row.text.length > plainBytesPerCollection) collectGarbage();
    return { kind: "plain", events };
  }
}

const noContents: RowContents = { kind: "plain", events: [] };

function checkLines({ records }: Row, lines: number): void {
  if (lines !== records) throw new Error("the journal's row has other lines than records");
}

/** Log records that each record was accepted with, if there was a limit. */
function keptOf({ leftOut }: Row): Uint32Array | undefined {
  return leftOut === undefined ? undefined : decodeLeftOut(leftOut).kept;
}

/** @throws {Error} if the line can no longer be decoded. */
function describeLine(line: Uint8Array, type: "audit" | "webhook", settings: ProcessorSettings, at: number): LogEvent {
  return describe(decodePlain(recordOfLine(line, type)), settings, at);
}

/** The time of the record's log records: the window's start, else its end, else when it was received. */
function timeOfFlow(columns: FlowColumns, record: number, acceptedAt: number): number {
  if (columns.startNanos[record] !== noTime) return (columns.startSeconds[record] as number) * 1000;
  if (columns.endNanos[record] !== noTime) return (columns.endSeconds[record] as number) * 1000;
  return millisOfHrTime(hrTimeOfMillis(acceptedAt));
}
