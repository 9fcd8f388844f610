/** Copies what can still be read of a damaged database, and is what was written, into a new one: row by row, each by its checksum. */
import { renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { syncDirectory } from "../../lib/sync-directory.ts";
import { keyClasses, type PollCursor, type PolledType } from "../index.ts";
import { createPrivately } from "./directory.ts";
import { joinedMarks, markColumns, markOf, Marks, type StoredMark } from "./marks.ts";
import { rowColumns, RowWriter, type StoredRow, textOf } from "./rows.ts";
import { maxSeq, prepareDatabase, raiseSequence, readSequence, type StorageOptions, transaction } from "./schema.ts";
import { horizonName, type KeyRow, wordsOf } from "./seen-keys.ts";
import { addLostRows, blobPrefix, readCursor, readIdentity, Snapshots, State, writeAnew } from "./state.ts";

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

export const polledTypes: readonly PolledType[] = ["flow", "audit"];

/** The state's name of a poll cursor. */
export const pollName = (type: PolledType): string => `poll.${type}`;

/** Where what was saved lies, whole, until it takes the place of the damaged database. */
export function rescuedPath(databasePath: string): string {
  return join(dirname(databasePath), "rescued.db");
}

/** Added to the highest `seq` that is left, if it is not known how many there were. */
const unknownSeqs = 1_000_000;

/** Values that the new database makes itself. */
const ownValues: ReadonlySet<string> = new Set(["accepted", "measured"]);

/** Values that are looked for even if the table cannot be listed. */
const knownValues = ["identity", "cursor", "loss", "age", ...polledTypes.map(pollName), ...keyClasses.map(horizonName)];

/** Makes a sound database beside the damaged one of what is left of `from`, which stays as it is. */
export function salvage(from: DatabaseSync, databasePath: string, options: SalvageOptions): Salvage {
  const path = rescuedPath(databasePath);
  const part = `${path}.part`;
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${part}${suffix}`, { force: true });
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
  const identity = readIdentity(state, now);
  const position = attempt(() => (values.has("cursor") ? readCursor(state) : undefined));
  const snapshot = attempt(() => new Snapshots(from, new State(from)).read());
  const measured = snapshot?.measuredSeq;
  const firstSeq = Math.min(position?.seq ?? 1, (measured ?? maxSeq) + 1);
  const lastKnown = attempt(() => readSequence(from));
  const found = [...readableRows(from, { table: joinedMarks, key: "id", columns: markColumns })];
  const marks = (found as unknown as StoredMark[]).map(markOf).filter((mark) => mark !== undefined);
  const marked = new Set(marks.map(({ seq }) => seq));
  const writer = new RowWriter(to);
  const rows = { saved: 0, expected: 0, quarantined: 0, last: 0 };
  const batch = { table: "batch", key: "seq", columns: rowColumns, last: lastKnown ?? maxSeq } as const;
  for (const row of readableRows(from, batch) as Iterable<unknown> as Iterable<StoredRow>) {
    rows.last = row.seq;
    const isQuarantine = row.type === "invalid" || row.type === "sample";
    /** Older rows are delivered and measured. */
    if (row.seq < firstSeq && !isQuarantine && !marked.has(row.seq)) continue;
    if (attempt(() => textOf(row)) === undefined) continue;
    writer.insert(row);
    rows.saved++;
    if (row.seq >= firstSeq) rows.expected++;
    if (isQuarantine) rows.quarantined += row.records;
  }
  const highest = Math.max(rows.last, (position?.seq ?? 1) - 1, measured ?? 0);
  const end = lastKnown === undefined ? highest + unknownSeqs : Math.max(highest, lastKnown);
  raiseSequence(to, end);
  if (snapshot === undefined) new Snapshots(to, state).clear(end);
  else new Snapshots(to, state).write(snapshot);
  /** The counters of delivery share the start of the series. */
  if (measured === undefined || position === undefined) writeAnew(state, identity, readCursor(state), now);
  const areKnown = position !== undefined && lastKnown !== undefined;
  const lostRows = areKnown ? Math.max(0, end - firstSeq + 1 - rows.expected) : undefined;
  addLostRows(state, lostRows ?? 0);
  return {
    rows: rows.saved,
    lost_rows: lostRows ?? "unknown",
    /** Without the secret no key can be found again. */
    key_rows: saveKeys(values.has("identity") ? from : undefined, to, { state, writtenAt }),
    marks: new Marks(to).add(marks),
    quarantined: rows.quarantined,
    delivery_position: position === undefined ? "lost: what is left is delivered again" : "kept",
    counters: measured === undefined ? "lost: all series begin anew" : "kept",
  };
}

/** The names of what was saved. A poll whose position cannot be read goes on from when the file was written last. */
function saveState(from: DatabaseSync, to: State, writtenAt: number): ReadonlySet<string> {
  const source = attempt(() => new State(from));
  const listed = attempt(() => from.prepare("SELECT name FROM state").all() as { name: string }[]);
  const names = new Set(listed?.map(({ name }) => name) ?? knownValues);
  const saved = new Set<string>();
  for (const name of names) {
    if (ownValues.has(name) || name.startsWith(blobPrefix)) continue;
    const value = attempt(() => source?.read(name));
    if (value === undefined) continue;
    to.write(name, value);
    saved.add(name);
  }
  for (const type of polledTypes) {
    const again: PollCursor = { type, readUntil: Math.floor(writtenAt / 1000) };
    if (names.has(pollName(type)) && !saved.has(pollName(type))) to.writeJson(pollName(type), again);
  }
  return saved;
}

/** If some keys are gone nobody knows which, and nothing up to the last write is known for certain. How many rows are there. */
function saveKeys(
  from: DatabaseSync | undefined,
  to: DatabaseSync,
  { state, writtenAt }: { readonly state: State; readonly writtenAt: number },
): number {
  const insert = to.prepare("INSERT INTO keys (id, seq, class, at, version, crc, packed) VALUES (?, ?, ?, ?, ?, ?, ?)");
  const columns = "id, seq, class, at, version, crc, packed";
  let saved = 0;
  for (const found of from === undefined ? [] : readableRows(from, { table: "keys", key: "id", columns })) {
    const row = found as unknown as KeyRow;
    if (attempt(() => wordsOf(row)) === undefined) continue;
    insert.run(row.id, row.seq, row.class, row.at, row.version, row.crc, row.packed);
    saved++;
  }
  const all = attempt(() => from?.prepare("SELECT COUNT(*) AS rows FROM keys").get()?.["rows"]);
  const lost = { until: Math.ceil(writtenAt), streamed: Math.ceil(writtenAt) };
  if (all !== saved) for (const keyClass of keyClasses) state.writeJson(horizonName(keyClass), lost);
  return saved;
}

type ReadableRow = Readonly<Record<string, SQLOutputValue>>;

interface Readable {
  readonly table: string;
  readonly key: "seq" | "id";
  readonly columns: string;
  /** Keys above are no keys. */
  readonly last?: number;
}

/**
 * The rows of a table that can be read, in the order of their integer key. If one cannot, the next is looked for further on,
 * in steps that double, and then back: damaged pages hold neighbours.
 */
function* readableRows(from: DatabaseSync, { table, key, columns, last = maxSeq }: Readable): Generator<ReadableRow> {
  const name = `${table.split(" ")[0]}.${key}`;
  const next = attempt(() =>
    from.prepare(`SELECT ${columns} FROM ${table} WHERE ${name} BETWEEN ? AND ? ORDER BY ${name} LIMIT 1`),
  );
  if (next === undefined) return;
  const at = (wanted: number): ReadableRow | "end" | "unreadable" => {
    if (wanted > last) return "end";
    try {
      const row = next.get(wanted, last);
      if (row === undefined) return "end";
      const found = row[key];
      return typeof found === "number" && found >= wanted && found <= last ? row : "unreadable";
    } catch {
      return "unreadable";
    }
  };
  for (let wanted = 1; ;) {
    const row = at(wanted);
    if (row === "end") return;
    if (row !== "unreadable") {
      yield row;
      wanted = (row[key] as number) + 1;
      continue;
    }
    let before = wanted;
    let step = 1;
    for (; at(wanted + step) === "unreadable"; step *= 2) before = wanted + step;
    for (wanted += step; wanted - before > 1;) {
      const middle = before + Math.floor((wanted - before) / 2);
      if (at(middle) === "unreadable") before = middle;
      else wanted = middle;
    }
  }
}

/** What cannot be read is not there. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
