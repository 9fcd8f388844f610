/** The whole exporter with its worker thread, over a real journal, at a real OTLP receiver. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { createExporter, type ExportDeps, type Exporter, type ExportOptions } from "../../src/export/index.ts";
import { type Journal, openJournal } from "../../src/journal/index.ts";
import { type LogCursor, startOfJournal } from "../../src/journal/types.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline } from "../../src/pipeline/index.ts";
import { type DirectoryHolder, directoryOf } from "../../src/processors/directory.ts";
import { unwrap, type Unwrapped } from "../../src/records/envelope.ts";
import { decodeOtlp, type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";

let sink: OtlpSink;
let directory: string;
let journal: Journal;
let exporter: Exporter | undefined;
let cursor: LogCursor;
let told: () => void;

beforeEach(async () => {
  sink = await startOtlpSink();
  directory = await mkdtemp(join(tmpdir(), "export-"));
  const limits = { maxKeys: 1_000, windowMs: 3_600_000 };
  journal = openJournal(
    {
      path: directory,
      maxBytes: 1e8,
      ballastBytes: 0,
      retentionMs: 36e5,
      durability: "normal",
      keyLimits: {
        flow: limits,
        audit: limits,
        webhook: limits,
        quarantined: limits,
      },
    },
    { telemetry: silentTelemetry, logger: silentLogger, clock: Date.now },
  );
  cursor = startOfJournal;
});

afterEach(async () => {
  await exporter?.stop(100);
  exporter = undefined;
  journal.close();
  await rm(directory, { recursive: true, force: true });
  await sink.stop();
});

const options: ExportOptions = {
  endpoint: "",
  headers: {},
  logs: {
    endpoint: "",
    headers: {},
  },
  metrics: {
    endpoint: "",
    headers: {},
  },
  compression: "gzip",
  timeoutMs: 5e3,
  userAgent: "tailscale2otel/1.2.3",
  protocol: "http/json",
  protocolIsSet: false,
  delivery: {
    enabled: true,
    maxRecords: 100,
    maxBytes: 4194304,
    concurrency: 2,
  },
  metricsEnabled: true,
  selfMetrics: true,
  selfLogs: false,
  version: "1.2.3",
  processors: { flowLogMode: "per_connection", collapseExternal: true, tailnet: "example.com", uidKey: undefined },
  resource: {
    instanceId: "instance-1",
    hostName: "host.example.com",
    platform: "linux",
    attributes: {},
  },
};

const deps = (change: Partial<ExportDeps>): ExportDeps => ({
  entry: new URL("./worker-entry.ts", import.meta.url),
  databasePath: journal.databasePath,
  ledger: () => undefined,
  fetch,
  clock: Date.now,
  random: () => 0,
  logger: silentLogger,
  onProgress(advance) {
    cursor = advance.cursor;
    told?.();
  },
  onStdoutClosed() {},
  ...change,
});

function start(change: Partial<ExportOptions> = {}, parts: Partial<ExportDeps> = {}): Exporter {
  const made = createExporter({ ...options, endpoint: sink.url, ...change }, deps(parts));
  made.start({ cursor, committedSeq: journal.lastSeq });
  exporter = made;
  return made;
}

async function commit(nodeId: string, connections: number): Promise<void> {
  const unwrapped: Unwrapped = { records: [], skipped: [] };
  const virtualTraffic = Array.from({ length: connections }, (_, index) => ({
    proto: 6,
    src: "100.64.0.1:4000",
    dst: `100.64.0.2:${index + 1}`,
    txPkts: 1,
    txBytes: 100,
    rxPkts: 2,
    rxBytes: 200,
  }));
  const event = {
    nodeId,
    start: "2026-11-02T09:15:00Z",
    end: "2026-11-02T09:15:05Z",
    logged: "2026-11-02T09:15:06Z",
    virtualTraffic,
  };
  const envelope = { time: 1_793_610_906.5, event };
  unwrap(envelope, JSON.stringify(envelope), unwrapped);
  const draft = createPipeline(journal, { collapseExternal: true }).open({ source: "stream", receivedAt: Date.now() });
  draft.add(unwrapped.records);
  expect(await draft.commit(1_000)).toMatchObject({ accepted: 1 });
  exporter?.committed(journal.lastSeq);
}

function delivered(records: number): Promise<void> {
  return new Promise((resolve) => {
    told = () => {
      if (cursor.records.delivered >= records) resolve();
    };
    told();
  });
}

describe("the worker", () => {
  test("delivers what is committed before and after its start", async () => {
    await commit("nONE", 3);
    start();
    await delivered(1);
    await commit("nTWO", 150);
    await delivered(2);
    expect(sink.logs).toHaveLength(153);
    expect(new Set(sink.logs.map(({ attributes }) => attributes["destination.port"])).size).toBe(150);
    expect(sink.logs[0]).toMatchObject({
      eventName: "tailscale.network.flow",
      resource: { "service.instance.id": "instance-1", "host.name": "host.example.com", "os.type": "linux" },
      scope: { name: "tailscale2otel", version: "1.2.3" },
    });
    expect(cursor).toMatchObject({ events: { delivered: 153 }, records: { delivered: 2, deadLettered: 0 } });
  });

  test("names what it describes by the directory of the moment, and hides what is to be hidden", async () => {
    const holder: DirectoryHolder = { current: undefined };
    const actions = Object.fromEntries(
      privacyCategories.map((category) => [category, "keep"]),
    ) as PrivacySettings["actions"];
    const privacy = { actions: { ...actions, node_ids: "drop" } as const, salt: "salt" };
    const running = start({ processors: { ...options.processors, directory: holder, privacy } });
    await commit("nONE", 1);
    await delivered(1);
    const device = { nodeId: "nDB", label: "db-1", addresses: ["100.64.0.2"], os: "", user: "", tags: [] };
    holder.current = directoryOf([device]);
    running.directoryChanged();
    await commit("nTWO", 1);
    await delivered(2);
    expect(sink.logs.map(({ attributes }) => attributes["tailscale.dst.node"])).toEqual(["unknown", "db-1"]);
    expect(sink.logs.some(({ attributes }) => "tailscale.node.id" in attributes)).toBe(false);
  });

  test("its requests are counted in the main thread's metrics", async () => {
    await commit("nONE", 1);
    const running = start();
    await delivered(1);
    await running.folded();
    const counted = sink.points.find(({ metric }) => metric === "tailscale2otel.export.requests");
    expect(counted).toMatchObject({ value: 1, attributes: { signal: "logs", outcome: "success" } });
    expect(sink.points.find(({ metric }) => metric === "tailscale2otel.export.last_success")).toMatchObject({
      attributes: { signal: "logs" },
    });
  });

  test("one that cannot work is a health state, and is started again", async () => {
    let deaths = 0;
    const diedTwice = new Promise<void>((resolve) => {
      told = () => {
        if (++deaths === 2) resolve();
      };
    });
    const missing = join(directory, "missing", "journal.db");
    const running = start({}, { databasePath: missing, logger: { ...silentLogger, error: () => told() } });
    await diedTwice;
    expect(running.health.logs).toMatchObject({ kind: "dead", why: expect.any(String) });
  });

  test("stop delivers what is pending, and the cursor is the last", async () => {
    for (let i = 0; i < 20; i++) await commit(`nODE${i}`, 50);
    const running = start();
    await running.stopLogs(10_000);
    expect(cursor.records.delivered).toBe(20);
    expect(sink.logs).toHaveLength(1_000);
    await running.stop(100);
  });

  test("one that does not hear the stop is ended", async () => {
    const running = start({}, { entry: new URL("./deaf-worker.ts", import.meta.url) });
    const began = performance.now();
    await running.stop(50);
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test("stop ends in time when the backend hangs, and nothing is passed", async () => {
    sink.behave(() => ({ kind: "hang" }));
    await commit("nONE", 1);
    const running = start();
    await sink.until(({ requests }) => requests.length === 1);
    const began = performance.now();
    await running.stop(100);
    expect(performance.now() - began).toBeLessThan(4_000);
    expect(cursor).toEqual(startOfJournal);
  });
});

describe("without a destination", () => {
  test("nothing is exported and everything is safe to call", async () => {
    const running = start({ endpoint: "", logs: { endpoint: "", headers: {} } });
    expect(running.deliversLogs).toBe(false);
    expect(running.health).toEqual({ logs: undefined, metrics: undefined });
    running.committed(1);
    await running.folded();
    await running.stop(100);
    expect(sink.requests).toHaveLength(0);
  });

  test("stop before start is safe", async () => {
    const made = createExporter({ ...options, endpoint: sink.url }, deps({}));
    await made.stop(100);
    await made.stop(100);
  });
});

describe("standard output", () => {
  const entry = join(import.meta.dirname, "stdout-entry.ts");

  test("gets both signals and own log lines, one OTLP request a line", async () => {
    await commit("nONE", 3);
    const child = Bun.spawn([process.execPath, entry, journal.databasePath], { stdout: "pipe" });
    const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
    expect(await child.exited).toBe(0);
    const bytes = lines.map((line) => new TextEncoder().encode(line));
    const logs = bytes.flatMap((line) => decodeOtlp("logs", "json", line).logs);
    const points = bytes.flatMap((line) => decodeOtlp("metrics", "json", line).points);
    expect(logs.filter(({ eventName }) => eventName === "tailscale.network.flow")).toHaveLength(3);
    expect(logs.filter(({ body }) => body === "hello")).toHaveLength(1);
    expect(points).toContainEqual(expect.objectContaining({ metric: "tailscale.stream.rejected", value: 1 }));
  });

  test("that nobody reads ends the process, and is said", async () => {
    await commit("nONE", 3);
    const child = Bun.spawn(["sh", "-c", '"$@" | exec true', "sh", process.execPath, entry, journal.databasePath], {
      stderr: "pipe",
    });
    expect(await new Response(child.stderr).text()).toBe("closed\n");
  });
});
