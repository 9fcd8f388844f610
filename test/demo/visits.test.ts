/** The simulated webhook events: deterministic, in Tailscale's format, covering the whole life of a device. */
import { expect, test } from "bun:test";
import { createSchedule } from "../../src/demo/sender.ts";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import { windowMs } from "../../src/demo/flows.ts";
import { visitsIn } from "../../src/demo/events.ts";
import { decodeWebhook } from "../../src/records/plain.ts";

const windows = Array.from({ length: 120 }, (_, offset) => 358_720_000 + offset);
const deliveries = windows.flatMap((window) => visitsIn(buildTailnet(7), window));
const events = deliveries.flat();

test("the same seed and window give the same deliveries", () => {
  expect(windows.flatMap((window) => visitsIn(buildTailnet(7), window))).toEqual(deliveries);
  expect(new Set(events.map((event) => JSON.stringify(event))).size).toBe(events.length);
});

test("every device is created, approved, expires and is deleted, in that order", () => {
  const lives = Map.groupBy(events, ({ data }) => data["nodeID"]);
  const whole = [...lives.values()].filter((life) => life[0]?.type === "nodeCreated" && life.length === 5);
  expect(whole.length).toBeGreaterThan(15);
  for (const life of whole) {
    expect(life.map(({ type }) => type)).toEqual([
      "nodeCreated",
      "nodeNeedsApproval",
      "nodeApproved",
      "nodeKeyExpired",
      "nodeDeleted",
    ]);
    const times = life.map(({ timestamp }) => timestamp);
    expect(times).toEqual(times.toSorted());
  }
});

test("every event can be decoded and has a time inside its window", () => {
  for (const window of windows) {
    for (const event of visitsIn(buildTailnet(7), window).flat()) {
      const { time } = decodeWebhook({ value: { ...event } });
      expect(Math.floor(((time?.[0] ?? 0) * 1000) / windowMs)).toBe(window);
    }
  }
});

test("due events are sent once, and never ahead of time", () => {
  let now = 1_793_610_908_125;
  const schedule = createSchedule(buildTailnet(1), () => now);
  now += 300_000;
  const past = schedule.nextDeliveries().flat();
  expect(past.length).toBeGreaterThan(50);
  expect(schedule.nextDeliveries()).toEqual([]);
  now += 30_000;
  const all = [...past, ...schedule.nextDeliveries().flat()];
  expect(all.length).toBeGreaterThan(past.length);
  expect(new Set(all.map((event) => JSON.stringify(event))).size).toBe(all.length);
  for (const { timestamp } of all) expect(Date.parse(timestamp)).toBeLessThanOrEqual(now);
});
