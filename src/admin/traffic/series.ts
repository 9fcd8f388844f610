/** Traffic by minute as columns, for all nodes or some. */
import {
  auditPlace,
  firstPhysical,
  kinds,
  type MinuteSums,
  noMinute,
  sumsPerPair,
  totalsPerKind,
  webhookPlace,
} from "../../ledger/minute.ts";
import type { AddTo } from "../../ledger/minutes.ts";
import type { Traffic } from "./answers.ts";
import { addToSeries, noSeries, sumsAt } from "./samples.ts";

/** Collects minutes, oldest first. `nodes`: names as shown; empty: all traffic. */
export class MinuteSeries {
  readonly #nodes: ReadonlySet<string>;
  readonly #at: number[] = [];
  readonly #series = noSeries();
  readonly #audit: number[] = [];
  readonly #webhook: number[] = [];
  #isPartial = false;

  constructor(nodes: readonly string[]) {
    this.#nodes = new Set(nodes);
  }

  /** Adds all traffic of a minute. */
  add(at: number, totals: Float64Array): void {
    this.#add(at, totals, totals);
  }

  /** Adds the traffic of the nodes. */
  async addOfNodes(at: number, addTo: AddTo): Promise<void> {
    const minute = noMinute();
    if (!(await addTo(minute))) return;
    this.#add(at, minute.totals, this.#ofNodes(minute));
    if (minute.omitted > 0) this.#isPartial = true;
  }

  answer(): Pick<Traffic, "at" | "series" | "audit" | "webhook" | "isPartial"> {
    return {
      isPartial: this.#isPartial,
      at: this.#at,
      series: this.#series,
      audit: this.#audit,
      webhook: this.#webhook,
    };
  }

  #add(at: number, totals: Float64Array, shown: Float64Array): void {
    this.#at.push(at);
    this.#audit.push(totals[auditPlace] as number);
    this.#webhook.push(totals[webhookPlace] as number);
    addToSeries(this.#series, (kind) => sumsAt(shown, kinds.indexOf(kind)));
  }

  /** Totals of the pairs with a wanted end, seen from that end: reports by the other node are reversed. */
  #ofNodes({ pairs }: MinuteSums): Float64Array {
    const totals = new Float64Array(kinds.length * totalsPerKind);
    for (const { from, to, sums } of pairs.values()) {
      const isSource = this.#nodes.has(from);
      if (!isSource && (to === undefined || !this.#nodes.has(to))) continue;
      for (const [kind] of kinds.entries()) {
        // Peers report physical traffic.
        const isReporter = isSource && kind < firstPhysical;
        const at = kind * totalsPerKind;
        const [entries = 0, sent = 0, received = 0] = sums.slice(kind * sumsPerPair);
        totals[at] = (totals[at] as number) + entries;
        totals[at + 1] = (totals[at + 1] as number) + (isReporter ? sent : received);
        totals[at + 2] = (totals[at + 2] as number) + (isReporter ? received : sent);
      }
    }
    return totals;
  }
}
