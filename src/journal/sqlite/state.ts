/**
 * Values by name, each shown once its transaction is committed; and the accounts among them, on which the journal and the
 * counters must agree: how far is delivered and measured, how many records were accepted, what was lost.
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { Damaged, type PollCursor, type PolledType } from "../batch.ts";
import type {
  Horizon,
  JournalIdentity,
  KeyClass,
  LogCursor,
  Loss,
  Redelivery,
  RedeliveryProgress,
  Snapshot,
} from "../journal.ts";
import { startOfJournal } from "../journal.ts";
import { acceptedRows, type StoredRow, Table, transaction } from "./tables.ts";

/** Values that are JSON. */
type Values = {
  readonly identity: JournalIdentity;
  readonly cursor: LogCursor;
  readonly loss: StoredLoss;
  /** The clock by which rows and keys age, epoch milliseconds. */
  readonly age: number;
  /** Records accepted since the series began, up to a row: a start need not add up a long backlog. */
  readonly accepted: { readonly seq: number; readonly records: number };
  readonly measured: SnapshotHead;
  /** Written to see whether writing works. */
  readonly probe: number;
} & Readonly<
  Record<`poll.${PolledType}`, PollCursor> &
    Record<`horizon.${KeyClass}`, Horizon> &
    Record<`redelivery.${Redelivery["name"]}`, Redelivery>
>;

/** Whether the sums have yet to be compared since the last damage. */
interface StoredLoss extends Loss {
  readonly isOpen: boolean;
}

/** How many blobs a snapshot has, and all their checksums in one: parts of two snapshots do not add up. */
interface SnapshotHead {
  readonly measuredSeq: number;
  readonly blobs: number;
  readonly sum: number;
}

export const polledTypes: readonly PolledType[] = ["flow", "audit"];

export const noLoss: StoredLoss = { rows: 0, records: 0, uncounted: 0, isOpen: false };

/** Names of the snapshot's blobs. */
export const blobPrefix = "ledger/";

/** Changes are in the caller's transaction. */
export class State {
  readonly #table: Table<"state">;
  readonly #read: StatementSync;
  readonly #delete: StatementSync;
  readonly #committed = new Map<string, unknown>();
  readonly #changed = new Map<string, unknown>();

  constructor(database: DatabaseSync) {
    this.#table = new Table(database, "state");
    this.#read = database.prepare(`SELECT ${this.#table.columns} FROM state WHERE name = ?`);
    this.#delete = database.prepare("DELETE FROM state WHERE name = ?");
  }

  /** The committed value. @throws {Damaged} at the first call, if it is not what was written. */
  get<Name extends keyof Values>(name: Name): Values[Name] | undefined {
    if (!this.#committed.has(name)) {
      const value = this.readBlob(name);
      this.#committed.set(name, value && JSON.parse(new TextDecoder().decode(value)));
    }
    return this.#committed.get(name) as Values[Name] | undefined;
  }

  /** The same, or nothing if it is damaged. */
  getReadable<Name extends keyof Values>(name: Name): Values[Name] | undefined {
    return this.readable(() => this.get(name));
  }

  /** What cannot be read is nothing. */
  readable<Value>(read: () => Value): Value | undefined {
    try {
      return read();
    } catch (error) {
      if (error instanceof Damaged) return undefined;
      throw error;
    }
  }

