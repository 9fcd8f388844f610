/**
 * One batch while it is put together: scan or read → identify → measure → pack, record by record, until it is appended whole.
 * Nothing of it is visible to anyone, and nothing has to be undone, before `commit` resolves.
 */
import { Refusal } from "../errors.ts";
import { type HrTime, isSayable, millisOfHrTime } from "../lib/clock.ts";
import { Defect } from "../records/defect.ts";
import { type Fact, factOfAudit, factOfEvent } from "../records/fact.ts";
import type { AuditRecord, RawRecord, RecordType, SkippedValue, SkipReason, WebhookRecord } from "../records/types.ts";
import { type Append, type Committed, type KnownKeys, partFlags, type QuarantineLine } from "../journal/index.ts";
import { measureFlow } from "../processors/flow-metrics.ts";
import { flowLogRecords } from "../processors/flow.ts";
import { eventText, unwrap } from "../records/envelope.ts";
import { type FlowColumns, noTime } from "../records/flow/columns.ts";
import { readFlow } from "../records/flow/reader.ts";
import { keyWords } from "../records/identity.ts";
import { Ages } from "./ages.ts";
import { type FlowPart, OpenFlowPart, releaseColumns, type WholeBody } from "./flow-part.ts";
import type { BatchTables, Origin, Outcome } from "./index.ts";
import { decodePlain, OpenPlainPart, type PlainPart, type PlainType } from "./plain-part.ts";
import { OpenQuarantinePart } from "./quarantine-part.ts";

/** Records, and connection entries, in one request. */
export const maxRecords = 500_000;
export const maxEntries = 2_000_000;

/** A record's time may be this far ahead of ours before it is counted: whose clock is wrong is not known. */
const maxAheadMs = 5 * 60_000;

