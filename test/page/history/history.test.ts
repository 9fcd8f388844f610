/** Time ranges in the address, minutes as columns, and event marks. */
import { describe, expect, test } from "bun:test";
import type { Traffic } from "../../../src/admin/traffic/index.ts";
import { historyOf, marksOf } from "../../../src/page/history/minutes.ts";
import {
  addressOf,
  fixedSpanOf,
  inputOf,
  moved,
  spanFrom,
  spanOf,
  spanUpTo,
  timeOfInput,
} from "../../../src/page/history/span.ts";
import { kinds } from "../../../src/page/kinds.ts";

const minute = 60_000;
const begin = Date.UTC(2026, 10, 2, 9, 0);

/** Traffic with this many entries per minute; minutes are numbered from `begin`. */
function traffic(entries: Readonly<Record<number, number>>): Traffic {
  const at = Object.keys(entries).map((n) => begin + Number(n) * minute);
  const values = Object.values(entries);
  const series = { entries: values, txBytes: values.map((n) => n * 60), rxBytes: values.map(() => 0) };
  return {
    since: begin,
    until: begin + 60 * minute,
    stepSeconds: 60,
    isComplete: true,
    isPartial: false,
    at,
    series: Object.fromEntries(kinds.map((kind) => [kind, series])) as never,
    audit: values.map((n) => n % 2),
    webhook: values.map((n) => Math.floor(n / 2)),
  };
}

const span = (from: number, to: number) => ({ since: begin + from * minute, until: begin + to * minute });

describe("minutes", () => {
  test("become rates at the middle of each minute", () => {
    const { at, series, stepSeconds } = historyOf(traffic({ 0: 60, 1: 120, 2: 30 }), span(0, 3), begin);
    expect(at).toEqual([0, 1, 2].map((n) => begin / 1000 + n * 60 + 30));
    expect(series.virtual.entries).toEqual([1, 2, 0.5]);
    expect(series.exit.txBytes).toEqual([60, 120, 30]);
    expect(stepSeconds).toBe(60);
  });

  test("without records are zero while the program runs, or if there are only a few", () => {
    const { series, hasGap, first } = historyOf(traffic({ 2: 60, 5: 60 }), span(0, 20), begin + 10 * minute);
    expect(series.virtual.entries.slice(2, 6)).toEqual([1, 0, 0, 1]);
    expect(series.virtual.entries.slice(10)).toEqual(Array(10).fill(0));
    expect([hasGap, first]).toEqual([true, begin + 2 * minute]);
  });

  test("without records are a gap before the program started, and before the first record", () => {
    const { series, hasGap } = historyOf(traffic({ 3: 60, 4: 60, 15: 60 }), span(0, 17), begin + 14 * minute);
    const [gap, before] = [Array(9).fill(null), Array(3).fill(null)];
    expect(series.virtual.entries).toEqual([...before, 1, 1, ...gap, 0, 1, 0]);
    expect(hasGap).toBe(true);
    expect(historyOf(traffic({ 3: 60, 4: 60 }), span(0, 5), begin + 5 * minute).hasGap).toBe(false);
  });

  test("that are not over yet become rates over the part that has passed", () => {
    const { series } = historyOf(traffic({ 0: 60, 1: 30 }), { since: begin, until: begin + 1.5 * minute }, begin);
    expect(series.virtual.entries).toEqual([1, 1]);
  });

  test("are summed up if there are more than a screen can show", () => {
    const { at, series, stepSeconds } = historyOf(traffic({ 0: 60, 1: 180 }), span(0, 3000), begin);
    expect([at.length, stepSeconds, series.virtual.entries[0]]).toEqual([1500, 120, 2]);
  });

  test("are gaps if there is no traffic at all", () => {
    const { series, first } = historyOf(traffic({}), span(0, 10), Number.POSITIVE_INFINITY);
    expect([first, series.virtual.entries]).toEqual([undefined, Array(10).fill(null)]);
  });
});

test("events are marked in equal parts of the range", () => {
  const found = traffic({ 0: 3, 1: 1, 30: 2, 59: 0 });
  expect(marksOf(found, span(0, 60), 6)).toEqual([
    { ...span(0, 10), audit: 2, webhook: 1 },
    { ...span(30, 40), audit: 0, webhook: 1 },
  ]);
  expect(marksOf(found, span(0, 60), 1000)).toHaveLength(3);
  expect(marksOf(traffic({}), span(0, 60), 6)).toEqual([]);
});

describe("a range", () => {
  test("between two times is in the address, in whole minutes and not after now", () => {
    const now = begin + 20 * minute;
    const more = addressOf({ since: begin + 1, until: begin + 90 * minute }, now);
    expect(fixedSpanOf({ more })).toEqual({ since: begin, until: now });
    const short = fixedSpanOf({ more: addressOf({ since: now - 5, until: now }, now) });
    expect(short).toEqual({ since: now - 6 * minute, until: now });
  });

  test.each([
    {},
    { since: "1" },
    { since: "5", until: "5" },
    { since: "a", until: "9" },
    { since: "-1", until: "9" },
    { since: "", until: "9" },
  ])("%j is not a range", (more) => {
    expect(fixedSpanOf({ more: more as Record<string, string> })).toBeUndefined();
  });

  test("up to now covers everything, or a length named in the address", () => {
    const namesOf = (...names: readonly string[]) => names.map((name) => spanOf({ more: { span: name } }));
    expect(spanOf({ more: {} })).toBe("all");
    expect(namesOf("1h", "6h", "24h", "all", "9h")).toEqual(["1h", "6h", "24h", "all", "all"]);
  });

  test("of everything begins with the first record and spans at least ten minutes", () => {
    const now = begin + 100 * minute;
    expect(spanUpTo(now, "all")).toEqual({ since: 0, until: now });
    expect(spanFrom(begin + 50 * minute, now)).toEqual(span(50, 100));
    expect(spanFrom(begin + 99 * minute, now)).toEqual(span(90, 100));
    expect(spanFrom(undefined, now)).toEqual(span(90, 100));
  });

  test("of a fixed length keeps it, and its chart is empty before the first record", () => {
    const hour = spanUpTo(begin + 60 * minute, "1h");
    expect(hour).toEqual(span(0, 60));
    expect(spanUpTo(begin, "24h")).toEqual(span(-24 * 60, 0));
    const { at, series } = historyOf(traffic({ 50: 60, 55: 60 }), hour, begin + 49 * minute);
    expect([at.length, at[0]]).toEqual([60, begin / 1000 + 30]);
    expect(series.virtual.entries.slice(0, 49)).toEqual(Array(49).fill(null));
    expect(series.virtual.entries.slice(49, 51)).toEqual([0, 1]);
  });

  test("is moved by half its length, not past now, and doubled", () => {
    const now = begin + 30 * minute;
    expect(moved(span(10, 20), "earlier", now)).toEqual(span(5, 15));
    expect(moved(span(10, 20), "later", now)).toEqual(span(15, 25));
    expect(moved(span(19, 29), "later", now)).toEqual(span(20, 30));
    expect(moved(span(20, 30), "wider", now)).toEqual(span(15, 30));
  });

  test("is entered in local time", () => {
    expect(timeOfInput(inputOf(begin))).toBe(begin);
    expect(timeOfInput("")).toBeUndefined();
    expect(timeOfInput("2026-13-45T99:99")).toBeUndefined();
  });
});
