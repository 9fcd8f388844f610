/** Switching between sources days apart, and records older than the dedup keys: each is counted once or reported as uncertain. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { formatRfc3339 } from "../../../src/lib/rfc3339.ts";
import type { PollCursor } from "../../../src/journal/index.ts";
import { connection, flowValue } from "../../support/records.ts";
import { startTailnet, type Tailnet, type TailnetRecord } from "../../support/tailnet/index.ts";
import { createPolledProgram, nameOf, type PolledProgram, policy } from "../../support/polled-program.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

let clockAt: { now: number };
let tailnet: Tailnet;
let program: PolledProgram;
let added: number;

beforeEach(async () => {
  clockAt = { now: Date.UTC(2026, 10, 2, 9) };
  tailnet = await startTailnet({ clock: () => clockAt.now });
  program = createPolledProgram(tailnet, clockAt);
  added = 0;
});

afterEach(async () => {
  program.remove();
  await tailnet.stop();
});

/** A record that is logged now. */
function log(): TailnetRecord {
  const second = Math.floor(clockAt.now / 1000);
  const nodeId = `n${added++}CNTRL`;
  const virtualTraffic = [connection({ txBytes: 10 })];
  return tailnet.addFlow(
    flowValue({ nodeId, start: formatRfc3339([second - 7, 0]), end: formatRfc3339([second - 2, 0]), virtualTraffic }),
    formatRfc3339([second, 0]),
  );
}

/** Runs the program's timers for `ms`, with `each` called every five minutes. */
async function runFor(ms: number, each: () => Promise<void> | void = () => {}): Promise<void> {
  for (const end = clockAt.now + ms; clockAt.now < end;) {
    clockAt.now += 5 * minute;
    await each();
    expect(await program.poll()).toBe(true);
    await program.tick();
  }
}

/** Lets `ms` pass while the program is down and Tailscale keeps logging. */
function downFor(ms: number): TailnetRecord[] {
  const records = [];
  for (const end = clockAt.now + ms; clockAt.now < end;) {
    clockAt.now += 3 * hour;
    records.push(log());
  }
  return records;
}

const names = (records: readonly TailnetRecord[]): string[] => records.map(({ polled }) => nameOf(polled)).toSorted();
const acceptedNames = async (): Promise<string[]> => (await program.accepted()).toSorted();
const unverifiable = (): number => program.sum("tailscale2otel.reconcile.unverifiable", { type: "flow" });

test("polling, streaming, both and polling again, days apart, count every record once", async () => {
  const wanted: TailnetRecord[] = [];
  const streamed: TailnetRecord[] = [];
  const logged = (): void => void wanted.push(log());
  const loggedAndStreamed = async (): Promise<void> => {
    const record = log();
    wanted.push(record);
    streamed.push(record);
    await program.stream([record]);
  };

  await program.start("poll");
  await runFor(hour, logged);
  program.kill();
  wanted.push(...downFor(2 * day));

  await program.start("stream");
  await runFor(hour, loggedAndStreamed);
  expect(program.journal.pollCursor("flow")).toBeUndefined();
  program.kill();
  /** Nothing is polled in stream mode, so records logged while the program is down are lost. */
  downFor(3 * day);
  clockAt.now += hour;

  await program.start("both");
  await program.stream(streamed);
  await runFor(hour, loggedAndStreamed);
  program.kill();
  wanted.push(...downFor(2 * day));

  await program.start("poll");
  await program.stream(streamed);
  await runFor(hour, logged);
  clockAt.now += (policy.lag + 60) * 1000;
  expect(await program.poll()).toBe(true);
  await program.tick();

  expect(await acceptedNames()).toEqual(names(wanted));
  expect(program.sum("tailscale.network.io", { "network.io.direction": "transmit" })).toBe(wanted.length * 10);
  expect(unverifiable()).toBe(0);
  expect(program.sum("tailscale2otel.dedup.unproven")).toBe(0);
});

test("polling continues where it ended after a week of downtime", async () => {
  await program.start("both");
  const wanted = [log()];
  await runFor(20 * minute);
  program.kill();
  wanted.push(...downFor(7 * day));
  await program.start("both");
  await runFor(20 * minute);
  expect(await acceptedNames()).toEqual(names(wanted));
  expect(unverifiable()).toBe(0);
});

test("a day of failing polls loses nothing, and keeps the keys of records streamed meanwhile", async () => {
  await program.start("both");
  await runFor(10 * minute);
  tailnet.fail({ path: /logging/, times: 100_000, effect: { kind: "status", status: 500 } });
  const wanted: TailnetRecord[] = [];
  for (const end = clockAt.now + day; clockAt.now < end;) {
    clockAt.now += 10 * minute;
    const record = log();
    wanted.push(record);
    if (wanted.length % 2 === 0) await program.stream([record]);
    expect(await program.poll()).toBe(false);
    await program.tick();
  }
  tailnet.recover();
  await runFor(10 * minute);
  expect(await acceptedNames()).toEqual(names(wanted));
  expect(program.sum("tailscale2otel.reconcile.repaired")).toBe(wanted.length / 2);
  expect(unverifiable()).toBe(0);
});

