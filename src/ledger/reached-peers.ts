/** What each source node has reached in an interval: distinct destinations and ports, within a bound. */
import type { Reached } from "../catalogue/increments.ts";
import type { LedgerSeries } from "./types.ts";

/** Source nodes told apart, and peers and ports of all of them together. What comes later is not told apart. */
const maxSources = 8_000;
const maxMembers = 262_144;

const sourceAttribute = "tailscale.src.node";

export class ReachedPeers {
  readonly #bySource = new Map<string | undefined, Reached>();
  #members = 0;
  #missed = 0;

  /** Sources and members that found no room: the gauges are then lower bounds. */
  get missed(): number {
    return this.#missed;
  }

  add(source: string | undefined, reached: Reached): void {
    let known = this.#bySource.get(source);
    if (known === undefined) {
      if (this.#bySource.size >= maxSources) {
        this.#missed++;
        return;
      }
      this.#bySource.set(source, (known = { peers: new Set(), ports: new Set() }));
    }
    this.#join(known.peers, reached.peers);
    this.#join(known.ports, reached.ports);
  }

  /** One series a source that was seen, at most so many. */
  series(kind: keyof Reached, maxSeries: number, startAt: number): LedgerSeries[] {
    const series: LedgerSeries[] = [];
    for (const [source, reached] of this.#bySource) {
      const value = reached[kind].size;
      if (value === 0) continue;
      if (series.length === maxSeries) break;
      series.push({ attributes: source === undefined ? {} : { [sourceAttribute]: source }, value, startAt });
    }
    return series;
  }

  #join<Member>(into: Set<Member>, from: ReadonlySet<Member>): void {
    for (const member of from) {
      if (into.has(member)) continue;
      if (this.#members >= maxMembers) {
        this.#missed++;
        return;
      }
      into.add(member);
      this.#members++;
    }
  }
}
