import { describe, expect, test } from "bun:test";
import type { FailureCause } from "../../src/export/answer.ts";
import { Backlog } from "../../src/export/backlog.ts";
import { Delivery } from "../../src/export/delivery.ts";
import { settled } from "../../src/export/steps.ts";
import { atOnce } from "./journal-rows.ts";
import type { Posted } from "../../src/export/requests.ts";
import { exportBackoffMs as backoffMs } from "../../src/export/outage.ts";
import { startOfJournal } from "../../src/journal/index.ts";
import {
  type Backend,
  hour,
  type Log,
  lokiBackend,
  minute,
  refused,
  rowOf,
  Simulation,
  start,
  taken,
} from "./simulation.ts";

/** `DELIVERY_SEEDS` sets how many there are. */
const seeds = Array.from({ length: Number(process.env["DELIVERY_SEEDS"] ?? 20) }, (_, index) => index + 1);
const week = 7 * 24 * hour;
const never = (): boolean => false;

const sizeOf = (seed: number): number => [8, 90, 512][seed % 3] as number;

/** Commits records of one log record each, with events evenly spread over the time before the start, in rows of random size. */
function fillBacklog(simulation: Simulation, records: number, spanMs: number, endsAt = start): void {
  for (let record = 0; record < records;) {
    const row: number[][] = [];
    const size = 1 + Math.floor(simulation.random() * 12);
    for (; row.length < size && record < records; record++) row.push([endsAt - spanMs + (record * spanMs) / records]);
    simulation.commit(row);
  }
}

/** Commits a fresh record at regular intervals. */
function commitEvery(simulation: Simulation, everyMs: number, untilMs: number): void {
  for (let at = everyMs; at < untilMs; at += everyMs)
    simulation.at(start + at, () => simulation.commit([[simulation.now]]));
}

function badOf(simulation: Simulation, isBad: (log: Log) => boolean): number[] {
  return simulation.rows.flatMap(({ logs }) => logs.filter(isBad).map(({ id }) => id));
}

function expectDelivered(simulation: Simulation, deadLettered: number): void {
  expect(simulation.cursor.logRecords).toEqual({
    delivered: simulation.logs - deadLettered,
    rejected: 0,
    deadLettered,
  });
}

describe("a sink that refuses events an hour older than the newest accepted one", () => {
  test("receives a backlog of three hours in order and without a dead letter", async () => {
    for (const seed of seeds) {
      const simulation = new Simulation({ seed, backend: lokiBackend(), maxLogRecords: sizeOf(seed) });
      fillBacklog(simulation, 1_080, 3 * hour);
      simulation.start();
      expect(await simulation.drained(start + hour)).toBe(true);
      expect(simulation.marks).toEqual([]);
      expectDelivered(simulation, 0);
    }
  });

  test("causes exactly one dead letter if one event of the backlog is bad", async () => {
    for (const seed of seeds) {
      const bad = (seed * 97) % 1_080;
      const backend = lokiBackend(({ id }) => id === bad);
      const simulation = new Simulation({ seed, backend, maxLogRecords: sizeOf(seed) });
      fillBacklog(simulation, 1_080, 3 * hour);
      commitEvery(simulation, minute, 5 * minute);
      simulation.start();
      await simulation.until(never, start + hour);
      expect(simulation.deadIds).toEqual([bad]);
      expectDelivered(simulation, 1);
    }
  });

  test("causes dead letters for exactly the bad events of a long backlog, one in three", async () => {
    for (const seed of seeds) {
      const isBad = ({ id }: Log) => id < 1_000 && (Math.imul(id + seed, 2_654_435_761) >>> 8) % 3 === 0;
      const simulation = new Simulation({ seed, backend: lokiBackend(isBad), maxLogRecords: 512 });
      fillBacklog(simulation, 1_000, 20 * hour);
      commitEvery(simulation, minute, 30 * minute);
      simulation.start();
      await simulation.until(never, start + hour);
      expect(simulation.deadIds).toEqual(badOf(simulation, isBad));
    }
  });

  test("causes no further loss if it also refuses everything older than a week", async () => {
    for (const seed of seeds) {
      const loki = lokiBackend();
      const isOld = ({ time }: Log) => time < start - week;
      const backend: Backend = (logs, now, random) => (logs.some(isOld) ? refused : loki(logs, now, random));
      const simulation = new Simulation({ seed, backend, maxLogRecords: sizeOf(seed) });
      fillBacklog(simulation, 4_000, 20 * hour, start - week + 10 * hour);
      simulation.start();
      expect(await simulation.drained(start + hour)).toBe(true);
      expect(simulation.deadIds).toEqual(badOf(simulation, isOld));
    }
  });
});

