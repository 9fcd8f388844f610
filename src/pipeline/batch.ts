/**
 * One batch while it is put together: scan or read → identify → measure → pack, record by record, until it is appended whole.
 * Nothing of it is visible to anyone, and nothing has to be undone, before `commit` resolves.
 */
import { noIncrements, merge } from "../catalogue/increments.ts";
import { orUnparsable, Refusal } from "../errors.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import type { Append, Committed } from "../journal/index.ts";
import { measureFlow } from "../processors/flow-metrics.ts";
import { flowLogRecords } from "../processors/flow.ts";
import { measure } from "../processors/index.ts";
import { eventText, maxRecords, tooManyRecords, unwrap } from "../records/envelope.ts";
import { decodePlain, factOfAudit, factOfEvent } from "../records/plain.ts";
import { type FlowColumns, recordedMsOf, windowTimeOf } from "../records/flow/columns.ts";
import { readFlow } from "../records/flow/reader.ts";
import { keyWords } from "../records/identity.ts";
import { Defect, type DefectReason, type RawRecord, type RecordType } from "../records/types.ts";
import type { SkippedValue, SkipReason } from "../records/types.ts";
import { freeBuffer } from "../runtime/process.ts";
import type { Origin, Outcome, Shared } from "./index.ts";
import { type MeasuredPart, OpenPart, type RecordNotes, releaseColumns, type WholeBody } from "./parts.ts";
import { OpenQuarantine } from "./quarantine.ts";
import { BatchTimes } from "./times.ts";

/** Connection entries in one request. */
export const maxEntries = 1_000_000;

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A batch beyond this goes without its text, which the journal has too: a poll's may be 100 MB. */
const maxBytesWithText = 4 * 1024 * 1024;

export class Batch {
  readonly #origin: Origin;
  readonly #shared: Shared;
  readonly #times: BatchTimes;
  readonly #open = new Map<RecordType, OpenPart>();
  readonly #parts: MeasuredPart[] = [];
  readonly #quarantine = new OpenQuarantine();
  /** Keys that the journal has: duplicates, which are noted as seen again. */
  readonly #known = new Map<RecordType, { readonly keys: number[]; keysAt: number }>();
  readonly #skipped: Partial<Record<SkipReason, number>> = {};
  /** Of one value. */
  readonly #found: { records: RawRecord[]; skipped: SkippedValue[] } = { records: [], skipped: [] };
  readonly #key = new Uint32Array(keyWords);
  #types: RecordType | "unknown" | undefined;
  #sealedBytes = 0;
  readonly #frontEnds = { scanner: 0, reader: 0 };

  /** The body, if it is one zstd frame: set before its records are added, it may be stored as it was received. */
  whole: WholeBody | undefined;
  /** Records added so far, whatever becomes of them. */
  records = 0;
  /** Connection entries in the flow records added so far. */
  entries = 0;
  /** Why the last invalid record so far is invalid. */
  defect: Defect | undefined;

  constructor(origin: Origin, shared: Shared) {
    this.#origin = origin;
    this.#shared = shared;
    this.#times = new BatchTimes(origin, shared.journal);
  }

