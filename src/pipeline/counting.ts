/**
 * Counts committed records into the ledger, in the order of rows. The ledger is a reader of rows with a position: until it
 * has caught up with the journal after a start, it reads rows a few milliseconds at a time; then each commit is counted
 * from its columns in the turn that committed it.
 */
import { count, type Increments, noIncrements } from "../catalogue/increments.ts";
import type { Logger } from "../lib/logger.ts";
import {
  type Committed,
  type CommittedPart,
  type Journal,
  type JournalReader,
  type PolledType,
  reasonOf,
  type Row,
  type Tally,
  unpackText,
} from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import { measureFlow, type MeasureContext } from "../processors/flow-metrics.ts";
import { measure } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { LeftOutReason } from "../records/flow/columns.ts";
import { linesOf } from "../records/json.ts";
import { decodePlain } from "../records/plain.ts";
import { isRecordType, type RecordType, recordTypes, type SkipReason, type Source } from "../records/types.ts";
import { FlowRows } from "./flow-rows.ts";
import type { MeasuredPart } from "./parts.ts";

/** How long the ledger reads before other work runs, and how many rows at a time. */
const stepMs = 5;
const rowsAtOnce = { rows: 16, bytes: 256 * 1024 };

/** Delay before reading is retried after a failure. */
const retryMs = 1000;

/** At most this many records that cannot be measured are logged and marked; after a bug it may be all of them. */
const maxMarked = 100;

export interface CountingDeps extends MeasureContext {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly logger: Logger;
  /** With a tail: called with each row that is counted once the ledger has caught up. */
  readonly counted?: (row: Row) => void;
}

export class Counting {
  readonly #deps: CountingDeps;
  readonly #flowRows: FlowRows;
  #reader: JournalReader | undefined;
  #isReadingOn = false;
  #isClosed = false;
  /** True once every committed row is counted. Nothing may be folded before that. */
  isCaughtUp = false;
  /** What has been read since the start: rows, records in them that can no longer be measured, rows that cannot be read. */
  readonly progress = { rows: 0, not_counted: 0, unreadable: 0 };

  constructor(deps: CountingDeps) {
    this.#deps = deps;
    this.#flowRows = new FlowRows(deps);
  }

  /**
   * Counts a commit; called in the order of rows, inside the turn, if the journal has no tail. While the ledger is behind, it
   * reads the row later instead.
   */
  committed({ source, receivedAt, parts, tally, lastSeq }: Committed): void {
    if (!this.isCaughtUp) return;
    const { ledger } = this.#deps;
    ledger.minutes.begin(receivedAt);
    const into = noIncrements();
    for (const one of parts) {
      if (one.accepted === 0) continue;
      countAccepted(source, one.part.type, one.accepted, into);
      if (one.part.type !== "flow") ledger.minutes.count(one.part.type, one.accepted);
      this.#countPart(one);
    }
    countTally(source, tally, into);
    ledger.add(into);
    ledger.measuredSeq = lastSeq;
  }

