/**
 * Rebuilds minutes of the history from the rows that are still in the journal: after damage, or if an older version wrote the
 * journal. Works in short steps and frees its memory at the end.
 */
import type { Journal, MinuteGap, RowHead } from "../journal/index.ts";
import { Growth } from "../ledger/growth.ts";
import { Interval } from "../ledger/interval.ts";
import { addRecords, minuteMs, totalsLength } from "../ledger/minute.ts";
import type { Minutes } from "../ledger/minutes.ts";
import { EdgeBook } from "../processors/edges.ts";
import { EndBook } from "../processors/ends.ts";
import type { ProcessorSettings } from "../processors/settings.ts";
import { isRecordType } from "../records/types.ts";
import { FlowRows } from "./flow-rows.ts";

export interface RebuildDeps {
  readonly journal: Pick<Journal, "openReader">;
  readonly minutes: Minutes;
  readonly settings: ProcessorSettings;
}

/** A step ends after the row with which this is exceeded. */
const stepMs = 4;
const headsAtOnce = 64;

export class MinuteRebuild {
  readonly #deps: RebuildDeps;
  #work: ReturnType<typeof startWork> | undefined;

  constructor(deps: RebuildDeps) {
    this.#deps = deps;
  }

  /**
   * Works for a few milliseconds; called again once it has resolved. Resolves with true if there is nothing to do, at least
   * until the minutes are stored.
   * @throws whatever the reader throws; what was added before stays, and the next step continues after it.
   */
  async step(): Promise<boolean> {
    const { minutes } = this.#deps;
    if (minutes.gap !== undefined && minutes.hasRoom) await (this.#work ??= startWork(this.#deps)).step(minutes.gap);
    if (minutes.gap === undefined) this.close();
    return minutes.gap === undefined || !minutes.hasRoom;
  }

  close(): void {
    this.#work?.close();
    this.#work = undefined;
  }
}

function startWork({ journal, minutes, settings }: RebuildDeps) {
  const reader = journal.openReader();
  const edges = new EdgeBook(settings);
  const rows = new FlowRows({ settings, edges, ends: new EndBook(settings) });
  const growth = new Growth();
  /** The interval of the minute that begins at `begunAt`. */
  let interval = new Interval();
  let begunAt = 0;
  let isClosed = false;

  function settle(): void {
    growth.addTo(() => minutes.rebuild(begunAt), interval, new Float64Array(totalsLength));
  }

  async function add({ seq, acceptedAt, type, records }: RowHead): Promise<void> {
    if (!isRecordType(type)) return;
    const [row] = await reader.read(seq, { rows: 1, bytes: 1 });
    if (row?.seq !== seq || row.damage !== undefined) return;
    if (type !== "flow") return addRecords(minutes.rebuild(acceptedAt), type, records);
    const at = acceptedAt - (acceptedAt % minuteMs);
    if (at !== begunAt) {
      settle();
      interval = new Interval();
      edges.renew();
      begunAt = at;
    }
    const { columns, dropped } = rows.measured(row, () => undefined);
    interval.addFlows(columns, dropped, edges);
  }

  return {
    async step(gap: MinuteGap): Promise<void> {
      const endsAt = performance.now() + stepMs;
      const hasTime = (): boolean => minutes.hasRoom && performance.now() < endsAt;
      let { from } = gap;
      try {
        while (from <= gap.until && hasTime()) {
          const heads = (await reader.heads(from, headsAtOnce)).filter(({ seq }) => seq <= gap.until);
          if (isClosed) return;
          if (heads.length === 0) from = gap.until + 1;
          for (const head of heads) {
            if (head.acceptedAt >= gap.since && head.acceptedAt < gap.before) await add(head);
            if (isClosed) return;
            from = head.seq + 1;
            if (!hasTime()) break;
          }
        }
      } finally {
        settle();
        minutes.rebuilt(from);
      }
    },
    close(): void {
      isClosed = true;
      reader.close();
    },
  };
}
