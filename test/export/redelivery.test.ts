/** What is sent once more, through the real worker and a real journal: each record at least once, exactly once without faults, and no counter changes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createExporter, type Exporter } from "../../src/export/index.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { LogCursor } from "../../src/journal/types.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { fillHours, itemOf, numberedFlow, openState, setAside, take } from "../support/kept-state.ts";
import { type OtlpSink, refusing, startOtlpSink, type SunkLog } from "../support/otlp-sink.ts";

const hourMs = 3_600_000;
const rows = 96;
const recordsPerRow = 5;
const total = rows * recordsPerRow;

let sink: OtlpSink;
let directory: string;
let journal: Journal;
let exporter: Exporter;
let tidying: ReturnType<typeof setInterval>;
let changed: () => void;
const now = Date.UTC(2026, 10, 2, 9, 15);

beforeEach(async () => {
  sink = await startOtlpSink();
  directory = await mkdtemp(join(tmpdir(), "redelivery-"));
  journal = openState(directory, () => now);
});

afterEach(async () => {
  await stopExporter();
  journal.close();
  await rm(directory, { recursive: true, force: true });
  await sink.stop();
});

function startExporter(maxRecords = 20): void {
  changed = () => {};
  exporter = createExporter(
    {
      endpoint: sink.url,
      headers: {},
      logs: { endpoint: "", headers: {} },
      metrics: { endpoint: "", headers: {} },
      compression: "gzip",
      timeoutMs: 5000,
      userAgent: "tailscale2otel/1.2.3",
      protocol: "http/json",
      protocolIsSet: false,
      delivery: { enabled: true, maxRecords, maxBytes: 4_194_304, concurrency: 2 },
      metricsEnabled: false,
      selfMetrics: false,
      selfLogs: false,
      version: "1.2.3",
      processors: { flowLogMode: "per_connection", collapseExternal: true, tailnet: "", uidKey: undefined },
      resource: { instanceId: "instance-1", hostName: "host.example.com", platform: "linux", attributes: {} },
    },
    {
      entry: new URL("./worker-entry.ts", import.meta.url),
      databasePath: journal.databasePath,
      ledger: () => undefined,
      fetch,
      clock: Date.now,
      random: () => 0,
      logger: silentLogger,
      onProgress: (advance) => journal.progress(advance),
      onRedelivered: (progress) => journal.redeliveries.progress(progress),
      onStdoutClosed() {},
    },
  );
  exporter.start({ cursor: journal.cursor, committedSeq: journal.lastSeq });
  for (const redelivery of journal.redeliveries.running) exporter.redeliver(redelivery.name, redelivery);
  tidying = setInterval(() => {
    journal.writeSnapshot(journal.readSnapshot());
    journal.maintain();
    changed();
  }, 5);
}

async function stopExporter(): Promise<void> {
  clearInterval(tidying);
  await exporter.stop(5000);
}

function until(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    changed = () => {
      if (condition()) resolve();
    };
  });
}

const port = ({ attributes }: SunkLog): number => Number(attributes["destination.port"]);
const portsSince = (requests: number): number[] =>
  sink.requests
    .slice(requests)
    .filter(({ isTaken }) => isTaken)
    .flatMap(({ logs }) => logs.map(port));
const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const sorted = (list: readonly number[]): number[] => list.toSorted((a, b) => a - b);

/** Eight hours of records, all of them delivered once. Gives the cursor by then. */
async function deliverEightHours(): Promise<LogCursor> {
  await fillHours(journal, { hours: 8, rows, recordsPerRow, now });
  startExporter();
  await until(() => journal.pendingRecords === 0);
  expect(sorted(portsSince(0))).toEqual(numbers(1, total));
  return journal.cursor;
}

async function replay(since: number, until_ = now): Promise<void> {
  const plan = await journal.redeliveries.planReplay({ since, until: until_ }, journal.cursor.seq, now);
  journal.redeliveries.begin(plan);
  exporter.redeliver("replay", plan);
}

const isOver = () => journal.redeliveries.running.length === 0;
const result = () => journal.redeliveries.get("replay");

