/** Traffic of the last hour in samples of five seconds, taken even if nobody looks. */
import type { Clock } from "../../lib/clock.ts";
import { kinds, totalsPerKind } from "../../ledger/minute.ts";
import type { Minutes } from "../../ledger/minutes.ts";
import type { KindSeries, RecentTraffic, SeriesByKind, TrafficSample } from "./answers.ts";

export interface SamplesDeps {
  readonly minutes: Pick<Minutes, "settle" | "settleInSteps" | "counted">;
  readonly clock: Clock;
}

const sampleMs = 5000;
const maxSamples = 720;

export class Samples {
  readonly #deps: SamplesDeps;
  readonly #samples: TrafficSample[] = [];
  readonly #listeners = new Set<(sample: TrafficSample) => void>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #counted: Float64Array;
  #countedAt: number;

  constructor(deps: SamplesDeps) {
    this.#deps = deps;
    this.#counted = deps.minutes.counted.slice();
    this.#countedAt = performance.now();
  }

  /** What was counted before the start is in no sample. */
  start(): void {
    this.#take();
    this.#timer = setInterval(() => void this.#sampleInSteps(), sampleMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }

  onSample(listener: (sample: TrafficSample) => void): void {
    this.#listeners.add(listener);
  }

  recent(): RecentTraffic {
    const series = noSeries();
    for (const sample of this.#samples) addToSeries(series, (kind) => sample.series[kind]);
    const [at, seconds] = [this.#samples.map((one) => one.at), this.#samples.map((one) => one.seconds)];
    return { at, seconds, series };
  }

  /** Ends a sample and begins the next. */
  sample(): void {
    const sample = this.#take();
    this.#samples.push(sample);
    if (this.#samples.length > maxSamples) this.#samples.shift();
    for (const listener of this.#listeners) listener(sample);
  }

  async #sampleInSteps(): Promise<void> {
    await this.#deps.minutes.settleInSteps();
    this.sample();
  }

  #take(): TrafficSample {
    const { minutes, clock } = this.#deps;
    minutes.settle();
    const now = performance.now();
    const grown = minutes.counted.map((sum, place) => sum - (this.#counted[place] as number));
    const seconds = Math.round(now - this.#countedAt) / 1000;
    this.#counted = minutes.counted.slice();
    this.#countedAt = now;
    return { at: clock(), seconds, series: byKind((place) => sumsAt(grown, place)) };
  }
}

type KindSums = TrafficSample["series"]["virtual"];

/** The sums of a kind in totals. */
export function sumsAt(totals: Float64Array, kind: number): KindSums {
  const [entries = 0, txBytes = 0, rxBytes = 0] = totals.subarray(kind * totalsPerKind);
  return { entries, txBytes, rxBytes };
}

function byKind<Value>(valueOf: (place: number) => Value): Record<(typeof kinds)[number], Value> {
  return Object.fromEntries(kinds.map((kind, place) => [kind, valueOf(place)])) as Record<
    (typeof kinds)[number],
    Value
  >;
}

/** Columns without rows. */
export function noSeries(): SeriesByKind {
  return byKind((): KindSeries => ({ entries: [], txBytes: [], rxBytes: [] }));
}

/** Adds a number to each column. */
export function addToSeries(series: SeriesByKind, sumsOf: (kind: (typeof kinds)[number]) => KindSums): void {
  for (const kind of kinds) {
    const { entries, txBytes, rxBytes } = sumsOf(kind);
    series[kind].entries.push(entries);
    series[kind].txBytes.push(txBytes);
    series[kind].rxBytes.push(rxBytes);
  }
}
