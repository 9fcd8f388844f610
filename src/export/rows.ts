/**
 * Committed rows as log delivery reads them. A row that is handed out holds counts and times only; what its log records are
 * made of lies in a few decoded stretches of the journal, and is read again if it has been dropped in the meantime.
 */
import type { LogEvent } from "../catalogue/log-event.ts";
import { hrTimeOfMillis, millisOfHrTime } from "../lib/clock.ts";
import { decodeAudit } from "../records/audit.ts";
import { decodeWebhook } from "../records/webhook.ts";
import type { JournalReader, Row } from "../journal/index.ts";
import type { FlowDescriber } from "../processors/flow.ts";
import { describe, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import { FlowColumns, noTime } from "../records/flow/columns.ts";
import type { FlowRowDecoder } from "../records/flow/rows.ts";
import { decodeLeftOut } from "../records/left-out.ts";
import type { DeliverableRow, DeliverySource } from "./delivery/index.ts";
import { everything, type IsSelected, type RowSelection } from "./selection.ts";

/** What rows are decoded with. */
export interface RowContext {
  readonly decoder: FlowRowDecoder;
  readonly describer: Pick<FlowDescriber, "logRecords">;
  readonly settings: ProcessorSettings;
}

/** What the log records of a row are made of: columns from that record on, or one event per record. */
export type RowContents =
  | { readonly kind: "flow"; readonly columns: FlowColumns; readonly first: number }
  | { readonly kind: "plain"; readonly events: readonly (LogEvent | undefined)[] };

/** One row, on its way out. */
export class DeliveryRow implements DeliverableRow {
  readonly seq: number;
  /** Epoch milliseconds. */
  readonly acceptedAt: number;
  readonly records: number;
  readonly #source: RowSource;
  readonly #counts: RowCounts;

  constructor({ seq, acceptedAt }: Row, counts: RowCounts, source: RowSource) {
    this.seq = seq;
    this.acceptedAt = acceptedAt;
    this.records = counts.times.length;
    this.#source = source;
    this.#counts = counts;
  }

  get logRecords(): number {
    return this.firstLogRecord(this.records);
  }

  firstLogRecord(record: number): number {
    return this.#counts.before[record] as number;
  }

  /** The record that makes the log record: the last one that begins at or before it. */
  recordOf(logRecord: number): number {
    const { before } = this.#counts;
    let low = 0;
    let high = this.records;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((before[middle] as number) <= logRecord) low = middle;
      else high = middle;
    }
    return low;
  }

  timeOf(logRecord: number): number {
    return this.#counts.times[this.recordOf(logRecord)] as number;
  }

  defectOf(record: number): string | undefined {
    return this.#counts.defects.get(record);
  }

  /** Good until the next row is opened. @throws {Error} if the row cannot be read any more. */
  open(): RowContents {
    return this.#source.open(this.seq);
  }
}

/** Per record of a row: log records before it (and one number more: all), its time, and why it makes none. */
interface RowCounts {
  readonly before: Uint32Array;
  /** Epoch milliseconds. */
  readonly times: Float64Array;
  readonly defects: ReadonlyMap<number, string>;
}

/** Neighbouring rows, decoded together: small ones share their columns. Covers `from` up to, but not including, `end`. */
interface Stretch {
  readonly columns: FlowColumns;
  readonly from: number;
  end: number;
  bytes: number;
  readonly rows: DeliveryRow[];
  readonly contents: RowContents[];
}

/** One stretch: a full part of 1 MiB, or as many small rows as make one. */
const stretchLimit = { rows: 512, bytes: 1_048_576 };

/** Stretches held decoded. The rows of one request should be among them: 4 MiB of protobuf come from about 1.2 MiB of text. */
const maxStretches = 5;

/** Gives rows in order. What its selection leaves out makes no log records here. */
export class RowSource implements DeliverySource {
  readonly #reader: Pick<JournalReader, "read">;
  readonly #context: RowContext;
  readonly #selection: RowSelection;
  /** The one used last comes last. */
  #stretches: Stretch[] = [];

  constructor(reader: Pick<JournalReader, "read">, context: RowContext, selection: RowSelection = everything) {
    this.#reader = reader;
    this.#context = context;
    this.#selection = selection;
  }

  next(seq: number): DeliveryRow | undefined {
    const { untilSeq } = this.#selection;
    const from = this.#selection.skipTo(seq);
    if (from >= untilSeq) return undefined;
    const stretch = this.#stretchAt(from);
    const row = stretch?.rows[placeOf(stretch, from)];
    return row !== undefined && row.seq < untilSeq ? row : undefined;
  }

  open(seq: number): RowContents {
    const stretch = this.#stretchAt(seq);
    const place = stretch === undefined ? -1 : placeOf(stretch, seq);
    if (stretch === undefined || stretch.rows[place]?.seq !== seq) throw new Error(`row ${seq} has left the journal`);
    return stretch.contents[place] as RowContents;
  }

  /** Drops what is decoded: names may have changed. */
  forget(): void {
    this.#stretches = [];
  }