  set<Name extends keyof Values>(name: Name, value: Values[Name] | undefined): void {
    if (!this.#committed.has(name)) this.#committed.set(name, this.getReadable(name));
    this.#changed.set(name, value);
    if (value === undefined) this.delete(name);
    else this.writeBlob(name, new TextEncoder().encode(JSON.stringify(value)));
  }

  committed(): void {
    for (const [name, value] of this.#changed) this.#committed.set(name, value);
    this.#changed.clear();
  }

  rolledBack(): void {
    this.#changed.clear();
  }

  /** @throws {Damaged} */
  readBlob(name: string): Uint8Array | undefined {
    const row = this.#read.get(name) as StoredRow<"state"> | undefined;
    if (row !== undefined && !this.#table.isSound(row)) throw new Damaged(`the value of ${name} is damaged`);
    return row?.value;
  }

  writeBlob(name: string, value: Uint8Array): void {
    this.#table.replace({ name, value });
  }

  delete(name: string): void {
    this.#delete.run(name);
  }
}

/** The redelivery of that name, unless it has ended. */
export function runningRedelivery(state: State, name: Redelivery["name"]): Redelivery | undefined {
  const known = state.getReadable(`redelivery.${name}`);
  return known?.endedAt === undefined ? known : undefined;
}

/** Writes how redeliveries go on, in the caller's transaction. Returns the ids of marks that leave. */
export function writeRedeliveries(state: State, reports: readonly RedeliveryProgress[], now: number): number[] {
  return reports.flatMap(({ name, id, cursor, taken, isOver }) => {
    const running = runningRedelivery(state, name);
    if (running?.id !== id) return [];
    state.set(`redelivery.${name}`, { ...running, cursor, ...(isOver && { endedAt: now }) });
    return taken;
  });
}

/** Created with the journal, unless it exists. @throws {Damaged} */
export function ensureIdentity(state: State, now: number): void {
  const secret = () => randomBytes(32).toString("hex");
  const made = {
    instanceId: randomUUID(),
    identitySecret: secret(),
    privacySalt: secret(),
    tailnet: 1,
    createdAt: now,
  };
  if (state.get("identity") === undefined) state.set("identity", made);
  state.committed();
}

/** Changes are in the caller's transaction. */
export class Accounts {
  readonly #database: DatabaseSync;
  readonly #state: State;
  readonly #blobs: StatementSync;
  readonly #recordsFrom: StatementSync;
  /** Since the series began, as the cursor counts. */
  #accepted = 0;

  constructor(database: DatabaseSync, state: State) {
    this.#database = database;
    this.#state = state;
    this.#blobs = database.prepare(
      `SELECT name, crc FROM state WHERE name >= '${blobPrefix}' AND name < '${blobPrefix.slice(0, -1)}0' ORDER BY name`,
    );
    this.#recordsFrom = database.prepare(
      `SELECT COALESCE(SUM(records), 0) AS records FROM batch WHERE seq >= ? AND ${acceptedRows}`,
    );
  }

  /** Adds up what is stored. @throws {Damaged} */
  load(): void {
    const known = this.#state.get("accepted");
    const { seq, record, records } = this.cursor;
    this.#accepted =
      known === undefined
        ? this.#countFrom(seq) - record + records.delivered + records.deadLettered
        : known.records + this.#countFrom(known.seq + 1);
  }

  /** A snapshot that is not what was written is none: all series begin anew. @throws {Damaged} if it is something else. */
  open(lastSeq: number, now: number, logger: Logger): void {
    this.load();
    try {
      this.readSnapshot();
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      logger.error("the snapshot of the counters is damaged: all series begin anew", { reason: error.message });
      transaction(this.#database, () => this.beginAnew(now, lastSeq));
      this.#state.committed();
      this.load();
    }
  }

  get identity(): JournalIdentity {
    return this.#state.get("identity") as JournalIdentity;
  }

  get cursor(): LogCursor {
    return this.#state.get("cursor") ?? startOfJournal;
  }

  get measuredSeq(): number {
    return this.#state.getReadable("measured")?.measuredSeq ?? 0;
  }

  get loss(): StoredLoss {
    return this.#state.getReadable("loss") ?? noLoss;
  }

  /** Accepted records that are neither delivered nor dead letters. */
  get pendingRecords(): number {
    const { delivered, deadLettered } = this.cursor.records;
    return this.#accepted - delivered - deadLettered;
  }

  /** Records whose commit is on disk. */
  accepted(records: number): void {
    this.#accepted += records;
  }

  /** @throws {Damaged} if any of it is not what was written. */
  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> } {
    const { measuredSeq, ...written } = this.#state.get("measured") ?? { measuredSeq: 0, blobs: 0, sum: 0 };
    const { blobs, sum } = this.#summary();
    if (written.blobs !== blobs || written.sum !== sum) throw new Damaged("the snapshot of the counters is incomplete");
    const names = this.#blobNames();
    return {
      measuredSeq,
      blobs: new Map(names.map((name) => [name.slice(blobPrefix.length), this.#state.readBlob(name) as Uint8Array])),
    };
  }

  /** Blobs that are not named stay. `lastSeq`: the last committed row. */
  writeSnapshot({ measuredSeq, blobs }: Snapshot, lastSeq: number): void {
    for (const [name, blob] of blobs) {
      if (blob === undefined) this.#state.delete(blobPrefix + name);
      else this.#state.writeBlob(blobPrefix + name, blob);
    }
    this.#state.set("measured", { measuredSeq, ...this.#summary() });
    this.#state.set("accepted", { seq: lastSeq, records: this.#accepted });
  }

  /**
   * All series begin anew at `at`, and the counters of delivery with them. Rows up to `measuredSeq` count as measured; later
   * ones that are delivered stay delivered. To be followed by `load`.
   */
  beginAnew(at: number, measuredSeq = this.measuredSeq): void {
    const { seq, record, logRecord } = this.cursor;
    const unmeasured = this.#countFrom(measuredSeq + 1);
    const delivered = Math.max(0, unmeasured - this.pendingRecords);
    for (const name of this.#blobNames()) this.#state.delete(name);
    this.#state.set("measured", { measuredSeq, blobs: 0, sum: 0 });
    this.#state.set("identity", { ...this.identity, createdAt: at });
    const records = { ...startOfJournal.records, delivered };
    this.#state.set("cursor", { ...startOfJournal, seq, record, logRecord, records });
    /** Differences of the old sums mean nothing to the new ones. */
    this.#state.set("loss", { ...noLoss, rows: this.loss.rows, isOpen: true });
    this.#state.set("accepted", undefined);
  }

  /** Records what the counters' sum of accepted records says is missing, once after damage. */
  settleLoss(accepted: number): void {
    const known = this.loss;
    if (!known.isOpen) return;
    const difference = accepted + known.uncounted - this.#accepted - known.records;
    this.#state.set("loss", {
      rows: known.rows,
      records: known.records + Math.max(0, difference),
      uncounted: known.uncounted + Math.max(0, -difference),
      isOpen: false,
    });
  }

  #countFrom(seq: number): number {
    return (this.#recordsFrom.get(seq) as { records: number }).records;
  }

  #blobNames(): string[] {
    return (this.#blobs.all() as { name: string }[]).map(({ name }) => name);
  }

  #summary(): { readonly blobs: number; readonly sum: number } {
    const found = this.#blobs.all() as { crc: number }[];
    return { blobs: found.length, sum: found.reduce((sum, { crc }) => (sum ^ crc) >>> 0, 0) };
  }
}
