/**
 * The leader's writes: one transaction after another, each of which holds the lease with the leader's own fence and a number of its
 * own. So one whose answer was lost is simply sent again: if it was committed, the database says so.
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

/** What the parts of one leader's term share. */
export interface Leading {
  /** For what they ask. */
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
  /** Of the database, when the state was read. */
  readonly history: string;
  /** Adds what a destination has reported to a change. */
  readonly report: (change: Change, destination: string, report: Report) => void;
  readonly logger: Logger;
}

/** How long a report may wait for another write to share its transaction with. */
const reportDelayMs = 250;

/** Between two tries of what the database could not do now. */
const pauseMs = 100;

/** How often what may leave later is tried, if others hold a lock. */
const triesOfMaintenance = 2;

/** `keeps`: senders of reports wait for nothing, so they are repeated. `may fail`: maintenance, which comes again. */
export type Effort = "keeps trying" | "may fail";

export class Writer {
  readonly #deps: WriterDeps;
  /** Settles when the write before is done. */
  #last: Promise<unknown> = Promise.resolve();
  /** For the next write. */
  #reports = noReports;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #number = 0;
  #closed: string | undefined;
  #isRefused = false;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  /**
   * What `build` puts into a change is written in one transaction, together with what was reported before. Resolves with what it
   * returns, once memory shows it. @throws {Unavailable} if nothing of it was committed.
   */
  write<Result>(build: (change: Change) => Awaitable<Result>, effort: Effort = "keeps trying"): Promise<Result> {
    if (this.#closed !== undefined) return Promise.reject(new Unavailable(this.#closed));
    const written = this.#last.then(() => this.#write(build, effort));
    this.#last = written.catch(() => undefined);
    return written;
  }

  /** A statement of maintenance, in a transaction of its own. */
  run(sql: string): Promise<void> {
    return this.write((change) => change.run(sql), "may fail");
  }

  /** Takes a report, which is committed with the next write, or after a moment. */
  report(more: Report, destination: string): void {
    if (this.#closed !== undefined) return;
    this.#reports = withReport(this.#reports, destination, more);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.write(() => undefined).catch(() => undefined);
    }, reportDelayMs);
  }

  /** Commits what was reported, unless the term is over. Nothing is taken any more; `why` is said to who asks. */
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

  /** They were not committed: they come before what was reported since. */
  #takeBack(reports: Reports): void {
    const since = this.#reports;
    this.#reports = noReports;
    for (const all of [reports, since]) for (const [destination, one] of all) this.report(one, destination);
  }

  async #commit(statements: readonly string[], effort: Effort): Promise<void> {
    const { connection, lease, schema, history } = this.#deps;
    const number = ++this.#number;
    const text = [`SELECT ${schema}.fenced(${lease.fence}, ${number}, ${textLiteral(history)})`, ...statements];
    /** Whether a try before may have been committed although it was not answered. */
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
          // What the database holds is not known here any more: the next term reads it.
          if (isOpen) lease.lose(`a write failed, and an earlier try of it may not have: ${error.message}`);
          throw error;
        }
        await delay(pauseMs);
      }
    }
  }
}