  #stretchAt(seq: number): Stretch | undefined {
    let found = this.#stretches.find(({ from, end }) => from <= seq && seq < end);
    if (found === undefined) {
      const grown = this.#stretches.find(({ end, bytes, rows }) => end === seq && hasRoom(rows.length, bytes));
      const rows = this.#reader.read(seq, {
        rows: stretchLimit.rows - (grown?.rows.length ?? 0),
        bytes: stretchLimit.bytes - (grown?.bytes ?? 0),
      });
      if (rows.length === 0) return undefined;
      found = grown ?? this.#newStretch(seq);
      for (const row of rows) this.#add(row, found);
    }
    const used = found;
    if (this.#stretches.at(-1) !== used) this.#stretches = [...this.#stretches.filter((one) => one !== used), used];
    return used;
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
    const { counts, contents } = this.#decode(row, stretch.columns);
    stretch.rows.push(new DeliveryRow(row, counts, this));
    stretch.contents.push(contents);
    stretch.end = row.seq + 1;
    stretch.bytes += row.text.length;
  }

  #decode(row: Row, columns: FlowColumns): Decoded {
    const { type } = row;
    const isSelected = this.#selection.recordsOf(row);
    if (!isRecordType(type) || isSelected === undefined) return { counts: noRecords, contents: noContents };
    if (row.damage !== undefined) return defective(row, isSelected, `the journal's row cannot be read: ${row.damage}`);
    const { records, ipv6Addresses } = columns;
    const texts = columns.addressTexts.length;
    try {
      return type === "flow" ? this.#decodeFlows(row, isSelected, columns) : this.#decodePlain(row, isSelected, type);
    } catch (error) {
      columns.truncate(records, ipv6Addresses, texts);
      for (const record of columns.defects.keys()) if (record >= records) columns.defects.delete(record);
      return defective(row, isSelected, messageOf(error));
    }
  }

  #decodeFlows(row: Row, isSelected: IsSelected, columns: FlowColumns): Decoded {
    const { decoder, describer } = this.#context;
    const first = columns.records;
    decoder.decode(row.text, row.leftOut, columns);
    if (columns.records - first !== row.records) throw new Error("the journal's row has other lines than records");
    const kept = row.leftOut === undefined ? undefined : decodeLeftOut(row.leftOut).kept;
    const counts = emptyCounts(row.records);
    for (let record = 0; record < row.records; record++) {
      const made = isSelected(record) ? describer.logRecords(columns, first + record) : 0;
      countRecord(counts, record, Math.min(made, kept?.[record] ?? made));
      counts.times[record] = timeOfFlow(columns, first + record, row.acceptedAt);
      const defect = columns.defects.get(first + record);
      if (defect !== undefined && isSelected(record)) counts.defects.set(record, defect);
    }
    return { counts, contents: { kind: "flow", columns, first } };
  }

  #decodePlain(row: Row, isSelected: IsSelected, type: "audit" | "webhook"): Decoded {
    const kept = row.leftOut === undefined ? undefined : decodeLeftOut(row.leftOut).kept;
    const lines = utf8.decode(row.text).split("\n");
    const counts = emptyCounts(lines.length);
    const events = lines.map((line, record) => {
      let event: LogEvent | undefined;
      try {
        if (isSelected(record)) event = describeLine(line, type, this.#context.settings, row.acceptedAt);
      } catch (error) {
        counts.defects.set(record, messageOf(error));
      }
      counts.times[record] = event === undefined ? row.acceptedAt : millisOfHrTime(event.time);
      countRecord(counts, record, event === undefined ? 0 : Math.min(1, kept?.[record] ?? 1));
      return event;
    });
    return { counts, contents: { kind: "plain", events } };
  }
}

interface Decoded {
  readonly counts: RowCounts;
  readonly contents: RowContents;
}

const utf8 = new TextDecoder();

interface CountsInWork extends RowCounts {
  readonly defects: Map<number, string>;
}

function emptyCounts(records: number): CountsInWork {
  return { before: new Uint32Array(records + 1), times: new Float64Array(records), defects: new Map() };
}

function countRecord({ before }: RowCounts, record: number, logRecords: number): void {
  before[record + 1] = (before[record] as number) + logRecords;
}

const noRecords: RowCounts = emptyCounts(0);
const noContents: RowContents = { kind: "plain", events: [] };

/** @throws {Error} if the line does not decode any more. */
function describeLine(
  line: string,
  type: "audit" | "webhook",
  settings: ProcessorSettings,
  acceptedAt: number,
): LogEvent {
  const raw = recordOfLine(line, type);
  return describe(raw.type === "audit" ? decodeAudit(raw) : decodeWebhook(raw), settings, acceptedAt);
}

/** A row whose records cannot be described, all for the same reason. */
function defective(row: Row, isSelected: IsSelected, defect: string): Decoded {
  const counts = emptyCounts(row.records);
  for (let record = 0; record < row.records; record++) if (isSelected(record)) counts.defects.set(record, defect);
  counts.times.fill(row.acceptedAt);
  return { counts, contents: noContents };
}

function isRecordType(type: Row["type"]): type is "flow" | "audit" | "webhook" {
  return type === "flow" || type === "audit" || type === "webhook";
}

function hasRoom(rows: number, bytes: number): boolean {
  return rows < stretchLimit.rows && bytes < stretchLimit.bytes;
}

/** Where the first row at or after `seq` stands. */
function placeOf({ rows }: Stretch, seq: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle] as DeliveryRow).seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** When the record's traffic began, as its log records say: the window's start, else its end, else when it was received. */
function timeOfFlow(columns: FlowColumns, record: number, acceptedAt: number): number {
  if (columns.startNanos[record] !== noTime) return (columns.startSeconds[record] as number) * 1000;
  if (columns.endNanos[record] !== noTime) return (columns.endSeconds[record] as number) * 1000;
  return millisOfHrTime(hrTimeOfMillis(acceptedAt));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
