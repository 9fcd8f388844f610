/** The journal over SQLite: its parts put together, and what the interface promises said in their terms. */
import { join } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import { Ballast } from "../ballast.ts";
import type * as Api from "../index.ts";
import type { Committed, JournalIdentity, KeyClass, LogCursor, Loss, PollCursor, PolledType } from "../index.ts";
import { Damaged, reasonOf } from "../packing.ts";
import type { StateDirectory } from "../state-directory.ts";
import { acceptedRows, Accounts } from "./accounts.ts";
import { AgeClock } from "./age-clock.ts";
import { AppendTurn, BatchWriter, pollCursorOf } from "./append.ts";
import { FileWatch, isDamage } from "./damage.ts";
import { Health } from "./health.ts";
import { Marks } from "./marks.ts";
import { quarantineView } from "./items.ts";
import { QuarantineRows } from "./quarantine.ts";
import { Redeliveries } from "./redeliveries.ts";
import { Reports } from "./reports.ts";
import { Retention } from "./retention.ts";
import type { JournalDeps, JournalSetup } from "./index.ts";
import { openSqliteReader, RowWriter } from "./rows.ts";
import { polledTypes, pollName } from "./salvage.ts";
import {
  prepareDatabase,
  raiseSequence,
  readSequence,
  setDurability,
  type StorageOptions,
  transaction,
} from "./schema.ts";
import { SeenKeys } from "./seen-keys.ts";
import { Space } from "./space.ts";
import { readIdentity, State } from "./state.ts";
import { Upkeep } from "./upkeep.ts";

/** The part of `state.max_bytes` that rows may take that only marks hold. */
const markedShare = 1 / 4;

/** A value under a name of `writeState`. More is not worth the room that records need. */
const maxStateBytes = 8 * 1024 * 1024;

/** Everything behind the interface, over a database that is open. */
export class SqliteJournal implements Api.Journal {
  readonly #database: DatabaseSync;
  readonly #directory: StateDirectory;
  readonly #storage: StorageOptions;
  readonly #deps: JournalDeps;
  readonly #state: State;
  readonly #accounts: Accounts;
  readonly #seen: SeenKeys;
  readonly #redeliveries: Redeliveries;
  readonly #reports: Reports;
  readonly #health: Health;
  readonly #writer: BatchWriter;
  readonly #turn: AppendTurn;
  readonly #upkeep: Upkeep;
  readonly #space: Space;
  readonly #retention: Retention;
  readonly #oldestWaiting: StatementSync;
  readonly #polls: Map<PolledType, PollCursor>;
  readonly quarantine: Api.Quarantine;

