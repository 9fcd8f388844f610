/** What the journal and the counters must agree on: the snapshot and how far it has measured, how many records were accepted, what was lost. */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import type { JournalIdentity, Loss, Snapshot } from "../index.ts";
import { Damaged } from "../packing.ts";
import type { Reports } from "./reports.ts";
import { transaction } from "./schema.ts";
import { readIdentity, readLoss, settleLoss, Snapshots, type State, writeAnew } from "./state.ts";

/** Rows of accepted records. */
export const acceptedRows = "type IN ('flow', 'audit', 'webhook')";

/** Accepted records up to a row, written down now and then, so that a start need not add up a long backlog. */
interface Checkpoint {
  readonly seq: number;
  readonly records: number;
}

export interface AccountsDeps {
  readonly database: DatabaseSync;
  readonly state: State;
  readonly reports: Reports;
  readonly logger: Logger;
}

/** Methods that write do so in the caller's transaction; `committed` shows what they have written. */
export class Accounts {
  readonly #deps: AccountsDeps;
  readonly #snapshots: Snapshots;
  #identity: JournalIdentity;
  #measuredSeq: number;
  #loss: Loss;
  /** Since the series began, as the cursor counts. */
  #acceptedRecords: number;

  /** `lastSeq` is the last row, and `now` the start of series that begin anew. @throws {Damaged} */
  constructor(deps: AccountsDeps, { lastSeq, now }: { readonly lastSeq: number; readonly now: number }) {
    this.#deps = deps;
    const { database, state, logger } = deps;
    this.#snapshots = new Snapshots(database, state);
    this.#identity = readIdentity(state, now);
    this.#acceptedRecords = this.#readAccepted();
    try {
      this.#measuredSeq = this.#snapshots.read().measuredSeq;
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      logger.warn("the counters' snapshot is damaged; all series begin anew", { reason: error.message });
      this.#measuredSeq = lastSeq;
      transaction(database, () => this.writeAnew(now));
      this.begunAnew();
    }
    this.#loss = readLoss(state);
  }

  get identity(): JournalIdentity {
    return this.#identity;
  }

  /** The last row that is measured in the snapshot. */
  get measuredSeq(): number {
    return this.#measuredSeq;
  }

  get loss(): Loss {
    return this.#loss;
  }

  /** Accepted records that are neither delivered nor dead letters. */
  get pendingRecords(): number {
    const { delivered, deadLettered } = this.#deps.reports.cursor.records;
    return this.#acceptedRecords - delivered - deadLettered;
  }

  /** Records were accepted: their commit is on disk. */
  accepted(records: number): void {
    this.#acceptedRecords += records;
  }

  readSnapshot(): ReturnType<Snapshots["read"]> {
    return this.#snapshots.read();
  }

  writeSnapshot(snapshot: Snapshot): void {
    this.#snapshots.write(snapshot);
  }

  /** The snapshot is on disk. */
  measured(seq: number): void {
    this.#measuredSeq = seq;
  }

  /** All series begin anew at `at`; rows up to `measuredSeq` stay measured. */
  writeAnew(at: number): void {
    const { state, reports } = this.#deps;
    this.#snapshots.clear(this.#measuredSeq);
    writeAnew(state, this.#identity, reports.cursor, at);
    state.delete("accepted");
  }

  /** The new beginning is on disk. */
  begunAnew(): void {
    const { state, reports } = this.#deps;
    this.#acceptedRecords = this.pendingRecords;
    reports.reread();
    this.#identity = readIdentity(state, this.#identity.createdAt);
    this.#loss = readLoss(state);
  }

  /** Compares what the counters say was accepted with what was. Shown with `lossSettled`. */
  settleLoss(accepted: number): Loss {
    return settleLoss(this.#deps.state, { accepted, held: this.#acceptedRecords });
  }

  lossSettled(loss: Loss): void {
    this.#loss = loss;
  }

  /** Writes down how many records were accepted up to the last row. */
  save(lastSeq: number): void {
    this.#deps.state.writeJson("accepted", { seq: lastSeq, records: this.#acceptedRecords } satisfies Checkpoint);
  }

  #readAccepted(): number {
    const known = this.#deps.state.readJson("accepted") as Checkpoint | undefined;
    if (known !== undefined) return known.records + this.#recordsFrom(known.seq + 1);
    const { seq, record, records } = this.#deps.reports.cursor;
    return this.#recordsFrom(seq) - record + records.delivered + records.deadLettered;
  }

  #recordsFrom(seq: number): number {
    const sql = `SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE seq >= ? AND ${acceptedRows}`;
    return (this.#deps.database.prepare(sql).get(seq) as { records: number }).records;
  }
}
