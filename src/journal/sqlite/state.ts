/** All that is small and kept by name: identity, cursors, horizons, the ledger's snapshot, what other rooms keep. Each with a checksum. */
import { randomBytes, randomUUID } from "node:crypto";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type JournalIdentity, type Loss, type LogCursor, type Snapshot, startOfJournal } from "../index.ts";
import { checksum, Damaged } from "../packing.ts";

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

  /** The value of that name, if there is one. @throws {Damaged} */
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
  const identity: JournalIdentity = {
    instanceId: randomUUID(),
    identitySecret: randomBytes(32).toString("hex"),
    privacySalt: randomBytes(32).toString("hex"),
    tailnet: 1,
    createdAt: now,
  };
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

export class Snapshots {
  readonly #state: State;
  readonly #names: StatementSync;

  constructor(database: DatabaseSync, state: State) {
    this.#state = state;
    this.#names = database.prepare(
      `SELECT name, crc FROM state WHERE name >= '${blobPrefix}' AND name < '${blobPrefix.slice(0, -1)}0'`,
    );
  }

  /** Writes inside the caller's transaction. Blobs that are not named stay. */
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
    const { blobs: count, sum } = this.#summary();
    if ((head?.blobs ?? 0) !== count || (head?.sum ?? 0) !== sum)
      throw new Damaged("the counters' snapshot is not whole");
    const blobs = new Map<string, Uint8Array>();
    for (const { name } of this.#rows()) {
      const blob = this.#state.read(name);
      if (blob !== undefined) blobs.set(name.slice(blobPrefix.length), blob);
    }
    return { measuredSeq: head?.measuredSeq ?? 0, blobs };
  }

  /** Removes all blobs; rows up to `measuredSeq` count as measured. Inside the caller's transaction. */
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

/** What damage took, and whether the sums have been compared since. */
interface StoredLoss extends Loss {
  readonly isOpen: boolean;
}

const noLoss: StoredLoss = { rows: 0, records: 0, uncounted: 0, isOpen: false };

/** What is written down; a damaged text is none. */
export function readLoss(state: State): StoredLoss {
  try {
    return (state.readJson("loss") as StoredLoss | undefined) ?? noLoss;
  } catch (error) {
    if (error instanceof Damaged) return noLoss;
    throw error;
  }
}

/** Adds lost rows, inside the caller's transaction. How many records that were shows when the sums are compared. */
export function addLostRows(state: State, rows: number): void {
  const known = readLoss(state);
  state.writeJson("loss", { ...known, rows: known.rows + rows, isOpen: true } satisfies StoredLoss);
}

/** Series begin anew at `at`, and the counters of delivery with them, since they share that start. In the caller's transaction. */
export function writeAnew(state: State, identity: JournalIdentity, cursor: LogCursor, at: number): void {
  const { seq, record, logRecord } = cursor;
  state.writeJson("identity", { ...identity, createdAt: at } satisfies JournalIdentity);
  state.writeJson("cursor", { ...startOfJournal, seq, record, logRecord } satisfies LogCursor);
  /** Differences of the old sums mean nothing to the new ones. */
  state.writeJson("loss", { ...noLoss, rows: readLoss(state).rows, isOpen: true } satisfies StoredLoss);
}

/** Writes down by how much the `accepted` records differ from those that are `held`: delivered, waiting or dead-lettered. */
export function settleLoss(state: State, sums: { readonly accepted: number; readonly held: number }): Loss {
  const known = readLoss(state);
  if (!known.isOpen) return known;
  const difference = sums.accepted + known.uncounted - sums.held - known.records;
  const settled: StoredLoss = {
    rows: known.rows,
    records: known.records + Math.max(0, difference),
    uncounted: known.uncounted + Math.max(0, -difference),
    isOpen: false,
  };
  state.writeJson("loss", settled);
  return settled;
}