test("delivers everything after a night in which everything was refused, whatever the answer to empty exports", async () => {
  for (const seed of seeds)
    for (const empty of [taken, refused]) {
      const loki = lokiBackend();
      const fixedAt = start + ((seed * 0.37) % 8) * hour;
      const simulation = new Simulation({
        seed,
        backend: (logs, now, random) => (now < fixedAt ? refused : loki(logs, now, random)),
        empty: (now) => (now < fixedAt ? empty : taken),
      });
      fillBacklog(simulation, 300, hour);
      commitEvery(simulation, 30_000, 8 * hour);
      simulation.start();
      await simulation.until(never, start + 8 * hour + 5 * minute);
      expect(simulation.marks).toEqual([]);
      expectDelivered(simulation, 0);
      expect(simulation.lines.length).toBeLessThan((fixedAt - start) / (5 * minute) + 5);
    }
}, 120_000);

test("reports that everything is refused, and tries one step at a time, if empty exports are refused too", async () => {
  const simulation = new Simulation({ seed: 1, backend: () => refused, empty: () => refused });
  fillBacklog(simulation, 20_000, hour);
  simulation.start();
  await simulation.until(never, start + 30_000);
  expect(simulation.requests.length).toBeLessThan(40);
  await simulation.until(never, start + hour);
  expect(simulation.delivery.state).toMatchObject({ kind: "refusing", why: "HTTP 400: no" });
  expect(simulation.lines[0]?.message).toBe("the backend rejects every log record; keeping logs until it accepts them");
  expect(simulation.requests.length).toBeLessThan(200);
});

test("makes dead letters of exactly the log records with a bad label, one in ten", async () => {
  for (const seed of seeds) {
    const isBad = ({ id }: Log) => id < 1_000 && (id * 7_919 + seed) % 10 === 0;
    const simulation = new Simulation({ seed, backend: lokiBackend(isBad), maxLogRecords: 512 });
    fillBacklog(simulation, 1_000, 30 * minute);
    commitEvery(simulation, minute, 5 * minute);
    simulation.start();
    await simulation.until(never, start + 20 * minute);
    expect(simulation.deadIds).toEqual(badOf(simulation, isBad));
    expect(simulation.cursor.records.deadLettered).toBe(100);
    expect(simulation.lines.filter(({ level }) => level === "warn").length).toBeLessThanOrEqual(2);
  }
});

describe("a backend that accepts nothing older than a week", () => {
  const runs = [
    { events: 20_000, spanMs: 6 * hour, requests: 100 },
    { events: 20_000, spanMs: 10 * minute, requests: 100 },
    { events: 20_000, spanMs: 14 * 24 * hour, requests: 150 },
    { events: 200_000, spanMs: 24 * hour, requests: 120 },
  ];
  for (const { events, spanMs, requests } of runs)
    test(`costs tens of requests and one line for ${events} old events over ${spanMs / hour} h`, async () => {
      for (const seed of seeds.slice(0, events > 50_000 ? 3 : 10)) {
        const simulation = new Simulation({
          seed,
          maxLogRecords: 512,
          backend: (logs, now) => (logs.some(({ time }) => time < now - week) ? refused : taken),
        });
        fillBacklog(simulation, events, spanMs, start - week - hour);
        commitEvery(simulation, 500, minute);
        simulation.start();
        await simulation.until(() => simulation.taken.length > 0, start + 30_000);
        expect(simulation.now - start).toBeLessThan(20_000);
        await simulation.until(never, start + 5 * minute);
        expect(simulation.deadIds.length).toBe(events);
        expectDelivered(simulation, events);
        const useful = simulation.requests.filter(({ ids, answer }) => answer === "accepted" && ids.length > 0);
        expect(simulation.requests.length - useful.length).toBeLessThanOrEqual(requests);
        expect(simulation.lines.length).toBeLessThanOrEqual(2);
      }
    });
});

