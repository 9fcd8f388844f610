import { describe, expect, test } from "bun:test";
import { Delivery } from "../../src/export/delivery.ts";
import type { Channel, DeliverySource, Posted } from "../../src/export/requests.ts";
import { Redelivering, shareChannel } from "../../src/export/redelivery.ts";
import { type Mark, type Redelivery, type RedeliveryProgress, startOfJournal } from "../../src/journal/index.ts";
import { type Backend, hour, minute, refused, rowOf, Simulation, start, taken } from "./simulation.ts";

const never = (): boolean => false;

/** Only records inside the marks have log records; a retry skips rows without a mark. */
function markedSource(simulation: Simulation, marks: readonly Mark[]): DeliverySource {
  const last = Math.max(...marks.map(({ seq }) => seq));
  return {
    next(from) {
      for (let seq = from; seq <= last; seq++) {
        const row = simulation.rows[seq - 1];
        const own = marks.filter((mark) => mark.seq === seq);
        if (row === undefined || own.length === 0) continue;
        const records = Array.from({ length: row.records }, (_, record) =>
          own.some(({ from: first, to }) => first <= record && record < to)
            ? row.logs.slice(row.firstLogRecord(record), row.firstLogRecord(record + 1))
            : [],
        );
        return rowOf(seq, records);
      }
      return undefined;
    },
  };
}

function markOf(id: number, seq: number, from: number, to: number): Mark {
  return { id, seq, from, to, why: "rejected", logRecords: to - from, message: "no", at: start };
}

async function retry(simulation: Simulation, marks: readonly Mark[], cursor = startOfJournal) {
  const progress: RedeliveryProgress[] = [];
  const redelivering = new Redelivering({
    ...simulation.parts,
    open: () => ({ source: markedSource(simulation, marks), marks }),
    onProgress: (step) => progress.push(step),
    onState() {},
  });
  const redelivery: Redelivery = { name: "retry", id: 7, cursor, untilSeq: 1_000, total: 0, marks: {} };
  redelivering.use("retry", redelivery);
  await simulation.until(() => progress.at(-1)?.isOver === true, start + 3 * hour);
  return { progress, taken: progress.flatMap((step) => step.taken), last: progress.at(-1) };
}

/** Ten rows of ten records with a log record each; ids are 0 to 99. */
function filled(backend: Backend): Simulation {
  const simulation = new Simulation({ seed: 5, backend, maxLogRecords: 40 });
  for (let row = 0; row < 10; row++) simulation.commit(Array.from({ length: 10 }, () => [start - hour]));
  return simulation;
}

const marks = [markOf(3, 2, 0, 10), markOf(1, 3, 4, 6), markOf(2, 7, 0, 3), markOf(9, 7, 9, 10)];

