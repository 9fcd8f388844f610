/**
 * The leader's writes: one transaction after another, each of which holds the lease with the leader's own fence and has its own
 * number. One whose answer was lost is simply sent again: if it was committed, the database reports that.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import { type Awaitable, noReports, type Report, type Reports, withReport } from "../journal.ts";
import type { Connection } from "./connection.ts";
import { DatabaseError, databaseErrorOf } from "./errors.ts";
import type { Heads } from "./head.ts";
import { raised, textLiteral } from "./storage.ts";
import type { Lease } from "./lease.ts";
import { Change, type State } from "./state.ts";

/** Shared by the parts of one leader's term. */
export interface Leading {
  /** For the queries of the parts. */
  readonly connection: Connection;
  /** Quoted. */
  readonly schema: string;
  readonly state: State;
  readonly heads: Heads;
  readonly writer: Writer;
}

export interface WriterDeps {
  /** Used by nothing else. */
  readonly connection: Connection;
  /** Quoted. */
  readonly schema: string;
  readonly lease: Pick<Lease, "fence" | "isOver" | "lose">;
  readonly state: State;
  /** The history of the database when the state was read. */
  readonly history: string;
  /** Adds what a destination has reported to a change. */
  readonly report: (change: Change, destination: string, report: Report) => void;
  readonly logger: Logger;
}

/** How long a report may wait for another write with which to share a transaction. */
const reportDelayMs = 250;

/** Pause between two tries of what the database could not do. */
const pauseMs = 100;

/** How often maintenance is tried if others hold a lock. */
const triesOfMaintenance = 2;

/** `keeps trying`: for writes such as reports, which no sender waits for. `may fail`: maintenance, which is repeated anyway. */
export type Effort = "keeps trying" | "may fail";

export class Writer {
  readonly #deps: WriterDeps;
  /** Settles when the previous write is done. */
  #last: Promise<unknown> = Promise.resolve();
  /** Reports for the next write. */
  #reports = noReports;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #number = 0;
  #closed: string | undefined;
  #isRefused = false;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  /**
   * Writes what `build` puts into a change in one transaction, together with pending reports. Resolves with the result of
   * `build`, once it is visible in memory. @throws {Unavailable} if nothing was committed.
   */
  write<Result>(build: (change: Change) => Awaitable<Result>, effort: Effort = "keeps trying"): Promise<Result> {
    if (this.#closed !== undefined) return Promise.reject(new Unavailable(this.#closed));
    const written = this.#last.then(() => this.#write(build, effort));
    this.#last = written.catch(() => undefined);
    return written;
  }

  /** Runs a maintenance statement in a separate transaction. */
  run(sql: string): Promise<void> {
    return this.write((change) => change.run(sql), "may fail");
  }

  /** Accepts a report, which is committed with the next write, or after a short delay. */
  report(more: Report, destination: string): void {
    if (this.#closed !== undefined) return;
    this.#reports = withReport(this.#reports, destination, more);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.write(() => undefined).catch(() => undefined);
    }, reportDelayMs);
  }

  /** Commits pending reports, unless the term is over, and accepts nothing more. Later callers get the reason `why`. */
  async close(why: string): Promise<void> {
    if (this.#closed !== undefined) return;
    clearTimeout(this.#timer);
    const last = this.write(() => undefined).catch(() => undefined);
    this.#closed = why;
    await last;
    this.#deps.connection.close();
  }

  async #write<Result>(build: (change: Change) => Awaitable<Result>, effort: Effort): Promise<Result> {
    const { state, schema, lease, report, logger } = this.#deps;
    const change = new Change(state, schema);
    const reports = this.#reports;
    this.#reports = noReports;
    try {
      for (const [destination, one] of reports) report(change, destination, one);
      const result = await build(change);
      if (!change.isEmpty) await this.#commit(change.statements(), effort);
      change.apply();
      this.#isRefused = false;
      return result;
    } catch (error) {
      if (!lease.isOver) this.#takeBack(reports);
      if (reports !== noReports && error instanceof DatabaseError && error.kind === "statement" && !this.#isRefused) {
        this.#isRefused = true;
        logger.error("how far delivery has come cannot be kept; trying again", { reason: error.message });
      }
      throw error instanceof DatabaseError
        ? new Unavailable(`the journal cannot be written: ${error.message}`)
        : (error as Error);
    }
  }

  /** Restores reports that were not committed, before those made since. */
  #takeBack(reports: Reports): void {
    const since = this.#reports;
    this.#reports = noReports;
    for (const all of [reports, since]) for (const [destination, one] of all) this.report(one, destination);
  }

  async #commit(statements: readonly string[], effort: Effort): Promise<void> {
    const { connection, lease, schema, history } = this.#deps;
    const number = ++this.#number;
    const text = [`SELECT ${schema}.fenced(${lease.fence}, ${number}, ${textLiteral(history)})`, ...statements];
    /** True if an earlier try may have been committed although it was not answered. */
    let isOpen = false;
    for (let tries = 1; ; tries++) {
      if (lease.isOver) throw new Unavailable("this instance no longer leads");
      try {
        await connection.run(text);
        return;
      } catch (cause) {
        const error = databaseErrorOf(cause, "the database");
        if (error.code === raised.written) return;
        if (error.code === raised.fenced) lease.lose("another instance leads");
        if (error.code === raised.failedOver) lease.lose("the database has failed over");
        const isPassing = error.kind === "away" || error.kind === "conflict";
        isOpen ||= error.kind === "away";
        const isGivenUp = effort === "may fail" && !isOpen && tries >= triesOfMaintenance;
        if (!isPassing || isGivenUp) {
          // The state of the database is no longer known here; the next term reads it.
          if (isOpen) lease.lose(`a write failed, and an earlier try of it may not have: ${error.message}`);
          throw error;
        }
        await delay(pauseMs);
      }
    }
  }
}
