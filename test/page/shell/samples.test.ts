/** Minutes and five-second samples as one series of rates. */
import { describe, expect, test } from "bun:test";
import type { RecentTraffic, Traffic, TrafficSample } from "../../../src/admin/traffic/index.ts";
import { kinds } from "../../../src/page/kinds.ts";
import { addSample, keptSeconds, meanOf, noSamples, samplesOf } from "../../../src/page/samples.ts";

/** Minutes by their start in epoch seconds; every number of every kind is the same. */
function minutes(values: Readonly<Record<number, number>>, until: number): Traffic {
  const column = Object.values(values);
  return {
    since: 0,
    until: until * 1000,
    stepSeconds: 60,
    isComplete: true,
    isPartial: false,
    at: Object.keys(values).map((at) => Number(at) * 1000),
    series: series(column),
    audit: [],
    webhook: [],
  };
}

/** Later than all minutes and samples, epoch milliseconds. */
const late = 10_000_000;

function recent(values: Readonly<Record<number, number>>): RecentTraffic {
  const at = Object.keys(values).map((second) => Number(second) * 1000);
  return { at, seconds: at.map(() => 5), series: series(Object.values(values)) };
}

function series(column: readonly number[]): Traffic["series"] {
  const columns = () => ({ entries: [...column], txBytes: [...column], rxBytes: [...column] });
  return Object.fromEntries(kinds.map((kind) => [kind, columns()])) as unknown as Traffic["series"];
}

function sample(at: number, value: number): TrafficSample {
  const sums = { entries: value, txBytes: value, rxBytes: value };
  const all = Object.fromEntries(kinds.map((kind) => [kind, sums]));
  return { at: at * 1000, seconds: 5, series: all as unknown as TrafficSample["series"] };
}

describe("minutes and samples", () => {
  test("make one series: minutes up to the first sample, then the samples", () => {
    const merged = samplesOf(minutes({ 6000: 600, 6060: 120, 6120: 210 }, 6150), recent({ 6140: 50, 6145: 100 }), late);
    // The minute from 6120 is cut at 6135, where the first sample begins; 150 of its 210 are in the samples.
    expect(merged.at).toEqual([6030, 6090, 6135, 6140, 6145]);
    expect(merged.series.relayed.rxBytes).toEqual([10, 2, 4, 10, 20]);
    expect(merged.series.virtual.entries).toEqual([10, 2, 4, 10, 20]);
  });

  test("have zeros for minutes in which nothing was received", () => {
    const merged = samplesOf(minutes({ 6000: 60, 6180: 60 }, 6240), undefined, late);
    expect(merged.at).toEqual([6030, 6090, 6150, 6210]);
    expect(merged.series.direct.txBytes).toEqual([1, 0, 0, 1]);
  });

  test("have zeros up to the first sample, and no minute after it", () => {
    const merged = samplesOf(minutes({ 6000: 60, 6180: 600 }, 6240), recent({ 6140: 5 }), late);
    expect([merged.at, merged.series.exit.entries]).toEqual([
      [6030, 6090, 6140],
      [1, 0, 1],
    ]);
  });

  test("drop to zero when nothing more is received", () => {
    expect(samplesOf(minutes({ 6000: 60 }, 6200), undefined, late).series.exit.entries).toEqual([1, 0, 0]);
  });

  test("divide an unfinished minute by its elapsed seconds, and omit it in its first seconds", () => {
    const traffic = minutes({ 6000: 60, 6060: 60 }, 6120);
    expect(samplesOf(traffic, undefined, 6_090_000).series.exit.entries).toEqual([1, 2]);
    expect(samplesOf(traffic, undefined, 6_074_000).series.exit.entries).toEqual([1]);
  });

  test("are empty if there is no data", () => {
    expect(samplesOf(undefined, undefined, late)).toEqual(noSamples());
    expect(samplesOf(minutes({}, 6000), recent({}), late)).toEqual(noSamples());
    expect(samplesOf(minutes({}, 6000), undefined, late).at).toEqual([]);
  });

  test("show samples without minutes, and minutes without samples", () => {
    expect(samplesOf(undefined, recent({ 6140: 5 }), late).at).toEqual([6140]);
    expect(samplesOf(minutes({ 6000: 1 }, 6060), undefined, late).at).toEqual([6030]);
  });
});

describe("a live sample", () => {
  test("is added as a rate", () => {
    const samples = noSamples();
    addSample(samples, sample(100, 10));
    expect([samples.at, samples.series.subnet.txBytes]).toEqual([[100], [2]]);
  });

  test("that is already present changes nothing, nor does an older one", () => {
    const samples = samplesOf(undefined, recent({ 95: 5, 100: 5 }), late);
    addSample(samples, sample(100, 500));
    addSample(samples, sample(97, 500));
    expect([samples.at, samples.series.exit.entries]).toEqual([
      [95, 100],
      [1, 1],
    ]);
  });

  test("removes samples older than an hour from the same arrays", () => {
    const samples = noSamples();
    const { at, series: all } = samples;
    for (let second = 0; second <= 3 * keptSeconds; second += 5) addSample(samples, sample(second, 5));
    expect(at.length).toBe(keptSeconds / 5 + 1);
    expect([at[0], at.at(-1)]).toEqual([2 * keptSeconds, 3 * keptSeconds]);
    for (const kind of kinds) expect(all[kind].entries).toHaveLength(at.length);
    expect(samples.at).toBe(at);
  });

  test("of zero duration has a rate of zero", () => {
    const samples = noSamples();
    addSample(samples, { ...sample(100, 10), seconds: 0 });
    expect(samples.series.virtual.entries).toEqual([0]);
  });
});

test("the mean covers the last seconds only", () => {
  const samples = samplesOf(undefined, recent({ 10: 500, 65: 50, 70: 100 }), late);
  expect(meanOf(samples, samples.series.virtual.entries, 60)).toBe(15);
  expect(meanOf(noSamples(), [], 60)).toBe(0);
});
