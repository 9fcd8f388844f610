/** The journal over SQLite: its parts put together, and what the interface promises said in their terms. */
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import { attempt } from "../../lib/logger.ts";
import type { Journal, PollCursor, PolledType } from "../index.ts";
import { Damaged } from "../packing.ts";
import { Ballast, type StateDirectory } from "./directory.ts";
import { FileWatch, Health, isDamage } from "./damage.ts";
import type { JournalDeps, JournalSetup } from "./index.ts";
import { Marks } from "./marks.ts";
import { QuarantineRows, quarantineView } from "./quarantine.ts";
import { Redeliveries } from "./redeliveries.ts";
import { Retention } from "./retention.ts";
import { openSqliteReader, RowWriter } from "./rows.ts";
import { polledTypes, pollName } from "./salvage.ts";
import { acceptedRows, prepareDatabase, raiseSequence, readSequence, setDurability } from "./schema.ts";
import { SeenKeys } from "./seen-keys.ts";
import { Space } from "./space.ts";
import { Accounts, readIdentity, State } from "./state.ts";
import { pollCursorOf, Turn } from "./turn.ts";

/** The part of `state.max_bytes` that rows may take that only marks hold. */
const markedShare = 1 / 4;

/** A value under a name of `writeState`. More is not worth the room that records need. */
const maxStateBytes = 8 * 1024 * 1024;

/** When deletion goes on that has run out of its time, and when it begins because space is short. */
const soonMs = 40;

/**
 * Everything behind the interface, over a database that is open. After `close` nothing is read or written any more.
 * @throws {Damaged} if what it begins with is not what was written.
 * @throws {Unavailable}
 */
