/** Tests what is logged about a failing export, in virtual time. */
import { expect, test } from "bun:test";
import { Outage } from "../../src/export/outage.ts";
import { silentLogger } from "../../src/lib/logger.ts";

const minute = 60_000;

function watched() {
  const lines: string[] = [];
  const seen = { now: 1_800_000_000_000, lines };
  const note = (message: string, fields?: object): void =>
    void lines.push(fields !== undefined && "why" in fields ? `${message}: ${String(fields.why)}` : message);
  const outage = new Outage("log export", { ...silentLogger, warn: note, info: note }, () => seen.now);
  return { outage, seen };
}

test("a new outage soon after a recovery is logged at once", () => {
  const { outage, seen } = watched();
  outage.fail("waiting", "ECONNREFUSED");
  seen.now += 5_000;
  outage.recover();
  seen.now += 5_000;
  outage.fail("waiting", "HTTP 401");
  outage.fail("waiting", "HTTP 401");
  expect(seen.lines).toEqual([
    "log export failing; retrying: ECONNREFUSED",
    "log export recovered",
    "log export failing; retrying: HTTP 401",
  ]);
});

test("a changed cause is logged once, and a lasting one every five minutes", () => {
  const { outage, seen } = watched();
  for (const why of ["ECONNREFUSED", "HTTP 401", "ECONNREFUSED", "HTTP 401"]) {
    seen.now += 1_000;
    outage.fail("waiting", why);
  }
  expect(seen.lines).toEqual(["log export failing; retrying: ECONNREFUSED", "log export still failing: HTTP 401"]);
  seen.now += 5 * minute;
  outage.fail("waiting", "HTTP 401");
  expect(seen.lines.slice(2)).toEqual(["log export still failing: HTTP 401"]);
  outage.fail("refusing", "HTTP 400");
  expect(seen.lines.at(-1)).toBe("the backend rejects every log record; keeping logs until it accepts them: HTTP 400");
});

test("causes that change every time are logged a few times, and the recovery still is", () => {
  const { outage, seen } = watched();
  for (let request = 0; request < 100; request++) outage.fail("waiting", `HTTP 503: request ${request}`);
  expect(seen.lines).toHaveLength(3);
  outage.recover();
  expect(seen.lines.at(-1)).toBe("log export recovered");
});

test("an export that fails and recovers every second logs few lines, and the last one is never wrong", () => {
  const { outage, seen } = watched();
  for (let second = 0; second < 3600; second++) {
    seen.now += 1_000;
    if (second % 2 === 0) outage.fail("waiting", "HTTP 503");
    else outage.recover();
    if (second % 2 === 0) expect(seen.lines.at(-1)).not.toBe("log export recovered");
  }
  expect(seen.lines.length).toBeLessThanOrEqual(26);
  seen.now += 6 * minute;
  outage.recover();
  expect(seen.lines.at(-1)).toBe("log export recovered");
  seen.now += 1_000;
  outage.fail("waiting", "HTTP 503");
  expect(seen.lines.at(-1)).toBe("log export failing; retrying: HTTP 503");
});
