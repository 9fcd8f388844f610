/**
 * One batch while it is put together: scan or read → identify → measure → pack, record by record, until it is appended whole.
 * Nothing of it is visible to anyone, and nothing has to be undone, before `commit` resolves.
 */
import { Refusal } from "../errors.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { type Append, partFlags } from "../journal/index.ts";
import { measureFlow } from "../processors/flow-metrics.ts";
import { flowLogRecords } from "../processors/flow.ts";
import { Defect, type DefectReason } from "../records/types.ts";
import { eventText, maxRecords, tooManyRecords, unwrap } from "../records/envelope.ts";
import { factOfAudit, factOfEvent } from "../records/fact.ts";
import { recordedMsOf, windowTimeOf } from "../records/flow/columns.ts";
import { readFlow } from "../records/flow/reader.ts";
import { keyWords } from "../records/identity.ts";
import type { AuditRecord, RawRecord, RecordType, SkippedValue, SkipReason, WebhookRecord } from "../records/types.ts";
import { Ages } from "./ages.ts";
import { type FlowPart, OpenFlowPart, releaseColumns, type WholeBody } from "./flow-part.ts";
import type { BatchTables, Origin, Outcome } from "./index.ts";
import { Judge, outcomeOf } from "./judge.ts";
import { decodePlain } from "../records/plain.ts";
import { OpenPlainPart, type PlainPart, type PlainType } from "./plain-part.ts";
import { OpenQuarantine } from "./quarantine-part.ts";

/** Connection entries in one request. */
export const maxEntries = 2_000_000;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A batch beyond this goes without its text, which the journal has too: a poll's may be 100 MB. */
const maxBytesWithText = 4 * 1024 * 1024;

export class Batch {
  readonly #origin: Origin;
  readonly #tables: BatchTables;
  #flow: OpenFlowPart | undefined;
  readonly #plain = new Map<PlainType, OpenPlainPart>();
  readonly #quarantine = new OpenQuarantine();
  readonly #parts: (FlowPart | PlainPart)[] = [];
  readonly #judge: Judge;
  /** Of one value. */
  readonly #found: { records: RawRecord[]; skipped: SkippedValue[] } = { records: [], skipped: [] };
  readonly #skipped: Partial<Record<SkipReason, number>> = {};
  readonly #ages = new Ages();
  readonly #key = new Uint32Array(keyWords);
  #types: RecordType | "unknown" | undefined;
  #sealedBytes = 0;
  #scanned = 0;
  #read = 0;

  /** The body, if it is one zstd frame: set before its records are added, it may be stored as it came. */
  whole: WholeBody | undefined;
  /** Records added so far, whatever becomes of them. */
  records = 0;
  /** Connection entries in the flow records added so far. */
  entries = 0;
  /** Why the last invalid record so far is invalid. */
  defect: Defect | undefined;

  constructor(origin: Origin, tables: BatchTables) {
    this.#origin = origin;
    this.#tables = tables;
    this.#judge = new Judge(origin, tables.journal);
  }