test("marks exactly the log record whose requests always time out, and delivers the others meanwhile", async () => {
  for (const seed of seeds) {
    const bad = (57 + seed * 13) % 1_080;
    const timedOut: Posted = { kind: "failed", cause: "timeout", why: "timed out after 10 s" };
    const backend: Backend = (logs) => (logs.some(({ id }) => id === bad) ? timedOut : taken);
    const simulation = new Simulation({ seed, backend });
    fillBacklog(simulation, 1_080, hour);
    commitEvery(simulation, 10_000, 2 * hour);
    simulation.start();
    await simulation.until(never, start + 2 * hour + minute);
    expect(simulation.deadIds).toEqual([bad]);
    expect(simulation.marks[0]).toMatchObject({ why: "failing", message: "timed out after 10 s", logRecords: 1 });
    expectDelivered(simulation, 1);
  }
});

test("does not give up a log record whose requests fail for minutes, if one of them is accepted in the end", async () => {
  let alone = 0;
  const backend: Backend = (logs) => {
    if (!logs.some(({ id }) => id === 77)) return taken;
    return logs.length === 1 && ++alone > 3 ? taken : { kind: "failed", cause: "reset", why: "connection reset" };
  };
  const simulation = new Simulation({ seed: 1, backend });
  fillBacklog(simulation, 200, hour);
  commitEvery(simulation, 10_000, hour);
  simulation.start();
  await simulation.until(never, start + hour + minute);
  expect(simulation.marks).toEqual([]);
  expectDelivered(simulation, 0);
});

describe("an outage of hours", () => {
  const causes: readonly FailureCause[] = ["unreachable", "timeout", "reset", "server", "throttled", "denied"];
  for (const cause of causes)
    test(`by ${cause}: nothing is given up, the order is kept, and there is one try per back-off step`, async () => {
      for (const seed of seeds) {
        const loki = lokiBackend();
        const endsAt = start + 3 * hour + seed * 11_111;
        const failed: Posted = { kind: "failed", cause, why: cause };
        const answer = cause === "throttled" ? { ...failed, retryAfterMs: 120_000 } : failed;
        const simulation = new Simulation({
          seed,
          backend: (logs, now, random) => (now < endsAt ? answer : loki(logs, now, random)),
          empty: (now) => (now < endsAt ? answer : taken),
        });
        fillBacklog(simulation, 500, 3 * hour);
        commitEvery(simulation, 30_000, 4 * hour);
        simulation.start();
        await simulation.until(never, start + 4 * hour + minute);
        expect(simulation.marks).toEqual([]);
        expectDelivered(simulation, 0);
        // Back-off steps are 30 to 60 s. If a request fails for minutes, it may itself be the cause, so the next is tried too.
        const tries = simulation.requests.filter(({ at }) => at < endsAt).length;
        const steps = (endsAt - start) / (cause === "throttled" ? 120_000 : 30_000);
        const triesPerStep = ["timeout", "reset", "server"].includes(cause) ? 2 : 1;
        expect(tries).toBeLessThanOrEqual(steps * triesPerStep + 12);
        expect(simulation.states).toContainEqual(expect.objectContaining({ kind: "waiting", why: cause }));
        expect(simulation.delivery.state.kind).toBe("idle");
        expect(simulation.lines.at(-1)?.message).toBe("log export recovered");
      }
    });

  test("sends nothing newer before the oldest is delivered", async () => {
    for (const seed of seeds) {
      const endsAt = start + 10 * minute;
      const failed: Posted = { kind: "failed", cause: "unreachable", why: "connection refused" };
      const simulation = new Simulation({ seed, backend: (_, now) => (now < endsAt ? failed : taken) });
      fillBacklog(simulation, 1_000, minute);
      simulation.start();
      expect(await simulation.drained(start + hour)).toBe(true);
      expect(simulation.taken[0]).toBe(0);
      const late = simulation.requests.filter(({ at, ids }) => at > start + 2_000 && at < endsAt && ids[0] !== 0);
      expect(late).toEqual([]);
    }
  });
});

test("delivers everything to a backend that refuses large requests with 413", async () => {
  for (const seed of seeds) {
    const tooLarge: Posted = { kind: "refused", status: 413, message: "HTTP 413" };
    const backend: Backend = (logs) => (logs.length > 30 ? tooLarge : taken);
    const simulation = new Simulation({ seed, backend, maxLogRecords: 512 });
    fillBacklog(simulation, 5_000, hour);
    simulation.start();
    expect(await simulation.drained(start + hour)).toBe(true);
    expectDelivered(simulation, 0);
    expect(simulation.requests.length).toBeLessThan(500);
  }
});

