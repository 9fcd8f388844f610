/** The append turn: what has arrived is judged, written and committed together, in one synchronous transaction. */
import type { DatabaseSync } from "node:sqlite";
import { Unavailable } from "../errors.ts";
import type { Append, Committed, LogCursor, QuarantineItem } from "./types.ts";
import type { BatchWriter } from "./write.ts";

/** What the turn does beside appends: positions and set-aside items that the export worker has reported. */
export interface Progress {
  readonly cursor: LogCursor;
  readonly setAside: readonly QuarantineItem[];
}

export interface TurnDeps {
  readonly database: DatabaseSync;
  readonly writer: BatchWriter;
  /**
   * Bytes that a batch needs beside those that the turn has admitted already. Throws `Unavailable` where they must not
   * be taken now.
   */
  readonly admit: (append: Append, admittedBytes: number) => number;
  readonly writeProgress: (progress: Progress) => void;
  /** Told of each batch in the order of `seq`, after the commit and before any promise resolves. */
  readonly committed: (committed: Committed) => void;
  readonly progressed: (progress: Progress) => void;
  readonly rolledBack: () => void;
  /** Why the database must not be written, if so: what was committed there would be lost. */
  readonly unfit: () => string | undefined;
  /** SQLite could not write. */
  readonly failed: (error: unknown) => void;
  readonly timed: (seconds: number) => void;
}

interface Waiting {
  readonly append: Append;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: Error) => void;
}

/** How long a reported position may wait for an append to share its commit with. */
const progressDelayMs = 250;

export class AppendTurn {
  readonly #deps: TurnDeps;
  #waiting: Waiting[] = [];
  #isClosed = false;
  #progress: Progress | undefined;
  #scheduled: ReturnType<typeof setImmediate> | undefined;
  #progressTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: TurnDeps) {
    this.#deps = deps;
  }

  /** Resolves with the commit. @throws {Unavailable} when nothing of it was taken. */
  append(append: Append): Promise<Committed> {
    if (this.#isClosed) return Promise.reject(new Unavailable("the journal is closed"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, resolve, reject });
      this.#scheduled ??= setImmediate(() => this.run());
    });
  }

  /** Commits a position with the next turn; a later one takes the place of an earlier one, what was set aside adds up. */
  progress({ cursor, setAside }: Progress): void {
    if (this.#isClosed) return;
    this.#progress = {
      cursor,
      setAside: [...(this.#progress?.setAside ?? []), ...setAside],
    };
    this.#progressTimer ??= setTimeout(() => this.run(), progressDelayMs);
  }

  /** Runs a last turn. What comes later is refused, or for positions passed over. */
  close(): void {
    this.run();
    this.#isClosed = true;
    clearTimeout(this.#progressTimer);
  }

  /** Runs a turn at once with everything that waits. */
  run(): void {
    clearImmediate(this.#scheduled);
    clearTimeout(this.#progressTimer);
    this.#scheduled = undefined;
    this.#progressTimer = undefined;
    const group = this.#admitted(this.#waiting);
    this.#waiting = [];
    const progress = this.#progress;
    this.#progress = undefined;
    if (group.length === 0 && progress === undefined) return;
    if (this.#commit(group, progress) === undefined) return;
    if (progress !== undefined && this.#commit([], progress) !== undefined) this.progress(progress);
    for (const waiting of group) {
      const failure = this.#commit([waiting], undefined);
      if (failure !== undefined) waiting.reject(new Unavailable(`the journal cannot be written: ${failure}`));
    }
  }

  #admitted(waiting: readonly Waiting[]): Waiting[] {
    let bytes = 0;
    return waiting.filter(({ append, reject }) => {
      try {
        bytes += this.#deps.admit(append, bytes);
        return true;
      } catch (error) {
        reject(error instanceof Unavailable ? error : new Unavailable(`the journal cannot be read: ${String(error)}`));
        return false;
      }
    });
  }

  /** One transaction for all of it. A text says why nothing was written; the caller then tries smaller ones. */
  #commit(group: readonly Waiting[], progress: Progress | undefined): string | undefined {
    const { database, writer } = this.#deps;
    const startedAt = performance.now();
    const staged = writer.stage();
    let written: Committed[];
    try {
      const unfit = this.#deps.unfit();
      if (unfit !== undefined) return unfit;
      database.exec("BEGIN IMMEDIATE");
      written = group.map(({ append }) => writer.write(append, staged));
      if (progress !== undefined) this.#deps.writeProgress(progress);
      database.exec("COMMIT");
    } catch (error) {
      this.#rollBack();
      this.#deps.failed(error);
      return error instanceof Error ? error.message : String(error);
    }
    writer.publish(staged);
    for (const committed of written) this.#deps.committed(committed);
    if (progress !== undefined) this.#deps.progressed(progress);
    group.forEach(({ resolve }, place) => resolve(written[place] as Committed));
    this.#deps.timed((performance.now() - startedAt) / 1000);
    return undefined;
  }

  /**
   * SQLITE_FULL has rolled back by itself; then there is nothing left to end. With a failing disk this fails too: the next
   * transaction cannot begin then, and says so to its own senders.
   */
  #rollBack(): void {
    const { database, rolledBack } = this.#deps;
    try {
      if (database.isTransaction) database.exec("ROLLBACK");
      rolledBack();
    } catch (error) {
      this.#deps.failed(error);
    }
  }
}