  /** @throws {Damaged} if what it begins with is not what was written. @throws {Unavailable} */
  constructor(database: DatabaseSync, directory: StateDirectory, setup: JournalSetup, deps: JournalDeps) {
    const { storage } = setup;
    const { logger, clock, steady = () => performance.now(), onDamage = () => undefined } = deps;
    this.#database = database;
    this.#directory = directory;
    this.#storage = storage;
    this.#deps = deps;
    prepareDatabase(database, storage);
    const state = new State(database);
    this.#state = state;
    const { createdAt } = readIdentity(state, storage.now);
    this.#seen = new SeenKeys(database, state, setup.keyLimits);
    this.#seen.load(storage.now, logger);
    const age = new AgeClock(state, createdAt, { clock, steady });
    const marks = new Marks(database);
    const limits = { retentionMs: setup.retentionMs, maxMarkedBytes: storage.maxBytes * markedShare };
    this.#retention = new Retention({ database, marks, seen: this.#seen, age, clock, logger, ...limits });
    this.#redeliveries = new Redeliveries(database, state);
    this.#reports = new Reports({ state, marks, retention: this.#retention, redeliveries: this.#redeliveries, clock });
    let lastSeq = readSequence(database);
    const { now } = storage;
    this.#accounts = new Accounts({ database, state, reports: this.#reports, logger }, { lastSeq, now });
    const known = Math.max(this.cursor.seq - 1, this.#accounts.measuredSeq);
    if (known > lastSeq) raiseSequence(database, (lastSeq = known));
    this.#polls = new Map(
      polledTypes.flatMap((type) => {
        const poll = state.readJson(pollName(type)) as PollCursor | undefined;
        return poll === undefined ? [] : [[type, poll]];
      }),
    );
    const rows = new RowWriter(database);
    const quarantine = new QuarantineRows(database, rows, state);
    const { tailnet } = this.#accounts.identity;
    this.#writer = new BatchWriter({ rows, quarantine, seen: this.#seen, state, tailnet, lastSeq });
    const ballast = new Ballast(join(directory.path, "ballast"), setup.ballastBytes);
    takeBallast(ballast, directory, lastSeq, logger);
    const watch = new FileWatch(database, directory.databasePath);
    this.#space = new Space(database, storage.maxBytes, ballast, watch);
    const { databasePath } = directory;
    this.#health = new Health({ database, databasePath, storage, watch, ballast, logger, clock, onDamage });
    this.quarantine = quarantineView({
      database,
      rows: quarantine,
      write: (change) => this.#write(change),
      removeMarks: (ids) => this.#retention.removeMarks(ids).length,
      evictedMarks: () => this.#retention.evicted,
    });
    this.#turn = this.#createTurn();
    this.#upkeep = new Upkeep({
      database,
      state,
      health: this.#health,
      space: this.#space,
      retention: this.#retention,
      reports: this.#reports,
      redeliveries: this.#redeliveries,
      accounts: this.#accounts,
      age,
      marks,
      writer: this.#writer,
      polls: this.#polls,
      logger,
      cameToNothing: (error) => this.#cameToNothing(error),
    });
    this.#oldestWaiting = database.prepare(
      `SELECT accepted_at FROM batch WHERE seq >= ? AND records > 0 AND ${acceptedRows} ORDER BY seq LIMIT 1`,
    );
  }

  get identity(): JournalIdentity {
    return this.#accounts.identity;
  }

  get location(): string {
    return this.#directory.databasePath;
  }

  get lastSeq(): number {
    return this.#writer.lastSeq;
  }

  append(append: Api.Append, committed: (committed: Committed) => void): Promise<Committed> {
    return this.#turn.append(append, committed);
  }

  knows(keyClass: KeyClass, keys: Uint32Array, at: number): boolean {
    return this.#seen.heldWord(keyClass, keys, at) !== 0;
  }

  keyCount(keyClass: KeyClass): number {
    return this.#seen.size(keyClass);
  }

  horizon(keyClass: KeyClass): Api.Horizon {
    return this.#seen.horizon(keyClass);
  }

  get cursor(): LogCursor {
    return this.#reports.cursor;
  }

  get pendingRecords(): number {
    return this.#accounts.pendingRecords;
  }

  get pendingSince(): number | undefined {
    if (this.pendingRecords === 0) return undefined;
    return (this.#oldestWaiting.get(this.cursor.seq) as { accepted_at: number } | undefined)?.accepted_at;
  }

  progress({ cursor, marks }: Api.Progress): void {
    this.#reports.add(cursor, marks);
    this.#turn.reported();
  }

  mark(marks: readonly Api.NewMark[]): void {
    this.#reports.add(undefined, marks);
    this.#turn.reported();
  }

  redelivery(name: Api.Redelivery["name"]): Api.Redelivery | undefined {
    return this.#redeliveries.get(name);
  }

  planReplay(range: { readonly since: number; readonly until: number }, id: number): Promise<Api.Redelivery> {
    return this.#redeliveries.planReplay(range, id, this.cursor.seq);
  }

  planRetry(marks: Api.MarkFilter, id: number): Api.Redelivery {
    return this.#redeliveries.planRetry(marks, id);
  }

  beginRedelivery(redelivery: Api.Redelivery): void {
    this.#write(() => this.#redeliveries.begin(redelivery));
    this.#redeliveries.committed();
  }

  cancelRedelivery(name: Api.Redelivery["name"]): boolean {
    const now = this.#deps.clock();
    const isCancelled = this.#write(() => {
      this.#retention.removeMarks(this.#redeliveries.write(now));
      return this.#redeliveries.cancel(name, now);
    });
    this.#redeliveries.committed();
    return isCancelled;
  }

  redelivered(progress: Api.RedeliveryProgress): void {
    this.#redeliveries.progress(progress);
    this.#turn.reported();
  }

  pollCursor(type: PolledType): PollCursor | undefined {
    return this.#polls.get(type);
  }

  movePollCursor(cursor: PollCursor): void {
    const moved = pollCursorOf(cursor);
    this.#write(() => this.#state.writeJson(pollName(moved.type), moved));
    this.#polls.set(moved.type, moved);
  }

  dropPollCursor(type: PolledType): void {
    this.#write(() => this.#state.delete(pollName(type)));
    this.#polls.delete(type);
  }

  writeSnapshot(snapshot: Api.Snapshot): void {
    this.#turn.run();
    const { durability } = this.#storage;
    if (durability === "normal") setDurability(this.#database, "full");
    try {
      this.#write(() => this.#accounts.writeSnapshot(snapshot));
    } finally {
      if (durability === "normal") setDurability(this.#database, "normal");
    }
    this.#accounts.measured(snapshot.measuredSeq);
  }

  readSnapshot(): { readonly measuredSeq: number; readonly blobs: ReadonlyMap<string, Uint8Array> } {
    return this.#accounts.readSnapshot();
  }

  beginSeriesAnew(at: number): void {
    this.#turn.run();
    this.#write(() => this.#accounts.writeAnew(at));
    this.#accounts.begunAnew();
  }

  readState(name: string): Uint8Array | undefined {
    try {
      return this.#state.read(keptName(name));
    } catch (error) {
      if (error instanceof Damaged) return undefined;
      throw error;
    }
  }

  writeState(name: string, value: Uint8Array): void {
    if (value.length > maxStateBytes)
      throw new Unavailable(`${name} takes ${value.length} bytes: more than ${maxStateBytes}`);
    this.#write(() => this.#state.write(keptName(name), value));
  }

  get space(): Api.JournalSpace {
    const space = this.#space.view();
    const refusal = this.#health.unfit() ?? this.#health.failure ?? space.refusal;
    return { ...space, refusal };
  }

  get wantsSnapshot(): boolean {
    this.#space.usedBytes();
    return (
      this.cursor.seq > this.#accounts.measuredSeq + 1 && this.#health.unfit() === undefined && this.#space.isShort
    );
  }

  get loss(): Loss {
    return this.#accounts.loss;
  }

  settleLoss(accepted: number): void {
    this.#accounts.lossSettled(this.#write(() => this.#accounts.settleLoss(accepted)));
  }

  damaged(reason: string): void {
    this.#health.failed(new Damaged(reason));
  }

  maintain(): void {
    this.#upkeep.run();
  }

  openReader(): Api.JournalReader {
    return openSqliteReader(this.location, (error) => {
      if (isDamage(error)) this.#health.failed(error);
    });
  }

  close(): void {
    if (!this.#database.isOpen) return;
    this.#turn.close();
    this.#upkeep.stop();
    try {
      if (this.#health.unfit() === undefined) this.#accounts.save(this.lastSeq);
    } catch (error) {
      this.#health.failed(error);
    }
    this.#database.close();
    this.#directory.release();
  }

  #createTurn(): AppendTurn {
    const { telemetry, logger } = this.#deps;
    return new AppendTurn({
      database: this.#database,
      writer: this.#writer,
      logger,
      reports: this.#reports,
      admit: (append, admittedBytes) => this.#space.admit(append, admittedBytes),
      unfit: () => this.#health.unfit(),
      cameToNothing: (error) => this.#cameToNothing(error),
      committed: (batches, seconds) => {
        this.#health.worked();
        for (const { parts, poll } of batches) {
          for (const { accepted } of parts) this.#accounts.accepted(accepted);
          if (poll !== undefined) this.#polls.set(poll.type, poll);
        }
        if (this.#space.isShort) this.#upkeep.soon();
        telemetry.record("tailscale2otel.journal.commit.duration", seconds, {});
      },
    });
  }

  /** One transaction of its own. @throws {Unavailable} if it comes to nothing. */
  #write<Result>(change: () => Result): Result {
    const why = this.#health.unfit();
    if (why !== undefined) throw new Unavailable(why);
    try {
      return transaction(this.#database, change);
    } catch (error) {
      this.#cameToNothing(error);
      throw new Unavailable(`the journal cannot be written: ${reasonOf(error)}`);
    }
  }

  /** A transaction was rolled back: memory is as it was before. Never throws. */
  #cameToNothing(error: unknown): void {
    this.#health.failed(error);
    try {
      this.#writer.rolledBack();
      this.#reports.rolledBack();
    } catch (failure) {
      this.#health.failed(failure);
    }
  }
}

function keptName(name: string): string {
  return `kept/${name}`;
}

/** @throws {Unavailable} if the disk is too small for a journal that holds nothing yet. */
function takeBallast(ballast: Ballast, directory: StateDirectory, lastSeq: number, logger: Logger): void {
  ballast.take();
  const free = ballast.freeBytes();
  if (ballast.isHeld && !(directory.isTemporary && free < ballast.neededBytes)) return;
  const message = `the disk of the state directory ${directory.path} is too small: ${free} bytes are free, ${ballast.neededBytes} are needed`;
  if (lastSeq === 0) throw new Unavailable(message);
  logger.error(`${message}; nothing is accepted until there is room`);
}
