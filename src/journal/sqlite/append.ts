/** The append turn: what has arrived is judged, written and committed together, in one synchronous transaction. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { Unavailable } from "../../errors.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Append, Committed, PollCursor } from "../index.ts";
import { reasonOf } from "../packing.ts";
import { judge, type JudgedPart } from "./judge.ts";
import type { QuarantineRows } from "./quarantine.ts";
import type { Reports } from "./reports.ts";
import type { RowWriter } from "./rows.ts";
import { pollName } from "./salvage.ts";
import type { SeenKeys } from "./seen-keys.ts";
import type { State } from "./state.ts";

export interface BatchWriterDeps {
  readonly rows: RowWriter;
  readonly quarantine: QuarantineRows;
  readonly seen: SeenKeys;
  readonly state: State;
  readonly tailnet: number;
  /** The highest `seq` that was given. */
  readonly lastSeq: number;
}

/** Writes batches in the open transaction, and gives their rows their numbers. */
export class BatchWriter {
  readonly #deps: BatchWriterDeps;
  #committedSeq: number;
  #seq: number;

  constructor(deps: BatchWriterDeps) {
    this.#deps = deps;
    this.#committedSeq = deps.lastSeq;
    this.#seq = deps.lastSeq;
  }

  /** The last committed row. */
  get lastSeq(): number {
    return this.#committedSeq;
  }

  /** @throws {Error} if the quarantined line that it takes in again is gone. */
  write(append: Append): Committed {
    const { source, receivedAt, retries, poll } = append;
    const { seen, quarantine, state } = this.#deps;
    const { parts, quarantine: quarantined, tally } = judge(append, seen);
    if (retries !== undefined && quarantine.clear(retries.seq, new Set([retries.line])) === 0)
      throw new Error(`the quarantined line ${retries.seq}.${retries.line} is gone`);
    const firstSeq = this.#seq + 1;
    /** Quarantine rows leave by rules of their own, so the tally is never on one of them. */
    let rest: string | null = JSON.stringify(tally);
    const seqs = parts.map((judged) => {
      if (judged.accepted === undefined) return 0;
      const seq = this.#writePart(append, judged, rest);
      rest = null;
      return seq;
    });
    if (rest !== null) this.#writeTally(append, rest);
    for (const part of quarantined) {
      const row = { seq: ++this.#seq, accepted_at: receivedAt, source, tailnet: this.#deps.tailnet };
      quarantine.insert(part, row);
    }
    const moved = poll && pollCursorOf(poll);
    if (moved !== undefined) state.writeJson(pollName(moved.type), moved);
    return {
      firstSeq,
      lastSeq: this.#seq,
      source,
      receivedAt,
      parts: parts.map(({ dropped, accepted }, place) => ({
        part: append.parts[place] as Append["parts"][number],
        dropped,
        accepted: accepted?.records ?? 0,
        seq: seqs[place] as number,
      })),
      tally,
      ...(moved && { poll: moved }),
    };
  }

  /** Writes the keys of all batches of the transaction. */
  flush(): void {
    this.#deps.seen.flush(this.#seq);
  }

  committed(): void {
    this.#committedSeq = this.#seq;
    this.#deps.seen.committed();
  }

  rolledBack(): void {
    this.#seq = this.#committedSeq;
    this.#deps.seen.rolledBack();
    this.#deps.quarantine.rolledBack();
  }

  #writePart({ source, receivedAt }: Append, { accepted, leftOut }: JudgedPart, tally: string | null): number {
    const { type, records, length, body } = accepted as NonNullable<typeof accepted>;
    const seq = ++this.#seq;
    const row = { seq, accepted_at: receivedAt, source, tailnet: this.#deps.tailnet, type, records, length };
    this.#deps.rows.insert({ ...row, tally, left_out: leftOut ?? null, body });
    return seq;
  }

  #writeTally({ source, receivedAt }: Append, tally: string): void {
    const row = { seq: ++this.#seq, accepted_at: receivedAt, source, tailnet: this.#deps.tailnet };
    this.#deps.rows.insert({ ...row, type: "tally", records: 0, length: 0, tally, left_out: null, body: null });
  }
}

/** A poll's cursor without what else came with it. */
export function pollCursorOf({ type, readUntil, isOurClock }: PollCursor): PollCursor {
  return { type, readUntil, ...(isOurClock && { isOurClock }) };
}

export interface TurnDeps {
  readonly database: DatabaseSync;
  readonly writer: BatchWriter;
  readonly reports: Reports;
  readonly logger: Logger;
  /**
   * Bytes that a batch needs beside those that the turn has admitted already.
   * @throws {Unavailable} if they must not be taken now.
   */
  readonly admit: (append: Append, admittedBytes: number) => number;
  /** Why the database must not be written, if so: what was committed there would be lost. */
  readonly unfit: () => string | undefined;
  /** A transaction was rolled back for that reason. Never throws. */
  readonly cameToNothing: (error: unknown) => void;
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

export class AppendTurn {
  readonly #deps: TurnDeps;
  readonly #begin: StatementSync;
  readonly #commit: StatementSync;
  #waiting: Waiting[] = [];
  #isClosed = false;
  #scheduled: ReturnType<typeof setImmediate> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
    this.#begin = deps.database.prepare("BEGIN IMMEDIATE");
    this.#commit = deps.database.prepare("COMMIT");
  }