test("halves a request that cannot be sent, and gives up a log record that cannot be sent alone", async () => {
  const backend: Backend = (logs) =>
    logs.length > 3 || logs.some(({ id }) => id === 20) ? { kind: "unsent", message: "cannot be encoded" } : taken;
  const simulation = new Simulation({ seed: 1, backend });
  fillBacklog(simulation, 50, minute);
  simulation.commit([[start], "the line is no JSON", []]);
  simulation.start();
  expect(await simulation.drained(start + minute)).toBe(true);
  expect(simulation.marks.map(({ why, message }) => [why, message])).toEqual([
    ["internal", "cannot be encoded"],
    ["internal", "the line is no JSON"],
  ]);
  expect(simulation.cursor.records).toEqual({ delivered: 51, deadLettered: 2 });
});

test("counts what a partial success rejects, and marks the range", async () => {
  const partial: Posted = { kind: "accepted", partial: { rejected: 3, message: "bad labels" } };
  const backend: Backend = (logs) => (logs[0]?.id === 0 ? partial : taken);
  const simulation = new Simulation({ seed: 1, backend, maxLogRecords: 10 });
  for (let row = 0; row < 4; row++) simulation.commit([[start, start], [start], [start, start]]);
  simulation.start();
  expect(await simulation.drained(start + minute)).toBe(true);
  expect(simulation.marks).toMatchObject([
    {
      seq: 1,
      from: 0,
      to: 3,
      why: "partial",
      logRecords: 3,
      message: "3 of 10 log records rejected: bad labels",
    },
    {
      seq: 2,
      from: 0,
      to: 3,
      why: "partial",
      logRecords: 0,
      message: "3 of 10 log records rejected: bad labels",
    },
  ]);
  expect(simulation.cursor.logRecords).toEqual({ delivered: 17, rejected: 3, deadLettered: 0 });
  expect(simulation.cursor.records).toEqual({ delivered: 12, deadLettered: 0 });
});

test("counts no more than it sent if a partial success says that more was rejected", async () => {
  const partial: Posted = { kind: "accepted", partial: { rejected: Number.POSITIVE_INFINITY, message: "bad" } };
  const simulation = new Simulation({ seed: 1, backend: () => partial, maxLogRecords: 10 });
  simulation.commit([[start, start]]);
  simulation.start();
  expect(await simulation.drained(start + minute)).toBe(true);
  expect(simulation.marks).toMatchObject([{ logRecords: 2, message: "2 of 2 log records rejected: bad" }]);
  expect(simulation.cursor.logRecords).toEqual({ delivered: 0, rejected: 2, deadLettered: 0 });
});

test("makes one dead letter of a record if some of its log records are refused, and never reports half of it", async () => {
  const backend: Backend = (logs) => (logs.some(({ id }) => id === 12 || id === 25) ? refused : taken);
  const simulation = new Simulation({ seed: 3, backend, maxLogRecords: 10 });
  simulation.commit([Array.from({ length: 40 }, () => start), [start]]);
  commitEvery(simulation, 1_000, 10_000);
  simulation.start();
  await simulation.until(never, start + minute);
  expect(simulation.marks).toMatchObject([{ seq: 1, from: 0, to: 1, why: "rejected", logRecords: 2 }]);
  expect(simulation.cursor.records).toEqual({ delivered: 10, deadLettered: 1 });
  expectDelivered(simulation, 2);
});

test("counts a single failure for all requests under way, whatever the outcome of the others", async () => {
  const failed: Posted = { kind: "failed", cause: "unreachable", why: "connection refused" };
  const endsAt = start + minute;
  for (const isFailing of [(): boolean => true, (logs: readonly Log[]): boolean => logs.some(({ id }) => id === 0)]) {
    const backend: Backend = (logs, now) => (now < endsAt && isFailing(logs) ? failed : taken);
    const simulation = new Simulation({ seed: 1, backend, latencyMs: () => 10 });
    fillBacklog(simulation, 1_000, minute);
    simulation.start();
    expect(await simulation.drained(start + hour)).toBe(true);
    const [, , , , ...later] = simulation.requests.filter(({ at }) => at < endsAt).map(({ at }) => at - start);
    // Half of each step is random: 1 s, 2 s, 4 s …
    const steps = later.map((at, step) => at - (later[step - 1] ?? 0));
    expect(steps.length).toBeGreaterThan(4);
    for (const [step, ms] of steps.slice(0, 5).entries()) expect(ms).toBeWithin(500 * 2 ** step, 1_050 * 2 ** step);
    expect(simulation.lines.filter(({ message }) => message === "log export recovered")).toHaveLength(1);
  }
});