export function createJournal(
  database: DatabaseSync,
  directory: StateDirectory,
  { storage, keyLimits, retentionMs, ballastBytes }: JournalSetup,
  { telemetry, logger, clock, steady = () => performance.now(), onDamage = () => undefined }: JournalDeps,
): Journal {
  const { databasePath } = directory;
  const { now, maxBytes, durability } = storage;
  prepareDatabase(database, storage);
  const state = new State(database);
  const { createdAt } = readIdentity(state, now);
  const seen = new SeenKeys(database, state, keyLimits);
  seen.load(now, logger);
  const marks = new Marks(database);
  const shared = { database, state, marks, seen, clock, logger };
  const retention = new Retention(
    { ...shared, steady, retentionMs, maxMarkedBytes: maxBytes * markedShare },
    createdAt,
  );
  const redeliveries = new Redeliveries(database, state);
  const given = readSequence(database);
  const accounts = new Accounts(database, state, { lastSeq: given, now, logger });
  const lastSeq = Math.max(given, accounts.cursor.seq - 1, accounts.measuredSeq);
  if (lastSeq > given) raiseSequence(database, lastSeq);
  const polls = new Map<PolledType, PollCursor>();
  for (const type of polledTypes) {
    const poll = state.readJson(pollName(type)) as PollCursor | undefined;
    if (poll !== undefined) polls.set(type, poll);
  }
  const rows = new RowWriter(database);
  const quarantine = new QuarantineRows(database, rows);
  const ballast = takeBallast();
  const watch = new FileWatch(database, databasePath);
  const space = new Space(database, maxBytes, ballast, watch);
  const health = new Health({ ...shared, databasePath, storage, watch, ballast, onDamage });
  const turn = new Turn({
    ...shared,
    accounts,
    rows,
    quarantine,
    redeliveries,
    retention,
    health,
    space,
    lastSeq,
    committed(batches, seconds) {
      health.worked();
      for (const { parts, poll } of batches) {
        for (const { accepted } of parts) accounts.accepted(accepted);
        if (poll !== undefined) polls.set(poll.type, poll);
      }
      if (space.isShort) maintainSoon();
      telemetry.record("tailscale2otel.journal.commit.duration", seconds, {});
    },
  });
  const items = quarantineView(database, { rows: quarantine, retention, turn });
  const oldestWaiting = database.prepare(
    `SELECT accepted_at FROM batch WHERE seq >= ? AND records > 0 AND ${acceptedRows} ORDER BY seq LIMIT 1`,
  );
  let soon: ReturnType<typeof setTimeout> | undefined;
  let isClosed = false;

  /** @throws {Unavailable} if the disk is too small for a journal that holds nothing yet. */
  function takeBallast(): Ballast {
    const reserve = new Ballast(directory.path, ballastBytes);
    reserve.reserve();
    const free = reserve.freeBytes;
    if (reserve.isHeld && !(directory.isTemporary && free < reserve.neededBytes)) return reserve;
    const message = `the disk of the state directory ${directory.path} is too small: ${free} bytes are free, ${reserve.neededBytes} are needed`;
    if (lastSeq === 0) throw new Unavailable(message);
    logger.error(`${message}; nothing is accepted until there is room`);
    return reserve;
  }

  function mustBeOpen(): void {
    if (isClosed) throw new Unavailable("the journal is closed");
  }

  function maintainSoon(): void {
    soon ??= setTimeout(() => attempt("the journal cannot be maintained", logger, maintain), soonMs).unref();
  }

  function maintain(): void {
    clearTimeout(soon);
    soon = undefined;
    if (health.unfit() !== undefined) return;
    const isDone = turn.write(release);
    health.worked();
    try {
      if (isDone || space.isShort) space.giveBack();
    } catch (error) {
      health.failed(error);
      throw error;
    }
    if (!isDone) maintainSoon();
  }

  /** Deletes what may leave, in the open transaction. Whether that was all. */
  function release(): boolean {
    /** SQLite would not write what is there already: after a failure it has to show that it writes. */
    if (health.failure !== undefined) state.writeJson("tried", performance.now());
    space.usedBytes();
    return retention.run({
      releasableBelow: Math.min(accounts.cursor.seq, accounts.measuredSeq + 1, redeliveries.pinnedSeq),
      isShort: space.isShort,
      pinnedMarks: redeliveries.pinnedMarks,
      polledUntil(keyClass) {
        const poll = polls.get(keyClass as PolledType);
        return poll && poll.readUntil * 1000;
      },
    });
  }

  return {
    get identity() {
      return accounts.identity;
    },
    location: databasePath,
    get lastSeq() {
      return turn.lastSeq;
    },

    async append(append, committed) {
      mustBeOpen();
      return turn.append(append, committed);
    },
    knows: (keyClass, keys, at) => seen.held(keyClass).heldWord(keys, at) !== 0,
    keyCount: (keyClass) => seen.held(keyClass).size,
    horizon: (keyClass) => seen.horizon(keyClass),

    get cursor() {
      return accounts.cursor;
    },
    get pendingRecords() {
      return accounts.pendingRecords;
    },
    get pendingSince() {
      if (isClosed || accounts.pendingRecords === 0) return undefined;
      return (oldestWaiting.get(accounts.cursor.seq) as { accepted_at: number } | undefined)?.accepted_at;
    },
    progress({ cursor, marks: made }) {
      if (!isClosed) turn.report(cursor, made);
    },
    mark(made) {
      if (!isClosed) turn.report(undefined, made);
    },
    get quarantine() {
      mustBeOpen();
      return items;
    },

    redelivery: (name) => redeliveries.get(name),
    planReplay: (range, id) => redeliveries.planReplay(range, id, { end: accounts.cursor.seq, check: mustBeOpen }),
    planRetry(filter, id) {
      mustBeOpen();
      return redeliveries.planRetry(filter, id);
    },
    beginRedelivery: (redelivery) => turn.write(() => redeliveries.begin(redelivery)),
    cancelRedelivery: (name) =>
      turn.write(() => {
        retention.removeMarks(redeliveries.write(clock()));
        return redeliveries.cancel(name, clock());
      }),
    redelivered(progress) {
      if (isClosed) return;
      redeliveries.progress(progress);
      turn.report(undefined, []);
    },

    pollCursor: (type) => polls.get(type),
    movePollCursor(cursor) {
      const moved = pollCursorOf(cursor);
      turn.write(() => state.writeJson(pollName(moved.type), moved));
      polls.set(moved.type, moved);
    },
    dropPollCursor(type) {
      turn.write(() => state.delete(pollName(type)));
      polls.delete(type);
    },

    writeSnapshot(snapshot) {
      mustBeOpen();
      turn.run();
      if (durability === "normal") setDurability(database, "full");
      try {
        turn.write(() => accounts.writeSnapshot(snapshot, turn.lastSeq));
      } finally {
        if (durability === "normal") setDurability(database, "normal");
      }
      accounts.measured(snapshot.measuredSeq);
    },
    readSnapshot() {
      mustBeOpen();
      return accounts.readSnapshot();
    },
    beginSeriesAnew(at) {
      mustBeOpen();
      turn.run();
      turn.write(() => accounts.writeAnew(at));
      accounts.begunAnew();
    },

    readState(name) {
      mustBeOpen();
      try {
        return state.read(`kept/${name}`);
      } catch (error) {
        if (error instanceof Damaged) return undefined;
        throw error;
      }
    },
    writeState(name, value) {
      if (value.length > maxStateBytes)
        throw new Unavailable(`${name} takes ${value.length} bytes: more than ${maxStateBytes}`);
      turn.write(() => state.write(`kept/${name}`, value));
    },

    get space() {
      const unfit = health.unfit();
      const room = space.view();
      return { ...room, refusal: unfit ?? health.failure ?? room.refusal };
    },
    get wantsSnapshot() {
      if (health.unfit() !== undefined) return false;
      space.usedBytes();
      return accounts.cursor.seq > accounts.measuredSeq + 1 && space.isShort;
    },
    get loss() {
      return accounts.loss;
    },
    settleLoss: (accepted) => accounts.lossSettled(turn.write(() => accounts.settleLoss(accepted))),
    damaged: (reason) => health.failed(new Damaged(reason)),
    maintain,
    openReader() {
      mustBeOpen();
      return openSqliteReader(databasePath, (error) => {
        if (isDamage(error)) health.failed(error);
      });
    },
    close() {
      if (isClosed) return;
      turn.run();
      isClosed = true;
      health.close();
      clearTimeout(soon);
      database.close();
      directory.release();
    },
  };
}
