/**
 * Copies the SQLite journal of a stopped instance into an empty schema of a database, with its counters, records, keys and
 * positions.
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config/schema.ts";
import { databaseText, parsePostgresUrl } from "../../config/postgres-url.ts";
import { Unavailable } from "../../errors.ts";
import { silentLogger } from "../../lib/logger.ts";
import { markColumns } from "../items.ts";
import type { KeyClass } from "../journal.ts";
import { isStreamed, keyWords } from "../keys.ts";
import { Database } from "../postgres/connection.ts";
import { DatabaseError } from "../postgres/errors.ts";
import { rowBytes, unknownDay } from "../postgres/storage.ts";
import { notedMove, noteMoved } from "../sqlite/inspection.ts";
import type { StoredRow } from "../sqlite/tables.ts";
import { type CopiedTable, type KeyStep, openSource, type Source } from "./source.ts";
import { type Copied, type Sums, Target } from "./target.ts";

export type { Sums } from "./target.ts";

export interface Move {
  /** Server, database and schema as text, without user and password. */
  readonly to: string;
  /** Sums of both sides, which agree. Absent if the move had been completed before; instances may have used the database since. */
  readonly sums?: Sums;
}

/** How much has been copied: bytes of bodies, and number of keys. */
export interface MoveProgress {
  readonly bytes: number;
  readonly keys: number;
  readonly of: Pick<Sums, "bytes" | "keys">;
}

interface MoveDeps {
  readonly now: number;
  readonly onProgress: (progress: MoveProgress) => void;
  /** Ends the move after the current step. */
  readonly stop: AbortSignal;
}

/** Timeout of a statement. */
const limitMs = 120_000;
const dayMs = 86_400_000;

/** Flow keys per step. */
const keysAtOnce = 65_536;

/**
 * Moves the journal. Calling it again continues an interrupted move.
 * @throws {Unavailable} with what to do if either side cannot be used, or the sums differ.
 * @throws {DatabaseError}
 */
export async function moveJournal({ state }: Pick<Config, "state">, deps: MoveDeps): Promise<Move> {
  const address = parsePostgresUrl(state.url);
  if (typeof address === "string") throw new Unavailable(`the address to move to is invalid: ${address}`);
  const to = databaseText(state);
  const earlier = notedMove(state.path);
  // Two copies would deliver the same records, under the same identity.
  if (earlier !== undefined && earlier !== to)
    throw new Unavailable(
      `the journal in ${state.path} was moved to ${earlier} before: use that; or, if nothing was received there, drop its schema, delete ${join(state.path, "moved-to")}, and move it again`,
    );
  const source = openSource(state.path, deps.now);
  const connection = new Database(state, silentLogger).connect(limitMs);
  try {
    const target = new Target(connection, state.schema);
    const begun = await target.begin(firstOf(source));
    if (begun !== "moved") await copy(source, target, begun, to, deps);
    noteMoved(state.path, to);
    return { to, ...(begun !== "moved" && { sums: source.sums }) };
  } catch (error) {
    if (!(error instanceof DatabaseError) || error.kind !== "away") throw error;
    throw new Unavailable(
      `${error.message}. Start the database, or correct its address; the same command goes on where this one ended`,
    );
  } finally {
    connection.close();
    source.close();
  }
}

function firstOf({ identity, directory, fingerprint }: Source): Copied {
  const nothing = { batch: 0, bytes: 0, mark: 0, minute: -1, keys: 0, keySteps: 0 };
  return { instanceId: identity.instanceId, from: `${hostname()}:${directory}`, fingerprint, ...nothing };
}