test("divides no request because of timeouts in an outage of less than five minutes", async () => {
  for (const seed of seeds) {
    const timedOut: Posted = { kind: "failed", cause: "timeout", why: "timed out after 10 s" };
    const endsAt = start + 4.9 * minute;
    const simulation = new Simulation({ seed, backend: (_, now) => (now < endsAt ? timedOut : taken) });
    fillBacklog(simulation, 1_000, minute);
    simulation.start();
    expect(await simulation.drained(start + hour)).toBe(true);
    const tries = simulation.requests.filter(({ at, ids }) => at < endsAt && ids[0] === 0);
    expect(tries.length).toBeGreaterThan(10);
    expect(new Set(tries.map(({ ids }) => ids.length))).toEqual(new Set([100]));
  }
});

test("tries a suspected log record no more often than needed to give it up, if others are accepted", async () => {
  const backend: Backend = (logs) => (logs.some(({ id }) => id === 457) ? refused : taken);
  const simulation = new Simulation({ seed: 1, backend, latencyMs: () => 1_000 });
  fillBacklog(simulation, 1_000, minute);
  simulation.start();
  expect(await simulation.drained(start + hour)).toBe(true);
  expect(simulation.deadIds).toEqual([457]);
  expect(simulation.requests.filter(({ ids }) => ids.join() === "457")).toHaveLength(2);
  expect(simulation.requests.filter(({ ids }) => ids.length === 0)).toEqual([]);
});

describe("a stop", () => {
  test("ends the requests under way at its deadline", async () => {
    const simulation = new Simulation({ seed: 1, backend: () => taken });
    const signals: AbortSignal[] = [];
    const post = (_: unknown, signal: AbortSignal) => {
      signals.push(signal);
      return Promise.withResolvers<Posted>().promise;
    };
    const channel = { maxLogRecords: 100, post };
    const told = { onProgress: () => {}, onState: () => {} };
    const delivery = new Delivery("logs", startOfJournal, { ...simulation.parts, channel, ...told });
    fillBacklog(simulation, 10, minute);
    delivery.start();
    await simulation.until(() => signals.length === 1, start + minute);
    void delivery.stop(5_000);
    await simulation.until(never, start + 4_999);
    expect(signals[0]?.aborted).toBe(false);
    await simulation.until(never, start + 5_001);
    expect(signals[0]?.aborted).toBe(true);
  });

  test("at once moves the cursor past everything accepted", async () => {
    const simulation = new Simulation({ seed: 1, backend: () => taken });
    for (let row = 0; row < 100_000; row++) simulation.commit([]);
    simulation.start();
    let isStopped = false;
    await simulation.until(() => simulation.cursor.seq > 1, start + minute);
    const { seq } = simulation.cursor;
    void simulation.delivery.stop(0).then(() => (isStopped = true));
    await simulation.until(() => isStopped, start + minute);
    expect(simulation.cursor.seq).toBeGreaterThan(seq + 1_000);
  });

  test("tries once whatever waits for a back-off, and leaves failures in the journal", async () => {
    const simulation = new Simulation({
      seed: 1,
      backend: () => ({ kind: "failed", cause: "server", why: "HTTP 503" }),
    });
    fillBacklog(simulation, 10, minute);
    simulation.start();
    await simulation.until(() => simulation.requests.length === 5, start + hour);
    await simulation.until(never, simulation.now + 200);
    let isStopped = false;
    const stopped = simulation.delivery.stop(5_000).then(() => (isStopped = true));
    await simulation.until(() => isStopped, start + hour);
    await stopped;
    expect(simulation.requests.length).toBe(6);
    expect(simulation.cursor.seq).toBe(1);
    await simulation.delivery.stop(0);
  });

  test("delivers what is pending", async () => {
    const simulation = new Simulation({ seed: 1, backend: () => taken });
    fillBacklog(simulation, 2_000, minute);
    simulation.start();
    let isStopped = false;
    void simulation.delivery.stop(60_000).then(() => (isStopped = true));
    await simulation.until(() => isStopped, start + hour);
    expectDelivered(simulation, 0);
  });

  test("is cut off at its deadline", async () => {
    const simulation = new Simulation({ seed: 1, backend: () => taken, latencyMs: () => hour });
    fillBacklog(simulation, 10, minute);
    simulation.start();
    let stoppedAt = 0;
    void simulation.delivery.stop(5_000).then(() => (stoppedAt = simulation.now));
    await simulation.until(() => stoppedAt > 0, start + 10 * hour);
    expect(stoppedAt).toBe(start + 5_000);
  });
});

