/**
 * Recovers from damage at start. Everything in the database that can still be read and matches its checksum is copied to a new
 * one, row by row.
 */
import { existsSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import { syncDirectory } from "../../lib/private-file.ts";
import { reasonOf } from "../batch.ts";
import { keyClasses, startOfJournal } from "../journal.ts";
import { Destinations, isDestination, salvagedDestination } from "./destinations.ts";
import { createPrivately, databaseName, rescuedPath } from "./directory.ts";
import { isDamage } from "./errors.ts";
import { readHeader, sizeOf } from "./inspection.ts";
import { soundTextOf } from "./rows.ts";
import { blobPrefix, polledTypes } from "../stored.ts";
import { State } from "./state.ts";
import {
  maxSeq,
  prepareDatabase,
  raiseSequence,
  readSequence,
  type StorageOptions,
  type StoredRow,
  Table,
  type TableName,
  transaction,
} from "./tables.ts";

/** The log is moved first: a database without its log would be mistaken for a sound older one. */
const suffixes = ["-wal", "-shm", ""];

/**
 * Returns the result of `use` with the opened database. If damage is found, what can be read is first saved beside the database;
 * then its files are set aside, and `use` is called again with the saved copy. A start succeeds even if an earlier one was killed
 * at any point.
 * @throws whatever `use` throws that is not damage.
 */
export function openDatabase<Used>(
  databasePath: string,
  storage: StorageOptions,
  logger: Logger,
  use: (database: DatabaseSync) => Used,
): Used {
  let reason = "the process before saved what it could still read";
  let saved: Salvage | undefined;
  if (!existsSync(rescuedPath(databasePath))) {
    /** Read before the log is created again. */
    const writtenAt = Math.max(...["", "-wal"].map((suffix) => modifiedAt(databasePath + suffix)));
    try {
      readHeader(databasePath);
      return open(databasePath, use);
    } catch (error) {
      if (!isDamage(error)) throw error;
      reason = reasonOf(error);
    }
    const from = openDamaged(databasePath);
    try {
      saved = salvage(from, databasePath, { ...storage, writtenAt });
    } finally {
      from.close();
    }
  }
  const directory = setAside(databasePath, storage.now);
  renameSync(rescuedPath(databasePath), databasePath);
  syncDirectory(dirname(databasePath));
  const message =
    "the journal was damaged: its files were moved to the directory below, and everything readable was copied to a new journal";
  logger.error(message, { reason, directory, ...saved });
  return open(databasePath, use);
}

function open<Used>(databasePath: string, use: (database: DatabaseSync) => Used): Used {
  /** The write-ahead log inherits its mode. */
  createPrivately(databasePath);
  const database = new DatabaseSync(databasePath);
  try {
    return use(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens read-only, so that nothing changes; returns an empty database if it does not open. */
function openDamaged(path: string): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    /** SQLite would delete the log of an empty file even then. */
    if (sizeOf(path) > 0) {
      database = new DatabaseSync(path, { readOnly: true });
      database.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
      return database;
    }
  } catch {
    database?.close();
  }
  return new DatabaseSync(":memory:");
}

/** Moves all files of the database to a new directory. */
function setAside(databasePath: string, now: number): string {
  const first = join(dirname(databasePath), `damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`);
  let directory = first;
  for (let again = 2; existsSync(directory); again++) directory = `${first}-${again}`;
  mkdirSync(directory, { mode: 0o700 });
  for (const suffix of suffixes)
    if (existsSync(databasePath + suffix)) renameSync(databasePath + suffix, join(directory, databaseName + suffix));
  syncDirectory(directory);
  syncDirectory(dirname(databasePath));
  return directory;
}

function modifiedAt(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** What was saved and what was not, as log fields. */
type Salvage = ReturnType<typeof save>;

interface SalvageOptions extends StorageOptions {
  /** When the damaged database or its log was last written, epoch milliseconds. */
  readonly writtenAt: number;
}

/** Added to the highest remaining `seq` if the number of rows is unknown. */
const unknownSeqs = 1_000_000;

/** Values that are looked up even if the table cannot be listed. */
const alwaysThere = ["identity", "cursor", "loss", "age"];
const knownValues = [
  ...alwaysThere,
  ...polledTypes.map((type) => `poll.${type}`),
  ...keyClasses.map((one) => `horizon.${one}`),
];

/** Creates a sound database beside the damaged one from what can be read of `from`, which is not changed. */
export function salvage(from: DatabaseSync, databasePath: string, options: SalvageOptions): Salvage {
  const path = rescuedPath(databasePath);
  const part = `${path}.part`;
  for (const suffix of ["", "-wal", "-shm"]) rmSync(part + suffix, { force: true });
  createPrivately(part);
  const to = new DatabaseSync(part);
  let saved: Salvage;
  try {
    prepareDatabase(to, options);
    saved = transaction(to, () => save(from, to, options));
    to.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  } finally {
    to.close();
  }
  renameSync(part, path);
  syncDirectory(dirname(path));
  return saved;
}

function save(from: DatabaseSync, to: DatabaseSync, { now, writtenAt }: SalvageOptions) {
  const state = new State(to);
  saveState(from, state, writtenAt);
  /** Without the secret, no key could be matched again. */
  const keys = state.get("identity") === undefined ? 0 : saveKeys(from, to, state, writtenAt);
  state.ensureIdentity(now);
  const position = state.get("cursor");
  const snapshot = attempt(() => new State(from).readSnapshot());
  const further = new Destinations(to, state, 0).lowestSeq("all");
  const firstSeq = Math.min(position?.seq ?? 1, further, (snapshot?.measuredSeq ?? maxSeq) + 1);
  const lastKnown = attempt(() => readSequence(from));

  const marked = new Set<number>();
  for (const { seq } of copied("mark", from, to, () => true)) marked.add(seq);
  const table = new Table(to, "batch");
  const rows = { saved: 0, undelivered: 0, last: 0 };
  const isWanted = (row: StoredRow<"batch">): boolean => {
    rows.last = row.seq;
    /** Older rows are delivered and measured. */
    const isNeeded = row.seq >= firstSeq || marked.has(row.seq);
    return isNeeded && attempt(() => soundTextOf(table, row)) !== undefined;
  };
  for (const { seq } of copied("batch", from, to, isWanted, lastKnown)) {
    rows.saved++;
    if (seq >= firstSeq) rows.undelivered++;
  }
  for (const name of ["minute", "minute_detail"] as const) copied(name, from, to, () => true).forEach(() => undefined);
  const { changes } = to.prepare("DELETE FROM mark WHERE seq NOT IN (SELECT seq FROM batch)").run();
  const highest = Math.max(rows.last, (position?.seq ?? 1) - 1, snapshot?.measuredSeq ?? 0);
  const end = Math.max(highest, lastKnown ?? highest + unknownSeqs);
  raiseSequence(to, end);

  state.countAccepted();
  if (snapshot !== undefined) state.writeSnapshot(snapshot, end);
  /** The delivery counters share the start of the series. */
  if (snapshot === undefined || position === undefined) state.beginAnew(now, snapshot?.measuredSeq ?? end);
  const isKnown = position !== undefined && lastKnown !== undefined;
  const lost = isKnown ? Math.max(0, end - firstSeq + 1 - rows.undelivered) : undefined;
  state.set("loss", { ...state.loss, rows: state.loss.rows + (lost ?? 0), isOpen: true });
  return {
    rows: rows.saved,
    /** Gaps in `seq`: lost rows that were not both delivered and measured. */
    lost_rows: lost ?? "unknown",
    dedup_rows: keys,
    /** Includes ranges of quarantined texts. */
    dead_letters_and_notes: marked.size - Number(changes),
    delivery_position: position === undefined ? "lost: stored records are delivered again" : "kept",
    counters: snapshot === undefined ? "lost: all counters restart at 0" : "kept",
  };
}

/** A poll whose position cannot be read continues from the last time the file was written. */
function saveState(from: DatabaseSync, to: State, writtenAt: number): void {
  const source = attempt(() => new State(from));
  const listed = attempt(() => from.prepare("SELECT name FROM state").all() as { name: string }[]);
  for (const name of listed?.map((row) => row.name) ?? knownValues) {
    if (name.startsWith(blobPrefix) || name === "accepted" || name === "measured") continue;
    const value = attempt(() => source?.readBlob(name));
    const polled = polledTypes.find((type) => name === `poll.${type}`);
    if (isDestination(name)) to.set(name, salvagedDestination(value, writtenAt));
    else if (value !== undefined) to.writeBlob(name, value);
    else if (polled !== undefined) to.set(`poll.${polled}`, { type: polled, readUntil: Math.floor(writtenAt / 1000) });
  }
  /** No cursor is written until something is delivered, so one that is not even listed is not lost. */
  const names = new Set(listed?.map((row) => row.name));
  if (names.has("identity") && !names.has("cursor")) to.set("cursor", startOfJournal);
}

/** If some keys are lost, it is unknown which, so nothing up to the last write is known for certain. */
function saveKeys(from: DatabaseSync, to: DatabaseSync, state: State, writtenAt: number): number {
  let saved = 0;
  for (const _ of copied("keys", from, to, () => true)) saved++;
  const all = attempt(() => from.prepare("SELECT COUNT(*) AS rows FROM keys").get()?.["rows"]);
  const until = Math.ceil(writtenAt);
  if (all !== saved) for (const keyClass of keyClasses) state.set(`horizon.${keyClass}`, { until, streamed: until });
  return saved;
}

/** Copies the rows of a table that can be read, are intact and wanted, and yields each once it is copied. */
function* copied<Name extends TableName>(
  name: Name,
  from: DatabaseSync,
  to: DatabaseSync,
  isWanted: (row: StoredRow<Name>) => boolean,
  last = maxSeq,
): Generator<StoredRow<Name>> {
  const table = new Table(to, name);
  const key = name === "batch" ? "seq" : name.startsWith("minute") ? "at" : "id";
  const sql = `SELECT ${table.columns} FROM ${name} WHERE ${key} BETWEEN ? AND ? ORDER BY ${key} LIMIT 1`;
  const next = attempt(() => from.prepare(sql));
  if (next === undefined) return;
  const read = (wanted: number): Record<string, unknown> | "end" | "unreadable" => {
    if (wanted > last) return "end";
    const row = attempt(() => next.get(wanted, last) ?? "end") ?? "unreadable";
    if (typeof row === "string") return row;
    const found = row[key];
    return typeof found === "number" && found >= wanted && found <= last ? row : "unreadable";
  };
  for (let wanted = 1; ;) {
    const row = read(wanted);
    if (row === "end") return;
    if (row === "unreadable") {
      wanted = nextReadable(wanted, (at) => read(at) !== "unreadable");
      continue;
    }
    const stored = row as unknown as StoredRow<Name>;
    wanted = (row[key] as number) + 1;
    if (!isWanted(stored) || !table.isSound(stored)) continue;
    if ("id" in row) table.replace(stored, Number(row["id"]));
    else table.insert(stored);
    yield stored;
  }
}

/**
 * The next readable number after an unreadable one, found in doubling steps and then by bisection, because damaged pages hold
 * adjacent rows.
 */
function nextReadable(unreadable: number, isReadable: (at: number) => boolean): number {
  let before = unreadable;
  let step = 1;
  for (; !isReadable(unreadable + step); step *= 2) before = unreadable + step;
  let after = unreadable + step;
  while (after - before > 1) {
    const middle = before + Math.floor((after - before) / 2);
    if (isReadable(middle)) after = middle;
    else before = middle;
  }
  return after;
}

/** Undefined if it cannot be read. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
