/**
 * Builds one batch record by record (scan or read → identify → measure → pack) until it is appended. Nothing of it is
 * visible, and nothing has to be undone, before `commit` is called.
 */
import { merge, noIncrements } from "../catalogue/increments.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { orUnparsable, Refusal } from "../errors.ts";
import { type Append, type Committed, type Journal, reasonOf } from "../journal/index.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { measureFlow, type MeasureContext } from "../processors/flow-metrics.ts";
import { flowLogRecords } from "../processors/flow.ts";
import { measure } from "../processors/index.ts";
import { eventOf, unwrap } from "../records/envelope.ts";
import type { ClaimTable } from "../records/flow/claims.ts";
import { type FlowColumns, recordedMsOf, windowTimeOf } from "../records/flow/columns.ts";
import { readFlow } from "../records/flow/reader.ts";
import type { FlowScanner } from "../records/flow/scanner.ts";
import { type Identifier, keyWords } from "../records/identity.ts";
import { decodePlain, factOfAudit, factOfEvent } from "../records/plain.ts";
import { Defect, type DefectReason, type RawRecord, type RecordType } from "../records/types.ts";
import type { SkippedValue, SkipReason } from "../records/types.ts";
import { freeBuffer } from "../runtime/process.ts";
import { appendBatch, type Outcome } from "./append.ts";
import { type MeasuredPart, OpenPart, releaseColumns, type WholeBody } from "./parts.ts";
import { OpenQuarantine, type Samples } from "./quarantine.ts";
import { BatchTimes, type LastEvents, type Origin } from "./times.ts";

/** What all batches of a thread share. */
export interface BatchContext extends MeasureContext {
  readonly config: Config;
  readonly journal: Pick<Journal, "append" | "knows" | "horizon">;
  /** Counts and delivers a commit; called in the order of rows, inside the turn. */
  readonly committed: (committed: Committed) => void;
  readonly telemetry: Telemetry;
  /** True if committed flow records are read again at once, so that their text should be handed over. */
  readonly keepsText: () => boolean;
  readonly claims: ClaimTable;
  readonly scanner: FlowScanner;
  readonly identifier: Identifier;
  readonly samples: Samples;
  readonly lastEvents: LastEvents;
}

/** Records in one request. */
export const maxRecords = 500_000;

/** Connection entries in one request. */
export const maxEntries = 1_000_000;

/** A larger batch does not keep its text, which the journal has too: a poll's may be 100 MB. */
const maxBytesWithText = 4 * 1024 * 1024;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const utf8 = new TextDecoder();

export class Batch {
  readonly #origin: Origin;
  readonly #context: BatchContext;
  readonly #times: BatchTimes;
  readonly #open = new Map<RecordType, OpenPart>();
  readonly #parts: MeasuredPart[] = [];
  readonly #quarantine = new OpenQuarantine();
  /** Keys that the journal already has: duplicates, which are recorded as seen again. */
  readonly #known = new Map<RecordType, { readonly keys: number[]; keysAt: number }>();
  readonly #skipped: Partial<Record<SkipReason, number>> = {};
  readonly #key = new Uint32Array(keyWords);
  #types: RecordType | "unknown" | undefined;
  #sealedBytes = 0;
  readonly #frontEnds = { scanner: 0, reader: 0 };

  /** The body, if it is one zstd frame. If set before its records are added, it may be stored as received. */
  whole: WholeBody | undefined;
  /** Records added so far, whatever their outcome. */
  records = 0;
  /** Connection entries in the flow records added so far. */
  entries = 0;
  /** Why the last invalid record so far is invalid. */
  defect: Defect | undefined;

  constructor(origin: Origin, context: BatchContext) {
    this.#origin = origin;
    this.#context = context;
    this.#times = new BatchTimes(origin, context.journal);
  }