/** The log service's clock may be this far ahead of ours; a sender that claims more gains nothing by it. */
const maxClockLeadMs = 24 * 3_600_000;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Batch {
  readonly #origin: Origin;
  readonly #tables: BatchTables;
  #flow: OpenFlowPart | undefined;
  readonly #plain = new Map<PlainType, OpenPlainPart>();
  readonly #quarantined = new Map<"invalid" | "sample", OpenQuarantinePart>();
  readonly #parts: (FlowPart | PlainPart)[] = [];
  readonly #quarantine: Append["quarantine"][number][] = [];
  readonly #known = new Map<RecordType, { keys: number[]; keysAt: number }>();
  readonly #skipped: Partial<Record<SkipReason, number>> = {};
  readonly #ages = new Ages();
  readonly #key = new Uint32Array(keyWords);
  #types: RecordType | "unknown" | undefined;
  #defect: Defect | undefined;
  #sealedBytes = 0;
  #scanned = 0;
  #read = 0;
  #ipv6Before = 0;
  #textsBefore = 0;

  /** The body, if it is one zstd frame: set before its records are added, it may be stored as it came. */
  whole: WholeBody | undefined;
  /** Records added so far, whatever becomes of them. */
  records = 0;
  /** Connection entries in the flow records added so far. */
  entries = 0;

  constructor(origin: Origin, tables: BatchTables) {
    this.#origin = origin;
    this.#tables = tables;
  }

  /** Bytes that the batch holds in memory, for the budget of requests in flight. */
  get byteLength(): number {
    let bytes = this.#sealedBytes + (this.#flow?.byteLength ?? 0);
    for (const part of this.#plain.values()) bytes += part.byteLength;
    for (const part of this.#quarantined.values()) bytes += part.byteLength;
    return bytes;
  }

  /**
   * Adds the flow record whose text begins at `from`, if it is one of the usual shape. Returns the offset behind it, or -1.
   * @throws {Refusal} `too_large`
   */
  scan(bytes: Uint8Array, from: number, to: number): number {
    const part = (this.#flow ??= new OpenFlowPart(this.#tables.edges, this.#takeWhole()));
    this.#markStart(part.columns);
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
    const found: { records: RawRecord[]; skipped: SkippedValue[] } = { records: [], skipped: [] };
    unwrap(value, text, found);
    for (const raw of found.records) this.addRecord(raw);
    for (const skipped of found.skipped) this.#skip(skipped);
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
    this.#sealAll();
    const maxLogRecords = config.collectors.flowlogs.max_log_records_per_window;
    const append: Append = {
      ...this.#origin,
      bytes,
      bytesOf: this.#types ?? "unknown",
      parts: this.#parts,
      known: this.#knownKeys(),
      quarantine: this.#quarantine,
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

  /** Why the last invalid record so far is invalid. */
  get defect(): Defect | undefined {
    return this.#defect;
  }

  /** Gives the batch's buffers back. Whoever does not commit a batch calls it. */
  drop(): void {
    for (const part of this.#parts) if (part.type === "flow") releaseColumns(part.columns);
    this.#parts.length = 0;
    if (this.#flow !== undefined) releaseColumns(this.#flow.columns);
    this.#flow = undefined;
  }

  /** Only the first part can be all of the body. */
  #takeWhole(): WholeBody | undefined {
    const whole = this.whole;
    this.whole = undefined;
    return whole;
  }

  #countRecord(type: RecordType | "unknown"): void {
    this.#types = this.#types === undefined || this.#types === type ? type : "unknown";
    if (++this.records > maxRecords)
      throw new Refusal("too_large", `More than ${maxRecords} records in one request (no setting changes this limit)`);
  }

  #addFlow(raw: RawRecord): void {
    const part = (this.#flow ??= new OpenFlowPart(this.#tables.edges, this.#takeWhole()));
    this.#markStart(part.columns);
    try {
      readFlow(raw.value, raw.recorded, this.#tables.claims, part.columns);
    } catch (error) {
      this.#reject(raw.type, raw.line, error);
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
    const { identifier, journal, edges } = this.#tables;
    const { columns } = part;
    const record = columns.records - 1;
    this.entries += columns.entries - (columns.firstEntry[record] as number);
    if (this.entries > maxEntries)
      throw new Refusal(
        "too_large",
        `More than ${maxEntries} connection entries in one request (no setting changes this limit)`,
      );
    const { keys, at } = part.nextKey();
    identifier.flow(columns, record, keys, at);
    const recordedMs = recordedOf(columns, record);
    const keysAt = this.#agingFrom(recordedMs);
    if (journal.knows("flow", keys, at)) {
      this.#noteKnown("flow", keys, at, keysAt);
      this.#takeBack(columns);
      return undefined;
    }
    part.checkEdges(edges);
    try {
      measureFlow(columns, record, record + 1, this.#tables);
    } catch (error) {
      this.#takeBack(columns);
      this.#reject("flow", line(), new Defect("measure_failed", messageOf(error)));
      return undefined;
    }
    const time = windowTimeOf(columns, record);
    const flags = this.#flagsOf("flow", time, recordedMs);
    if (time !== undefined && (flags & partFlags.ahead) === 0) this.#ages.addFlow(millisOfHrTime(time), recordedMs);
    return { flags, keysAt, logRecords: this.#limitedLogRecords(columns, record) };
  }

  #markStart({ ipv6Addresses, addressTexts }: FlowColumns): void {
    this.#ipv6Before = ipv6Addresses;
    this.#textsBefore = addressTexts.length;
  }

  /** Takes the last record back. */
  #takeBack(columns: FlowColumns): void {
    columns.truncate(columns.records - 1, this.#ipv6Before, this.#textsBefore);
  }

  #limitedLogRecords(columns: FlowColumns, record: number): number | undefined {
    const { max_log_records_per_window: limit, log_mode: mode } = this.#tables.config.collectors.flowlogs;
    return limit === 0 ? undefined : flowLogRecords(columns, record, mode);
  }

  #addPlain(raw: RawRecord, type: PlainType): void {
    const { identifier, journal, config, settings } = this.#tables;
    let record: AuditRecord | WebhookRecord;
    try {
      record = decodePlain(raw);
    } catch (error) {
      this.#reject(type, raw.line, error);
      return;
    }
    const key = this.#key;
    if (record.type === "audit") identifier.audit(record, key, 0);
    else identifier.webhook(record, key, 0);
    const recordedMs =
      record.type === "audit" && record.recorded !== undefined ? millisOfHrTime(record.recorded) : undefined;
    const keysAt = this.#agingFrom(recordedMs);
    if (journal.knows(type, key, 0)) {
      this.#noteKnown(type, key, 0, keysAt);
      return;
    }
    let part = this.#plain.get(type);
    if (part === undefined) this.#plain.set(type, (part = new OpenPlainPart(type, settings)));
    const flags = this.#flagsOf(type, record.time, recordedMs);
    const told = record.type === "audit" ? factOfAudit(record) : factOfEvent(record);
    const fact = config.webhook.dedup_audit_events && told !== undefined ? this.#factKeys(told) : undefined;
    try {
      part.add(record, raw.line, { key, fact, flags, keysAt });
    } catch (error) {
      this.#reject(type, raw.line, new Defect("measure_failed", messageOf(error)));
      return;
    }
    if ((flags & partFlags.ahead) === 0) this.#ages.add(record, this.#origin.receivedAt);
    if (part.isFull) this.#sealPlain(type);
  }

  #skip({ reason, text }: SkippedValue): void {
    this.#countRecord("unknown");
    this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1;
    if (reason !== "unclassified" || !this.#tables.samples.wants(text)) return;
    this.#keep("sample", { type: "unknown", reason, detail: "not a known kind of record", text }, undefined);
  }

  /** An error that is none of the decoders' own is ours; the record must not come back for ever because of it. */
  #reject(type: RecordType, line: string, error: unknown): void {
    const defect = error instanceof Defect ? error : new Defect("decode_error", messageOf(error));
    this.#defect = defect;
    this.#tables.identifier.text(eventText(line), this.#key, 0);
    this.#keep("invalid", { type, reason: defect.reason, detail: defect.message, text: line }, this.#key);
  }

  #keep(partClass: "invalid" | "sample", line: Omit<QuarantineLine, "isCut">, key: Uint32Array | undefined): void {
    let part = this.#quarantined.get(partClass);
    if (part === undefined) this.#quarantined.set(partClass, (part = new OpenQuarantinePart(partClass)));
    part.add(line, key);
    if (part.isFull) this.#sealQuarantine(partClass);
  }

  #noteKnown(type: RecordType, keys: Uint32Array, at: number, keysAt: number): void {
    let known = this.#known.get(type);
    if (known === undefined) this.#known.set(type, (known = { keys: [], keysAt: 0 }));
    for (let word = at; word < at + keyWords; word++) known.keys.push(keys[word] as number);
    known.keysAt = Math.max(known.keysAt, keysAt);
  }

  #knownKeys(): KnownKeys[] {
    return Array.from(this.#known, ([type, { keys, keysAt }]) => ({ type, keys: Uint32Array.from(keys), keysAt }));
  }

  /** A key grows old from the later of receipt and the log service's time, so that it is there for whoever comes by either clock. */
  #agingFrom(recordedMs: number | undefined): number {
    const { receivedAt } = this.#origin;
    if (recordedMs === undefined || recordedMs <= receivedAt) return receivedAt;
    return Math.ceil(Math.min(recordedMs, receivedAt + maxClockLeadMs));
  }

  /** What is counted of a record besides what it holds. `time`: its own, as it says it. */
  #flagsOf(type: RecordType, time: HrTime | undefined, recordedMs: number | undefined): number {
    let flags = this.#isUnproven(type, recordedMs) ? partFlags.unproven : 0;
    if (time === undefined || !isSayable(time)) flags |= partFlags.replacedTime;
    else if (millisOfHrTime(time) > this.#origin.receivedAt + maxAheadMs) flags |= partFlags.ahead;
    return flags;
  }

  /** The fact's own second, and those beside it: both accounts of it may differ by a second. */
  #factKeys(fact: Fact): Uint32Array {
    const { identifier } = this.#tables;
    const keys = new Uint32Array(keyWords * 3);
    for (const [place, offset] of [0, -1, 1].entries()) keys.set(identifier.fact(fact, offset), place * keyWords);
    return keys;
  }

  /** A poll does not ask for what is older than the keys, unless nobody else can have brought it. */
  #isUnproven(type: RecordType, recordedMs: number | undefined): boolean {
    if (recordedMs === undefined || this.#origin.source !== "stream") return false;
    return recordedMs <= this.#tables.journal.horizon(type).until;
  }

  #sealAll(): void {
    this.#sealFlow();
    for (const type of this.#plain.keys()) this.#sealPlain(type);
    for (const partClass of this.#quarantined.keys()) this.#sealQuarantine(partClass);
  }

  #sealFlow(): void {
    const part = this.#flow;
    if (part === undefined || part.columns.records === 0) return;
    part.checkEdges(this.#tables.edges);
    const sealed = part.seal(this.#tables.keepsText);
    this.#flow = undefined;
    this.#parts.push(sealed);
    this.#sealedBytes += sealed.columns.byteLength + sealed.body.length + sealed.keys.byteLength;
  }

  #sealPlain(type: PlainType): void {
    const sealed = this.#plain.get(type)?.seal();
    this.#plain.delete(type);
    if (sealed === undefined || sealed.records === 0) return;
    this.#parts.push(sealed);
    this.#sealedBytes += sealed.body.length + sealed.keys.byteLength;
  }

  #sealQuarantine(partClass: "invalid" | "sample"): void {
    const sealed = this.#quarantined.get(partClass)?.seal();
    this.#quarantined.delete(partClass);
    if (sealed === undefined) return;
    this.#quarantine.push(sealed);
    this.#sealedBytes += sealed.body.length + sealed.lines * 64;
  }
}

function decode(bytes: Uint8Array, from: number, to: number): string {
  return strictUtf8.decode(bytes.subarray(from, to));
}

/** The time of a flow record's log records: the start of its window, else its end. */
function windowTimeOf(columns: FlowColumns, record: number): HrTime | undefined {
  const { startSeconds, startNanos, endSeconds, endNanos } = columns;
  const start: HrTime = [startSeconds[record] as number, startNanos[record] as number];
  if (start[1] !== noTime && isSayable(start)) return start;
  const end: HrTime = [endSeconds[record] as number, endNanos[record] as number];
  return end[1] === noTime ? undefined : end;
}

function recordedOf(columns: FlowColumns, record: number): number | undefined {
  const nanos = columns.recordedNanos[record] as number;
  return nanos === noTime ? undefined : (columns.recordedSeconds[record] as number) * 1000 + nanos / 1e6;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function outcomeOf({ parts, tally }: Committed): Outcome {
  return {
    accepted: parts.reduce((sum, { accepted }) => sum + accepted, 0),
    duplicate: sumOf(tally.duplicates),
    skipped: sumOf(tally.skipped),
    quarantined: (tally.quarantined ?? []).reduce((sum, { records }) => sum + records, 0),
  };
}

function sumOf(counts: Readonly<Partial<Record<string, number>>> = {}): number {
  return Object.values(counts).reduce<number>((sum, records) => sum + (records ?? 0), 0);
}