describe("a replay", () => {
  test("of 8 hours reaches the backend once more, each record exactly once, and moves nothing else", async () => {
    const cursor = await deliverEightHours();
    const before = sink.requests.length;
    await replay(now - 9 * hourMs);
    await until(isOver);
    expect(sorted(portsSince(before))).toEqual(numbers(1, total));
    expect(result()).toMatchObject({ total, records: { delivered: total, deadLettered: 0 }, endedAt: now });
    expect(journal.cursor).toEqual(cursor);
    expect(journal.pendingRecords).toBe(0);
  });

  test("is of its time alone", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    await replay(now - 2 * hourMs, now - hourMs);
    await until(isOver);
    const perHour = total / 8;
    expect(sorted(portsSince(before))).toEqual(numbers(6 * perHour + 1, 7 * perHour + recordsPerRow));
  });

  test("passes over what the backend refuses for its body, counts it, and sets nothing aside", async () => {
    const cursor = await deliverEightHours();
    const before = sink.requests.length;
    sink.behave(refusing((log) => port(log) === 77));
    await replay(now - 9 * hourMs);
    await until(isOver);
    expect(new Set(portsSince(before))).toEqual(new Set(numbers(1, total).filter((n) => n !== 77)));
    expect(result()?.records).toEqual({ delivered: total - 1, deadLettered: 1 });
    expect(journal.quarantine.counts({})).toEqual([]);
    expect(journal.cursor).toEqual(cursor);
  });

  test("stopped in the middle goes on where it was, and still each record is sent exactly once", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    sink.behave((_, index) => (index < before + 5 ? { kind: "take" } : { kind: "hang" }));
    await replay(now - 9 * hourMs);
    await sink.until(({ requests }) => requests.length > before + 5);
    clearInterval(tidying);
    await exporter.stop(100);
    journal.close();
    const sent = portsSince(before).length;
    expect(sent).toBeGreaterThan(0);
    expect(sent).toBeLessThan(total);

    journal = openState(directory, () => now);
    sink.behave(() => ({ kind: "take" }));
    startExporter();
    await until(isOver);
    expect(sorted(portsSince(before))).toEqual(numbers(1, total));
  });

  test("ended without a word is sent at least once", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    await replay(now - 9 * hourMs);
    await sink.until(({ requests }) => requests.length > before + 5);
    /** As after a kill: what the worker has reported since the last commit is forgotten. */
    clearInterval(tidying);
    const known = journal.redeliveries.running;
    await exporter.stop(0);
    journal.close();
    journal = openState(directory, () => now);
    for (const redelivery of known) journal.redeliveries.begin(redelivery);
    startExporter();
    await until(isOver);
    expect(new Set(portsSince(before))).toEqual(new Set(numbers(1, total)));
    expect(result()?.records.delivered).toBe(total);
  });

  test("during an outage and resets loses nothing", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    sink.behave((_, index) =>
      index === before + 2
        ? { kind: "reset" }
        : index === before + 4
          ? { kind: "status", status: 503 }
          : { kind: "take" },
    );
    await replay(now - 9 * hourMs);
    await until(isOver);
    expect(sorted(portsSince(before))).toEqual(numbers(1, total));
    expect(result()?.records).toEqual({ delivered: total, deadLettered: 0 });
  }, 15_000);

  test("lets fresh logs go first", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    sink.behave((_, index) => (index === before ? { kind: "hang" } : { kind: "take" }));
    await replay(now - 9 * hourMs);
    await sink.until(({ requests }) => requests.length > before);
    await take(journal, [numberedFlow(60_000)], now);
    exporter.committed(journal.lastSeq);
    await sink.until(() => portsSince(before).includes(60_000));
    expect(portsSince(before)).toEqual([60_000]);
    await until(() => journal.pendingRecords === 0);
  }, 15_000);

  test("can be cancelled, and another begun", async () => {
    await deliverEightHours();
    const before = sink.requests.length;
    sink.behave(() => ({ kind: "hang" }));
    await replay(now - 9 * hourMs);
    await sink.until(({ requests }) => requests.length > before);
    exporter.redeliver("replay", undefined);
    expect(journal.redeliveries.cancel("replay", now)).toBe(true);
    sink.behave(() => ({ kind: "take" }));
    const plan = await journal.redeliveries.planReplay(
      { since: now - hourMs, until: now },
      journal.cursor.seq,
      now + 1,
    );
    journal.redeliveries.begin(plan);
    exporter.redeliver("replay", plan);
    await until(isOver);
    expect(sorted(portsSince(before))).toEqual(numbers(total - total / 8 + 1, total));
  });
});

describe("dead letters", () => {
  const letter = (number: number) => itemOf({ text: JSON.stringify({ event: numberedFlow(number) }) });
  const left = () => journal.quarantine.page({}, { limit: 100 }).map(({ id }) => id);

  function retry(): void {
    const plan = journal.redeliveries.planRetry({}, now);
    journal.redeliveries.begin(plan);
    exporter.redeliver("retry", plan);
  }

  test("leave when they are taken, those refused again stay, and no sum changes", async () => {
    setAside(journal, [letter(1), letter(2), letter(3), itemOf({ text: "" }), letter(4)]);
    const before = journal.cursor;
    startExporter();
    sink.behave(refusing((log) => port(log) === 2));
    retry();
    await until(isOver);
    expect(left()).toEqual([4, 2]);
    expect(new Set(portsSince(0))).toEqual(new Set([1, 3, 4]));
    expect(journal.redeliveries.get("retry")?.records).toEqual({ delivered: 3, deadLettered: 2 });
    expect(journal.cursor).toEqual(before);
  });

  test("that are all refused again are through all the same, while the backend takes others", async () => {
    await take(journal, [numberedFlow(9)], now);
    setAside(journal, [letter(1), letter(2)]);
    startExporter();
    await until(() => journal.pendingRecords === 0);
    sink.behave(refusing((log) => port(log) !== 9));
    retry();
    await until(isOver);
    expect(left()).toEqual([2, 1]);
    expect(journal.redeliveries.get("retry")?.records).toEqual({ delivered: 0, deadLettered: 2 });
  });

  test("wait where the backend refuses everything", async () => {
    await take(journal, [numberedFlow(9)], now);
    setAside(journal, [letter(1), letter(2)]);
    startExporter();
    await until(() => journal.pendingRecords === 0);
    sink.behave(() => ({ kind: "status", status: 400, body: "no" }));
    retry();
    await until(() => exporter.redeliveryTrouble("retry") !== undefined);
    expect(exporter.redeliveryTrouble("retry")).toContain("the backend refuses every request");
    expect(left()).toEqual([2, 1]);
    sink.behave(() => ({ kind: "take" }));
    await until(isOver);
    expect(left()).toEqual([]);
  }, 15_000);

  test("that were purged meanwhile do not keep it from its end", async () => {
    setAside(journal, [letter(1), letter(2), letter(3)]);
    const plan = journal.redeliveries.planRetry({}, now);
    journal.redeliveries.begin(plan);
    journal.quarantine.remove([2, 3]);
    startExporter();
    await until(isOver);
    expect(left()).toEqual([]);
    expect(portsSince(0)).toEqual([1]);
  });
});
