/** Takes out of a damaged database, row by row, what can still be read and is what was written. */
import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { measuredMetric } from "./ledger-blobs.ts";
import { addLostRows } from "./loss.ts";
import { readMeta, writeMeta } from "./meta.ts";
import { unpack, unseal } from "./pack.ts";
import { pollCursorName, PollCursors, polledTypes } from "./poll-cursors.ts";
import { readableRows } from "./readable-rows.ts";
import { rowOf, type StoredRow } from "./reader.ts";
import { writeForgotten } from "./retention.ts";
import { beginAnew, lastingMeta, prepareDatabase, raiseSequence, readSequence, type StorageOptions } from "./schema.ts";
import { keyClasses } from "./seen-keys.ts";
import type { LogCursor } from "./types.ts";

/** What was saved, and what was not. */
export interface Salvage {
  readonly rows: number;
  /** Rows that were not both delivered and measured, and are gone: gaps in `seq`. Nothing where it is not known how many there were. */
  readonly lostRows: number | undefined;
  readonly keyRows: number;
  readonly quarantined: number;
  /** Where it is not, delivery begins with the oldest row that is left. */
  readonly hasCursor: boolean;
  /** Where it is not, all series begin anew. */
  readonly hasLedger: boolean;
}

/** Added to the highest `seq` that is left, where it is not known how many there were. */
const unknownSeqs = 1_000_000;

export interface SalvageOptions extends StorageOptions {
  /** When the damaged database, or its log, was written last; epoch milliseconds. */
  readonly writtenAt: number;
}

/** Makes a sound database at `toPath` of what is left of the one at `fromPath`, which stays as it is. */
export function salvage(fromPath: string, toPath: string, options: SalvageOptions): Salvage {
  const to = new DatabaseSync(toPath);
  try {
    prepareDatabase(to, options);
    const from = openDamaged(fromPath);
    to.exec("BEGIN IMMEDIATE");
    const saved = from === undefined ? saveNothing(to, options) : save(from, to, options);
    to.exec("COMMIT");
    to.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    from?.close();
    return saved;
  } finally {
    to.close();
  }
}

/** Read-only, so that nothing of it changes. SQLite would delete the log of an empty one all the same. */
function openDamaged(path: string): DatabaseSync | undefined {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) === 0) return undefined;
  return attempt(() => {
    const database = new DatabaseSync(path, { readOnly: true });
    database.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
    return database;
  });
}

function saveNothing(to: DatabaseSync, { createdAt: now, writtenAt }: SalvageOptions): Salvage {
  beginAnew(to, now, unknownSeqs);
  forgetKeys(to, writtenAt);
  addLostRows(to, 0);
  raiseSequence(to, unknownSeqs);
  return { rows: 0, lostRows: undefined, keyRows: 0, quarantined: 0, hasCursor: false, hasLedger: false };
}

function save(from: DatabaseSync, to: DatabaseSync, { createdAt: now, writtenAt }: SalvageOptions): Salvage {
  const hasSecret = saveMeta(from, to);
  const cursors = saveCursors(from, to, writtenAt);
  const cursor = cursors.get("logs");
  const position = cursor === undefined ? undefined : (JSON.parse(cursor) as LogCursor);
  const measured = saveLedger(from, to);
  const fromSeq = Math.min(position?.seq ?? 1, (measured ?? Number.MAX_SAFE_INTEGER) + 1);
  const lastKnown = attempt(() => readSequence(from));
  const { rows, last } = saveRows(from, to, fromSeq, lastKnown ?? Number.MAX_SAFE_INTEGER);
  const highest = Math.max(last, (position?.seq ?? 1) - 1, measured ?? 0);
  const end = lastKnown === undefined ? highest + unknownSeqs : Math.max(highest, lastKnown);
  raiseSequence(to, end);
  if (measured === undefined) beginAnew(to, now, end);
  /** The counters of delivery were in the position, and share the journal's start. */
  if (position === undefined) writeMeta(to, "created_at", String(now));
  const areKnown = position !== undefined && lastKnown !== undefined;
  const lostRows = areKnown ? Math.max(0, end - fromSeq + 1 - rows) : undefined;
  addLostRows(to, lostRows ?? 0);
  const keyRows = hasSecret ? saveKeys(from, to) : 0;
  if (!hasSecret || keyRows !== countOfKeyRows(from)) forgetKeys(to, writtenAt);
  return {
    rows,
    lostRows,
    keyRows,
    quarantined: saveQuarantine(from, to),
    hasCursor: position !== undefined,
    hasLedger: measured !== undefined,
  };
}

