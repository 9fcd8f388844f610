/**
 * Named values, each visible once its transaction is committed, including the accounts on which the journal and the counters must
 * agree: how far is delivered and measured, how many records were accepted, and what was lost.
 */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { Damaged } from "../batch.ts";
import { begunAnew, type JournalIdentity, type LogCursor, type Snapshot, startOfJournal } from "../journal.ts";
import type { StoredRedeliveries } from "../redelivery.ts";
import { blobPrefix, newIdentity, noLoss, type StoredLoss, type StoredValues } from "../stored.ts";
import { acceptedRows, prepare, type Statements, type StoredRow, Table, transaction } from "./tables.ts";

/** Values stored as JSON. */
type Values = StoredValues & {
  /** Records accepted since the series began, up to a row, so that a start need not count a long backlog. */
  readonly accepted: { readonly seq: number; readonly records: number };
  readonly measured: SnapshotHead;
  /** Written to test if writing works. */
  readonly probe: number;
};

/**
 * The number of blobs in a snapshot and the combination of their checksums, so that parts of two snapshots are not mistaken for
 * one.
 */
interface SnapshotHead {
  readonly measuredSeq: number;
  readonly blobs: number;
  readonly sum: number;
}

const sql = {
  read: "SELECT name, crc, value FROM state WHERE name = ?",
  delete: "DELETE FROM state WHERE name = ?",
  blobs: `SELECT name, crc FROM state WHERE name >= '${blobPrefix}' AND name < '${blobPrefix.slice(0, -1)}0' ORDER BY name`,
};

/** The value, or undefined if it is damaged. */
export function unlessDamaged<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Damaged) return undefined;
    throw error;
  }
}

