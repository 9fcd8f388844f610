/** The simulated audit records: deterministic, in the format of the stream, and decodable. */
import { expect, test } from "bun:test";
import { changesIn } from "../../src/demo/changes.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import { windowMs, windowSettledMs } from "../../src/demo/flows.ts";
import { decodeAudit } from "../../src/records/plain.ts";
import { unwrapped } from "../support/records.ts";

const windows = Array.from({ length: 400 }, (_, offset) => 358_720_000 + offset);
const changes = windows.flatMap((window) => changesIn(buildTailnet(7), window));

test("the same seed and window give the same changes", () => {
  expect(changes.length).toBeGreaterThan(100);
  expect(windows.flatMap((window) => changesIn(buildTailnet(7), window))).toEqual(changes);
});

test("records carry neither eventTime nor type", () => {
  for (const { event } of changes) {
    expect(event).not.toHaveProperty("eventTime");
    expect(event).not.toHaveProperty("type");
  }
});

test("every record is decoded as an audit record, at the time of its envelope", () => {
  const { records, skipped } = unwrapped(changes);
  expect(skipped).toEqual([]);
  const times = records.map((record) => decodeAudit(record).time);
  expect(times.map((time) => time && Math.round(time[0] * 1000 + time[1] / 1e6))).toEqual(
    changes.map(({ time }) => Math.round(time * 1000)),
  );
});

test("users, OAuth clients and Tailscale itself act, and some changes fail", () => {
  const actions = new Set(changes.map(({ event }) => event.action));
  expect([...actions].sort()).toEqual(["APPROVE", "CREATE", "DISABLE", "ENABLE", "EXPIRED", "LOGIN", "UPDATE"]);
  expect(new Set(changes.map(({ event }) => event.actor.type))).toEqual(
    new Set(["USER", "OAUTH_CLIENT", "AUTOMATED_WORKER"]),
  );
  expect(changes.some(({ event }) => event.error !== undefined)).toBe(true);
});

test("the records of one operation share a group of their own", () => {
  const groups = Map.groupBy(changes, ({ event }) => event.eventGroupID);
  expect(Math.max(...[...groups.values()].map((group) => group.length))).toBe(3);
  for (const group of groups.values()) expect((group.at(-1)?.time ?? 0) - (group[0]?.time ?? 0)).toBeLessThan(1);
});

test("nothing is later than the time at which a window is settled", () => {
  for (const window of windows) {
    for (const { time, fields } of changesIn(buildTailnet(7), window)) {
      expect(Math.max(time * 1000, Date.parse(fields.recorded))).toBeLessThan(window * windowMs + windowSettledMs);
    }
  }
});