  /** Bytes that the batch holds in memory, for the budget of requests in flight. */
  get byteLength(): number {
    let bytes = this.#sealedBytes + this.#quarantine.byteLength;
    for (const part of this.#open.values()) bytes += part.byteLength;
    return bytes;
  }

  /**
   * Adds the flow record whose text begins at `from`, if it has the usual shape. Returns the offset after it, or -1.
   * @throws {Refusal} `too_large`
   */
  scan(bytes: Uint8Array, from: number, to: number): number {
    const part = this.#partOf("flow");
    const end = this.#context.scanner.scan(bytes, from, to, part.columns as FlowColumns);
    if (end < 0) return end;
    this.#frontEnds.scanner++;
    this.#countRecord("flow");
    this.#addFlow(part, bytes, from, end);
    return end;
  }

  /**
   * Adds the records of one JSON value, however they are wrapped. Yields wherever the caller may pause.
   * @throws {Refusal} `unparsable` if the bytes are not JSON, `too_large`
   */
  *add(bytes: Uint8Array, from: number, to: number): Generator<void> {
    const json = bytes.subarray(from, to);
    const text = orUnparsable("it is not valid UTF-8", () => strictUtf8.decode(json));
    const value: unknown = orUnparsable("it is not valid JSON", () => JSON.parse(text));
    yield;
    for (const found of unwrap(value, json)) yield "reason" in found ? this.#skip(found) : this.addRecord(found);
  }

  /** Adds a record whose type is known. @throws {Refusal} `too_large` */
  addRecord(raw: RawRecord): void {
    this.#countRecord(raw.type);
    const part = this.#partOf(raw.type);
    if (raw.type === "flow") this.#readFlow(raw, part);
    else this.#readPlain(raw, part);
  }

  /**
   * Resolves once everything that the batch changes is on disk. `bytes` is the size of its text, decompressed. A large batch
   * takes several transactions, so that the event loop is free in between.
   * @throws {Unavailable} if the journal cannot accept it. Some records of a large batch may already have been accepted; sent
   * again, they are duplicates.
   */
  async commit(bytes: number, besides: Pick<Append, "poll" | "retries"> = {}): Promise<Outcome> {
    const { config, journal, committed, telemetry, lastEvents } = this.#context;
    for (const part of this.#open.values()) this.#seal(part);
    const { max_log_records_per_window: maxLogRecords } = config.collectors.flowlogs;
    const batch: Append = {
      ...this.#origin,
      bytes,
      bytesOf: this.#types ?? "unknown",
      parts: this.#parts,
      known: Array.from(this.#known, ([type, { keys, keysAt }]) => ({ type, keys: Uint32Array.from(keys), keysAt })),
      quarantine: this.#quarantine.seal(),
      skipped: this.#skipped,
      ...(maxLogRecords > 0 && { maxLogRecords }),
      ...(this.#origin.source === "poll" && config.streaming.enabled && { repairs: true }),
      ...besides,
    };
    try {
      const outcome = await appendBatch(batch, journal, committed);
      this.#times.report(telemetry, lastEvents);
      for (const [frontEnd, records] of Object.entries(this.#frontEnds) as ["scanner" | "reader", number][])
        if (records > 0) telemetry.add("tailscale2otel.ingest.front_end", records, { front_end: frontEnd });
      return outcome;
    } finally {
      this.drop();
    }
  }

  /** Releases the batch's buffers. Must be called for a batch that is not committed. */
  drop(): void {
    for (const { columns } of [...this.#parts, ...this.#open.values()]) releaseColumns(columns);
    for (const { body } of this.#parts) freeBuffer(body);
    // A part that keeps its text hands it over to another thread.
    const whole = this.whole?.text;
    if (whole !== undefined && !this.#parts.some(({ text }) => text === whole)) freeBuffer(whole);
    this.whole = undefined;
    this.#parts.length = 0;
    this.#open.clear();
  }

  #countRecord(type: RecordType | "unknown"): void {
    this.#types = this.#types === undefined || this.#types === type ? type : "unknown";
    if (++this.records > maxRecords)
      throw new Refusal("too_large", `More than ${maxRecords} records in one request (no setting changes this limit)`);
  }

  /** The part for the next record. Only the first part can be all of the body. */
  #partOf(type: RecordType): OpenPart {
    let part = this.#open.get(type);
    if (part?.isFull) {
      this.#seal(part);
      part = undefined;
    }
    if (part === undefined) {
      const whole = type === "flow" && this.#parts.length === 0 ? this.whole : undefined;
      this.#open.set(type, (part = new OpenPart(type, this.#context.edges, whole)));
    }
    return part;
  }

  #readFlow({ value, recorded, line }: RawRecord, part: OpenPart): void {
    try {
      readFlow(value, recorded, this.#context.claims, part.columns as FlowColumns);
    } catch (error) {
      this.#reject("flow", line, error);
      return;
    }
    this.#frontEnds.reader++;
    this.#addFlow(part, line, 0, line.length);
  }

  /** Adds the last record of the columns, whose text is the given bytes; removes it if it is known or invalid. */
  #addFlow(part: OpenPart, bytes: Uint8Array, from: number, to: number): void {
    const { identifier, config } = this.#context;
    const columns = part.columns as FlowColumns;
    const record = columns.records - 1;
    this.entries += columns.entries - (columns.firstEntry[record] as number);
    if (this.entries > maxEntries)
      throw new Refusal(
        "too_large",
        `More than ${maxEntries} connection entries in one request (no setting changes this limit)`,
      );
    identifier.flow(columns, record, this.#key, 0);
    const recordedMs = recordedMsOf(columns, record);
    const keysAt = this.#times.agingFrom(recordedMs);
    if (this.#isKnown("flow", keysAt)) {
      columns.takeBack(record);
      return;
    }
    try {
      measureFlow(columns, record, record + 1, this.#context);
    } catch (error) {
      columns.takeBack(record);
      this.#reject("flow", bytes.subarray(from, to), error, "measure_failed");
      return;
    }
    // Left-out texts were needed for the identity, and are in the record's text.
    columns.leftOutTexts.clear();
    const flags = this.#times.accept("flow", windowTimeOf(columns, record), recordedMs);
    const { max_log_records_per_window: limit, log_mode: mode } = config.collectors.flowlogs;
    const logRecords = limit === 0 ? undefined : flowLogRecords(columns, record, mode);
    part.add(bytes, from, to, this.#key, { flags, keysAt, logRecords });
  }

  #readPlain(raw: RawRecord, part: OpenPart): void {
    const { identifier, config, settings } = this.#context;
    const { type, line } = raw;
    const own = noIncrements();
    let reason: DefectReason = "decode_error";
    try {
      const record = decodePlain(raw);
      identifier.plain(record, this.#key, 0);
      const audit = record.type === "audit" ? record : undefined;
      const recordedMs = audit?.recorded && millisOfHrTime(audit.recorded);
      const keysAt = this.#times.agingFrom(recordedMs);
      if (this.#isKnown(type, keysAt)) return;
      reason = "measure_failed";
      measure(record, settings, own);
      merge(part.increments, own);
      const reported = record.type === "audit" ? factOfAudit(record) : factOfEvent(record);
      const fact = config.webhook.dedup_audit_events && reported ? identifier.factKeys(reported) : undefined;
      const flags = this.#times.accept(type, record.time, recordedMs, audit?.deferredAt);
      part.add(line, 0, line.length, this.#key, { flags, keysAt, fact });
    } catch (error) {
      this.#reject(type, line, error, reason);
    }
  }

  /** True if the journal has the key, which is then recorded as seen again. */
  #isKnown(type: RecordType, keysAt: number): boolean {
    if (!this.#context.journal.knows(type, this.#key, 0)) return false;
    let known = this.#known.get(type);
    if (known === undefined) this.#known.set(type, (known = { keys: [], keysAt: 0 }));
    known.keys.push(...this.#key);
    known.keysAt = Math.max(known.keysAt, keysAt);
    return true;
  }

  #skip({ reason, text }: SkippedValue): void {
    this.#countRecord("unknown");
    this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1;
    if (reason !== "unclassified" || !this.#context.samples.wants(text)) return;
    this.#quarantine.add(text, { class: "sample", type: "unknown", reason, detail: "not a known kind of record" });
  }

  /** Any error but a `Defect` is a bug, and must not make the sender resend the record forever. */
  #reject(type: RecordType, line: Uint8Array, error: unknown, bug: DefectReason = "decode_error"): void {
    this.defect = error instanceof Defect ? error : new Defect(bug, reasonOf(error));
    this.#context.identifier.text(utf8.decode(eventOf(line)), this.#key, 0);
    const { reason, message } = this.defect;
    this.#quarantine.add(line, { class: "invalid", type, reason, detail: message }, this.#key);
  }

  #seal(open: OpenPart): void {
    const part = open.seal(() => this.#sealedBytes < maxBytesWithText && this.#context.keepsText());
    this.#open.delete(part.type);
    if (part.records === 0) return releaseColumns(part.columns);
    this.#parts.push(part);
    this.#sealedBytes += (part.columns?.byteLength ?? 0) + part.body.length + part.keys.byteLength;
  }
}
