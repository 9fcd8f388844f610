/** Tests that keys of small batches share a row of their table, and that each is kept as long as required. */
import { afterEach, expect, test } from "bun:test";
import { createState } from "./sqlite-state.ts";
import { appendOf, finishAll, hourMs, keyOf, partOf } from "./support.ts";

const state = createState();
afterEach(() => state.remove());

test("keys that share a row expire when the youngest of them has outlived its window", async () => {
  const begin = state.now;
  const journal = state.open({ flowWindowMs: 6 * hourMs });
  for (const [n, keysAt] of [
    [1, begin + 50_000],
    [2, begin],
  ] as const)
    await journal.append(appendOf([partOf([n], { keysAt })]), () => undefined);
  await finishAll(journal);
  const known = () => [1, 2].map((n) => journal.knows("flow", keyOf(n), 0));
  state.now = begin + 6 * hourMs + 25_000;
  await journal.maintain();
  expect(known()).toEqual([true, true]);
  state.now = begin + 6 * hourMs + 60_000;
  await journal.maintain();
  expect(known()).toEqual([false, false]);
});
