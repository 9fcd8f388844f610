/** What the exporter reports between two turns: positions, marks and redeliveries. A turn writes it whole, or none of it. */
import type { Clock } from "../../lib/clock.ts";
import type { LogCursor, NewMark } from "../index.ts";
import type { Marks } from "./marks.ts";
import type { Redeliveries } from "./redeliveries.ts";
import type { Retention } from "./retention.ts";
import { readCursor, type State } from "./state.ts";

export interface ReportsDeps {
  readonly state: State;
  readonly marks: Marks;
  readonly retention: Retention;
  readonly redeliveries: Redeliveries;
  readonly clock: Clock;
}

export class Reports {
  readonly #deps: ReportsDeps;
  #committed: LogCursor;
  #cursor: LogCursor | undefined;
  #marks: NewMark[] = [];

  /** @throws {Damaged} if the cursor is. */
  constructor(deps: ReportsDeps) {
    this.#deps = deps;
    this.#committed = readCursor(deps.state);
  }

  /** The last committed position. */
  get cursor(): LogCursor {
    return this.#committed;
  }

  /** A later position takes the place of an earlier one, marks add up. */
  add(cursor: LogCursor | undefined, marks: readonly NewMark[]): void {
    this.#cursor = cursor ?? this.#cursor;
    this.#marks.push(...marks);
  }

  get isWaiting(): boolean {
    return this.#cursor !== undefined || this.#marks.length > 0 || this.#deps.redeliveries.isWaiting;
  }

  /** In the caller's transaction. */
  write(): void {
    const { state, marks, retention, redeliveries, clock } = this.#deps;
    if (this.#cursor !== undefined) state.writeJson("cursor", this.#cursor);
    marks.add(this.#marks);
    retention.removeMarks(redeliveries.write(clock()));
  }

  committed(): void {
    this.#committed = this.#cursor ?? this.#committed;
    this.#deps.retention.marked(this.#marks);
    this.#cursor = undefined;
    this.#marks = [];
    this.#deps.redeliveries.committed();
  }

  rolledBack(): void {
    this.#deps.redeliveries.rolledBack();
    this.#deps.retention.rolledBack();
  }

  /** The stored position was changed beside the reports. */
  reread(): void {
    this.#committed = readCursor(this.#deps.state);
  }
}
