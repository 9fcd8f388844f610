/**
 * All that is small and kept by name, each with a checksum; and the accounts among it, on which the journal and the counters
 * must agree: how far is delivered and measured, how many records were accepted, what was lost.
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { type JournalIdentity, type LogCursor, type Loss, type Snapshot, startOfJournal } from "../index.ts";
import { checksum, Damaged } from "../packing.ts";
import { acceptedRows, transaction } from "./schema.ts";

/** Values by name. Writes are in the caller's transaction, or each in one of its own. */
export class State {
  readonly #read: StatementSync;
  readonly #write: StatementSync;
  readonly #delete: StatementSync;

  constructor(database: DatabaseSync) {
    this.#read = database.prepare("SELECT value, crc FROM state WHERE name = ?");
    this.#write = database.prepare(
      "INSERT INTO state (name, value, crc) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value, crc = excluded.crc",
    );
    this.#delete = database.prepare("DELETE FROM state WHERE name = ?");
  }

  /** @throws {Damaged} */
  read(name: string): Uint8Array | undefined {
    const row = this.#read.get(name) as { value: Uint8Array; crc: number } | undefined;
    if (row === undefined) return undefined;
    if (stateChecksum(name, row.value) !== row.crc) throw new Damaged(`the value of ${name} is damaged`);
    return row.value;
  }

  /** @throws {Damaged} */
  readJson(name: string): unknown {
    const value = this.read(name);
    return value === undefined ? undefined : JSON.parse(new TextDecoder().decode(value));
  }

  write(name: string, value: Uint8Array): void {
    this.#write.run(name, value, stateChecksum(name, value));
  }

  writeJson(name: string, value: unknown): void {
    this.write(name, new TextEncoder().encode(JSON.stringify(value)));
  }

  delete(name: string): void {
    this.#delete.run(name);
  }
}

export function stateChecksum(name: string, value: Uint8Array): number {
  return checksum(`${name} ${value.length}`, value);
}

/** What is made with the journal and kept for its whole life; made now if it is missing. @throws {Damaged} */
export function readIdentity(state: State, now: number): JournalIdentity {
  const known = state.readJson("identity") as JournalIdentity | undefined;
  if (known !== undefined) return known;
  const secret = () => randomBytes(32).toString("hex");
  const instanceId = randomUUID();
  const identity = { instanceId, identitySecret: secret(), privacySalt: secret(), tailnet: 1, createdAt: now };
  state.writeJson("identity", identity);
  return identity;
}

/** The last committed position of delivery. @throws {Damaged} */
export function readCursor(state: State): LogCursor {
  return (state.readJson("cursor") as LogCursor | undefined) ?? startOfJournal;
}

/** Names of the snapshot's blobs in `state`. */
export const blobPrefix = "ledger/";

/** What a snapshot says about itself: how many blobs it has, and all their checksums in one. Parts of two do not add up. */
interface SnapshotHead {
  readonly measuredSeq: number;
  readonly blobs: number;
  readonly sum: number;
}

/** The ledger's totals. Writes are in the caller's transaction. */
export class Snapshots {
  readonly #state: State;
  readonly #names: StatementSync;

  constructor(database: DatabaseSync, state: State) {
    this.#state = state;
    this.#names = database.prepare(
      `SELECT name, crc FROM state WHERE name >= '${blobPrefix}' AND name < '${blobPrefix.slice(0, -1)}0'`,
    );
  }

  /** Blobs that are not named stay. */
  write({ measuredSeq, blobs }: Snapshot): void {
    for (const [name, blob] of blobs) {
      if (blob === undefined) this.#state.delete(blobPrefix + name);
      else this.#state.write(blobPrefix + name, blob);
    }
    this.#state.writeJson("measured", { measuredSeq, ...this.#summary() } satisfies SnapshotHead);
  }

  /** @throws {Damaged} if any of it is not what was written. */
  read(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> } {
    const head = this.#state.readJson("measured") as SnapshotHead | undefined;
    const found = this.#summary();
    if ((head?.blobs ?? 0) !== found.blobs || (head?.sum ?? 0) !== found.sum)
      throw new Damaged("the counters' snapshot is not whole");
    const blobs = new Map<string, Uint8Array>();
    for (const { name } of this.#rows()) blobs.set(name.slice(blobPrefix.length), this.#state.read(name) as Uint8Array);
    return { measuredSeq: head?.measuredSeq ?? 0, blobs };
  }

  /** Removes all blobs; rows up to `measuredSeq` count as measured. */
  clear(measuredSeq: number): void {
    for (const { name } of this.#rows()) this.#state.delete(name);
    this.write({ measuredSeq, blobs: new Map() });
  }

  #summary(): { readonly blobs: number; readonly sum: number } {
    const rows = this.#rows();
    return { blobs: rows.length, sum: rows.reduce((sum, { crc }) => (sum ^ crc) >>> 0, 0) };
  }

  #rows(): readonly { readonly name: string; readonly crc: number }[] {
    return this.#names.all() as { name: string; crc: number }[];
  }
}

/** Methods that write do so in the caller's transaction; another method shows it once that is on disk. */
export class Accounts {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #snapshots: Snapshots;
  #identity: JournalIdentity;
  #cursor: LogCursor;
  #measuredSeq: number;
  #loss: Loss;
  /** Since the series began, as the cursor counts. */
  #acceptedRecords: number;

