/** A seeded random source, which gives the same tailnet and the same traffic on every machine. */

export type Random = ReturnType<typeof createRandom>;

/** Each combination of numbers seeds an independent source, so that any window can be generated without those before it. */
export function createRandom(...seed: readonly number[]) {
  let state = seed.reduce((mixed, part) => scramble(mixed ^ scramble(part)), 0x9e3779b9);

  /** At least 0 and below 1. */
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    return (scramble(state) >>> 0) / 4294967296;
  }

  return {
    next,
    /** An integer, at least 0 and below `limit`. */
    below: (limit: number): number => Math.floor(next() * limit),
    /** True with the given probability. */
    chance: (probability: number): boolean => next() < probability,
    /** One of the items; the list must not be empty. */
    pick<Item>(items: readonly Item[]): Item {
      const item = items[Math.floor(next() * items.length)];
      if (item === undefined) throw new RangeError("nothing to pick from");
      return item;
    },
    /** A positive amount around `typical`: mostly within a factor of three, occasionally ten times as much. */
    around: (typical: number): number =>
      Math.max(1, Math.round(typical * Math.exp((next() + next() + next() - 1.5) * 1.8))),
  };
}

/** A 32-bit integer hash; every bit of the input changes about half of the output. */
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