test("commits a position with the records before it, or alone if there are none", async () => {
  await program.start("poll");
  for (const expected of [0, 1, 1]) {
    if (expected === 1 && added === 0) log();
    clockAt.now += 10 * minute;
    expect(await program.poll()).toBe(true);
    const before = program.journal.pollCursor("flow");
    program.kill();
    await program.start("poll");
    expect(program.journal.pollCursor("flow")).toEqual(before as PollCursor);
    expect(before?.readUntil).toBe(clockAt.now / 1000 - policy.lag);
    expect(await program.accepted()).toHaveLength(expected);
  }
});

test("a clock ten hours behind counts nothing twice, although the dedup window is six hours", async () => {
  tailnet.clockAheadMs = 10 * hour;
  await program.start("both");
  const record = tailnet.addFlow(
    flowValue({ nodeId: "nONECNTRL", start: formatRfc3339([clockAt.now / 1000 + 36_000, 0]), end: undefined }),
    formatRfc3339([clockAt.now / 1000 + 36_000, 0]),
  );
  await program.stream([record]);
  await runFor(12 * hour);
  expect(await program.accepted()).toEqual(["nONECNTRL"]);
  expect(program.sum("tailscale2otel.ingest.records", { source: "poll", outcome: "duplicate" })).toBeGreaterThan(0);
});

test.each(["young", "with keys that were dropped"])(
  "backdated answers do not stop polling for good: a journal %s",
  async (age) => {
    await program.start("poll");
    const wanted = [log()];
    await runFor(age === "young" ? 20 * minute : 8 * hour);
    expect(program.journal.horizon("flow").until > 0).toBe(age !== "young");
    const before = program.journal.pollCursor("flow")?.readUntil ?? 0;
    tailnet.clockAheadMs = -20 * day;
    clockAt.now += 5 * minute;
    await program.poll();
    for (let poll = 0; poll < 3; poll++) {
      clockAt.now += 5 * minute;
      expect(await program.poll()).toBe(false);
    }
    expect(program.journal.pollCursor("flow")?.readUntil).toBeGreaterThanOrEqual(before);
    tailnet.clockAheadMs = 0;
    wanted.push(log());
    await runFor(20 * minute);
    expect(await acceptedNames()).toEqual(names(wanted));
    expect(program.journal.pollCursor("flow")?.readUntil).toBe(clockAt.now / 1000 - policy.lag);
    expect(unverifiable()).toBe(0);
  },
);

test("records polled before there was a stream are neither repaired nor late", async () => {
  await program.start("poll");
  const record = log();
  await runFor(10 * minute);
  program.kill();
  await program.start("both");
  await program.stream([record]);
  expect(program.sum("tailscale2otel.ingest.records", { source: "stream", outcome: "duplicate" })).toBe(1);
  expect(program.sum("tailscale2otel.reconcile.repaired")).toBe(0);
  expect(program.sum("tailscale2otel.reconcile.late")).toBe(0);
});

test("counts streamed records older than the dedup keys as unproven", async () => {
  await program.start("stream");
  const old = log();
  await program.stream([old]);
  await runFor(7 * hour);
  expect(program.journal.horizon("flow").until).toBeGreaterThan(0);
  const fresh = log();
  await program.stream([old, fresh]);
  expect(program.sum("tailscale2otel.dedup.unproven")).toBe(1);
  expect(program.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(3);
});

test("a poll skips and counts a span whose stream keys were dropped, and counts no record twice", async () => {
  program.remove();
  program = createPolledProgram(tailnet, clockAt, { max_keys: 20 });
  await program.start("both");
  await runFor(10 * minute);
  tailnet.fail({ path: /logging/, times: 100_000, effect: { kind: "status", status: 500 } });
  const wanted: TailnetRecord[] = [];
  for (const end = clockAt.now + 5 * hour; clockAt.now < end;) {
    clockAt.now += 5 * minute;
    const record = log();
    wanted.push(record);
    await program.stream([record]);
    await program.poll();
    await program.tick();
  }
  tailnet.recover();
  const before = program.journal.pollCursor("flow")?.readUntil ?? 0;
  await runFor(5 * minute);
  expect(await acceptedNames()).toEqual(names(wanted));
  const skippedTo = Math.floor(program.journal.horizon("flow").streamed / 1000) + 61;
  expect(unverifiable()).toBe(skippedTo - before);
});
