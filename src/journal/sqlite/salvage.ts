/** Copies what can still be read of a damaged database, and is what was written, into a new one: row by row, each by its checksum. */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { DatabaseSync as Database } from "node:sqlite";
import { rmSync } from "node:fs";
import { keyClasses, type NewMark, type PollCursor, type PolledType } from "../index.ts";
import { markChecksum } from "./marks.ts";
import { rowColumns, RowWriter, type StoredRow, textOf } from "./rows.ts";
import { maxSeq, prepareDatabase, raiseSequence, readSequence, type StorageOptions } from "./schema.ts";
import { horizonName, wordsOf } from "./seen-keys.ts";
import { addLostRows, blobPrefix, readCursor, readIdentity, Snapshots, State, writeAnew } from "./state.ts";

/** What was saved, and what was not. */
export interface Salvage {
  readonly rows: number;
  /** Rows that were not both delivered and measured, and are gone: gaps in `seq`. Nothing if it is not known how many there were. */
  readonly lostRows: number | undefined;
  readonly keyRows: number;
  readonly marks: number;
  readonly quarantined: number;
  /** If it is not, delivery begins with the oldest row that is left. */
  readonly hasCursor: boolean;
  /** If it is not, all series begin anew. */
  readonly hasSnapshot: boolean;
}

export interface SalvageOptions extends StorageOptions {
  /** When the damaged database, or its log, was written last; epoch milliseconds. */
  readonly writtenAt: number;
}

export const polledTypes: readonly PolledType[] = ["flow", "audit"];

/** The state's name of a poll cursor. */
export const pollName = (type: PolledType): string => `poll.${type}`;

/** Added to the highest `seq` that is left, if it is not known how many there were. */
const unknownSeqs = 1_000_000;

/** Values that the new database makes itself. */
const ownValues: ReadonlySet<string> = new Set(["schema", "quarantine", "accepted", "measured"]);

/** Values that are looked for even if the table cannot be listed. */
const knownValues: readonly string[] = [
  "identity",
  "cursor",
  "loss",
  "age",
  ...polledTypes.map(pollName),
  ...keyClasses.map(horizonName),
];

/** Makes a sound database at `toPath` of what is left of `from`, which stays as it is. Nothing is left of one that does not open. */
export function salvage(from: DatabaseSync | undefined, toPath: string, options: SalvageOptions): Salvage {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(`${toPath}${suffix}`, { force: true });
  const to = new Database(toPath);
  try {
    prepareDatabase(to, options);
    to.exec("BEGIN IMMEDIATE");
    const saved = from === undefined ? saveNothing(to, options) : save(from, to, options);
    to.exec("COMMIT");
    to.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return saved;
  } finally {
    to.close();
  }
}

function saveNothing(to: DatabaseSync, { now, writtenAt }: SalvageOptions): Salvage {
  const state = new State(to);
  writeAnew(state, readIdentity(state, now), readCursor(state), now);
  new Snapshots(to, state).clear(unknownSeqs);
  loseKeys(state, writtenAt);
  addLostRows(state, 0);
  raiseSequence(to, unknownSeqs);
  const nothing = { rows: 0, lostRows: undefined, keyRows: 0, marks: 0, quarantined: 0 };
  return { ...nothing, hasCursor: false, hasSnapshot: false };
}

