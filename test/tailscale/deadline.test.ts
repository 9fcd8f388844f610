/** A limit that counts only while it is not paused. */
import { expect, test } from "bun:test";
import { setTimeout as wait } from "node:timers/promises";
import { startDeadline } from "../../src/tailscale/client.ts";

test("what has passed before a pause is not given again", async () => {
  const deadline = startDeadline(150, undefined);
  for (let round = 0; round < 100 && !deadline.isOver; round++) {
    await wait(10);
    deadline.pause();
    deadline.resume();
  }
  expect(deadline.isOver).toBe(true);
  expect(deadline.signal.aborted).toBe(true);
});

test("a pause holds it, and the end of the wait lets it go on", async () => {
  const deadline = startDeadline(20, undefined);
  deadline.pause();
  await wait(60);
  expect(deadline.isOver).toBe(false);
  deadline.resume();
  await new Promise((resolve) => deadline.signal.addEventListener("abort", resolve));
  expect(deadline.isOver).toBe(true);
});

test("one that was stopped never ends", async () => {
  const deadline = startDeadline(5, undefined);
  deadline.stop();
  await wait(30);
  expect(deadline.signal.aborted).toBe(false);
});

test("the outer signal ends it early, which is not its own end", () => {
  const outer = new AbortController();
  const deadline = startDeadline(60_000, outer.signal);
  outer.abort();
  expect(deadline.signal.aborted).toBe(true);
  expect(deadline.isOver).toBe(false);
  deadline.stop();
});
