/** Everything that is written: what arrives is judged, written and committed together, in one synchronous transaction. */
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Append, Committed, LogCursor, NewMark, PollCursor } from "../index.ts";
import { reasonOf } from "../packing.ts";
import type { Health } from "./damage.ts";
import { judge } from "./judge.ts";
import type { Marks } from "./marks.ts";
import type { QuarantineRows } from "./quarantine.ts";
import type { Redeliveries } from "./redeliveries.ts";
import type { Retention } from "./retention.ts";
import type { RowWriter } from "./rows.ts";
import { pollName } from "./salvage.ts";
import { transaction } from "./schema.ts";
import type { SeenKeys } from "./seen-keys.ts";
import type { Space } from "./space.ts";
import type { Accounts, State } from "./state.ts";

export interface TurnDeps {
  readonly database: DatabaseSync;
  readonly state: State;
  readonly accounts: Accounts;
  readonly rows: RowWriter;
  readonly quarantine: QuarantineRows;
  readonly seen: SeenKeys;
  readonly marks: Marks;
  readonly redeliveries: Redeliveries;
  readonly retention: Retention;
  readonly health: Health;
  readonly space: Space;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The highest `seq` that was given. */
  readonly lastSeq: number;
  /** A transaction is on disk; with what was committed, in the order of `seq`, before anybody else is told. */
  readonly committed: (batches: readonly Committed[], seconds: number) => void;
}

interface Waiting {
  readonly append: Append;
  readonly committed: (committed: Committed) => void;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: Error) => void;
}

/** How long a report may wait for an append to share its commit with. */
const reportDelayMs = 250;

