/** The packed table is a map, whatever is added, asked and removed, and small. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { KeyTable, type KeyVerdict, rewrittenBit, sourceBits } from "../../src/journal/key-table.ts";
import type { SeenKey } from "../../src/records/identity.ts";
import { seeded } from "../support/random.ts";

const top = 0xffff_ffff;

/** Few windows, some at the end of the range so that runs go on at the start of the table. */
const key: fc.Arbitrary<SeenKey> = fc.record({
  high: fc.oneof(fc.constantFrom(0, 1, top, top - 1, 0x8000_0000), fc.integer({ min: top - 2_000_000, max: top })),
  low: fc.constantFrom(0, 1, 0x0100_0000, 0x0100_0001, 0xff00_0000, top),
  check: fc.constantFrom(0, 1, top),
  at: fc.constant(0),
});

interface Held {
  readonly high: number;
  readonly low: number;
  readonly check: number;
  bits: number;
}

/** The slow obvious one. */
class MapTable {
  readonly held = new Map<string, Held>();

  add({ high, low, check }: SeenKey, bits: number): void {
    const known = this.held.get(`${high} ${low}`);
    if (known === undefined) this.held.set(`${high} ${low}`, { high, low, check, bits });
    else known.bits |= bits;
  }

  remove({ high, low }: SeenKey): void {
    const known = this.held.get(`${high} ${low}`);
    if (known !== undefined && (known.bits & rewrittenBit) !== 0) known.bits &= ~rewrittenBit;
    else this.held.delete(`${high} ${low}`);
  }

  probe({ high, low, check }: SeenKey): KeyVerdict {
    const known = this.held.get(`${high} ${low}`);
    if (known !== undefined) return known.check === check ? "known" : "known_counters";
    const hasWindow = [...this.held.values()].some((other) => other.high === high && other.low >>> 24 === low >>> 24);
    return hasWindow ? "new_entries" : "new";
  }
}

const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ does: fc.constant("add" as const), key, bits: fc.constantFrom(1, 2, 4, 9, 10) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant("remove" as const),
      places: fc.array(fc.nat(), { minLength: 1, maxLength: 20 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("crowd" as const), key, keys: fc.constantFrom(10, 300) }) },
);

test("is a map", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.array(key, { maxLength: 20 }), (actions, probes) => {
      const table = new KeyTable();
      const map = new MapTable();
      const add = (subject: SeenKey, bits: number): void => {
        table.add(subject, bits);
        map.add(subject, bits);
      };
      for (const step of actions) {
        if (step.does === "add") add(step.key, step.bits);
        /** A whole cluster with one home slot: the table grows, and its runs wrap around. */
        if (step.does === "crowd")
          for (let n = 0; n < step.keys; n++) add({ ...step.key, low: (step.key.low + n * 7) >>> 0 }, 1);
        for (const place of step.does === "remove" ? step.places : []) {
          const held = [...map.held.values()];
          const subject = { check: 0, ...(held[place % held.length] ?? { high: place >>> 0, low: 0 }), at: 0 };
          table.remove(subject);
          map.remove(subject);
        }
      }
      expect(table.size).toBe(map.held.size);
      const subjects = [...probes, ...[...map.held.values()].map((held) => ({ ...held, at: 0 }))];
      for (const subject of subjects) {
        expect(table.probe(subject)).toBe(map.probe(subject));
        expect(table.bitsOf(subject)).toBe(map.held.get(`${subject.high} ${subject.low}`)?.bits ?? 0);
      }
    }),
    seeded(150),
  );
});

describe("tells", () => {
  const known: SeenKey = { high: 5, low: 0x0100_0001, check: 9, at: 0 };
  test.each([
    ["known", known],
    ["known_counters", { ...known, check: 8 }],
    ["new_entries", { ...known, low: 0x0100_0002 }],
    ["new", { ...known, low: 0x0200_0001 }],
    ["new", { ...known, high: 6 }],
  ] satisfies [KeyVerdict, SeenKey][])("%s", (verdict, asked) => {
    const table = new KeyTable();
    table.add(known, sourceBits.stream);
    expect(table.probe(asked)).toBe(verdict);
  });

  test("a known key from one of the same window that stands before it", () => {
    const table = new KeyTable();
    table.add({ ...known, low: 0x0100_0002 }, 1);
    table.add(known, 1);
    expect(table.probe(known)).toBe("known");
  });
});

test("the first counters win, sources add up", () => {
  const table = new KeyTable();
  const first: SeenKey = { high: 1, low: 2, check: 3, at: 0 };
  table.add(first, sourceBits.poll);
  table.add({ ...first, check: 4 }, sourceBits.stream);
  expect(table.probe(first)).toBe("known");
  expect(table.bitsOf(first)).toBe(sourceBits.poll | sourceBits.stream);
  expect(table.size).toBe(1);
});

test("costs at most 20 bytes a key from 100,000 keys on", () => {
  const table = new KeyTable();
  let state = 1;
  let worst = 0;
  for (let n = 0; n < 300_000; n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    table.add({ high: state, low: n, check: 0, at: 0 }, 1);
    if (table.size >= 100_000) worst = Math.max(worst, table.byteLength / table.size);
  }
  expect(table.size).toBe(300_000);
  expect(worst).toBeLessThanOrEqual(20);
  expect(worst).toBeGreaterThan(13);
});