describe("a retry", () => {
  test("sends only the marked records, and reports every mark that was accepted", async () => {
    const simulation = filled(() => taken);
    const { taken: ids, last } = await retry(simulation, marks);
    expect(simulation.taken).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 24, 25, 60, 61, 62, 69]);
    expect(ids).toEqual([3, 1, 2, 9]);
    expect(last).toMatchObject({
      name: "retry",
      id: 7,
      isOver: true,
      cursor: { records: { delivered: 16, deadLettered: 0 } },
    });
  });

  test("keeps the marks that are refused again, and ends even if nothing newer exists", async () => {
    const simulation = filled((logs) => (logs.some(({ id }) => id === 25 || id === 69) ? refused : taken));
    const { taken: ids, last } = await retry(simulation, marks);
    expect(ids).toEqual([3, 2]);
    expect(last?.cursor.records).toEqual({ delivered: 13, deadLettered: 3 });
  });

  test("narrows a partially accepted request until exactly the marks with rejected log records remain", async () => {
    const backend: Backend = (logs) => {
      const rejected = logs.filter(({ id }) => id === 25).length;
      return rejected === 0 ? taken : { kind: "accepted", partial: { rejected, message: "bad label" } };
    };
    const simulation = filled(backend);
    const { taken: ids } = await retry(simulation, marks);
    expect(ids).toEqual([3, 2, 9]);
    expect(simulation.requests.length).toBeLessThan(16);
  });

  test("keeps all marks of a request that is partially rejected in every part, after at most 65 requests", async () => {
    const backend: Backend = (logs) => ({
      kind: "accepted",
      partial: { rejected: Math.ceil(logs.length / 2), message: "half" },
    });
    const simulation = new Simulation({ seed: 5, backend, maxLogRecords: 512 });
    simulation.commit(Array.from({ length: 400 }, () => [start]));
    const { taken: ids } = await retry(simulation, [markOf(1, 1, 0, 400)]);
    expect(ids).toEqual([]);
    expect(simulation.requests.length).toBeLessThanOrEqual(65);
  });

  test("keeps a mark whose beginning was delivered by an earlier process", async () => {
    const simulation = filled(() => taken);
    const { taken: ids } = await retry(simulation, marks, { ...startOfJournal, seq: 2, record: 5 });
    expect(ids).toEqual([1, 2, 9]);
  });

  test("waits through a short outage", async () => {
    const failed: Posted = { kind: "failed", cause: "server", why: "HTTP 503" };
    const simulation = filled((_, now) => (now < start + 4 * minute ? failed : taken));
    const { taken: ids } = await retry(simulation, marks);
    expect(ids).toEqual([3, 1, 2, 9]);
  });

  test("ends although a record's requests always time out, and keeps its mark", async () => {
    const timedOut: Posted = { kind: "failed", cause: "timeout", why: "timed out" };
    const simulation = filled((logs) => (logs.some(({ id }) => id === 69) ? timedOut : taken));
    const { taken: ids, last } = await retry(simulation, marks);
    expect(ids).toEqual([3, 1, 2]);
    expect(last?.cursor.records).toEqual({ delivered: 15, deadLettered: 1 });
  });
});

test("a replay counts what is refused in its own cursor, and ends", async () => {
  const isBad = (id: number) => id >= 30 && id < 60;
  const simulation = filled((logs) => (logs.some(({ id }) => isBad(id)) ? refused : taken));
  const progress: RedeliveryProgress[] = [];
  const { source } = simulation.parts;
  const redelivering = new Redelivering({
    ...simulation.parts,
    open: () => ({ source: { next: (seq) => (seq < 8 ? source.next(seq) : undefined) }, marks: [] }),
    onProgress: (step) => progress.push(step),
    onState() {},
  });
  redelivering.use("replay", { name: "replay", id: 1, cursor: startOfJournal, untilSeq: 8, total: 70 });
  await simulation.until(() => progress.at(-1)?.isOver === true, start + hour);
  expect(progress.at(-1)).toMatchObject({ isOver: true, cursor: { records: { delivered: 40, deadLettered: 30 } } });
  expect(simulation.lines.every(({ fields }) => fields?.["during"] === "replay")).toBe(true);
});

test("a redelivery that has ended reports nothing more", async () => {
  const simulation = filled(() => taken);
  const progress: RedeliveryProgress[] = [];
  const redelivering = new Redelivering({
    ...simulation.parts,
    open: () => ({ source: simulation.parts.source, marks: [] }),
    onProgress: (step) => progress.push(step),
    onState() {},
  });
  redelivering.use("replay", { name: "replay", id: 1, cursor: startOfJournal, untilSeq: 8, total: 70 });
  redelivering.use("replay", undefined);
  await simulation.until(never, start + minute);
  expect(progress).toEqual([]);
});