  /** Bytes that the batch holds in memory, for the budget of requests in flight. */
  get byteLength(): number {
    let bytes = this.#sealedBytes + this.#quarantine.byteLength;
    for (const part of this.#open.values()) bytes += part.byteLength;
    return bytes;
  }

  /**
   * Adds the flow record whose text begins at `from`, if it is one of the usual shape. Returns the offset behind it, or -1.
   * @throws {Refusal} `too_large`
   */
  scan(bytes: Uint8Array, from: number, to: number): number {
    const part = this.#partOf("flow");
    const end = this.#shared.scanner.scan(bytes, from, to, part.columns as FlowColumns);
    if (end < 0) return end;
    this.#frontEnds.scanner++;
    this.#countRecord("flow");
    const notes = this.#judgeFlow(part.columns as FlowColumns, () => decode(bytes, from, end));
    if (notes !== undefined) part.addBytes(bytes, from, end, notes);
    if (part.isFull) this.#seal(part);
    return end;
  }

  /**
   * Adds the records of one JSON value, in whatever they are wrapped. Yields wherever the caller may pause.
   * @throws {Refusal} `unparsable` if the bytes are no JSON, `too_large`
   */
  *add(bytes: Uint8Array, from: number, to: number): Generator<void> {
    const text = orUnparsable("it is not valid UTF-8", () => decode(bytes, from, to));
    const value: unknown = orUnparsable("it is not valid JSON", () => JSON.parse(text));
    yield;
    yield* this.#addAll(value, text);
  }

  /** Adds the records of a parsed value, `text` being its own text. @throws {Refusal} `too_large` */
  addValue(value: unknown, text: string): void {
    for (const _ of this.#addAll(value, text));
  }

  *#addAll(value: unknown, text: string): Generator<void> {
    const { records, skipped } = this.#found;
    unwrap(value, text, this.#found);
    for (const raw of records) yield this.addRecord(raw);
    for (const one of skipped) yield this.#skip(one);
    records.length = 0;
    skipped.length = 0;
  }

  /** Adds a record whose type is known. @throws {Refusal} `too_large` */
  addRecord(raw: RawRecord): void {
    this.#countRecord(raw.type);
    const part = this.#partOf(raw.type);
    const notes = raw.type === "flow" ? this.#readFlow(raw, part) : this.#readPlain(raw, part);
    if (notes !== undefined) part.addLine(raw.line, notes);
    if (part.isFull) this.#seal(part);
  }

  /**
   * Resolves once everything that the batch changes is on disk. `bytes` is the size of its text, decompressed.
   * @throws {Unavailable} if the journal cannot accept it: nothing of it was accepted.
   */
  async commit(bytes: number, besides: Pick<Append, "poll" | "retries"> = {}): Promise<Outcome> {
    const { config, journal, committed, telemetry, lastEvents } = this.#shared;
    for (const part of this.#open.values()) this.#seal(part);
    const maxLogRecords = config.collectors.flowlogs.max_log_records_per_window;
    const append: Append = {
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
      const outcome = outcomeOf(await journal.append(append, committed));
      this.#times.report(telemetry, lastEvents);
      for (const [frontEnd, records] of Object.entries(this.#frontEnds) as ["scanner" | "reader", number][])
        if (records > 0) telemetry.add("tailscale2otel.ingest.front_end", records, { front_end: frontEnd });
      return outcome;
    } finally {
      this.drop();
    }
  }

  /** Gives the batch's buffers back. Whoever does not commit a batch calls it. */
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
    if (++this.records > maxRecords) throw new Refusal("too_large", tooManyRecords);
  }

  /** Only the first part can be all of the body. */
  #partOf(type: RecordType): OpenPart {
    let part = this.#open.get(type);
    if (part === undefined) {
      const whole = type === "flow" && this.#parts.length === 0 ? this.whole : undefined;
      this.#open.set(type, (part = new OpenPart(type, this.#shared.edges, whole)));
    }
    return part;
  }

  #readFlow(raw: RawRecord, part: OpenPart): RecordNotes | undefined {
    const columns = part.columns as FlowColumns;
    try {
      readFlow(raw.value, raw.recorded, this.#shared.claims, columns);
    } catch (error) {
      return this.#reject("flow", raw.line, error);
    }
    this.#frontEnds.reader++;
    return this.#judgeFlow(columns, () => raw.line);
  }

  /** Judges the last record of the columns. Returns nothing, and takes the record back, if it is not accepted here. */
  #judgeFlow(columns: FlowColumns, line: () => string): RecordNotes | undefined {
    const { identifier, config } = this.#shared;
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
      return undefined;
    }
    try {
      measureFlow(columns, record, record + 1, this.#shared);
    } catch (error) {
      columns.takeBack(record);
      return this.#reject("flow", line(), error, "measure_failed");
    }
    // What is left out is part of the identity, and is in the text.
    columns.leftOutTexts.clear();
    const flags = this.#times.accept("flow", windowTimeOf(columns, record), recordedMs);
    const { max_log_records_per_window: limit, log_mode: mode } = config.collectors.flowlogs;
    const logRecords = limit === 0 ? undefined : flowLogRecords(columns, record, mode);
    return { key: this.#key, flags, keysAt, logRecords, fact: undefined };
  }

  #readPlain(raw: RawRecord, { increments }: OpenPart): RecordNotes | undefined {
    const { identifier, config, settings } = this.#shared;
    const own = noIncrements();
    let reason: DefectReason = "decode_error";
    try {
      const record = decodePlain(raw);
      if (record.type === "audit") identifier.audit(record, this.#key, 0);
      else identifier.webhook(record, this.#key, 0);
      const audit = record.type === "audit" ? record : undefined;
      const recordedMs = audit?.recorded && millisOfHrTime(audit.recorded);
      const keysAt = this.#times.agingFrom(recordedMs);
      if (this.#isKnown(raw.type, keysAt)) return undefined;
      reason = "measure_failed";
      measure(record, settings, own);
      merge(increments, own);
      const reported = record.type === "audit" ? factOfAudit(record) : factOfEvent(record);
      const fact =
        config.webhook.dedup_audit_events && reported !== undefined ? identifier.factKeys(reported) : undefined;
      const flags = this.#times.accept(raw.type, record.time, recordedMs, audit?.deferredAt);
      return { key: this.#key, flags, keysAt, logRecords: undefined, fact };
    } catch (error) {
      return this.#reject(raw.type, raw.line, error, reason);
    }
  }

  /** Whether the journal has the key, which is then noted as seen again. */
  #isKnown(type: RecordType, keysAt: number): boolean {
    if (!this.#shared.journal.knows(type, this.#key, 0)) return false;
    let known = this.#known.get(type);
    if (known === undefined) this.#known.set(type, (known = { keys: [], keysAt: 0 }));
    known.keys.push(...this.#key);
    known.keysAt = Math.max(known.keysAt, keysAt);
    return true;
  }

  #skip({ reason, text }: SkippedValue): void {
    this.#countRecord("unknown");
    this.#skipped[reason] = (this.#skipped[reason] ?? 0) + 1;
    if (reason !== "unclassified" || !this.#shared.samples.wants(text)) return;
    this.#quarantine.add("sample", { type: "unknown", reason, detail: "not a known kind of record", text });
  }

  /** An error other than the decoders' own is a bug; the record must not be sent again for ever because of it. */
  #reject(type: RecordType, line: string, error: unknown, bug: DefectReason = "decode_error"): undefined {
    const why = error instanceof Error ? error.message : String(error);
    this.defect = error instanceof Defect ? error : new Defect(bug, why);
    this.#shared.identifier.text(eventText(line), this.#key, 0);
    const { reason, message } = this.defect;
    this.#quarantine.add("invalid", { type, reason, detail: message, text: line }, this.#key);
  }

  #seal(open: OpenPart): void {
    const part = open.seal(() => this.#sealedBytes < maxBytesWithText && this.#shared.keepsText());
    this.#open.delete(part.type);
    if (part.records === 0) return releaseColumns(part.columns);
    this.#parts.push(part);
    this.#sealedBytes += (part.columns?.byteLength ?? 0) + part.body.length + part.keys.byteLength;
  }
}

/** What became of a batch's records. */
function outcomeOf({ parts, tally }: Committed): Outcome {
  const sumOf = (counts: readonly number[]): number => counts.reduce((sum, one) => sum + one, 0);
  return {
    accepted: sumOf(parts.map(({ accepted }) => accepted)),
    duplicate: sumOf(Object.values(tally.duplicates ?? {})),
    skipped: sumOf(Object.values(tally.skipped ?? {})),
    quarantined: sumOf((tally.quarantined ?? []).map(({ records }) => records)),
  };
}

function decode(bytes: Uint8Array, from: number, to: number): string {
  return strictUtf8.decode(bytes.subarray(from, to));
}
