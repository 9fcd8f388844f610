/** The number of missing entries of a stream, from Tailscale's count and the program's. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { activityOf, LossCount } from "../../src/tailnet/log-streams.ts";
import type { LogStreamStatus } from "../../src/tailscale/index.ts";
import { seeded } from "../support/random.ts";

const statusOf = (numEntriesSent: number, more: Partial<LogStreamStatus> = {}): LogStreamStatus => ({
  lastActivity: "2026-11-22T10:00:00Z",
  lastError: "",
  numBytesSent: 0,
  numEntriesSent,
  numTotalRequests: 0,
  numFailedRequests: 0,
  ...more,
});

test("nothing is known before the first status, and nothing is missing at the first one", () => {
  const loss = new LossCount();
  expect(loss.missing).toBeUndefined();
  loss.update(statusOf(1000, { numFailedRequests: 7 }), 40);
  expect(loss).toMatchObject({ status: { numEntriesSent: 1000, numFailedRequests: 7 }, missing: 0 });
});

test("entries that were sent and not received are missing until they arrive", () => {
  const loss = new LossCount();
  loss.update(statusOf(1000), 40);
  loss.update(statusOf(1100), 130);
  expect(loss.missing).toBe(10);
  loss.update(statusOf(1100), 140);
  expect(loss.missing).toBe(0);
});

test("receiving more than was sent is not a negative loss", () => {
  const loss = new LossCount();
  loss.update(statusOf(0), 0);
  loss.update(statusOf(10), 20);
  expect(loss.missing).toBe(0);
});

test("a reset of Tailscale's counter is a new baseline", () => {
  const loss = new LossCount();
  loss.update(statusOf(1000), 0);
  loss.update(statusOf(1010), 0);
  expect(loss.missing).toBe(10);
  loss.update(statusOf(3), 3);
  expect(loss).toMatchObject({ status: { numEntriesSent: 3 }, missing: 0 });
  loss.update(statusOf(5), 4);
  expect(loss.missing).toBe(1);
  loss.reset();
  expect(loss.missing).toBeUndefined();
  loss.update(statusOf(9), 4);
  expect(loss.missing).toBe(0);
});

test("equals the entries sent minus those received since the last baseline", () => {
  const look = fc.record({ lost: fc.nat(5), taken: fc.nat(50), isReset: fc.boolean() });
  fc.assert(
    fc.property(fc.array(look, { maxLength: 30 }), (looks) => {
      const loss = new LossCount();
      let sent = 1_000;
      let taken = 7;
      let lost = 0;
      loss.update(statusOf(sent), taken);
      for (const step of looks) {
        taken += step.taken;
        if (step.isReset && sent > 0) {
          sent = 0;
          lost = 0;
        } else {
          sent += step.taken + step.lost;
          lost += step.lost;
        }
        loss.update(statusOf(sent), taken);
        expect(loss).toMatchObject({ status: { numEntriesSent: sent }, missing: lost });
      }
    }),
    seeded(),
  );
});

test("there is no last activity if Tailscale has sent nothing", () => {
  expect(activityOf(statusOf(0, { lastActivity: "" }))).toBeUndefined();
  expect(activityOf(statusOf(0, { lastActivity: "0001-01-01T00:00:00Z" }))).toBeUndefined();
  expect(activityOf(statusOf(0))).toBe("2026-11-22T10:00:00Z");
});
