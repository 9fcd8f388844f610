/** Tests that a transaction of many keys holds no memory once it is committed. */
import { afterEach, expect, test } from "bun:test";
import { freedBy } from "../support/freed.ts";
import { createState } from "./sqlite-state.ts";
import { appendOf, partOf } from "./support.ts";

const state = createState();
afterEach(() => state.remove());

test("the keys of a large batch free each array that they outgrow, and the last one with the commit", async () => {
  const journal = state.open();
  const numbers = Array.from({ length: 20_000 }, (_, n) => n);
  const append = appendOf([partOf(numbers)]);
  const freed = await freedBy(() => journal.append(append, () => undefined));
  const bytesPerKey = 16;
  expect(freed).toEqual(
    expect.arrayContaining([256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768].map((keys) => keys * bytesPerKey)),
  );
});