describe("behind fresh logs", () => {
  /** A delivery of fresh logs, one request at a time, and a replay of 40 rows. */
  function shared(backend: Backend, freshEveryMs: number, concurrency = 1) {
    const simulation = new Simulation({ seed: 2, backend, maxLogRecords: 10, latencyMs: () => 50 });
    for (let row = 0; row < 40; row++) simulation.commit(Array.from({ length: 10 }, () => [start]));
    const { channel, timer } = simulation.parts;
    const shares = shareChannel(channel, concurrency, timer);
    const fresh = new Delivery(
      "logs",
      { ...startOfJournal, seq: 41 },
      {
        ...simulation.parts,
        channel: shares.fresh,
        concurrency,
        onProgress() {},
        onState: (state) => shares.freshIs(state),
      },
    );
    const replayed: RedeliveryProgress[] = [];
    const redelivering = new Redelivering({
      ...simulation.parts,
      channel: shares.behind,
      open: () => ({
        source: { next: (seq) => (seq < 41 ? simulation.parts.source.next(seq) : undefined) },
        marks: [],
      }),
      onProgress: (step) => replayed.push(step),
      onState() {},
    });
    for (let at = 0; at < minute; at += freshEveryMs)
      simulation.at(start + at, () => {
        simulation.commit(Array.from({ length: 10 }, () => [simulation.now]));
        fresh.wake();
      });
    fresh.start();
    redelivering.use("replay", { name: "replay", id: 1, cursor: startOfJournal, untilSeq: 41, total: 400 });
    return { simulation, replayed };
  }

  const isReplayed = ({ ids }: { readonly ids: readonly number[] }) => (ids[0] ?? 0) < 400;

  test("a replay sends one request per second beside a steady stream", async () => {
    const { simulation } = shared(() => taken, 80);
    await simulation.until(never, start + 20_000);
    const replayed = simulation.requests.filter(isReplayed).length;
    expect(replayed).toBeGreaterThanOrEqual(15);
    expect(replayed).toBeLessThanOrEqual(21);
  });

  test("a replay sends while no fresh logs are waiting", async () => {
    const { simulation, replayed } = shared(() => taken, 10_000);
    await simulation.until(() => replayed.at(-1)?.isOver === true, start + minute);
    expect(simulation.now - start).toBeLessThan(10_000);
  });

  test("a replay waits during an outage", async () => {
    const failed: Posted = { kind: "failed", cause: "unreachable", why: "connection refused" };
    const { simulation, replayed } = shared((_, now) => (now < start + 30_000 ? failed : taken), 1_000);
    await simulation.until(() => replayed.at(-1)?.isOver === true, start + 5 * minute);
    const during = simulation.requests.filter((request) => request.at < start + 30_000 && isReplayed(request));
    expect(during.length).toBeLessThanOrEqual(2);
    expect(replayed.at(-1)?.cursor.records).toEqual({ delivered: 400, deadLettered: 0 });
  });

  test("replay, retry and fresh logs together stay within the limit of concurrent requests", async () => {
    let [sending, most] = [0, 0];
    const simulation = new Simulation({ seed: 2, backend: () => taken, maxLogRecords: 10, latencyMs: () => 50 });
    for (let row = 0; row < 40; row++) simulation.commit(Array.from({ length: 10 }, () => [start]));
    const { channel, timer } = simulation.parts;
    const counted: Channel = {
      maxLogRecords: 10,
      async post(spans, stop) {
        most = Math.max(most, ++sending);
        return channel.post(spans, stop).finally(() => sending--);
      },
    };
    const shares = shareChannel(counted, 2, timer);
    const source: DeliverySource = { next: (seq) => (seq < 41 ? simulation.parts.source.next(seq) : undefined) };
    const parts = { ...simulation.parts, onProgress() {}, concurrency: 2 };
    const fresh = new Delivery("logs", startOfJournal, {
      ...parts,
      source,
      channel: shares.fresh,
      onState: shares.freshIs,
    });
    const ended: string[] = [];
    const redelivering = new Redelivering({
      ...simulation.parts,
      channel: shares.behind,
      open: () => ({ source, marks: [markOf(1, 1, 0, 10), markOf(2, 40, 0, 10)] }),
      onProgress: ({ name, isOver }) => isOver && ended.push(name),
      onState() {},
    });
    for (const name of ["replay", "retry"] as const)
      redelivering.use(name, { name, id: 1, cursor: startOfJournal, untilSeq: 41, total: 400, marks: {} });
    fresh.start();
    await simulation.until(() => ended.length === 2, start + hour);
    expect(ended.toSorted()).toEqual(["replay", "retry"]);
    expect(most).toBe(2);
  });
});
