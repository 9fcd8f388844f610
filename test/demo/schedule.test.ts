/** When records are sent: as they become due, in order, never twice or ahead of time. */
import { expect, test } from "bun:test";
import { createSchedule, sendDue } from "../../src/demo/sender.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import type { WireAudit } from "../../src/demo/wire.ts";

const startMs = 1_793_610_908_125;

function started() {
  const time = { now: startMs };
  return { time, schedule: createSchedule(buildTailnet(1), () => time.now) };
}

test("nothing is due at first, and flow records come one window at a time", () => {
  const { time, schedule } = started();
  expect([schedule.nextFlows(), schedule.nextChanges(), schedule.nextMishaps(), schedule.nextDeliveries()]).toEqual([
    [],
    [],
    [],
    [],
  ]);
  time.now += 20_000;
  const starts = Array.from({ length: 4 }, () => earliest(schedule.nextFlows()));
  expect(starts).toEqual(starts.toSorted((left, right) => left - right));
  expect(startMs - (starts[0] ?? 0)).toBeLessThan(20_000);
  expect(schedule.nextFlows()).toEqual([]);
});

test("no record is sent twice or lies in the future", () => {
  const { time, schedule } = started();
  const keys = new Set<string>();
  let records = 0;
  for (let step = 0; step < 720; step++) {
    time.now += 5000;
    for (let flows = schedule.nextFlows(); flows.length > 0; flows = schedule.nextFlows()) {
      for (const { time: at, event } of flows) {
        expect(at * 1000).toBeLessThanOrEqual(time.now);
        keys.add(`${event.nodeId} ${event.start}`);
        records++;
      }
    }
  }
  expect(keys.size).toBe(records);
  expect(records).toBeGreaterThan(10_000);
});

test("only the last hour is caught up on after the machine was asleep for long", () => {
  const { time, schedule } = started();
  time.now += 24 * 3_600_000;
  expect(time.now - earliest(schedule.nextFlows())).toBeLessThan(3_700_000);
});

test("audit records are sent when they are due, none twice", () => {
  const { time, schedule } = started();
  const nameOf = ({ eventGroupID, target, action }: WireAudit): string =>
    `${eventGroupID} ${target.property} ${action}`;
  const groups: string[] = [];
  for (let second = 0; second < 600; second++) {
    time.now += 1000;
    for (const { time: at, event } of schedule.nextChanges()) {
      expect(at * 1000).toBeLessThanOrEqual(time.now);
      groups.push(nameOf(event));
    }
  }
  expect(groups.length).toBeGreaterThan(30);
  expect(new Set(groups).size).toBe(groups.length);
});

test("everything due is sent at once, and sent again if the answer was lost", async () => {
  const { time, schedule } = started();
  time.now += 5000;
  const [records, events]: [object[][], object[][]] = [[], []];
  const pushes = {
    records: async (some: readonly object[]) => void records.push([...some]),
    events: async (some: readonly object[]) => void events.push([...some]),
  };
  await sendDue(schedule, pushes, { hasLostAnswer: true });
  expect(records.at(-1)).toEqual(records[0] as object[]);
  expect(events.length).toBeGreaterThan(0);
  const sent = records.length;
  await sendDue(schedule, pushes, { hasLostAnswer: true });
  expect(records.length).toBe(sent);
});

function earliest(flows: readonly { readonly event: { readonly start: string } }[]): number {
  return Math.min(...flows.map(({ event }) => Date.parse(event.start)));
}
