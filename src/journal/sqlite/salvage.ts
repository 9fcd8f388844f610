/** Copies what can still be read of a damaged database, and is what was written, to a new one: row by row, each by its checksum. */
import { renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { syncDirectory } from "../../lib/private-file.ts";
import { keyClasses } from "../journal.ts";
import { createPrivately } from "./directory.ts";
import { textOf } from "./rows.ts";
import { Accounts, blobPrefix, ensureIdentity, polledTypes, State } from "./state.ts";
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

/** What was saved and what was not, as fields of a log line. */
export interface Salvage {
  readonly rows: number;
  /** Rows that were not both delivered and measured, and are gone: gaps in `seq`. */
  readonly lost_rows: number | "unknown";
  readonly key_rows: number;
  readonly marks: number;
  readonly quarantined: number;
  readonly delivery_position: string;
  readonly counters: string;
}

export interface SalvageOptions extends StorageOptions {
  /** When the damaged database, or its log, was written last; epoch milliseconds. */
  readonly writtenAt: number;
}

/** Where what was saved lies, whole, until it takes the place of the damaged database. */
export function rescuedPath(databasePath: string): string {
  return join(dirname(databasePath), "rescued.db");
}

/** Added to the highest `seq` that is left, if it is not known how many there were. */
const unknownSeqs = 1_000_000;

/** Values that are looked for even if the table cannot be listed. */
const alwaysThere = ["identity", "cursor", "loss", "age"];
const knownValues = [
  ...alwaysThere,
  ...polledTypes.map((type) => `poll.${type}`),
  ...keyClasses.map((one) => `horizon.${one}`),
];

/** Makes a sound database beside the damaged one of what is left of `from`, which stays as it is. */
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

function save(from: DatabaseSync, to: DatabaseSync, { now, writtenAt }: SalvageOptions): Salvage {
  const state = new State(to);
  const values = saveState(from, state, writtenAt);
  ensureIdentity(state, now);
  const accounts = new Accounts(to, state);
  const position = attempt(() => (values.has("cursor") ? state.get("cursor") : undefined));
  const snapshot = attempt(() => new Accounts(from, new State(from)).readSnapshot());
  const measured = snapshot?.measuredSeq;
  const firstSeq = Math.min(position?.seq ?? 1, (measured ?? maxSeq) + 1);
  const lastKnown = attempt(() => readSequence(from));

  const marked = new Set<number>();
  for (const { seq } of copied("mark", from, to, () => true)) marked.add(seq);
  const table = new Table(to, "batch");
  const rows = { saved: 0, undelivered: 0, quarantined: 0, last: 0 };
  const isWanted = (row: StoredRow<"batch">): boolean => {
    rows.last = row.seq;
    /** Older rows are delivered and measured. */
    const isNeeded = row.seq >= firstSeq || isQuarantined(row) || marked.has(row.seq);
    return isNeeded && attempt(() => textOf(table, row)) !== undefined;
  };
  for (const row of copied("batch", from, to, isWanted, lastKnown)) {
    rows.saved++;
    if (row.seq >= firstSeq) rows.undelivered++;
    if (isQuarantined(row)) rows.quarantined += row.records;
  }
  to.exec("DELETE FROM mark WHERE seq NOT IN (SELECT seq FROM batch)");
  const highest = Math.max(rows.last, (position?.seq ?? 1) - 1, measured ?? 0);
  const end = lastKnown === undefined ? highest + unknownSeqs : Math.max(highest, lastKnown);
  raiseSequence(to, end);

  accounts.load();
  if (snapshot !== undefined) accounts.writeSnapshot(snapshot, end);
  /** The counters of delivery share the start of the series. */
  if (snapshot === undefined || position === undefined) accounts.beginAnew(now, measured ?? end);
  state.set("accepted", undefined);
  const isKnown = position !== undefined && lastKnown !== undefined;
  const lost = isKnown ? Math.max(0, end - firstSeq + 1 - rows.undelivered) : undefined;
  state.committed();
  state.set("loss", { ...accounts.loss, rows: accounts.loss.rows + (lost ?? 0), isOpen: true });
  return {
    rows: rows.saved,
    lost_rows: lost ?? "unknown",
    /** Without the secret no key can be found again. */
    key_rows: values.has("identity") ? saveKeys(from, to, state, writtenAt) : 0,
    marks: (to.prepare("SELECT COUNT(*) AS marks FROM mark").get() as { marks: number }).marks,
    quarantined: rows.quarantined,
    delivery_position: position === undefined ? "lost: what is left is delivered again" : "kept",
    counters: snapshot === undefined ? "lost: all series begin anew" : "kept",
  };
}

function isQuarantined({ type }: { readonly type: string }): boolean {
  return type === "invalid" || type === "sample";
}

/** The names of what was saved. A poll whose position cannot be read goes on from when the file was written last. */
function saveState(from: DatabaseSync, to: State, writtenAt: number): ReadonlySet<string> {
  const source = attempt(() => new State(from));
  const listed = attempt(() => from.prepare("SELECT name FROM state").all() as { name: string }[]);
  const names = new Set(listed?.map(({ name }) => name) ?? knownValues);
  const saved = new Set<string>();
  for (const name of names) {
    const isMadeAnew = name.startsWith(blobPrefix) || name === "accepted" || name === "measured";
    const value = isMadeAnew ? undefined : attempt(() => source?.readBlob(name));
    if (value === undefined) continue;
    to.writeBlob(name, value);
    saved.add(name);
  }
  for (const type of polledTypes)
    if (names.has(`poll.${type}`) && !saved.has(`poll.${type}`))
      to.set(`poll.${type}`, { type, readUntil: Math.floor(writtenAt / 1000) });
  return saved;
}

/** If some keys are gone nobody knows which, and nothing up to the last write is known for certain. */
function saveKeys(from: DatabaseSync, to: DatabaseSync, state: State, writtenAt: number): number {
  let saved = 0;
  for (const _ of copied("keys", from, to, () => true)) saved++;
  const all = attempt(() => from.prepare("SELECT COUNT(*) AS rows FROM keys").get()?.["rows"]);
  const until = Math.ceil(writtenAt);
  if (all !== saved) for (const keyClass of keyClasses) state.set(`horizon.${keyClass}`, { until, streamed: until });
  return saved;
}

/** Copies the rows of a table that can be read, are what was written, and are wanted; each is given once it is copied. */
function* copied<Name extends TableName>(
  name: Name,
  from: DatabaseSync,
  to: DatabaseSync,
  isWanted: (row: StoredRow<Name>) => boolean,
  last = maxSeq,
): Generator<StoredRow<Name>> {
  const table = new Table(to, name);
  const key = name === "batch" ? "seq" : "id";
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
    table.insert(stored);
    yield stored;
  }
}

/** Behind what cannot be read, in steps that double and then go back: damaged pages hold neighbours. */
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

/** Nothing if it cannot be read. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
