/**
 * Counts what commits bring into the ledger, in the order of rows. The ledger is a reader of rows with a position: until it
 * has caught up with the journal after a start, it reads rows a few milliseconds at a time; then each commit is counted
 * from its columns in the turn that committed it.
 */
import type { Logger } from "../lib/logger.ts";
import { type RecordType, recordTypes, type SkipReason, type Source } from "../records/types.ts";
import { count, type Increments, noIncrements } from "../catalogue/increments.ts";
import type {
  Committed,
  CommittedPart,
  Journal,
  JournalReader,
  NewMark,
  PolledType,
  Row,
  Tally,
} from "../journal/index.ts";
import type { Ledger } from "../ledger/index.ts";
import type { EdgeBook } from "../processors/edges.ts";
import type { EndBook } from "../processors/ends.ts";
import { measureFlow } from "../processors/flow-metrics.ts";
import { measure, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowColumns, type LeftOutReason } from "../records/flow/columns.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import type { FlowPart } from "./flow-part.ts";
import { linesOf } from "./lines.ts";
import { decodePlain } from "../records/plain.ts";
import { incrementsWithout, type PlainPart } from "./plain-part.ts";

/** How long the ledger reads before others get a turn, and how many rows at a time. */
const stepMs = 5;
const rowsAtOnce = { rows: 16, bytes: 256 * 1024 };

/** Records that do not measure are logged and marked up to this many; after an error of ours it may be all of them. */
const maxMarked = 100;

const polledTypes: readonly PolledType[] = ["flow", "audit"];

export interface CountingDeps {
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly settings: ProcessorSettings;
  readonly edges: EdgeBook;
  readonly ends: EndBook;
  readonly logger: Logger;
}

export class Counting {
  readonly #deps: CountingDeps;
  readonly #columns = new FlowColumns();
  readonly #decoder: FlowRowDecoder;
  #reader: JournalReader | undefined;
  /** Whether every committed row is counted. Nothing may be folded before. */
  isCaughtUp = false;
  /** What has been read after the start: rows, records of them that no longer measure, rows that cannot be read. */
  readonly progress = { rows: 0, unmeasured: 0, damaged: 0 };

  constructor(deps: CountingDeps) {
    this.#deps = deps;
    this.#decoder = new FlowRowDecoder(new ClaimTable());
  }

  /** Counts a commit; called in the order of rows, inside the turn. While the ledger is behind, it will read the row instead. */
  committed(committed: Committed): void {
    if (!this.isCaughtUp) return;
    const { ledger } = this.#deps;
    const { source, parts, tally } = committed;
    const ofBatch = noIncrements();
    for (const committedPart of parts) {
      if (committedPart.accepted === 0) continue;
      countAccepted(source, committedPart.part.type, committedPart.accepted, ofBatch);
      if (committedPart.part.type === "flow") this.#countFlows(committedPart);
      else this.#countPlain(committedPart);
    }
    countTally(source, tally, ofBatch);
    ledger.add(ofBatch);
    ledger.measuredSeq = committed.lastSeq;
  }

  /** Reads rows for a few milliseconds. Returns whether the ledger has caught up. */
  step(): boolean {
    if (this.isCaughtUp) return true;
    const { journal, ledger } = this.#deps;
    const endsAt = performance.now() + stepMs;
    this.#reader ??= journal.openReader();
    while (ledger.measuredSeq < journal.lastSeq) {
      const rows = this.#reader.read(ledger.measuredSeq + 1, rowsAtOnce);
      if (rows.length === 0) ledger.measuredSeq = journal.lastSeq;
      for (const row of rows) {
        this.#countRow(row);
        ledger.measuredSeq = row.seq;
      }
      if (performance.now() >= endsAt && ledger.measuredSeq < journal.lastSeq) return false;
    }
    this.#finish();
    return true;
  }

  /** Reads to the last row, with room for others between steps. */
  async catchUp(): Promise<void> {
    while (!this.step()) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Ends the reading, wherever it stands. */
  close(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }

  #finish(): void {
    const { journal, ledger, logger } = this.#deps;
    this.isCaughtUp = true;
    this.close();
    const counted = noIncrements();
    count(
      counted,
      "tailscale2otel.quarantine.records",
      { class: "note", reason: "unmeasured" },
      this.progress.unmeasured,
    );
    ledger.add(counted);
    // After damage, what is counted and what is here differ once; from then on the sums hold again.
    const before = journal.loss;
    journal.settleLoss(ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" }));
    const lost = journal.loss.records - before.records;
    const uncounted = journal.loss.uncounted - before.uncounted;
    if (lost > 0)
      logger.error("accepted records are lost, or it is not known that they were delivered", { records: lost });
    if (uncounted > 0)
      logger.warn("records are delivered or pending that the counters do not include", { records: uncounted });
  }

  #countFlows({ part, dropped }: CommittedPart): void {
    const { ledger, edges } = this.#deps;
    const { columns, edgeGeneration } = part as FlowPart;
    if (edgeGeneration !== edges.generation) measureFlow(columns, 0, columns.records, this.#deps);
    ledger.addFlows(columns, dropped, edges);
  }

  #countPlain({ part, dropped }: CommittedPart): void {
    const plain = part as PlainPart;
    const { ledger, settings } = this.#deps;
    ledger.add(dropped === undefined ? plain.increments : incrementsWithout(plain, dropped, settings));
  }