export class Turn {
  readonly #deps: TurnDeps;
  #waiting: Waiting[] = [];
  /** What the exporter has reported: a later position takes the place of an earlier one, marks add up. */
  readonly #reports: { cursor: LogCursor | undefined; marks: NewMark[] } = { cursor: undefined, marks: [] };
  #scheduled: ReturnType<typeof setImmediate> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #committedSeq: number;
  #seq: number;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
    this.#committedSeq = deps.lastSeq;
    this.#seq = deps.lastSeq;
  }

  /** The last committed row. */
  get lastSeq(): number {
    return this.#committedSeq;
  }

  /** Resolves with the commit. @throws {Unavailable} if nothing of it was taken. */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, committed, resolve, reject });
      this.#scheduled ??= setImmediate(() => this.run());
    });
  }

  /** Takes a report, which is committed with the next turn, or after a moment. */
  report(cursor: LogCursor | undefined, marks: readonly NewMark[]): void {
    this.#reports.cursor = cursor ?? this.#reports.cursor;
    this.#reports.marks.push(...marks);
    this.#timer ??= setTimeout(() => this.run(), reportDelayMs);
  }

  /** Runs a turn at once with everything that waits. */
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
    if (group.length === 0 && !this.#hasReports()) return;
    if (this.#transact(group, "with reports") === undefined) return;
    if (this.#hasReports() && this.#transact([], "with reports") !== undefined) this.report(undefined, []);
    for (const one of group) {
      const failure = this.#deps.health.unfit() ?? this.#transact([one], "alone");
      if (failure !== undefined) one.reject(new Unavailable(`the journal cannot be written: ${failure}`));
    }
  }

  /** One transaction of its own. @throws {Unavailable} if it comes to nothing. */
  write<Result>(change: () => Result): Result {
    const { database, health } = this.#deps;
    const unfit = health.unfit();
    if (unfit !== undefined) throw new Unavailable(unfit);
    let result: Result;
    try {
      result = transaction(database, change);
    } catch (error) {
      this.#cameToNothing(error);
      throw new Unavailable(`the journal cannot be written: ${reasonOf(error)}`);
    }
    this.#show();
    return result;
  }

  #admitted(waiting: readonly Waiting[]): Waiting[] {
    let bytes = 0;
    return waiting.filter(({ append, reject }) => {
      try {
        bytes += this.#deps.space.admit(append, bytes);
        return true;
      } catch (error) {
        reject(
          error instanceof Unavailable ? error : new Unavailable(`the journal cannot be read: ${reasonOf(error)}`),
        );
        return false;
      }
    });
  }

  #hasReports(): boolean {
    const { cursor, marks } = this.#reports;
    return cursor !== undefined || marks.length > 0 || this.#deps.redeliveries.isWaiting;
  }

  /** One transaction for all of it. A text says why nothing was written; the caller then tries smaller ones. */
  #transact(group: readonly Waiting[], how: "with reports" | "alone"): string | undefined {
    const { database, seen, accounts, retention } = this.#deps;
    const startedAt = performance.now();
    let written: Committed[];
    try {
      written = transaction(database, () => {
        const all = group.map(({ append }) => this.#writeBatch(append));
        if (how === "with reports") this.#writeReports();
        seen.flush(this.#seq);
        return all;
      });
    } catch (error) {
      this.#cameToNothing(error);
      return reasonOf(error);
    }
    /** From here on it is on disk, whatever else goes wrong: every sender is answered. */
    const seconds = (performance.now() - startedAt) / 1000;
    this.#committedSeq = this.#seq;
    this.#show();
    if (how === "with reports") {
      const { cursor, marks } = this.#reports;
      if (cursor !== undefined) accounts.moved(cursor);
      retention.marked(marks);
      this.#reports.cursor = undefined;
      this.#reports.marks = [];
    }
    this.#tell(() => this.#deps.committed(written, seconds));
    group.forEach(({ committed }, place) => this.#tell(() => committed(written[place] as Committed)));
    group.forEach(({ resolve }, place) => resolve(written[place] as Committed));
    return undefined;
  }

  /** @throws {Error} if the quarantined line that it takes in again is gone. */
  #writeBatch(append: Append): Committed {
    const { source, receivedAt, retries, poll } = append;
    const { seen, quarantine, state, rows, accounts } = this.#deps;
    const judged = judge(append, seen);
    if (retries !== undefined && quarantine.clear(retries.seq, new Set([retries.line])) === 0)
      throw new Error(`the quarantined line ${retries.seq}.${retries.line} is gone`);
    const firstSeq = this.#seq + 1;
    const { tailnet } = accounts.identity;
    const nextRow = () => ({ seq: ++this.#seq, accepted_at: receivedAt, source, tailnet });
    /** Quarantine rows leave by rules of their own, so the tally is never on one of them. */
    let tally: string | null = JSON.stringify(judged.tally);
    const parts = judged.parts.map(({ dropped, accepted, leftOut = null }, place) => {
      const part = append.parts[place] as Append["parts"][number];
      if (accepted === undefined) return { part, dropped, accepted: 0, seq: 0 };
      const { type, records, length, body } = accepted;
      const row = nextRow();
      rows.insert({ ...row, type, records, length, tally, left_out: leftOut, body });
      tally = null;
      return { part, dropped, accepted: records, seq: row.seq };
    });
    if (tally !== null)
      rows.insert({ ...nextRow(), type: "tally", records: 0, length: 0, tally, left_out: null, body: null });
    for (const part of judged.quarantine) quarantine.insert(part, nextRow());
    const moved = poll && pollCursorOf(poll);
    if (moved !== undefined) state.writeJson(pollName(moved.type), moved);
    const sent = { firstSeq, lastSeq: this.#seq, source, receivedAt };
    return { ...sent, parts, tally: judged.tally, ...(moved && { poll: moved }) };
  }

  #writeReports(): void {
    const { state, marks, retention, redeliveries, clock } = this.#deps;
    const { cursor, marks: made } = this.#reports;
    if (cursor !== undefined) state.writeJson("cursor", cursor);
    marks.add(made);
    retention.removeMarks(redeliveries.write(clock()));
  }

  /** A transaction is on disk. */
  #show(): void {
    this.#deps.seen.committed();
    this.#deps.redeliveries.committed();
  }

  /** A transaction was rolled back: memory is as it was before. Never throws. */
  #cameToNothing(error: unknown): void {
    const { health, seen, quarantine, redeliveries, retention } = this.#deps;
    health.failed(error);
    this.#seq = this.#committedSeq;
    seen.rolledBack();
    redeliveries.rolledBack();
    retention.rolledBack();
    try {
      quarantine.rolledBack();
    } catch (failure) {
      health.failed(failure);
    }
  }

  #tell(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      const fields = { seq: this.#committedSeq, reason: reasonOf(error) };
      this.#deps.logger.error("a committed batch could not be counted", fields);
    }
  }
}

/** A poll's cursor without what else came with it. */
export function pollCursorOf({ type, readUntil, isOurClock }: PollCursor): PollCursor {
  return { type, readUntil, ...(isOurClock && { isOurClock }) };
}
