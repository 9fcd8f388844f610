/** The last hour of traffic in columns, combined from minutes, five-second samples and live samples. */
import type { RecentTraffic, Traffic, TrafficSample } from "../admin/traffic/index.ts";
import { type Kind, kinds } from "./kinds.ts";

export type Sums = TrafficSample["series"][Kind];

export const sumNames = ["entries", "txBytes", "rxBytes"] as const satisfies readonly (keyof Sums)[];

/** Rates per second. The arrays grow at the end and are cut at the beginning. */
export interface Samples {
  /** Epoch seconds. */
  readonly at: number[];
  readonly series: Readonly<Record<Kind, { readonly [Name in keyof Sums]: number[] }>>;
}

/** How far back live data is shown. */
export const keptSeconds = 3600;

/** Columns without rows. */
export function noSamples(): Samples {
  const series = kinds.map((kind) => [kind, { entries: [], txBytes: [], rxBytes: [] }] as const);
  return { at: [], series: Object.fromEntries(series) as unknown as Samples["series"] };
}

/**
 * Minutes as rates, from the first one with data and with zeros for minutes in which nothing was received. Finer samples replace
 * them; the minute in which those begin keeps the rest of its traffic. `now`: epoch milliseconds by the instance's clock.
 */
export function samplesOf(minutes: Traffic | undefined, recent: RecentTraffic | undefined, now: number): Samples {
  const samples = noSamples();
  const first = recent?.at[0];
  const begin = first === undefined ? Number.POSITIVE_INFINITY : first / 1000 - (recent?.seconds[0] ?? 0);
  if (minutes !== undefined) addMinutes(samples, minutes, Math.min(begin, minutes.until / 1000, now / 1000), recent);
  if (recent !== undefined)
    recent.at.forEach((at, index) => {
      const seconds = recent.seconds[index] ?? 0;
      addRow(samples, at / 1000, (kind, name) => perSecond(recent.series[kind][name][index], seconds));
    });
  cutBefore(samples, (samples.at.at(-1) ?? 0) - keptSeconds);
  return samples;
}

/** Adds a sample; one that is not newer than the last is ignored. */
export function addSample(samples: Samples, { at, seconds, series }: TrafficSample): void {
  addRow(samples, at / 1000, (kind, name) => perSecond(series[kind][name], seconds));
  cutBefore(samples, at / 1000 - keptSeconds);
}

/** The mean of the last `seconds`; 0 without samples. */
export function meanOf(samples: Samples, values: readonly number[], seconds: number): number {
  const { at } = samples;
  const end = at.at(-1);
  if (end === undefined) return 0;
  let [sum, found] = [0, 0];
  for (let index = at.length - 1; index >= 0 && (at[index] as number) > end - seconds; index--, found++)
    sum += values[index] ?? 0;
  return sum / Math.max(1, found);
}

/** Nodes report in bursts, so a minute that has just begun is not representative yet. */
const leastSeconds = 15;

/** Adds the minutes that begin before `until` (epoch seconds), each at its middle and without the traffic that is in `recent`. */
function addMinutes(samples: Samples, traffic: Traffic, until: number, recent: RecentTraffic | undefined): void {
  const { at, series, stepSeconds } = traffic;
  at.forEach((beginMs, index) => {
    const begin = beginMs / 1000;
    const seconds = Math.min(stepSeconds, until - begin);
    if (seconds < leastSeconds) return;
    fillZeros(samples, begin, stepSeconds);
    const end = beginMs + stepSeconds * 1000;
    const known = recent?.at.flatMap((time, place) => (time > beginMs && time <= end ? [place] : [])) ?? [];
    addRow(samples, Math.min(begin + stepSeconds / 2, until), (kind, name) => {
      const columns = recent?.series[kind][name] ?? [];
      const rest = known.reduce((sum, place) => sum - (columns[place] ?? 0), series[kind][name][index] ?? 0);
      return perSecond(Math.max(0, rest), seconds);
    });
  });
  fillZeros(samples, Math.floor(until / stepSeconds) * stepSeconds, stepSeconds);
}

/** Adds zeros for minutes in which nothing was received, from the last row up to the minute that begins at `begin`. */
function fillZeros(samples: Samples, begin: number, stepSeconds: number): void {
  for (;;) {
    const next = (samples.at.at(-1) ?? Number.POSITIVE_INFINITY) + stepSeconds;
    if (!(next < begin)) return;
    addRow(samples, next, () => 0);
  }
}

function addRow(samples: Samples, at: number, valueOf: (kind: Kind, name: keyof Sums) => number): void {
  if (!(at > (samples.at.at(-1) ?? Number.NEGATIVE_INFINITY))) return;
  samples.at.push(at);
  for (const kind of kinds) for (const name of sumNames) samples.series[kind][name].push(valueOf(kind, name));
}

function cutBefore(samples: Samples, begin: number): void {
  const kept = samples.at.findIndex((at) => at >= begin);
  if (kept <= 0) return;
  samples.at.splice(0, kept);
  for (const kind of kinds) for (const name of sumNames) samples.series[kind][name].splice(0, kept);
}

function perSecond(amount: number | undefined, seconds: number): number {
  return seconds > 0 ? (amount ?? 0) / seconds : 0;
}
