/** Copies the SQLite journal of a stopped instance into an empty schema of a database: counters, records, keys and positions go on there. */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Config } from "../../config/schema.ts";
import { databaseText, parsePostgresUrl } from "../../config/postgres-url.ts";
import { Unavailable } from "../../errors.ts";
import { silentLogger } from "../../lib/logger.ts";
import type { KeyClass } from "../journal.ts";
import { keyBits, keyWords } from "../keys.ts";
import { createDatabase } from "../postgres/connection.ts";
import { rowBytes, unknownDay } from "../postgres/storage.ts";
import { notedMove, noteMoved } from "../sqlite/moved.ts";
import type { StoredRow } from "../sqlite/tables.ts";
import { type KeyStep, openSource, type Source } from "./source.ts";
import { type Copied, type Sums, Target } from "./target.ts";

export type { Sums } from "./target.ts";

export interface Move {
  /** Server, database and schema in words, without user and password. */
  readonly to: string;
  /** Of both sides, which agree. Absent: it had been completed before, and instances may have gone on there since. */
  readonly sums?: Sums;
}

/** Bytes of bodies, and keys. */
export interface MoveProgress {
  readonly bytes: number;
  readonly keys: number;
  readonly of: Pick<Sums, "bytes" | "keys">;
}

interface MoveDeps {
  readonly now: number;
  readonly onProgress: (progress: MoveProgress) => void;
  /** Ends it after a step. */
  readonly stop: AbortSignal;
}

/** How long a statement may take. */
const limitMs = 120_000;
const dayMs = 86_400_000;

/** Flow keys of one step. */
const keysAtOnce = 65_536;

/**
 * The same call goes on where one was interrupted.
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
  const connection = createDatabase(state, silentLogger).connect(limitMs);
  try {
    const target = new Target(connection, state.schema);
    const begun = await target.begin(firstOf(source));
    if (begun !== "moved") await copy(source, target, begun, to, deps);
    noteMoved(state.path, to);
    return { to, ...(begun !== "moved" && { sums: source.sums }) };
  } finally {
    connection.close();
    source.close();
  }
}

function firstOf({ identity, directory, fingerprint }: Source): Copied {
  const from = `${hostname()}:${directory}`;
  return {
    instanceId: identity.instanceId,
    from,
    fingerprint,
    batch: 0,
    bytes: 0,
    mark: 0,
    minute: -1,
    keys: 0,
    keySteps: 0,
  };
}

async function copy(source: Source, target: Target, begun: Copied, to: string, deps: MoveDeps): Promise<void> {
  let copied = begun;
  const moved = (next: Partial<Copied>): Copied => ({ ...copied, ...next });
  const done = (next: Copied): void => {
    copied = next;
    deps.onProgress({ bytes: copied.bytes, keys: copied.keys, of: source.sums });
    deps.stop.throwIfAborted();
  };

  const days = new Set<number>();
  for (let rows = source.rows("batch", copied.batch); rows.length > 0; rows = source.rows("batch", copied.batch)) {
    for (const day of new Set(rows.map((row) => Math.floor(row.accepted_at / dayMs)))) {
      if (!days.has(day)) await target.makeDay("batch", day);
      days.add(day);
    }
    const next = moved({
      batch: (rows.at(-1) as StoredRow<"batch">).seq,
      bytes: copied.bytes + rows.reduce((sum, { body }) => sum + (body?.length ?? 0), 0),
    });
    await target.insert("batch", batchColumns, rows.map(batchValues), next);
    done(next);
  }

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
    const next = moved({ keys: copied.keys + step.words.length / keyWords, keySteps: steps });
    await target.insertKeys(step.keyClass, step.words, step.at, next);
    done(next);
  }

  for (let rows = source.rows("mark", copied.mark); rows.length > 0; rows = source.rows("mark", copied.mark)) {
    const next = moved({ mark: (rows.at(-1) as StoredRow<"mark">).id });
    await target.insert(
      "mark",
      markColumns,
      rows.map((row) => markColumns.map((name) => row[name])),
      next,
    );
    done(next);
  }
  for (let rows = source.rows("minute", copied.minute); rows.length > 0; rows = source.rows("minute", copied.minute)) {
    const next = moved({ minute: (rows.at(-1) as StoredRow<"minute">).at });
    const values = rows.map(({ at, totals }) => [at, totals, source.detailOf(at) ?? new Uint8Array()]);
    await target.insert("minute", ["at", "totals", "detail"], values, next);
    done(next);
  }
  for (const [name, value] of source.values()) await target.setState(name, value);

  const after = await target.sums(source.sums.accepted);
  if (JSON.stringify(after) !== JSON.stringify(source.sums))
    throw new Unavailable(
      `the copy differs from the journal (${JSON.stringify(source.sums)} became ${JSON.stringify(after)}): drop the schema and run the move again; the journal is as it was`,
    );
  // First here: never may both be used.
  noteMoved(source.directory, to);
  const { audit = 0, webhook = 0 } = source.accepted;
  const accepted = { audit, webhook, flow: source.sums.accepted - audit - webhook };
  await target.complete(copied, { seq: source.lastSeq, mark: source.lastMark, accepted, ...latest });
}

const batchColumns = [
  "seq",
  "accepted_at",
  "day",
  "records",
  "length",
  "bytes",
  "source",
  "type",
  "tally",
  "left_out",
  "body",
];

function batchValues(row: StoredRow<"batch">): readonly unknown[] {
  const { seq, accepted_at: at, records, length, source, type, tally, left_out: leftOut, body } = row;
  const bytes = rowBytes + (tally?.length ?? 0) + (leftOut?.length ?? 0) + (body?.length ?? 0);
  return [seq, at, Math.floor(at / dayMs), records, length, bytes, source, type, tally, leftOut, body];
}

const markColumns = [
  "id",
  "seq",
  "from_line",
  "to_line",
  "log_records",
  "at",
  "class",
  "type",
  "source",
  "why",
  "message",
  "destination",
] as const;

/** Flow keys in larger steps: it is not stored from when on each of them ages. */
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

function isStreamed(words: Uint32Array): boolean {
  for (let at = 3; at < words.length; at += keyWords) if (((words[at] as number) & keyBits.stream) !== 0) return true;
  return false;
}