  /** `lastSeq` is the last row, and `now` the start of series that begin anew. @throws {Damaged} if identity or cursor is. */
  constructor(
    database: DatabaseSync,
    state: State,
    { lastSeq, now, logger }: { readonly lastSeq: number; readonly now: number; readonly logger: Logger },
  ) {
    this.#database = database;
    this.#state = state;
    this.#snapshots = new Snapshots(database, state);
    this.#identity = readIdentity(state, now);
    this.#cursor = readCursor(state);
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

  /** The last committed position of delivery. */
  get cursor(): LogCursor {
    return this.#cursor;
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
    const { delivered, deadLettered } = this.#cursor.records;
    return this.#acceptedRecords - delivered - deadLettered;
  }

  /** Records were accepted: their commit is on disk. */
  accepted(records: number): void {
    this.#acceptedRecords += records;
  }

  /** The position is on disk. */
  moved(cursor: LogCursor): void {
    this.#cursor = cursor;
  }

  readSnapshot(): ReturnType<Snapshots["read"]> {
    return this.#snapshots.read();
  }

  /** With it goes how many records were accepted up to `lastSeq`, so that a start need not add up a long backlog. */
  writeSnapshot(snapshot: Snapshot, lastSeq: number): void {
    this.#snapshots.write(snapshot);
    this.#state.writeJson("accepted", { seq: lastSeq, records: this.#acceptedRecords });
  }

  /** The snapshot is on disk. */
  measured(seq: number): void {
    this.#measuredSeq = seq;
  }

  /** All series begin anew at `at`; rows up to `measuredSeq` stay measured, what is delivered of later ones stays delivered. */
  writeAnew(at: number): void {
    const delivered = Math.max(0, this.#recordsFrom(this.#measuredSeq + 1) - this.pendingRecords);
    this.#snapshots.clear(this.#measuredSeq);
    writeAnew(this.#state, this.#identity, this.#cursor, at, delivered);
    this.#state.delete("accepted");
  }

  /** The new beginning is on disk. */
  begunAnew(): void {
    this.#acceptedRecords = Math.max(this.pendingRecords, this.#recordsFrom(this.#measuredSeq + 1));
    this.#cursor = readCursor(this.#state);
    this.#identity = readIdentity(this.#state, this.#identity.createdAt);
    this.#loss = readLoss(this.#state);
  }

  /** Writes down by how much what the counters say was accepted differs from what was; once after damage. */
  settleLoss(accepted: number): Loss {
    const known = readLoss(this.#state);
    if (!known.isOpen) return known;
    const difference = accepted + known.uncounted - this.#acceptedRecords - known.records;
    const settled: StoredLoss = {
      rows: known.rows,
      records: known.records + Math.max(0, difference),
      uncounted: known.uncounted + Math.max(0, -difference),
      isOpen: false,
    };
    this.#state.writeJson("loss", settled);
    return settled;
  }

  lossSettled(loss: Loss): void {
    this.#loss = loss;
  }

  #readAccepted(): number {
    const known = this.#state.readJson("accepted") as { readonly seq: number; readonly records: number } | undefined;
    if (known !== undefined) return known.records + this.#recordsFrom(known.seq + 1);
    const { seq, record, records } = this.#cursor;
    return this.#recordsFrom(seq) - record + records.delivered + records.deadLettered;
  }

  #recordsFrom(seq: number): number {
    const sql = `SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE seq >= ? AND ${acceptedRows}`;
    return (this.#database.prepare(sql).get(seq) as { records: number }).records;
  }
}

/** What damage took, and whether the sums have yet to be compared since. */
interface StoredLoss extends Loss {
  readonly isOpen: boolean;
}

const noLoss: StoredLoss = { rows: 0, records: 0, uncounted: 0, isOpen: false };

/** What is written down; a damaged text is none. */
function readLoss(state: State): StoredLoss {
  try {
    return (state.readJson("loss") as StoredLoss | undefined) ?? noLoss;
  } catch (error) {
    if (error instanceof Damaged) return noLoss;
    throw error;
  }
}

/** Adds lost rows, in the caller's transaction. How many records that were shows when the sums are compared. */
export function addLostRows(state: State, rows: number): void {
  const known = readLoss(state);
  state.writeJson("loss", { ...known, rows: known.rows + rows, isOpen: true } satisfies StoredLoss);
}

/** Series begin anew at `at`, and the counters of delivery with them, since they share that start. In the caller's transaction. */
export function writeAnew(state: State, identity: JournalIdentity, cursor: LogCursor, at: number, delivered = 0): void {
  const { seq, record, logRecord } = cursor;
  state.writeJson("identity", { ...identity, createdAt: at } satisfies JournalIdentity);
  state.writeJson("cursor", {
    ...startOfJournal,
    seq,
    record,
    logRecord,
    records: { ...startOfJournal.records, delivered },
  } satisfies LogCursor);
  /** Differences of the old sums mean nothing to the new ones. */
  state.writeJson("loss", { ...noLoss, rows: readLoss(state).rows, isOpen: true } satisfies StoredLoss);
}
