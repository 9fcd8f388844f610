/** The journal over SQLite: everything that was accepted, in one database that only this process writes. */
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import { attempt, calmLogger } from "../../lib/logger.ts";
import { Damaged, reasonOf, pollCursorOf } from "../batch.ts";
import type { JournalConfig, JournalDeps } from "../deps.ts";
import type { Journal } from "../journal.ts";
import { createQuarantine } from "../quarantine.ts";
import { cancelRedelivery, planRetry, redeliveryKey } from "../redelivery.ts";
import { keptPrefix, maxStateBytes, polledTypes } from "../stored.ts";
import { Destinations } from "./destinations.ts";
import { type StateDirectory, takeStateDirectory } from "./directory.ts";
import { isDamage } from "./errors.ts";
import { Ballast, Health } from "./health.ts";
import { LastRow, lastSeqOf } from "./last-row.ts";
import { Marks } from "./marks.ts";
import { MinuteTable } from "./minutes.ts";
import { openDatabase } from "./recovery.ts";
import { refuseMoved } from "./inspection.ts";
import { openSqliteReader, quarantineStore } from "./rows.ts";
import { SeenKeys } from "./seen-keys.ts";
import { Space } from "./space.ts";
import { State, unlessDamaged } from "./state.ts";
import { acceptedRows, prepareDatabase, setDurability, type StorageOptions } from "./tables.ts";
import { Turn } from "./turn.ts";

const usualBallastBytes = 16 * 1024 * 1024;

/** Delay before maintenance that ran out of time continues, or begins because space is short. */
const soonMs = 40;

/**
 * Opens or creates the journal. A damaged one is set aside, and what can be read of it is recovered.
 * @throws {Unavailable} if the directory or the database cannot be used; the message says what to do.
 */
export function openSqliteJournal(config: JournalConfig, deps: JournalDeps): Journal {
  const directory = takeStateDirectory(config.state.path);
  const storage: StorageOptions = {
    durability: directory.isTemporary ? "normal" : config.state.durability,
    maxBytes: config.state.max_bytes,
    now: deps.clock(),
  };
  try {
    refuseMoved(directory.path);
    return openDatabase(directory.databasePath, storage, deps.logger, (database) =>
      createJournal(database, directory, storage, config, deps),
    );
  } catch (error) {
    directory.release();
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`cannot open the journal ${directory.databasePath}: ${reasonOf(error)}`);
  }
}

/**
 * Implements the interface over an open database. Nothing is read or written after `close`.
 * @throws {Damaged} if data needed at start is damaged.
 * @throws {Unavailable}
 */
