/** What is done about once a second, and more often while space is short: what may leave is deleted, free space is given back. */
import type { DatabaseSync } from "node:sqlite";
import type { Logger } from "../../lib/logger.ts";
import type { PollCursor, PolledType } from "../index.ts";
import { reasonOf } from "../packing.ts";
import type { Accounts } from "./accounts.ts";
import type { AgeClock } from "./age-clock.ts";
import type { BatchWriter } from "./append.ts";
import type { Health } from "./health.ts";
import type { Marks } from "./marks.ts";
import type { Redeliveries } from "./redeliveries.ts";
import type { Reports } from "./reports.ts";
import type { Retention } from "./retention.ts";
import { transaction } from "./schema.ts";
import type { Space } from "./space.ts";
import type { State } from "./state.ts";

/** When deletion goes on that has run out of its time, and when it begins because space is short. */
const soonMs = 40;

export interface UpkeepDeps {
  readonly database: DatabaseSync;
  readonly state: State;
  readonly health: Health;
  readonly space: Space;
  readonly retention: Retention;
  readonly reports: Reports;
  readonly redeliveries: Redeliveries;
  readonly accounts: Accounts;
  readonly age: AgeClock;
  readonly marks: Marks;
  readonly writer: BatchWriter;
  readonly polls: ReadonlyMap<PolledType, PollCursor>;
  readonly logger: Logger;
  /** A transaction of ours has come to nothing. */
  readonly cameToNothing: (error: unknown) => void;
}

export class Upkeep {
  readonly #deps: UpkeepDeps;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
  }

  /** Some milliseconds of it; what is left then goes on soon. @throws whatever SQLite throws. */
  run(): void {
    this.stop();
    const { database, health, space, writer, cameToNothing } = this.#deps;
    if (health.unfit() !== undefined) return;
    try {
      if (health.failure !== undefined) this.#tryAgain();
      const isDone = transaction(database, () => this.#release());
      writer.committed();
      if (isDone || space.isShort) space.giveBack();
      if (!isDone) this.soon();
    } catch (error) {
      cameToNothing(error);
      throw error;
    }
  }

  soon(): void {
    this.#timer ??= setTimeout(() => {
      try {
        this.run();
      } catch (error) {
        this.#deps.logger.error("the journal cannot be maintained", { reason: reasonOf(error) });
      }
    }, soonMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Deletes what may leave, in the open transaction. Whether that was all. */
  #release(): boolean {
    const { space, retention, reports, redeliveries, accounts, age, marks, writer, polls } = this.#deps;
    space.usedBytes();
    const { isDone } = retention.run({
      releasableBelow: Math.min(reports.cursor.seq, accounts.measuredSeq + 1, redeliveries.pinnedSeq),
      isShort: space.isShort,
      pinnedMarks: redeliveries.pinnedMarks,
      polledUntil: (keyClass) => {
        const poll = keyClass === "flow" || keyClass === "audit" ? polls.get(keyClass) : undefined;
        return poll && poll.readUntil * 1000;
      },
    });
    if (age.isDue) {
      age.save();
      marks.forgetMessages();
      accounts.save(writer.lastSeq);
    }
    return isDone;
  }

  /** Writes something: SQLite would not write what is there already. @throws whatever SQLite throws. */
  #tryAgain(): void {
    this.#deps.state.writeJson("tried", performance.now());
    this.#deps.health.worked();
  }
}