  /** Bytes that the batch holds in memory, for the budget of requests in flight. */
  get byteLength(): number {
    let bytes = this.#sealedBytes + this.#quarantine.byteLength + (this.#flow?.byteLength ?? 0);
    for (const part of this.#plain.values()) bytes += part.byteLength;
    return bytes;
  }

  /**
   * Adds the flow record whose text begins at `from`, if it is one of the usual shape. Returns the offset behind it, or -1.
   * @throws {Refusal} `too_large`
   */
  scan(bytes: Uint8Array, from: number, to: number): number {
    const part = this.#flowPart();
    const end = this.#tables.scanner.scan(bytes, from, to, part.columns);
    if (end < 0) return end;
    this.#scanned++;
    this.#countRecord("flow");
    const notes = this.#admitFlow(part, () => decode(bytes, from, end));
    if (notes !== undefined) {
      part.addBytes(bytes, from, end, notes);
      if (part.isFull) this.#sealFlow();
    }
    return end;
  }

  /**
   * Adds the records of one JSON value, in whatever they are wrapped.
   * @throws {Refusal} `unparsable` if the bytes are no JSON, `too_large`
   */
  add(bytes: Uint8Array, from: number, to: number): void {
    let text: string;
    let value: unknown;
    try {
      text = decode(bytes, from, to);
      value = JSON.parse(text);
    } catch {
      throw new Refusal("unparsable", "Invalid data format");
    }
    this.addValue(value, text);
  }

  /** Adds the records of a parsed value, `text` being its own text. @throws {Refusal} `too_large` */
  addValue(value: unknown, text: string): void {
    const { records, skipped } = this.#found;
    unwrap(value, text, this.#found);
    for (const raw of records) this.addRecord(raw);
    for (const one of skipped) this.#skip(one);
    records.length = 0;
    skipped.length = 0;
  }

  /** Adds a record that has been told apart. @throws {Refusal} `too_large` */
  addRecord(raw: RawRecord): void {
    this.#countRecord(raw.type);
    if (raw.type === "flow") this.#addFlow(raw);
    else this.#addPlain(raw, raw.type);
  }

  /**
   * Resolves once everything that the batch changes is on disk. `bytes` is the size of its text, decompressed.
   * @throws {Unavailable} if the journal cannot take it: nothing of it was accepted.
   */
  async commit(bytes: number, besides: Pick<Append, "poll" | "retries"> = {}): Promise<Outcome> {
    const { config, journal, telemetry, lastEvents } = this.#tables;
    this.#sealFlow();
    for (const type of this.#plain.keys()) this.#sealPlain(type);
    const maxLogRecords = config.collectors.flowlogs.max_log_records_per_window;
    const append: Append = {
      ...this.#origin,
      bytes,
      bytesOf: this.#types ?? "unknown",
      parts: this.#parts,
      known: this.#judge.known(),
      quarantine: this.#quarantine.seal(),
      skipped: this.#skipped,
      ...(maxLogRecords > 0 && { maxLogRecords }),
      ...(this.#origin.source === "poll" && config.streaming.enabled && { repairs: true }),
      ...besides,
    };
    try {
      const committed = await journal.append(append, this.#tables.committed);
      this.#ages.report(this.#origin, telemetry, lastEvents);
      if (this.#scanned > 0) telemetry.add("tailscale2otel.ingest.front_end", this.#scanned, { front_end: "scanner" });
      if (this.#read > 0) telemetry.add("tailscale2otel.ingest.front_end", this.#read, { front_end: "reader" });
      return outcomeOf(committed);
    } finally {
      this.drop();
    }
  }

  /** Gives the batch's buffers back. Whoever does not commit a batch calls it. */
  drop(): void {
    for (const part of this.#parts) if (part.type === "flow") releaseColumns(part.columns);
    this.#parts.length = 0;
    if (this.#flow !== undefined) releaseColumns(this.#flow.columns);
    this.#flow = undefined;
  }

  #countRecord(type: RecordType | "unknown"): void {
    this.#types = this.#types === undefined || this.#types === type ? type : "unknown";
    if (++this.records > maxRecords) throw new Refusal("too_large", tooManyRecords);
  }

  /** Only the first part can be all of the body. */
  #flowPart(): OpenFlowPart {
    if (this.#flow === undefined) {
      this.#flow = new OpenFlowPart(this.#tables.edges, this.whole);
      this.whole = undefined;
    }
    return this.#flow;
  }

  #addFlow(raw: RawRecord): void {
    const part = this.#flowPart();
    try {
      readFlow(raw.value, raw.recorded, this.#tables.claims, part.columns);
    } catch (error) {
      this.#reject("flow", raw.line, error);
      return;
    }
    this.#read++;
    const notes = this.#admitFlow(part, () => raw.line);
    if (notes === undefined) return;
    part.addLine(raw.line, notes);
    if (part.isFull) this.#sealFlow();
  }

  /** Judges the last record of the columns; nothing comes back, and the record is taken back, if it is not accepted here. */
  #admitFlow(part: OpenFlowPart, line: () => string) {
    const { identifier, edges, config } = this.#tables;
    const { columns } = part;
    const record = columns.records - 1;
    this.entries += columns.entries - (columns.firstEntry[record] as number);
    if (this.entries > maxEntries)
      throw new Refusal(
        "too_large",
        `More than ${maxEntries} connection entries in one request (no setting changes this limit)`,
      );
    const key = this.#key;
    identifier.flow(columns, record, key, 0);
    const recordedMs = recordedMsOf(columns, record);
    const keysAt = this.#judge.agingFrom(recordedMs);
    if (this.#judge.isKnown("flow", key, keysAt)) {
      columns.takeBack(record);
      return undefined;
    }
    part.checkEdges(edges);
    try {
      measureFlow(columns, record, record + 1, this.#tables);
    } catch (error) {
      columns.takeBack(record);
      this.#reject("flow", line(), error, "measure_failed");
      return undefined;
    }
    const time = windowTimeOf(columns, record);
    const flags = this.#judge.flagsOf("flow", time, recordedMs);
    if (time !== undefined && (flags & partFlags.ahead) === 0) this.#ages.add("flow", millisOfHrTime(time), recordedMs);
    const { max_log_records_per_window: limit, log_mode: mode } = config.collectors.flowlogs;
    return { key, flags, keysAt, logRecords: limit === 0 ? undefined : flowLogRecords(columns, record, mode) };
  }

  #addPlain(raw: RawRecord, type: PlainType): void {
    const { identifier, config, settings } = this.#tables;
    const key = this.#key;
    let record: AuditRecord | WebhookRecord;
    try {
      record = decodePlain(raw);
    } catch (error) {
      this.#reject(type, raw.line, error);
      return;
    }
    if (record.type === "audit") identifier.audit(record, key, 0);
    else identifier.webhook(record, key, 0);
    const recorded = record.type === "audit" ? record.recorded : undefined;
    const recordedMs = recorded && millisOfHrTime(recorded);
    const keysAt = this.#judge.agingFrom(recordedMs);
    if (this.#judge.isKnown(type, key, keysAt)) return;
    let part = this.#plain.get(type);
    if (part === undefined) this.#plain.set(type, (part = new OpenPlainPart(type, settings)));
    const flags = this.#judge.flagsOf(type, record.time, recordedMs);
    const told = record.type === "audit" ? factOfAudit(record) : factOfEvent(record);
    const fact = config.webhook.dedup_audit_events && told !== undefined ? identifier.factKeys(told) : undefined;
    try {
      part.add(record, raw.line, { key, fact, flags, keysAt });
    } catch (error) {
      this.#reject(type, raw.line, error, "measure_failed");
      return;
    }
    if ((flags & partFlags.ahead) === 0) this.#ages.addPlain(record, recordedMs, this.#origin.receivedAt);
    if (part.isFull) this.#sealPlain(type);
  }

  #skip({ reason, text }: SkippedValue): void {
    this.#countRecord("unknown");
    this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1;
    if (reason !== "unclassified" || !this.#tables.samples.wants(text)) return;
    this.#quarantine.add("sample", { type: "unknown", reason, detail: "not a known kind of record", text });
  }

  /** An error that is none of the decoders' own is ours; the record must not come back for ever because of it. */
  #reject(type: RecordType, line: string, error: unknown, ours: DefectReason = "decode_error"): void {
    const why = error instanceof Error ? error.message : String(error);
    const defect = error instanceof Defect ? error : new Defect(ours, why);
    this.defect = defect;
    this.#tables.identifier.text(eventText(line), this.#key, 0);
    const { reason, message } = defect;
    this.#quarantine.add("invalid", { type, reason, detail: message, text: line }, this.#key);
  }

  #sealFlow(): void {
    const part = this.#flow;
    if (part === undefined || part.columns.records === 0) return;
    part.checkEdges(this.#tables.edges);
    this.#flow = undefined;
    const keepsText = (): boolean => this.#sealedBytes < maxBytesWithText && this.#tables.keepsText();
    this.#sealed(part.seal(keepsText));
  }

  #sealPlain(type: PlainType): void {
    const part = this.#plain.get(type)?.seal();
    this.#plain.delete(type);
    if (part !== undefined && part.records > 0) this.#sealed(part);
  }

  #sealed(part: FlowPart | PlainPart): void {
    this.#parts.push(part);
    const columns = part.type === "flow" ? part.columns.byteLength : 0;
    this.#sealedBytes += columns + part.body.length + part.keys.byteLength;
  }
}

function decode(bytes: Uint8Array, from: number, to: number): string {
  return strictUtf8.decode(bytes.subarray(from, to));
}