/** Whether the secret is among what was saved: without it, no key can be found again. */
function saveMeta(from: DatabaseSync, to: DatabaseSync): boolean {
  const found = attempt(() => from.prepare("SELECT name FROM meta").all() as { name: string }[]) ?? [];
  let hasSecret = false;
  for (const name of new Set([...lastingMeta, ...found.map((row) => row.name)])) {
    const value = attempt(() => readMeta(from, name));
    if (value === undefined) continue;
    writeMeta(to, name, value);
    if (name === "identity_secret") hasSecret = true;
  }
  return hasSecret;
}

/** A poll whose position cannot be read goes on from when the file was last written: it reads again what came shortly before. */
function saveCursors(from: DatabaseSync, to: DatabaseSync, writtenAt: number): Map<string, string> {
  const cursors = new Map<string, string>();
  const rows = attempt(() => from.prepare("SELECT name, value FROM cursor").all());
  const insert = to.prepare("INSERT INTO cursor (name, value) VALUES (?, ?)");
  const unreadable = new Set(rows === undefined ? polledTypes.map(pollCursorName) : []);
  for (const { name, value } of (rows ?? []) as { name: string; value: string }[]) {
    const text = attempt(() => unseal(value));
    if (text === undefined) {
      unreadable.add(name);
      continue;
    }
    cursors.set(name, text);
    insert.run(name, value);
  }
  const polls = new PollCursors(to);
  for (const type of polledTypes) {
    if (unreadable.has(pollCursorName(type))) polls.write({ type, readUntil: Math.floor(writtenAt / 1000) });
  }
  return cursors;
}

/** Some keys are gone, and nobody knows which: nothing up to then is known for certain. */
function forgetKeys(to: DatabaseSync, writtenAt: number): void {
  const at = Math.ceil(writtenAt);
  for (const keyClass of keyClasses) writeForgotten(to, keyClass, { until: at, streamed: at });
}

/** Nothing where they cannot all be read. */
function countOfKeyRows(from: DatabaseSync): number | undefined {
  return attempt(() => (from.prepare("SELECT COUNT(*) AS rows FROM keys").get() as { rows: number }).rows);
}

/** All of it or nothing. The row up to which it is measured, if it was saved. */
function saveLedger(from: DatabaseSync, to: DatabaseSync): number | undefined {
  const insert = to.prepare("INSERT INTO ledger (metric, packed) VALUES (?, ?)");
  return attempt(() => {
    const blobs = from.prepare("SELECT metric, packed FROM ledger").all() as { metric: string; packed: Uint8Array }[];
    const texts = new Map(blobs.map(({ metric, packed }) => [metric, unpack(packed).toString()]));
    for (const { metric, packed } of blobs) insert.run(metric, packed);
    return Number(texts.get(measuredMetric) ?? 0);
  });
}

function saveRows(from: DatabaseSync, to: DatabaseSync, fromSeq: number, lastSeq: number) {
  const insert = to.prepare(
    "INSERT INTO journal (seq, accepted_at, source, type, tailnet, records, body, flags, tally) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  let rows = 0;
  let last = 0;
  for (const row of readableRows(from, { table: "journal", key: "seq", from: fromSeq, to: lastSeq })) {
    const stored = row as unknown as StoredRow & { tailnet: number };
    last = stored.seq;
    if (attempt(() => rowOf(stored).damage) !== undefined) continue;
    const { seq, accepted_at, source, type, tailnet, records, body, flags, tally } = stored;
    if (attempt(() => insert.run(seq, accepted_at, source, type, tailnet, records, body, flags, tally))) rows++;
  }
  return { rows, last };
}

function saveKeys(from: DatabaseSync, to: DatabaseSync): number {
  const insert = to.prepare("INSERT INTO keys (id, seq, type, at, version, packed) VALUES (?, ?, ?, ?, ?, ?)");
  let saved = 0;
  for (const row of readableRows(from, { table: "keys", key: "id", from: 1, to: Number.MAX_SAFE_INTEGER })) {
    const { id, seq, type, at, version, packed } = row as Record<string, number> & { type: string; packed: Uint8Array };
    if (!keyClasses.some((known) => known === type) || attempt(() => unpack(packed)) === undefined) continue;
    if (attempt(() => insert.run(id ?? 0, seq ?? 0, type, at ?? 0, version ?? 0, packed))) saved++;
  }
  return saved;
}

function saveQuarantine(from: DatabaseSync, to: DatabaseSync): number {
  const columns = ["id", "class", "type", "seq", "at", "source", "reason", "detail", "bytes", "text"];
  const insert = to.prepare(
    `INSERT INTO quarantine (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  let saved = 0;
  for (const row of readableRows(from, { table: "quarantine", key: "id", from: 1, to: Number.MAX_SAFE_INTEGER })) {
    if (attempt(() => unpack(row["text"] as Uint8Array)) === undefined) continue;
    if (attempt(() => insert.run(...columns.map((name) => row[name] ?? null)))) saved++;
  }
  return saved;
}

/** What cannot be read is not there. */
function attempt<Result>(read: () => Result): Result | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