async function copy(source: Source, target: Target, begun: Copied, to: string, deps: MoveDeps): Promise<void> {
  let copied = begun;
  const done = (next: Copied): void => {
    copied = next;
    deps.onProgress({ bytes: copied.bytes, keys: copied.keys, of: source.sums });
    deps.stop.throwIfAborted();
  };

  /** Copies row by row, after the last row that was copied. */
  async function copyRows<Name extends CopiedTable>(
    name: Name,
    columns: string,
    valuesOf: (row: StoredRow<Name>) => readonly unknown[],
    prepare: (rows: readonly StoredRow<Name>[]) => Promise<Partial<Copied>> = async () => ({}),
  ): Promise<void> {
    for (;;) {
      const { rows, last } = source.rows(name, copied[name]);
      if (last === copied[name]) return;
      const next = { ...copied, ...(await prepare(rows)), [name]: last };
      if (rows.length > 0) await target.insert(name, columns, rows.map(valuesOf), next);
      done(next);
    }
  }

  const days = new Set<number>();
  await copyRows("batch", batchColumns, batchValues, async (rows) => {
    for (const day of new Set(rows.map((row) => Math.floor(row.accepted_at / dayMs)))) {
      if (!days.has(day)) await target.makeDay("batch", day);
      days.add(day);
    }
    return { bytes: copied.bytes + rows.reduce((sum, { body }) => sum + (body?.length ?? 0), 0) };
  });

  await target.makeDay("flow_key", unknownDay);
  const latest = { latestAt: 0, streamedAt: 0 };
  let steps = 0;
  for (const step of grouped(source.keys())) {
    if (step.keyClass === "flow") {
      latest.latestAt = Math.max(latest.latestAt, step.at);
      if (isStreamed(step.words)) latest.streamedAt = Math.max(latest.streamedAt, step.at);
    }
    steps++;
    if (steps <= begun.keySteps) continue;
    const next = { ...copied, keys: copied.keys + step.words.length / keyWords, keySteps: steps };
    await target.insertKeys(step.keyClass, step.words, step.at, next);
    done(next);
  }

  const namesOfMark = markColumns.split(", ") as (keyof StoredRow<"mark">)[];
  await copyRows("mark", markColumns, (row) => namesOfMark.map((name) => row[name]));
  await copyRows("minute", "at, totals, detail", ({ at, totals }) => [
    at,
    totals,
    source.detailOf(at) ?? new Uint8Array(),
  ]);
  for (const [name, value] of source.values()) await target.setState(name, value);

  const after = await target.sums(source.sums.accepted);
  if (JSON.stringify(after) !== JSON.stringify(source.sums))
    throw new Unavailable(
      `the copy differs from the journal (${JSON.stringify(source.sums)} became ${JSON.stringify(after)}): drop the schema and run the move again; the journal is as it was`,
    );
  // Noted here before the target is complete, so that the two can never both be used.
  noteMoved(source.directory, to);
  const { audit = 0, webhook = 0 } = source.accepted;
  const accepted = { audit, webhook, flow: source.sums.accepted - audit - webhook };
  await target.complete(copied, { seq: source.lastSeq, mark: source.lastMark, accepted, ...latest });
}

const batchColumns = "seq, accepted_at, day, records, length, bytes, source, type, tally, left_out, body";

function batchValues(row: StoredRow<"batch">): readonly unknown[] {
  const { seq, accepted_at: at, records, length, source, type, tally, left_out: leftOut, body } = row;
  const bytes = rowBytes + (tally?.length ?? 0) + (leftOut?.length ?? 0) + (body?.length ?? 0);
  return [seq, at, Math.floor(at / dayMs), records, length, bytes, source, type, tally, leftOut, body];
}

/** Groups flow keys into larger steps, because the target does not store from when on each of them ages. */
function* grouped(keys: Iterable<KeyStep>): Generator<KeyStep> {
  const held = new Uint32Array(keysAtOnce * keyWords);
  let length = 0;
  let at = 0;
  const flush = (): KeyStep => {
    const step = { keyClass: "flow" as KeyClass, words: held.slice(0, length), at };
    [length, at] = [0, 0];
    return step;
  };
  for (const step of keys) {
    if (step.keyClass !== "flow") {
      yield step;
      continue;
    }
    for (let from = 0; from < step.words.length;) {
      const more = step.words.subarray(from, from + held.length - length);
      held.set(more, length);
      length += more.length;
      from += more.length;
      at = Math.max(at, step.at);
      if (length === held.length) yield flush();
    }
  }
  if (length > 0) yield flush();
}