function createJournal(
  database: DatabaseSync,
  directory: StateDirectory,
  storage: StorageOptions,
  config: JournalConfig,
  deps: JournalDeps,
): Journal {
  const { telemetry, logger, clock, steady = () => performance.now(), onDamage = () => undefined } = deps;
  const { now, durability } = storage;
  prepareDatabase(database, storage);
  const state = new State(database);
  state.ensureIdentity(now);
  for (const type of polledTypes) state.get(`poll.${type}`);
  const seen = new SeenKeys(database, state, config);
  seen.load(now, logger);
  const lastRow = new LastRow(directory.path, logger);
  const lastSeq = lastSeqOf(database, state, lastRow, logger);
  state.countAccepted();
  state.openSnapshot(lastSeq, now, logger);
  const ballast = new Ballast(directory.path, directory.isTemporary ? 0 : (deps.ballastBytes ?? usualBallastBytes));
  ballast.reserveFirst(lastSeq === 0, logger);
  const files = { database, directory, storage, ballast, logger, clock, onDamage };
  const health = new Health(files);
  const marks = new Marks(database);
  const minutes = new MinuteTable(database, state, health);
  const destinations = new Destinations(database, state, lastSeq);
  const { retention: retentionMs } = config.state;
  const parts = { ...files, health, state, marks, minutes, destinations, seen, steady, retentionMs };
  const space = new Space(parts);
  const turn = new Turn({
    ...parts,
    space,
    lastSeq,
    committed(seconds) {
      health.failure = undefined;
      lastRow.note(turn.lastSeq);
      if (space.isShort) maintainSoon();
      telemetry.record("tailscale2otel.journal.commit.duration", seconds, {});
    },
  });
  const quarantine = createQuarantine(quarantineStore(database, marks, (change) => turn.write(change)));
  const oldestWaiting = database.prepare(
    `SELECT accepted_at AS at FROM batch WHERE seq >= ? AND records > 0 AND ${acceptedRows} ORDER BY seq LIMIT 1`,
  );
  const calm = calmLogger(logger, clock);
  let soon: ReturnType<typeof setTimeout> | undefined;
  let moved: Parameters<Journal["useDestinations"]>[1] = () => undefined;

  /** Commits pending reports before what is requested now. */
  function settle(): void {
    health.mustBeOpen();
    turn.run();
  }

  function maintainSoon(): void {
    soon ??= setTimeout(() => attempt("the journal cannot be maintained", calm, maintain), soonMs).unref();
  }

  function maintain(): void {
    clearTimeout(soon);
    soon = undefined;
    if (health.unfit() !== undefined) return;
    // Commit pending reports first, because they may concern rows that are about to be evicted.
    if (space.isShort && destinations.hasOptional) turn.run();
    const { isDone, moved: positions } = turn.write(() => {
      /** SQLite does not write unchanged data, so a new value tests if writing works again after a failure. */
      if (health.failure !== undefined) state.set("probe", performance.now());
      return space.release();
    });
    health.failure = undefined;
    for (const [name, cursor] of positions) attempt("an eviction", logger, () => moved(name, cursor));
    try {
      if (isDone || space.isShort) space.giveBack();
    } catch (error) {
      health.failed(error);
      throw error;
    }
    if (!isDone) maintainSoon();
  }

  const journal: Journal = {
    get identity() {
      return state.identity;
    },
    location: directory.databasePath,
    cluster: undefined,
    async lead(signal) {
      signal.throwIfAborted();
      return journal;
    },
    lost: new AbortController().signal,
    tail: undefined,
    release() {},
    get lastSeq() {
      return turn.lastSeq;
    },

    async append(append, committed) {
      return turn.append(append, committed);
    },
    knows: (keyClass, keys, at) => seen.held(keyClass).heldWord(keys, at) !== 0,
    keyCount: (keyClass) => seen.held(keyClass).size,
    horizon: (keyClass) => seen.horizon(keyClass),

    get cursor() {
      return state.cursor;
    },
    get pendingRecords() {
      return state.pendingRecords;
    },
    get pendingSince() {
      if (health.unfit() !== undefined || state.pendingRecords === 0) return undefined;
      return (oldestWaiting.get(state.cursor.seq) as { at: number } | undefined)?.at;
    },
    get destinations() {
      return health.isClosed ? [] : destinations.accounts;
    },
    useDestinations(wanted, onMoved) {
      settle();
      const forgotten = turn.write(() => destinations.use(wanted, clock()));
      destinations.load(wanted);
      moved = onMoved;
      return forgotten;
    },
    progress: (report, destination) => turn.report(report, destination),
    get quarantine() {
      health.mustBeOpen();
      return quarantine;
    },

    redelivery: (name, destination) => state.getReadable(redeliveryKey({ name, destination })),
    async planReplay(...given) {
      health.mustBeOpen();
      return space.planReplay(...given);
    },
    planRetry(filter, id) {
      health.mustBeOpen();
      return planRetry(marks, filter, id);
    },
    beginRedelivery(redelivery) {
      settle();
      turn.write(() => state.set(redeliveryKey(redelivery), redelivery));
    },
    cancelRedelivery(name, destination) {
      settle();
      return turn.write(() => cancelRedelivery(state.redeliveries, { name, destination }, clock()));
    },

    pollCursor: (type) => state.get(`poll.${type}`),
    setPollCursor(type, cursor) {
      turn.write(() => state.set(`poll.${type}`, cursor && pollCursorOf(cursor)));
    },

    writeSnapshot(snapshot) {
      settle();
      if (durability === "normal") setDurability(database, "full");
      try {
        turn.write(() => {
          state.writeSnapshot(snapshot, turn.lastSeq);
          minutes.write(snapshot);
          destinations.save();
        });
      } finally {
        if (durability === "normal") setDurability(database, "normal");
      }
    },
    readSnapshot() {
      health.mustBeOpen();
      return state.readSnapshot();
    },
    beginSeriesAnew(at) {
      settle();
      turn.write(() => {
        state.beginAnew(at);
        destinations.beginAnew(at);
      });
      state.countAccepted();
      destinations.load(destinations.accounts);
    },

    minutes,
    readState(name) {
      health.mustBeOpen();
      return unlessDamaged(() => state.readBlob(keptPrefix + name));
    },
    writeState(name, value) {
      if (value.length > maxStateBytes) throw new Unavailable(`${name} takes more than ${maxStateBytes} bytes`);
      turn.write(() => state.writeBlob(keptPrefix + name, value));
    },

    get space() {
      const unfit = health.unfit();
      const room = space.view();
      return { ...room, refusal: unfit ?? health.failure ?? room.refusal };
    },
    get wantsSnapshot() {
      const deliveredSeq = Math.min(state.cursor.seq, destinations.lowestSeq("required"));
      if (health.unfit() !== undefined || deliveredSeq <= state.measuredSeq + 1) return false;
      space.measure();
      return space.isShort;
    },
    get loss() {
      return state.loss;
    },
    settleLoss: (accepted) => turn.write(() => state.settleLoss(accepted)),
    damaged: (reason) => health.failed(new Damaged(reason)),
    maintain,
    openReader() {
      health.mustBeOpen();
      return openSqliteReader(directory.databasePath, (error) => {
        if (isDamage(error)) health.failed(error);
      });
    },
    close() {
      if (health.isClosed) return;
      turn.run();
      health.close();
      clearTimeout(soon);
      database.close();
      lastRow.close();
      directory.release();
    },
  };
  return journal;
}