/** Changes are made in the caller's transaction. */
export class State {
  readonly #database: DatabaseSync;
  readonly #table: Table<"state">;
  readonly #sql: Statements<keyof typeof sql>;
  readonly #values = new Map<string, unknown>();
  /** Previous values that the open transaction has replaced. */
  readonly #replaced = new Map<string, unknown>();
  /** Records accepted since the series began, as the cursor counts them. */
  #accepted = 0;
  readonly redeliveries: StoredRedeliveries = {
    get: (name) => this.getReadable(name),
    set: (name, value) => this.set(name, value),
  };

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#table = new Table(database, "state");
    this.#sql = prepare(database, sql);
  }

  /** @throws {Damaged} at the first call if it is damaged. */
  get<Name extends keyof Values>(name: Name): Values[Name] | undefined {
    if (!this.#values.has(name)) {
      const value = this.readBlob(name);
      this.#values.set(name, value && JSON.parse(new TextDecoder().decode(value)));
    }
    return this.#values.get(name) as Values[Name] | undefined;
  }

  /** The value, or undefined if it is damaged. */
  getReadable<Name extends keyof Values>(name: Name): Values[Name] | undefined {
    return unlessDamaged(() => this.get(name));
  }

  set<Name extends keyof Values>(name: Name, value: Values[Name] | undefined): void {
    if (!this.#replaced.has(name)) this.#replaced.set(name, this.getReadable(name));
    this.#values.set(name, value);
    if (value === undefined) this.delete(name);
    else this.writeBlob(name, new TextEncoder().encode(JSON.stringify(value)));
  }

  committed(): void {
    this.#replaced.clear();
  }

  rolledBack(): void {
    for (const [name, value] of this.#replaced) this.#values.set(name, value);
    this.#replaced.clear();
  }

  /** @throws {Damaged} */
  readBlob(name: string): Uint8Array | undefined {
    const row = this.#sql.read.get(name) as StoredRow<"state"> | undefined;
    if (row !== undefined && !this.#table.isSound(row)) throw new Damaged(`the value of ${name} is damaged`);
    return row?.value;
  }

  writeBlob(name: string, value: Uint8Array): void {
    this.#table.replace({ name, value });
  }

  delete(name: string): void {
    this.#sql.delete.run(name);
  }

  /** Creates the identity of a new journal. @throws {Damaged} */
  ensureIdentity(now: number): void {
    if (this.get("identity") === undefined) this.set("identity", newIdentity(now));
    this.committed();
  }

  /** Counts the accepted records. @throws {Damaged} */
  countAccepted(): void {
    const known = this.get("accepted");
    const { seq, record, records } = this.cursor;
    this.#accepted =
      known === undefined
        ? this.#countFrom(seq) - record + records.delivered + records.deadLettered
        : known.records + this.#countFrom(known.seq + 1);
  }

  /** A damaged snapshot counts as none: all series begin anew. @throws {Damaged} if anything else is damaged. */
  openSnapshot(lastSeq: number, now: number, logger: Logger): void {
    try {
      this.readSnapshot();
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      logger.error("the snapshot of the counters is damaged: all counters restart at 0", { reason: error.message });
      transaction(this.#database, () => this.beginAnew(now, lastSeq));
      this.committed();
      this.countAccepted();
    }
  }

  get identity(): JournalIdentity {
    return this.get("identity") as JournalIdentity;
  }

  get cursor(): LogCursor {
    return this.get("cursor") ?? startOfJournal;
  }

  get measuredSeq(): number {
    return this.getReadable("measured")?.measuredSeq ?? 0;
  }

  get loss(): StoredLoss {
    return this.getReadable("loss") ?? noLoss;
  }

  /** Accepted records that are neither delivered nor dead letters. */
  get pendingRecords(): number {
    const { delivered, deadLettered } = this.cursor.records;
    return this.#accepted - delivered - deadLettered;
  }

  /** Counts records whose commit is on disk. */
  accepted(records: number): void {
    this.#accepted += records;
  }

  /** @throws {Damaged} if any part is damaged. */
  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> } {
    const { measuredSeq, blobs, sum } = this.get("measured") ?? { measuredSeq: 0, blobs: 0, sum: 0 };
    const found = this.#summary();
    if (blobs !== found.blobs || sum !== found.sum) throw new Damaged("the snapshot of the counters is incomplete");
    const read = (name: string) => [name.slice(blobPrefix.length), this.readBlob(name) as Uint8Array] as const;
    return { measuredSeq, blobs: new Map(this.#blobs().map(({ name }) => read(name))) };
  }

  /** Blobs that are not named are kept. `lastSeq`: the last committed row. */
  writeSnapshot({ measuredSeq, blobs }: Snapshot, lastSeq: number): void {
    for (const [name, blob] of blobs) {
      if (blob === undefined) this.delete(blobPrefix + name);
      else this.writeBlob(blobPrefix + name, blob);
    }
    this.set("measured", { measuredSeq, ...this.#summary() });
    this.set("accepted", { seq: lastSeq, records: this.#accepted });
  }

  /**
   * Begins all series and the delivery counters anew at `at`. Rows up to `measuredSeq` count as measured; later delivered ones
   * stay delivered. Call `countAccepted` afterwards.
   */
  beginAnew(at: number, measuredSeq = this.measuredSeq): void {
    const delivered = Math.max(0, this.#countFrom(measuredSeq + 1) - this.pendingRecords);
    for (const { name } of this.#blobs()) this.delete(name);
    this.set("measured", { measuredSeq, blobs: 0, sum: 0 });
    this.set("identity", { ...this.identity, createdAt: at });
    this.set("cursor", begunAnew(this.cursor, delivered));
    /** Differences between the old sums do not apply to the new ones. */
    this.set("loss", { ...noLoss, rows: this.loss.rows, isOpen: true });
    this.set("accepted", undefined);
  }

  /** Records what is missing according to the counters' sum of accepted records, once after damage. */
  settleLoss(accepted: number): void {
    const { rows, records, uncounted, isOpen } = this.loss;
    if (!isOpen) return;
    const missing = accepted + uncounted - this.#accepted - records;
    const [lost, found] = [Math.max(0, missing), Math.max(0, -missing)];
    this.set("loss", { rows, records: records + lost, uncounted: uncounted + found, isOpen: false });
  }

  /** Prepared on demand, because values of a damaged database may be readable when its rows are not. */
  #countFrom(seq: number): number {
    const sums = `SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE seq >= ? AND ${acceptedRows}`;
    return (this.#database.prepare(sums).get(seq) as { records: number }).records;
  }

  #blobs(): readonly { readonly name: string; readonly crc: number }[] {
    return this.#sql.blobs.all() as { name: string; crc: number }[];
  }

  #summary(): { readonly blobs: number; readonly sum: number } {
    const found = this.#blobs();
    return { blobs: found.length, sum: found.reduce((sum, { crc }) => (sum ^ crc) >>> 0, 0) };
  }
}
