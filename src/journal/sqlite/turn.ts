/** Performs all writes: everything that arrives is judged, written and committed together, in one synchronous transaction. */
import { Unavailable } from "../../errors.ts";
import { type Append, type Committed, pollCursorOf, reasonOf } from "../batch.ts";
import {
  advanced,
  type LogCursor,
  noReports,
  primaryDestination,
  type Report,
  type Reports,
  withReport,
} from "../journal.ts";
import { Judgement } from "../judge.ts";
import { reportRedeliveries } from "../redelivery.ts";
import type { Space, SpaceDeps } from "./space.ts";
import { Table, transaction } from "./tables.ts";

export interface TurnDeps extends SpaceDeps {
  readonly space: Space;
  /** The highest `seq` assigned. */
  readonly lastSeq: number;
  /** Called with each commit of appends or reports, before any of their senders is answered. */
  readonly committed: (seconds: number) => void;
}

interface Waiting {
  readonly append: Append;
  readonly committed: (committed: Committed) => void;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: Error) => void;
}

/** How long a report may wait for an append with which to share a commit. */
const reportDelayMs = 250;

export class Turn {
  readonly #deps: TurnDeps;
  readonly #rows: Table<"batch">;
  #waiting: Waiting[] = [];
  /** Reports for the next turn. */
  #reports = noReports;
  #scheduled: ReturnType<typeof setImmediate> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #committedSeq: number;
  #seq: number;
  /** The cursor of the last committed report. Its sums continue when series begin anew; those of the stored cursor do not. */
  #reported: LogCursor;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
    this.#rows = new Table(deps.database, "batch");
    this.#committedSeq = deps.lastSeq;
    this.#seq = deps.lastSeq;
    this.#reported = deps.state.cursor;
  }

  /** The last committed row. */
  get lastSeq(): number {
    return this.#committedSeq;
  }

  /** Resolves with the commit. @throws {Unavailable} if nothing was committed. */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed> {
    /** The files are checked when the turn runs, once for all appends that it commits. */
    if (this.#deps.health.isClosed) return Promise.reject(new Unavailable("the journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, committed, resolve, reject });
      this.#scheduled ??= setImmediate(() => this.run());
    });
  }

  /** Accepts a report, which is committed with the next turn, or after a short delay. */
  report(more: Report, destination = primaryDestination): void {
    if (this.#deps.health.isClosed) return;
    this.#reports = withReport(this.#reports, destination, more);
    this.#timer ??= setTimeout(() => this.run(), reportDelayMs);
  }

  /** Runs a turn at once with everything that is waiting. */
  run(): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#timer);
    this.#scheduled = undefined;
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    const unfit = this.#deps.health.unfit();
    if (unfit !== undefined) {
      for (const { reject } of waiting) reject(new Unavailable(unfit));
      return;
    }
    const group = this.#admitted(waiting);
    if (group.length === 0 && this.#reports === noReports) return;
    if (this.#commit(group, this.#reports) === undefined) return;
    if (this.#reports !== noReports && this.#commit([], this.#reports) !== undefined) this.report({});
    for (const one of group) {
      const failure = this.#deps.health.unfit() ?? this.#commit([one], noReports);
      if (failure !== undefined) one.reject(new Unavailable(`the journal cannot be written: ${failure}`));
    }
  }

  /** Runs one separate transaction. @throws {Unavailable} if it fails. */
  write<Result>(change: () => Result): Result {
    const { database, health } = this.#deps;
    const unfit = health.unfit();
    if (unfit !== undefined) throw new Unavailable(unfit);
    let result: Result;
    try {
      result = transaction(database, change);
    } catch (error) {
      this.#rolledBack(error);
      throw new Unavailable(`the journal cannot be written: ${reasonOf(error)}`);
    }
    this.#show();
    return result;
  }

  #admitted(waiting: readonly Waiting[]): Waiting[] {
    let bytes = 0;
    return waiting.filter(({ append, reject }) => {
      const needed = this.#deps.space.admit(append, bytes);
      if (typeof needed === "string") reject(new Unavailable(needed));
      else bytes += needed;
      return typeof needed === "number";
    });
  }

  /** Commits everything in one transaction. Returns why nothing was written, if so; the caller then tries smaller ones. */
  #commit(group: readonly Waiting[], reports: Reports): string | undefined {
    const { database, seen, state, destinations } = this.#deps;
    const { cursor } = reports.get(primaryDestination) ?? {};
    const startedAt = performance.now();
    let written: Committed[];
    try {
      written = transaction(database, () => {
        const all = group.map(({ append }) => this.#writeBatch(append));
        for (const [destination, report] of reports) this.#writeReport(destination, report);
        seen.flush();
        return all;
      });
    } catch (error) {
      this.#rolledBack(error);
      return reasonOf(error);
    }
    /** From here on everything is on disk: every sender is answered, whatever else fails. */
    const seconds = (performance.now() - startedAt) / 1000;
    this.#committedSeq = this.#seq;
    this.#show();
    this.#reported = cursor ?? this.#reported;
    if (reports !== noReports) this.#reports = noReports;
    destinations.lastSeq = this.#committedSeq;
    for (const { parts } of written)
      for (const { part, accepted } of parts) {
        state.accepted(accepted);
        destinations.accepted(part.type, accepted);
      }
    this.#call(() => this.#deps.committed(seconds));
    group.forEach(({ committed }, place) => this.#call(() => committed(written[place] as Committed)));
    group.forEach(({ resolve }, place) => resolve(written[place] as Committed));
    return undefined;
  }

  #writeReport(destination: string, { cursor, marks: made = [], redelivered = [] }: Report): void {
    const { state, destinations, marks, clock } = this.#deps;
    if (cursor !== undefined && destination !== primaryDestination) destinations.advance(destination, cursor);
    else if (cursor !== undefined) state.set("cursor", advanced(state.cursor, this.#reported, cursor));
    marks.add(made, destination);
    for (const id of reportRedeliveries(state.redeliveries, redelivered, clock())) marks.remove(id);
  }

  /** @throws {Error} if the quarantined line to retry is gone. */
  #writeBatch(append: Append): Committed {
    const { source, receivedAt, retries, poll } = append;
    const { seen, marks, state } = this.#deps;
    const judged = new Judgement(append, seen);
    if (retries !== undefined && !marks.removeItem(`${retries.seq}.${retries.line}`))
      throw new Error(`the quarantined line ${retries.seq}.${retries.line} is gone`);
    const { tailnet } = state.identity;
    const nextRow = () => ({ seq: ++this.#seq, accepted_at: receivedAt, source, tailnet });
    const judgedTally = judged.tally();
    /** Quarantine rows are deleted by separate rules, so the tally is never on one of them. */
    let tally: string | null = JSON.stringify(judgedTally);
    const parts = judged.parts.map(({ dropped, accepted }, place) => {
      const part = append.parts[place] as Append["parts"][number];
      if (accepted === undefined) return { part, dropped, accepted: 0, seq: 0 };
      const { type, records, length, body, leftOut = null } = accepted;
      const row = nextRow();
      this.#rows.insert({ ...row, type, records, length, tally, left_out: leftOut, body });
      tally = null;
      return { part, dropped, accepted: records, seq: row.seq };
    });
    if (tally !== null)
      this.#rows.insert({ ...nextRow(), type: "tally", records: 0, length: 0, tally, left_out: null, body: null });
    for (const part of judged.quarantine) marks.quarantine(part, nextRow());
    if (poll !== undefined) state.set(`poll.${poll.type}`, pollCursorOf(poll));
    return { lastSeq: this.#seq, source, receivedAt, parts, tally: judgedTally };
  }

  /** Called when a transaction is on disk. */
  #show(): void {
    const { seen, state, marks, destinations } = this.#deps;
    for (const one of [seen, state, marks, destinations]) one.committed();
  }

  /** Restores the state in memory from before the transaction. Never throws. */
  #rolledBack(error: unknown): void {
    const { health, seen, state, marks, destinations } = this.#deps;
    health.failed(error);
    this.#seq = this.#committedSeq;
    for (const one of [seen, state, marks, destinations]) {
      try {
        one.rolledBack();
      } catch (failure) {
        health.failed(failure);
      }
    }
  }

  #call(act: () => void): void {
    try {
      act();
    } catch (error) {
      const fields = { seq: this.#committedSeq, reason: reasonOf(error) };
      this.#deps.logger.error("a committed batch could not be counted", fields);
    }
  }
}
