/**
 * Makes minutes of the history again from the rows of the journal that are still there: after damage, and of a journal that an
 * older version wrote. Works in short steps; what it needs is let go at the end.
 */
import type { Journal, JournalReader, MinuteGap, RowHead } from "../journal/index.ts";
import { Growth } from "../ledger/growth.ts";
import { Interval } from "../ledger/interval.ts";
import { addRecords, minuteMs, totalsLength } from "../ledger/minute.ts";
import type { Minutes } from "../ledger/minutes.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import type { ProcessorSettings } from "../processors/names.ts";
import { FlowRows } from "./flow-rows.ts";

export interface RebuildDeps {
  readonly journal: Pick<Journal, "openReader">;
  readonly minutes: Minutes;
  readonly settings: ProcessorSettings;
}

/** A step ends behind the row with which this is over. */
const stepMs = 4;
const headsAtOnce = 64;

export class MinuteRebuild {
  readonly #deps: RebuildDeps;
  #work: RebuildWork | undefined;

  constructor(deps: RebuildDeps) {
    this.#deps = deps;
  }

  /**
   * Works for a few milliseconds; called again once it has resolved. Resolves with whether there is nothing to do, at least
   * until the minutes are stored.
   */
  async step(): Promise<boolean> {
    const { minutes } = this.#deps;
    if (minutes.gap !== undefined && minutes.hasRoom) {
      this.#work ??= new RebuildWork(this.#deps);
      await this.#work.step(minutes.gap);
    }
    if (minutes.gap === undefined) this.close();
    return minutes.gap === undefined || !minutes.hasRoom;
  }

  close(): void {
    this.#work?.close();
    this.#work = undefined;
  }
}

class RebuildWork {
  readonly #minutes: Minutes;
  readonly #reader: JournalReader;
  readonly #edges: EdgeBook;
  readonly #rows: FlowRows;
  readonly #growth = new Growth();
  /** Of one minute. */
  #interval = new Interval();
  #at = 0;
  #isClosed = false;

  constructor({ journal, minutes, settings }: RebuildDeps) {
    this.#minutes = minutes;
    this.#reader = journal.openReader();
    this.#edges = new EdgeBook(settings);
    this.#rows = new FlowRows({ settings, edges: this.#edges, ends: new EndBook(settings) });
  }

  /** @throws whatever the reader throws: what was added before stays, and the next step goes on behind it. */
  async step(gap: MinuteGap): Promise<void> {
    const endsAt = performance.now() + stepMs;
    const hasTime = (): boolean => this.#minutes.hasRoom && performance.now() < endsAt;
    let { from } = gap;
    try {
      while (from <= gap.until && hasTime()) {
        const heads = (await this.#reader.heads(from, headsAtOnce)).filter(({ seq }) => seq <= gap.until);
        if (this.#isClosed) return;
        if (heads.length === 0) from = gap.until + 1;
        for (const head of heads) {
          if (head.acceptedAt >= gap.since && head.acceptedAt < gap.before) await this.#add(head);
          if (this.#isClosed) return;
          from = head.seq + 1;
          if (!hasTime()) break;
        }
      }
    } finally {
      this.#settle();
      this.#minutes.rebuilt(from);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#reader.close();
  }

  async #add({ seq, acceptedAt, type, records }: RowHead): Promise<void> {
    if (type !== "flow" && type !== "audit" && type !== "webhook") return;
    const [row] = await this.#reader.read(seq, { rows: 1, bytes: 1 });
    if (row?.seq !== seq || row.damage !== undefined) return;
    if (type !== "flow") return addRecords(this.#minutes.rebuild(acceptedAt), type, records);
    const at = acceptedAt - (acceptedAt % minuteMs);
    if (at !== this.#at) {
      this.#settle();
      this.#interval = new Interval();
      this.#edges.renew();
      this.#at = at;
    }
    const { columns, dropped } = this.#rows.measured(row, () => undefined);
    this.#interval.addFlows(columns, dropped, this.#edges);
  }

  #settle(): void {
    this.#growth.addTo(() => this.#minutes.rebuild(this.#at), this.#interval, new Float64Array(totalsLength));
  }
}