test("combines small rows while another request is under way", async () => {
  const simulation = new Simulation({ seed: 1, backend: () => taken, latencyMs: () => 500 });
  simulation.start();
  for (let at = 1; at <= 60; at++) simulation.at(start + at, () => simulation.commit([[simulation.now]]));
  expect(await simulation.until(() => simulation.taken.length === 60, start + minute)).toBe(true);
  expect(simulation.requests.map(({ ids }) => ids.length)).toEqual([1, 59]);
});

test("finds rows within seconds if a wake-up is lost while it is idle", async () => {
  const simulation = new Simulation({ seed: 1, backend: () => taken });
  simulation.start();
  simulation.commit([[start]]);
  await simulation.until(never, start + minute);
  expect(simulation.delivery.state.kind).toBe("idle");
  simulation.delivery.wake = () => {};
  for (let row = 0; row < 3; row++) simulation.commit([[simulation.now]]);
  expect(await simulation.drained(simulation.now + 10_000)).toBe(true);
  expectDelivered(simulation, 0);
});

test("logs little about a backend that fails every other request", async () => {
  const backend: Backend = (_logs, _now, random) =>
    random() < 0.5 ? { kind: "failed", cause: "server", why: "HTTP 503" } : taken;
  const simulation = new Simulation({ seed: 1, backend });
  commitEvery(simulation, 1_000, hour);
  simulation.start();
  await simulation.until(never, start + hour + 10 * minute);
  expectDelivered(simulation, 0);
  expect(simulation.lines.length).toBeLessThanOrEqual(2 * 13);
});

test("passes 100,000 rows without log records in steps, and counts their records as delivered", async () => {
  const simulation = new Simulation({ seed: 1, backend: () => taken });
  for (let row = 0; row < 100_000; row++) simulation.commit(row % 2 === 0 ? [] : [[]]);
  simulation.commit([[start]]);
  simulation.start();
  expect(await simulation.drained(start + minute)).toBe(true);
  expect(simulation.cursor.records).toEqual({ delivered: 50_001, deadLettered: 0 });
  expect(simulation.requests.length).toBe(1);
});

test("ends a request after 4 MiB of text, however few log records that is", () => {
  const rows = Array.from({ length: 20 }, (_, row) => rowOf(row + 1, [[{ id: row, time: start }]], 1024 * 1024));
  const backlog = new Backlog(startOfJournal, { next: (seq) => rows[seq - 1] }, () => start);
  const { spans, to } = atOnce(settled(backlog.read(backlog.head, { logRecords: 5000 })));
  expect([spans.length, to.count]).toEqual([4, 4]);
  const again = atOnce(settled(backlog.read(backlog.head, { logRecords: 5000, to: { ...to, seq: 11, count: 10 } })));
  expect(again.spans).toHaveLength(10);
});

describe("the back-off", () => {
  test("doubles from a second to a minute, with the upper half random", () => {
    const steps = [1, 2, 3, 6, 7, 8, 1_000];
    expect(steps.map((failures) => backoffMs(failures, undefined, () => 0))).toEqual([
      500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000,
    ]);
    expect(backoffMs(8, undefined, () => 0.999_999)).toBeCloseTo(60_000, -1);
  });

  test("honours Retry-After, but waits at least a second, spread by a tenth", () => {
    expect(backoffMs(3, 120_000, () => 0)).toBe(120_000);
    expect(backoffMs(3, 120_000, () => 0.999_999)).toBeCloseTo(132_000, -1);
    expect(backoffMs(3, 0, () => 0)).toBe(1_000);
  });
});
