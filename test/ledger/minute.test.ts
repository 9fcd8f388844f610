/** Tests a single minute: its limits and its stored form. */
import { expect, test } from "bun:test";
import { Damaged } from "../../src/journal/index.ts";
import { addMinute, addService, type MinuteSums, noMinute, pairOf } from "../../src/ledger/minute.ts";
import { addPacked, packMinute, unpackMinute } from "../../src/ledger/packed-minute.ts";

function minuteWith(pairs: readonly (readonly [from: string, to: string | undefined, bytes: number])[]): MinuteSums {
  const minute = noMinute();
  for (const [from, to, bytes] of pairs) {
    pairOf(minute, from, to)?.sums.set([1, bytes, 2], to === undefined ? 9 : 0);
    minute.totals[0] = (minute.totals[0] as number) + 1;
    minute.totals[1] = (minute.totals[1] as number) + bytes;
  }
  return minute;
}

const hostile = [
  ["<img onerror=alert(1)>", "a\u0000b", 5],
  ["a\u0000", "b", 2 ** 52],
  ["", " ", 1],
  ["\ud800", "node", 3],
  ["7 x", undefined, 7],
  ["node", "node", 2],
] as const;

test("a minute is stored completely, whatever the names of nodes", () => {
  const minute = minuteWith(hostile);
  addService(minute, "__proto__", 4, 9);
  minute.omitted = 6;
  expect(unpackMinute(packMinute(0, minute))).toEqual(minute);
});

test("a minute adds up the same from memory and from its stored form", () => {
  const [first, second] = [minuteWith(hostile), minuteWith([...hostile.slice(2), ["new", "node", 8]])];
  const [plain, stored] = [noMinute(), noMinute()];
  for (const minute of [first, second]) {
    addMinute(plain, minute);
    addPacked(stored, packMinute(0, minute));
  }
  expect(stored).toEqual(plain);
  expect(plain.pairs.size).toBe(7);
});

test("a limited number of pairs is distinguished: entries of others are omitted, but in the totals", () => {
  for (const add of [addMinute, (into: MinuteSums, one: MinuteSums) => addPacked(into, packMinute(0, one))]) {
    const sums = noMinute(3);
    add(sums, minuteWith(hostile));
    expect([sums.pairs.size, sums.omitted, sums.totals[0]]).toEqual([3, 3, 6]);
  }
});

test("a minute is stored with its busiest pairs, ties sorted by name, and the others are omitted", () => {
  const name = (number: number): string => String(number).padStart(3, "0");
  const equal = Array.from({ length: 250 }, (_, number) => [name(number), "db", 7] as const).toReversed();
  const nodes = Array.from({ length: 201 }, (_, number) => [name(number), undefined, number + 1] as const);
  const stored = unpackMinute(packMinute(0, minuteWith([...equal, ["quiet", "db", 6], ["busy", "db", 8], ...nodes])));
  const to = (peer: string | undefined) => [...stored.pairs.values()].filter((pair) => pair.to === peer);
  const pairs = ["busy", ...Array.from({ length: 199 }, (_, number) => name(number))];
  expect(to("db").map(({ from }) => from)).toEqual(pairs);
  expect(to(undefined).map(({ from }) => from)).toEqual(
    nodes
      .slice(1)
      .map(([node]) => node)
      .toReversed(),
  );
  expect([stored.omitted, stored.totals[0]]).toEqual([53, 453]);
});

test("a minute is damaged if it is not in the form of this version, and then adds nothing", () => {
  const minute = packMinute(0, minuteWith(hostile));
  for (const bad of [{ totals: minute.totals.subarray(8) }, { detail: minute.detail.subarray(8) }]) {
    const into = noMinute();
    expect(() => addPacked(into, { ...minute, ...bad })).toThrow(Damaged);
    expect(into).toEqual(noMinute());
  }
});