  /** Resolves with the commit. @throws {Unavailable} if nothing of it was taken. */
  append(append: Append, committed: (committed: Committed) => void): Promise<Committed> {
    if (this.#isClosed) return Promise.reject(new Unavailable("the journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, committed, resolve, reject });
      this.#scheduled ??= setImmediate(() => this.run());
    });
  }

  /** Something was reported: it is committed with the next turn, or after a moment. */
  reported(): void {
    if (!this.#isClosed) this.#timer ??= setTimeout(() => this.run(), reportDelayMs);
  }

  /** Runs a last turn. What comes later is refused. */
  close(): void {
    this.run();
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** Runs a turn at once with everything that waits. */
  run(): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#timer);
    this.#scheduled = undefined;
    this.#timer = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    const unfit = this.#deps.unfit();
    if (unfit !== undefined) {
      for (const { reject } of waiting) reject(new Unavailable(unfit));
      return;
    }
    const group = this.#admitted(waiting);
    const { reports } = this.#deps;
    if (group.length === 0 && !reports.isWaiting) return;
    if (this.#transact(group, reports) === undefined) return;
    if (reports.isWaiting && this.#transact([], reports) !== undefined) this.reported();
    for (const one of group) {
      const failure = this.#deps.unfit() ?? this.#transact([one], undefined);
      if (failure !== undefined) one.reject(new Unavailable(`the journal cannot be written: ${failure}`));
    }
  }

  #admitted(waiting: readonly Waiting[]): Waiting[] {
    let bytes = 0;
    return waiting.filter(({ append, reject }) => {
      try {
        bytes += this.#deps.admit(append, bytes);
        return true;
      } catch (error) {
        reject(
          error instanceof Unavailable ? error : new Unavailable(`the journal cannot be read: ${reasonOf(error)}`),
        );
        return false;
      }
    });
  }

  /** One transaction for all of it. A text says why nothing was written; the caller then tries smaller ones. */
  #transact(group: readonly Waiting[], reports: Reports | undefined): string | undefined {
    const { writer } = this.#deps;
    const startedAt = performance.now();
    let written: Committed[];
    try {
      this.#begin.run();
      written = group.map(({ append }) => writer.write(append));
      reports?.write();
      writer.flush();
      this.#commit.run();
    } catch (error) {
      this.#rollBack(error);
      return reasonOf(error);
    }
    /** From here on it is on disk, whatever else goes wrong: every sender is answered. */
    const seconds = (performance.now() - startedAt) / 1000;
    writer.committed();
    reports?.committed();
    this.#tell(written, () => this.#deps.committed(written, seconds));
    group.forEach(({ committed }, place) => this.#tell(written, () => committed(written[place] as Committed)));
    group.forEach(({ resolve }, place) => resolve(written[place] as Committed));
    return undefined;
  }

  #tell(written: readonly Committed[], tell: () => void): void {
    try {
      tell();
    } catch (error) {
      const seq = written.at(-1)?.lastSeq;
      this.#deps.logger.error("a committed batch could not be counted", { seq, reason: reasonOf(error) });
    }
  }

  /**
   * SQLITE_FULL has rolled back by itself; then there is nothing left to end. With a failing disk this fails too: the next
   * transaction cannot begin then, and says so to its own senders.
   */
  #rollBack(error: unknown): void {
    const { database, cameToNothing } = this.#deps;
    try {
      if (database.isTransaction) database.exec("ROLLBACK");
    } catch (failure) {
      cameToNothing(failure);
    }
    cameToNothing(error);
  }
}