function save(from: DatabaseSync, to: DatabaseSync, { now, writtenAt }: SalvageOptions): Salvage {
  const state = new State(to);
  const values = saveState(from, state, writtenAt);
  const identity = readIdentity(state, now);
  const position = attempt(() => (values.has("cursor") ? readCursor(state) : undefined));
  const measured = saveSnapshot(from, to, state);
  const fromSeq = Math.min(position?.seq ?? 1, (measured ?? maxSeq) + 1);
  const lastKnown = attempt(() => readSequence(from));
  const marks = readMarks(from);
  const rows = saveRows(from, to, {
    fromSeq,
    lastSeq: lastKnown ?? maxSeq,
    marked: new Set(marks.map(({ seq }) => seq)),
  });
  const highest = Math.max(rows.last, (position?.seq ?? 1) - 1, measured ?? 0);
  const end = lastKnown === undefined ? highest + unknownSeqs : Math.max(highest, lastKnown);
  raiseSequence(to, end);
  if (measured === undefined) new Snapshots(to, state).clear(end);
  /** The counters of delivery share the start of the series. */
  if (measured === undefined || position === undefined) writeAnew(state, identity, readCursor(state), now);
  const areKnown = position !== undefined && lastKnown !== undefined;
  const lostRows = areKnown ? Math.max(0, end - fromSeq + 1 - rows.expected) : undefined;
  addLostRows(state, lostRows ?? 0);
  /** Without the secret no key can be found again. */
  const keyRows = values.has("identity") ? saveKeys(from, to) : 0;
  if (!values.has("identity") || keyRows !== countOfKeyRows(from)) loseKeys(state, writtenAt);
  return {
    rows: rows.saved,
    lostRows,
    keyRows,
    marks: saveMarks(to, marks),
    quarantined: rows.quarantined,
    hasCursor: position !== undefined,
    hasSnapshot: measured !== undefined,
  };
}

/** The names of what was saved. A poll whose position cannot be read goes on from when the file was written last. */
function saveState(from: DatabaseSync, to: State, writtenAt: number): ReadonlySet<string> {
  const source = attempt(() => new State(from));
  const listed = attempt(() => from.prepare("SELECT name FROM state").all() as { name: string }[]);
  const saved = new Set<string>();
  const unreadable = new Set(listed === undefined ? polledTypes.map(pollName) : []);
  for (const name of new Set([...knownValues, ...(listed ?? []).map((row) => row.name)])) {
    if (ownValues.has(name) || name.startsWith(blobPrefix)) continue;
    const value = attempt(() => source?.read(name));
    if (value === undefined) {
      if (listed?.some((row) => row.name === name) === true) unreadable.add(name);
      continue;
    }
    to.write(name, value);
    saved.add(name);
    unreadable.delete(name);
  }
  for (const type of polledTypes) {
    const again: PollCursor = { type, readUntil: Math.floor(writtenAt / 1000) };
    if (unreadable.has(pollName(type))) to.writeJson(pollName(type), again);
  }
  return saved;
}

/** All of it or nothing. The row up to which it is measured, if it was saved. */
function saveSnapshot(from: DatabaseSync, to: DatabaseSync, state: State): number | undefined {
  const snapshot = attempt(() => new Snapshots(from, new State(from)).read());
  if (snapshot === undefined) return undefined;
  new Snapshots(to, state).write(snapshot);
  return snapshot.measuredSeq;
}

interface RowsWanted {
  /** Older rows are delivered and measured. */
  readonly fromSeq: number;
  readonly lastSeq: number;
  readonly marked: ReadonlySet<number>;
}

function saveRows(from: DatabaseSync, to: DatabaseSync, { fromSeq, lastSeq, marked }: RowsWanted) {
  const writer = new RowWriter(to);
  const result = { saved: 0, expected: 0, quarantined: 0, last: 0 };
  for (const found of readableRows(from, "batch", "seq", rowColumns, lastSeq)) {
    const row = found as unknown as StoredRow;
    result.last = row.seq;
    const isQuarantine = row.type === "invalid" || row.type === "sample";
    if (row.seq < fromSeq && !isQuarantine && !marked.has(row.seq)) continue;
    if (attempt(() => textOf(row)) === undefined) continue;
    writer.insert(row);
    result.saved++;
    if (row.seq >= fromSeq) result.expected++;
    if (isQuarantine) result.quarantined += row.records;
  }
  return result;
}