  #countRow(row: Row): void {
    const { ledger, logger } = this.#deps;
    this.progress.rows++;
    const ofRow = noIncrements();
    const isOfRecords = row.type === "flow" || row.type === "audit" || row.type === "webhook";
    if (row.damage !== undefined) {
      this.progress.damaged++;
      if (isOfRecords) countAccepted(row.source, row.type, row.records, ofRow);
      logger.error("a journal row cannot be read: its records are counted, what they hold is not", {
        row: row.seq,
        records: row.records,
        reason: row.damage,
      });
    } else if (isOfRecords) {
      countAccepted(row.source, row.type, row.records, ofRow);
      if (row.type === "flow") this.#countFlowRow(row);
      else this.#countPlainRow(row, ofRow);
    }
    if (row.tally !== undefined) countTally(row.source, row.tally, ofRow);
    ledger.add(ofRow);
  }

  #countFlowRow(row: Row): void {
    const { ledger, edges } = this.#deps;
    const columns = this.#columns;
    columns.clear();
    this.#decoder.decode(row.text, row.leftOut, columns);
    let dropped: Uint8Array | undefined;
    const leaveOut = (record: number, why: string): void => {
      dropped ??= new Uint8Array(columns.records);
      dropped[record] = 1;
      this.#markUnmeasured(row, record, why);
    };
    for (const [record, why] of columns.defects) leaveOut(record, why);
    try {
      measureFlow(columns, 0, columns.records, this.#deps);
    } catch {
      for (let record = 0; record < columns.records; record++) {
        try {
          measureFlow(columns, record, record + 1, this.#deps);
        } catch (error) {
          leaveOut(record, messageOf(error));
        }
      }
    }
    ledger.addFlows(columns, dropped, edges);
  }

  #countPlainRow(row: Row, into: Increments): void {
    const type = row.type as "audit" | "webhook";
    linesOf(row.text).forEach((line, record) => {
      try {
        measure(decodePlain(recordOfLine(line, type)), this.#deps.settings, into);
      } catch (error) {
        this.#markUnmeasured(row, record, messageOf(error));
      }
    });
  }

  /** A bug must not become a crash loop: the record is delivered, and its mark says that the counters lack it. */
  #markUnmeasured({ seq, acceptedAt }: Row, record: number, why: string): void {
    if (this.progress.unmeasured++ >= maxMarked) return;
    const { journal, logger } = this.#deps;
    logger.warn("a record cannot be measured and is left out of the counters", { row: seq, record, reason: why });
    const mark: NewMark = {
      destination: "ledger",
      seq,
      from: record,
      to: record + 1,
      why: "unmeasured",
      logRecords: 0,
      message: `accepted and delivered, but not in the counters: ${why}`,
      at: acceptedAt,
    };
    journal.mark([mark]);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function countAccepted(source: Source, type: RecordType, records: number, into: Increments): void {
  count(into, "tailscale2otel.ingest.records", { source, type, outcome: "accepted" }, records);
  if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.records", { type }, records);
}

function countTally(source: Source, tally: Tally, into: Increments): void {
  count(into, "tailscale2otel.ingest.size", { source, type: tally.bytesOf }, tally.bytes);
  for (const type of recordTypes) {
    const records = tally.duplicates?.[type] ?? 0;
    count(into, "tailscale2otel.ingest.records", { source, type, outcome: "duplicate" }, records);
    if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.duplicates", { type }, records);
    if (type === "webhook") count(into, "tailscale.webhook.duplicates", {}, records);
  }
  for (const [reason, records] of Object.entries(tally.skipped ?? {}) as [SkipReason, number][]) {
    count(into, "tailscale2otel.ingest.records", { source, type: "unknown", outcome: "skipped" }, records);
    if (source === "stream") count(into, "tailscale.stream.skipped", { reason }, records);
  }
  for (const { type, reason, records } of tally.quarantined ?? []) {
    count(into, "tailscale2otel.ingest.records", { source, type, outcome: "quarantined" }, records);
    count(into, "tailscale2otel.quarantine.records", { class: "invalid", reason }, records);
    if (reason === "decode_error" || reason === "measure_failed") {
      if (source === "stream" && type !== "webhook") count(into, "tailscale.stream.decode_errors", { type }, records);
    } else if (source !== "webhook") {
      count(into, "tailscale.network.data_quality", { source, reason }, records);
    }
  }
  count(into, "tailscale2otel.quarantine.records", { class: "sample", reason: "unclassified" }, tally.samples ?? 0);
  for (const [reason, records] of Object.entries(tally.retried ?? {})) {
    count(into, "tailscale2otel.quarantine.retried", { class: "invalid", reason }, records);
  }
  for (const type of polledTypes) {
    count(into, "tailscale2otel.reconcile.repaired", { type }, tally.repaired?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.late", { type }, tally.late?.[type] ?? 0);
    count(into, "tailscale2otel.reconcile.unverifiable", { type }, tally.unverifiable?.[type] ?? 0);
    count(into, "tailscale2otel.dedup.unproven", { type }, tally.unproven?.[type] ?? 0);
  }
  count(into, "tailscale.network.flow.logs_dropped", {}, tally.droppedLogRecords ?? 0);
  count(into, "tailscale.network.dedup.conflicts", { kind: "counters" }, tally.conflicts?.counters ?? 0);
  count(into, "tailscale.network.dedup.conflicts", { kind: "entries" }, tally.conflicts?.entries ?? 0);
  if (source === "webhook") return;
  for (const [reason, entries] of Object.entries(tally.leftOut ?? {}) as [LeftOutReason, number][])
    count(into, "tailscale.network.data_quality", { source, reason }, entries);
  count(into, "tailscale.network.data_quality", { source, reason: "future_timestamp" }, tally.futureTimes ?? 0);
  count(into, "tailscale.network.data_quality", { source, reason: "replaced_time" }, tally.replacedTimes ?? 0);
}
