/** What is sent when: the past first, then what becomes due, and nothing twice or ahead of time. */
import { expect, test } from "bun:test";
import { createSchedule } from "../../src/demo/sender.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import type { WireAudit } from "../../src/demo/wire.ts";

const startMs = 1_793_610_908_125;

test("flow records begin an hour before the start, and go forward one window at a time", () => {
  const schedule = createSchedule(buildTailnet(1), () => startMs);
  const starts = Array.from({ length: 5 }, () => earliest(schedule.nextFlows()));
  expect(starts).toEqual(starts.toSorted((left, right) => left - right));
  expect(startMs - (starts[0] ?? 0)).toBeWithin(3_600_000, 3_620_000);
});

test("a window that has settled meanwhile is due", () => {
  let now = startMs;
  const schedule = createSchedule(buildTailnet(1), () => now);
  while (schedule.nextFlows().length > 0);
  now += 5000;
  expect(now - earliest(schedule.nextFlows())).toBeLessThan(20_000);
  expect(schedule.nextFlows()).toEqual([]);
});

test("the past ends, and no record is sent twice or lies in the future", () => {
  const schedule = createSchedule(buildTailnet(1), () => startMs);
  const keys = new Set<string>();
  let records = 0;
  for (let flows = schedule.nextFlows(); flows.length > 0; flows = schedule.nextFlows()) {
    for (const { time, event } of flows) {
      expect(time * 1000).toBeLessThanOrEqual(startMs);
      keys.add(`${event.nodeId} ${event.start}`);
      records++;
    }
  }
  expect(keys.size).toBe(records);
  expect(records).toBeGreaterThan(10_000);
});

test("after a long sleep of the machine, only the last hour is caught up with", () => {
  let now = startMs;
  const schedule = createSchedule(buildTailnet(1), () => now);
  now += 24 * 3_600_000;
  expect(now - earliest(schedule.nextFlows())).toBeLessThan(3_700_000);
});

test("audit records of the past minutes come at once, later ones when they are due, none twice", () => {
  let now = startMs;
  const schedule = createSchedule(buildTailnet(1), () => now);
  const nameOf = ({ eventGroupID, target, action }: WireAudit): string =>
    `${eventGroupID} ${target.property} ${action}`;
  const groups = schedule.nextChanges().map(({ event }) => nameOf(event));
  expect(groups.length).toBeGreaterThan(5);
  expect(schedule.nextChanges()).toEqual([]);
  for (let second = 0; second < 600; second++) {
    now += 1000;
    for (const { time, event } of schedule.nextChanges()) {
      expect(time * 1000).toBeLessThanOrEqual(now);
      groups.push(nameOf(event));
    }
  }
  expect(groups.length).toBeGreaterThan(30);
  expect(new Set(groups).size).toBe(groups.length);
});

function earliest(flows: readonly { readonly event: { readonly start: string } }[]): number {
  return Math.min(...flows.map(({ event }) => Date.parse(event.start)));
}