function saveKeys(from: DatabaseSync, to: DatabaseSync): number {
  const insert = to.prepare("INSERT INTO keys (id, seq, class, at, version, crc, packed) VALUES (?, ?, ?, ?, ?, ?, ?)");
  let saved = 0;
  const columns = "id, seq, class, at, version, crc, packed";
  for (const found of readableRows(from, "keys", "id", columns, Number.MAX_SAFE_INTEGER)) {
    const row = found as unknown as Parameters<typeof wordsOf>[0];
    if (attempt(() => wordsOf(row)) === undefined) continue;
    insert.run(row.id, row.seq, row.class, row.at, row.version, row.crc, row.packed);
    saved++;
  }
  return saved;
}

/** Nothing if they cannot all be counted. */
function countOfKeyRows(from: DatabaseSync): number | undefined {
  return attempt(() => (from.prepare("SELECT COUNT(*) AS rows FROM keys").get() as { rows: number }).rows);
}

/** Some keys are gone, and nobody knows which: nothing up to then is known for certain. */
function loseKeys(state: State, writtenAt: number): void {
  const at = Math.ceil(writtenAt);
  for (const keyClass of keyClasses) state.writeJson(horizonName(keyClass), { until: at, streamed: at });
}

type SavedMark = NewMark & { readonly id: number; readonly crc: number };

function readMarks(from: DatabaseSync): readonly SavedMark[] {
  const messages = new Map<number, string>();
  for (const { id, text } of readableRows(from, "message", "id", "id, text", maxSeq))
    messages.set(Number(id), String(text));
  const columns =
    'id, destination, seq, from_line AS "from", to_line AS "to", why, log_records AS logRecords, message_id AS messageId, at, crc';
  const marks: SavedMark[] = [];
  for (const found of readableRows(from, "mark", "id", columns, maxSeq)) {
    const message = messages.get(Number(found["messageId"])) ?? "";
    const mark = { ...found, message } as unknown as SavedMark;
    if (markChecksum(mark, message) === mark.crc) marks.push(mark);
  }
  return marks;
}

/** Marks whose row was saved too. Their ids stay. */
function saveMarks(to: DatabaseSync, marks: readonly SavedMark[]): number {
  const isThere = to.prepare("SELECT 1 FROM batch WHERE seq = ?");
  const intern = to.prepare(
    "INSERT INTO message (text) VALUES (?) ON CONFLICT (text) DO UPDATE SET text = text RETURNING id",
  );
  const insert = to.prepare(
    "INSERT INTO mark (id, destination, seq, from_line, to_line, why, log_records, message_id, at, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  let saved = 0;
  for (const { id, destination, seq, from, to: end, why, logRecords, message, at, crc } of marks) {
    if (isThere.get(seq) === undefined) continue;
    const { id: messageId } = intern.get(message) as { id: number };
    insert.run(id, destination, seq, from, end, why, logRecords, messageId, at, crc);
    saved++;
  }
  return saved;
}

type ReadableRow = Readonly<Record<string, SQLOutputValue>>;

const maxStep = 2 ** 50;

/**
 * The rows of a table that can be read, in the order of their integer key. If one cannot, the next is looked for further on,
 * in steps that double, and then back: damaged pages hold neighbours. Keys above `last` are no keys.
 */
function* readableRows(
  from: DatabaseSync,
  table: string,
  key: "seq" | "id",
  columns: string,
  last: number,
): Generator<ReadableRow> {
  const next = attempt(() =>
    from.prepare(`SELECT ${columns} FROM ${table} WHERE ${key} >= ? AND ${key} <= ? ORDER BY ${key} LIMIT 1`),
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
  const afterGap = (unreadable: number): number => {
    let before = unreadable;
    let step = 1;
    while (step < maxStep && at(unreadable + step) === "unreadable") {
      before = unreadable + step;
      step *= 2;
    }
    let after = unreadable + step;
    while (after - before > 1) {
      const middle = before + Math.floor((after - before) / 2);
      if (at(middle) === "unreadable") before = middle;
      else after = middle;
    }
    return after;
  };
  for (let wanted = 1; wanted < maxStep;) {
    const row = at(wanted);
    if (row === "end") return;
    if (row === "unreadable") {
      wanted = afterGap(wanted);
      continue;
    }
    yield row;
    wanted = (row[key] as number) + 1;
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