  /** Reads rows for a few milliseconds; called again once it has resolved. Resolves with true if the ledger has caught up. */
  async step(): Promise<boolean> {
    if (this.isCaughtUp) return true;
    if (!(await this.#readSome()) || this.#isClosed) return false;
    const { journal } = this.#deps;
    // From here on commits are counted as they come, so nothing may run in between.
    this.isCaughtUp = true;
    if (journal.tail === undefined) this.#closeReader();
    await this.#settleLoss();
    this.grown();
    return true;
  }

  /** With a tail: called when any instance has added rows. They are read once the ledger has caught up. */
  grown(): void {
    if (!this.isCaughtUp || this.#isClosed || this.#isReadingOn || this.#deps.journal.tail === undefined) return;
    this.#isReadingOn = true;
    void this.#readOn();
  }

  async #readOn(): Promise<void> {
    let isAtEnd = false;
    try {
      while (!this.#isClosed && !isAtEnd) {
        isAtEnd = await this.#readSome();
        if (!isAtEnd) await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      this.#deps.logger.debug("rows cannot be read to be counted; trying again", { reason: reasonOf(error) });
    }
    this.#isReadingOn = false;
    if (!isAtEnd && !this.#isClosed) setTimeout(() => this.grown(), retryMs).unref();
  }

  /** Reads for a few milliseconds, at most to the end. Resolves with true if there are no more rows. */
  async #readSome(): Promise<boolean> {
    const { journal, ledger } = this.#deps;
    const endsAt = performance.now() + stepMs;
    const reader = (this.#reader ??= journal.openReader());
    while (ledger.measuredSeq < journal.lastSeq) {
      const { lastSeq } = journal;
      const rows = await reader.read(ledger.measuredSeq + 1, rowsAtOnce);
      // A reader that was closed in the meantime returns nothing, although there are rows.
      if (this.#reader !== reader) return false;
      if (rows.length === 0) ledger.measuredSeq = lastSeq;
      for (const row of rows) {
        this.#countRow(row);
        ledger.measuredSeq = row.seq;
        if (this.isCaughtUp) this.#deps.counted?.(row);
      }
      if (performance.now() >= endsAt && ledger.measuredSeq < journal.lastSeq) return false;
    }
    return true;
  }

  /** Reads to the last row; other work runs between steps. */
  async catchUp(): Promise<void> {
    while (!this.#isClosed && !(await this.step())) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Stops reading. */
  close(): void {
    this.#isClosed = true;
    this.#closeReader();
  }

  #closeReader(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }

  /** Settles what damage has made differ between the counters and the journal, so that the sums hold from then on. */
  async #settleLoss(): Promise<void> {
    const { journal, ledger, logger } = this.#deps;
    const before = journal.loss;
    await journal.settleLoss(ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" }));
    const lost = journal.loss.records - before.records;
    const uncounted = journal.loss.uncounted - before.uncounted;
    if (lost > 0)
      logger.error("accepted records are lost, or it is not known that they were delivered", { records: lost });
    if (uncounted > 0)
      logger.warn("records are delivered or pending that the counters do not include", { records: uncounted });
  }

  /** Plain records are counted by the part's increments, unless some of them turned out to be known. */
  #countPart({ part, dropped }: CommittedPart): void {
    const { ledger, edges } = this.#deps;
    const { columns, edgeGeneration, increments } = part as MeasuredPart;
    if (columns !== undefined) {
      if (edgeGeneration !== edges.generation) measureFlow(columns, 0, columns.records, this.#deps);
      ledger.addFlows(columns, dropped, edges);
    } else if (dropped === undefined) ledger.add(increments);
    else {
      const into = noIncrements();
      for (const [record, line] of linesOf(unpackText(part.body, part.length)).entries())
        if (dropped[record] !== 1) this.#measureLine(line, part.type, into);
      ledger.add(into);
    }
  }

  #measureLine(line: Uint8Array, type: RecordType, into: Increments): void {
    measure(decodePlain(recordOfLine(line, type)), this.#deps.settings, into);
  }

  #countRow(row: Row): void {
    const { ledger, logger } = this.#deps;
    const { seq, acceptedAt, source, type, records, damage, tally } = row;
    const into = noIncrements();
    ledger.minutes.begin(acceptedAt);
    this.progress.rows++;
    if (isRecordType(type)) countAccepted(source, type, records, into);
    if (damage !== undefined) {
      this.progress.unreadable++;
      const fields = { row: seq, records, reason: damage };
      logger.error("a journal row cannot be read: its records are counted, what they hold is not", fields);
    } else if (type === "flow") this.#countFlows(row);
    else if (type === "audit" || type === "webhook") {
      ledger.minutes.count(type, records);
      for (const [record, line] of linesOf(row.text).entries()) {
        try {
          this.#measureLine(line, type, into);
        } catch (error) {
          this.#unmeasured(row, record, error);
        }
      }
    }
    if (tally !== undefined) countTally(source, tally, into);
    ledger.add(into);
  }

  #countFlows(row: Row): void {
    const { ledger, edges } = this.#deps;
    const { columns, dropped } = this.#flowRows.measured(row, (record, error) => this.#unmeasured(row, record, error));
    ledger.addFlows(columns, dropped, edges);
  }

  /** A bug must not become a crash loop: the record is delivered, and its mark says that it is missing from the counters. */
  #unmeasured({ seq, acceptedAt }: Row, record: number, error: unknown): void {
    const { journal, ledger, logger } = this.#deps;
    ledger.count("tailscale2otel.quarantine.records", { class: "note", reason: "unmeasured" }, 1);
    if (this.progress.not_counted++ >= maxMarked) return;
    const reason = reasonOf(error);
    logger.warn("a record cannot be measured and is left out of the counters", { row: seq, record, reason });
    const message = `accepted and delivered, but not in the counters: ${reason}`;
    const range = { seq, from: record, to: record + 1 };
    journal.progress({ marks: [{ ...range, why: "unmeasured", logRecords: 0, message, at: acceptedAt }] });
  }
}

function countAccepted(source: Source, type: RecordType, records: number, into: Increments): void {
  count(into, "tailscale2otel.ingest.records", { source, signal: type, outcome: "accepted" }, records);
  if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.records", { type }, records);
}

function countTally(source: Source, tally: Tally, into: Increments): void {
  count(into, "tailscale2otel.ingest.size", { source, signal: tally.bytesOf }, tally.bytes);
  for (const type of recordTypes) {
    const records = tally.duplicates?.[type] ?? 0;
    count(into, "tailscale2otel.ingest.records", { source, signal: type, outcome: "duplicate" }, records);
    if (type === "webhook") count(into, "tailscale.webhook.duplicates", {}, records);
    else if (source === "stream") count(into, "tailscale.stream.duplicates", { type }, records);
  }
  for (const [reason, records] of Object.entries(tally.skipped ?? {}) as [SkipReason, number][]) {
    count(into, "tailscale2otel.ingest.records", { source, signal: "unknown", outcome: "skipped" }, records);
    if (source === "stream") count(into, "tailscale.stream.skipped", { reason }, records);
  }
  for (const { type, reason, records } of tally.quarantined ?? []) {
    count(into, "tailscale2otel.ingest.records", { source, signal: type, outcome: "quarantined" }, records);
    count(into, "tailscale2otel.quarantine.records", { class: "invalid", reason }, records);
    if (reason === "decode_error" || reason === "measure_failed") {
      if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.decode_errors", { type }, records);
    } else count(into, "tailscale.network.data_quality", { source, reason }, records);
  }
  count(into, "tailscale2otel.quarantine.records", { class: "sample", reason: "unclassified" }, tally.samples ?? 0);
  for (const [reason, records] of Object.entries(tally.retried ?? {}))
    count(into, "tailscale2otel.quarantine.retried", { class: "invalid", reason }, records);
  for (const type of ["flow", "audit"] as const satisfies readonly PolledType[]) {
    count(into, "tailscale2otel.reconcile.repaired", { type }, tally.repaired?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.late", { type }, tally.late?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.unverifiable", { type }, tally.unverifiable?.[type] ?? 0);
    count(into, "tailscale2otel.dedup.unproven", { type }, tally.unproven?.[type] ?? 0);
  }
  count(into, "tailscale.network.flow.logs_dropped", {}, tally.droppedLogRecords ?? 0);
  count(into, "tailscale.network.dedup.conflicts", { kind: "counters" }, tally.conflicts?.counters ?? 0);
  count(into, "tailscale.network.dedup.conflicts", { kind: "entries" }, tally.conflicts?.entries ?? 0);
  for (const [reason, entries] of Object.entries(tally.leftOut ?? {}) as [LeftOutReason, number][])
    count(into, "tailscale.network.data_quality", { source, reason }, entries);
  count(into, "tailscale.network.data_quality", { source, reason: "future_timestamp" }, tally.futureTimes ?? 0);
  count(into, "tailscale.network.data_quality", { source, reason: "replaced_time" }, tally.replacedTimes ?? 0);
}
