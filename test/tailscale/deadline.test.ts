/** The timeout of one attempt: it is suspended while the program works, and then restarts. */
import { expect, test } from "bun:test";
import { setTimeout as wait } from "node:timers/promises";
import { startDeadline } from "../../src/tailscale/client.ts";

test("never expires while it is stopped, and restarts in full afterwards", async () => {
  const deadline = startDeadline(20, undefined);
  deadline.stop();
  await wait(60);
  expect([deadline.isOver, deadline.signal.aborted]).toEqual([false, false]);
  deadline.start();
  await new Promise((resolve) => deadline.signal.addEventListener("abort", resolve));
  expect(deadline.isOver).toBe(true);
});

test("is aborted early by the outer signal, which does not count as expiry", () => {
  const outer = new AbortController();
  const deadline = startDeadline(60_000, outer.signal);
  outer.abort();
  expect(deadline.signal.aborted).toBe(true);
  expect(deadline.isOver).toBe(false);
  deadline.stop();
});
