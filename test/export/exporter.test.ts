/** Tests the whole exporter with its worker thread, over a real journal and a real OTLP receiver. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { silentLogger } from "../../src/lib/logger.ts";
import { createExporter, type ExportDeps, type Exporter, instrumentsOf } from "../../src/export/index.ts";
import { type LogCursor, type Progress, type RedeliveryProgress, startOfJournal } from "../../src/journal/index.ts";
import { directoryOf } from "../../src/processors/index.ts";
import { decodeOtlp, type OtlpSink, startOtlpSink, type SunkLog } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { connection, flowValue } from "../support/records.ts";
import { configAt, createStore, take, type TestStore } from "../support/store.ts";
import { until } from "../support/wait.ts";

let sink: OtlpSink;
let store: TestStore;
let exporter: Exporter | undefined;
let instruments: ReturnType<typeof instrumentsOf>;
let progress: Progress[];

beforeEach(async () => {
  sink = await startOtlpSink();
  store = createStore();
  progress = [];
});

afterEach(async () => {
  await exporter?.stop(100);
  exporter = undefined;
  store.remove();
  await sink.stop();
});

const entry = (name: string) => new URL(`./${name}.ts`, import.meta.url);

function start(
  set: readonly string[] = [],
  { location, ...parts }: Partial<ExportDeps> & { readonly location?: string } = {},
): Exporter {
  const { settings, journal, ledger } = store;
  const config = configAt(store.config.state.path, [`otlp.endpoint=${sink.url}`, ...set]);
  const context = { settings, location: location ?? journal.location, instanceId: "instance-1", version: "1.2.3" };
  instruments = instrumentsOf(config, context);
  const { telemetry } = instruments;
  const made = createExporter(config, context, {
    journal,
    instruments,
    telemetry,
    entry: entry("worker-entry"),
    clock: Date.now,
    random: () => 0,
    logger: silentLogger,
    shown: () => ledger.shown,
    onProgress: (one) => progress.push(one),
    onRedelivered() {},
    onPoints() {},
    onDamage() {},
    onStdoutClosed() {},
    ...parts,
  });
  const { cursor, lastSeq, pendingRecords } = journal;
  made.start({ cursor, committedSeq: lastSeq, pendingRecords });
  exporter = made;
  return made;
}

const cursor = (): LogCursor => progress.at(-1)?.cursor ?? startOfJournal;
const delivered = (records: number) => until(() => cursor().records.delivered >= records);

/** Commits one flow record and notifies the exporter. */
async function commit(nodeId: string, connections: number): Promise<void> {
  const virtualTraffic = Array.from({ length: connections }, (_, place) =>
    connection({ dst: `100.64.1.2:${place + 1}` }),
  );
  expect(await take(store, [flowValue({ nodeId, virtualTraffic })], Date.now())).toMatchObject({ accepted: 1 });
  exporter?.committed({ lastSeq: store.journal.lastSeq, source: "stream", receivedAt: 0, parts: [] });
}

/** Resolves once the worker has nothing more to read; from then on, it reads only when woken. */
const idle = (running: Exporter): Promise<void> => until(() => running.health.logs?.kind === "idle");

const portsOf = (logs: readonly SunkLog[]) => new Set(logs.map(({ attributes }) => attributes["destination.port"]));

describe.each(["http/protobuf", "http/json"])("the worker, over %s", (protocol) => {
  test("delivers what is committed before and after its start", async () => {
    await commit("nONECNTRL", 3);
    start([`otlp.protocol=${protocol}`, "otlp.logs.max_records=100"]);
    await delivered(1);
    await commit("nTWOCNTRL", 150);
    await delivered(2);
    expect(sink.logs).toHaveLength(153);
    expect(portsOf(sink.logs).size).toBe(150);
    expect(sink.requests.every(({ logs }) => logs.length <= 100)).toBe(true);
    expect(sink.logs[0]).toMatchObject({
      eventName: "tailscale.network.flow",
      resource: { "service.instance.id": "instance-1", "service.name": "tailscale2otel" },
      scope: { name: "tailscale2otel", version: "1.2.3" },
    });
    expect(sink.requests[0]?.headers["user-agent"]).toBe("tailscale2otel/1.2.3");
    expect(cursor()).toMatchObject({ logRecords: { delivered: 153 }, records: { delivered: 2, deadLettered: 0 } });
  });

  test("marks exactly the log records that the backend refuses, with its message", async () => {
    const isBad = ({ attributes }: SunkLog) => attributes["destination.port"] === 7;
    sink.behave(({ logs }) =>
      logs.some(isBad) ? { kind: "status", status: 400, body: "bad label" } : { kind: "take" },
    );
    start([`otlp.protocol=${protocol}`, "otlp.logs.max_records=100"]);
    for (const [row, connections] of [6, 9, 6, 6].entries()) await commit(`nO${row}CNTRL`, connections);
    await until(() => cursor().seq > store.journal.lastSeq);
    expect(cursor().records).toEqual({ delivered: 3, deadLettered: 1 });
    expect(progress.flatMap(({ marks }) => marks)).toMatchObject([
      { seq: 2, from: 0, to: 1, why: "rejected", logRecords: 1, message: "HTTP 400: bad label" },
    ]);
    expect(sink.logs.filter(isBad)).toHaveLength(0);
    expect(portsOf(sink.logs).size).toBe(8);
  });

  test("holds what a backend answers with 415, logs the remedy once, and continues when it is accepted", async () => {
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (...line: unknown[]) => void warnings.push(JSON.stringify(line)) };
    sink.behave(() => ({ kind: "status", status: 415 }));
    await commit("nONECNTRL", 1);
    const running = start([`otlp.protocol=${protocol}`], { logger });
    await sink.until(({ requests }) => requests.length >= 2);
    await until(() => running.health.logs?.kind === "waiting");
    expect(running.health.logs).toMatchObject({ why: expect.stringContaining("HTTP 415") });
    sink.behave(() => ({ kind: "take" }));
    await delivered(1);
    expect(sink.requests.every(({ encoding }) => protocol.endsWith(encoding))).toBe(true);
    const remedy = protocol === "http/json" ? "http/protobuf" : "http/json";
    expect(warnings.filter((line) => line.includes(`otlp.protocol = \\"${remedy}`))).toHaveLength(1);
    expect(cursor().records).toEqual({ delivered: 1, deadLettered: 0 });
  });

  test("exports a fold with the process's own metrics, and counts its requests", async () => {
    await commit("nONECNTRL", 1);
    const points: unknown[] = [];
    const running = start([`otlp.protocol=${protocol}`], {
      onPoints: (report) => points.push(report),
    });
    await delivered(1);
    await running.folded(await store.ledger.fold(Date.now()));
    await sink.until(({ points: sunk }) => sunk.some(({ metric }) => metric === "tailscale.network.flows"));
    expect(sink.points.find(({ metric }) => metric === "tailscale2otel.export.requests")).toMatchObject({
      value: 1,
      attributes: { signal: "logs", outcome: "success" },
    });
    expect(sink.points[0]?.resource).toMatchObject({ "service.instance.id": "instance-1" });
    await until(() => points.length > 0);
    expect(running.health).toMatchObject({ logs: { kind: "idle" }, metrics: { kind: "ok" } });
    expect(Object.keys(running.lastSuccess).sort()).toEqual(["logs", "metrics"]);
    expect(await instruments.page(() => store.ledger.shown)()).toContain(
      'tailscale2otel_export_requests_total{signal="metrics",outcome="success"',
    );
  });
});

test("problems with a further destination are logged with its name", async () => {
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (...line: unknown[]) => void warnings.push(line) };
  sink.behave(({ path }) =>
    path.startsWith("/lake") ? { kind: "status", status: 200, body: "ok" } : { kind: "take" },
  );
  const lake = ["name=lake", `endpoint=${sink.url}/lake`, "logs.enabled=false"];
  const running = start(
    lake.map((one) => `otlp.also.0.${one}`),
    { logger },
  );
  await running.folded(await store.ledger.fold(Date.now()));
  await until(() => warnings.length > 0);
  const message = "the backend's answer to an accepted request is not OTLP: is the endpoint right?";
  expect(warnings).toEqual([[message, { destination: "lake", signal: "metrics" }]]);
});

test("records are named by the directory in use when they are exported", async () => {
  const running = start();
  await commit("nONECNTRL", 1);
  await delivered(1);
  await idle(running);
  const device = { nodeId: "nDBCNTRL", label: "db-1", addresses: ["100.64.1.2"], os: "", user: "", tags: [] };
  store.settings.directory.current = directoryOf([device]);
  running.directoryChanged();
  await commit("nTWOCNTRL", 1);
  await delivered(2);
  expect(sink.logs.map(({ attributes }) => attributes["tailscale.dst.node"])).toEqual(["unknown", "db-1"]);
});

test("rows whose text cannot be handed over are delivered from the journal", async () => {
  const running = start();
  await commit("nONECNTRL", 1);
  await delivered(1);
  await idle(running);
  await commit("nTWOCNTRL", 1);
  const text = new Uint8Array(new SharedArrayBuffer(8));
  const part = { type: "flow", records: 1, leftOut: undefined, text };
  const parts = [{ part, dropped: undefined, accepted: 1, seq: store.journal.lastSeq }];
  running.committed({ lastSeq: store.journal.lastSeq, source: "stream", receivedAt: 0, parts } as never);
  await delivered(2);
  expect(sink.logs).toHaveLength(2);
});

test("requests use new credentials as soon as they are set", async () => {
  const headers = (token: string) => [`otlp.headers.authorization=${token}`];
  const running = start(headers("first"));
  await commit("nONECNTRL", 1);
  await delivered(1);
  await idle(running);
  running.useCredentials(configAt(store.config.state.path, [`otlp.endpoint=${sink.url}`, ...headers("second")]));
  await commit("nTWOCNTRL", 1);
  await delivered(2);
  expect(sink.requests.map(({ headers: sent }) => sent["authorization"])).toEqual(["first", "second"]);
});

test("own log lines are exported if enabled, and reveal no more than the privacy settings allow", async () => {
  const running = start(["self_observability.logs=true"]);
  running.selfLog.warn("a certificate expires soon", { days: 3 });
  await running.stop(60_000);
  expect(sink.logs).toMatchObject([{ body: "a certificate expires soon", attributes: { days: 3 } }]);
});

describe("a worker that dies", () => {
  test("is restarted at the last reported position: nothing is lost, nothing marked twice", async () => {
    const errors: string[] = [];
    const error = (message: string) => void errors.push(message);
    for (let row = 0; row < 4; row++) await commit(`nO${row}CNTRL`, 10);
    const isGuilty = ({ attributes }: SunkLog) => attributes["destination.port"] === 5;
    sink.behave(({ logs }) => (logs.some(isGuilty) ? { kind: "status", status: 400, body: "bad" } : { kind: "take" }));
    const running = start(["self_observability.logs=true", "otlp.logs.max_records=10", "otlp.logs.concurrency=1"], {
      logger: { ...silentLogger, error },
    });
    await until(() => progress.length > 0);
    running.selfLog.info("die");
    await until(() => errors.length > 0);
    for (let row = 4; row < 8; row++) await commit(`nO${row}CNTRL`, 10);
    await until(() => cursor().records.delivered + cursor().records.deadLettered === 8);
    expect(errors).toEqual(["export worker died; restarting it"]);
    expect(cursor().records).toEqual({ delivered: 0, deadLettered: 8 });
    const marks = progress.flatMap((one) => one.marks).map(({ seq, from }) => `${seq}.${from}`);
    expect(marks).toHaveLength(8);
    expect(new Set(marks).size).toBe(8);
    expect(portsOf(sink.logs.filter(({ eventName }) => eventName !== undefined)).size).toBe(9);
  }, 120_000);

  test("is a health state, and can be stopped safely", async () => {
    const died = new Promise<void>((resolve) => {
      start(["self_observability.logs=true"], { logger: { ...silentLogger, error: () => resolve() } });
    });
    exporter?.selfLog.info("die");
    await died;
    expect(exporter?.health.logs).toMatchObject({ kind: "dead", why: expect.stringContaining("killed by the test") });
    expect(exporter?.health.metrics).toMatchObject({ kind: "dead" });
    await exporter?.stop(1_000);
  });

  test("at each start remains a health state, and is restarted every time", async () => {
    let deaths = 0;
    const error = () => void deaths++;
    const running = start([], {
      location: join(store.config.state.path, "missing.db"),
      logger: { ...silentLogger, error },
    });
    await until(() => deaths === 1);
    const first = running.health.logs;
    expect(first).toMatchObject({ kind: "dead", why: expect.any(String) });
    await until(() => deaths === 2);
    expect(running.health.logs).toMatchObject({
      kind: "dead",
      since: first !== undefined && "since" in first && first.since,
    });
  });

  test("can be stopped twice without having been started", async () => {
    const made = start();
    await made.stop(100);
    await made.stop(100);
  });
});

describe("a redelivery", () => {
  const reports: RedeliveryProgress[] = [];

  /** An exporter whose reports are committed to the journal. */
  function startCommitting(set: readonly string[] = []): Exporter {
    reports.length = 0;
    return start(set, {
      onProgress(one) {
        progress.push(one);
        store.journal.progress(one);
      },
      onRedelivered(report) {
        reports.push(report);
        store.journal.progress({ redelivered: [report] });
      },
    });
  }

  test("of a time range delivers its rows again, and moves no cursor", async () => {
    const running = startCommitting();
    for (let row = 0; row < 3; row++) await commit(`nO${row}CNTRL`, 2);
    await delivered(3);
    await until(() => store.journal.pendingRecords === 0);
    const before = cursor();
    const replay = await store.journal.planReplay({ since: 0, until: Date.now() + 1_000 }, 7);
    store.journal.beginRedelivery(replay);
    running.redeliver("replay", replay);
    await until(() => reports.some(({ isOver }) => isOver));
    expect(sink.logs).toHaveLength(12);
    expect(reports.at(-1)).toMatchObject({
      name: "replay",
      id: 7,
      cursor: { records: { delivered: 3 } },
      isOver: true,
    });
    expect(cursor()).toEqual(before);
    expect(running.redeliveryTrouble("replay")).toBeUndefined();
  });

  test("of dead letters delivers only the marked records, and removes the marks of those accepted", async () => {
    const isBad = ({ attributes }: SunkLog) => attributes["destination.port"] === 3;
    sink.behave(({ logs }) => (logs.some(isBad) ? { kind: "status", status: 400, body: "bad" } : { kind: "take" }));
    const running = startCommitting();
    for (const [row, connections] of [2, 3, 2, 4].entries()) await commit(`nO${row}CNTRL`, connections);
    await until(() => cursor().records.delivered + cursor().records.deadLettered === 4);
    const deadLetters = () => store.journal.quarantine.counts({ class: "dead_letter" });
    await until(async () => (await deadLetters())[0]?.items === 2);
    const sent = sink.logs.length;
    sink.behave(() => ({ kind: "take" }));
    const retry = await store.journal.planRetry({}, 8);
    expect(retry.total).toBe(2);
    await store.journal.beginRedelivery(retry);
    running.redeliver("retry", retry);
    await until(() => reports.some(({ isOver }) => isOver));
    expect(reports.flatMap(({ taken }) => taken)).toHaveLength(2);
    expect(reports.at(-1)?.cursor.records).toEqual({ delivered: 2, deadLettered: 0 });
    expect(sink.logs.slice(sent)).toHaveLength(7);
    await until(async () => (await deadLetters()).length === 0);
  });
});

describe("a stop", () => {
  /** An unanswered request would outlast the test. */
  const patient = ["otlp.timeout=10m"];

  test("delivers what is pending, and reports the final cursor", async () => {
    for (let row = 0; row < 20; row++) await commit(`nO${row}CNTRL`, 50);
    const running = start();
    await running.stopLogs(60_000);
    expect(cursor().records.delivered).toBe(20);
    expect(sink.logs).toHaveLength(1_000);
  });

  test("tries the last fold once", async () => {
    const running = start();
    await running.stopLogs(60_000);
    await running.folded(await store.ledger.fold(Date.now()));
    await running.stop(60_000);
    expect(sink.points.length).toBeGreaterThan(0);
  });

  test("ends a worker that ignores it", async () => {
    const running = start([], { entry: entry("deaf-worker") });
    await running.stop(50);
  });

  test.each(["hang", "reset"] as const)(
    "ends in time at a backend that answers with a %s, and the cursor stays",
    async (kind) => {
      sink.behave(() => ({ kind }));
      await commit("nONECNTRL", 1);
      const running = start(patient);
      await sink.until(({ requests }) => requests.length > 0);
      await running.folded(await store.ledger.fold(Date.now()));
      await running.stopLogs(100);
      await running.stop(100);
      expect(cursor()).toEqual(startOfJournal);
    },
  );

  test("ends in time if the backend is down", async () => {
    await commit("nONECNTRL", 1);
    const running = start([`otlp.endpoint=http://127.0.0.1:${await freePort()}`, ...patient]);
    await running.folded(await store.ledger.fold(Date.now()));
    await running.stopLogs(100);
    await running.stop(100);
    expect(cursor()).toEqual(startOfJournal);
  });
});

describe("without a destination", () => {
  test("nothing is sent, everything is safe to call, and records count as delivered when they are committed", async () => {
    await commit("nONECNTRL", 1);
    const running = start(["otlp.endpoint="]);
    expect(running.deliversLogs).toBe(false);
    expect(running.health).toEqual({ logs: { kind: "local" }, metrics: { kind: "local" } });
    expect(cursor()).toMatchObject({ seq: store.journal.lastSeq + 1, records: { delivered: 1 } });
    const part = { accepted: 2 } as Parameters<Exporter["committed"]>[0]["parts"][number];
    running.committed({ lastSeq: 9, source: "stream", receivedAt: 0, parts: [part, part] });
    expect(cursor()).toMatchObject({ seq: 10, records: { delivered: 5 } });
    await running.folded(await store.ledger.fold(Date.now()));
    running.redeliver("replay", undefined);
    running.directoryChanged();
    expect(await instruments.page(() => store.ledger.shown)()).toContain("target_info");
    await running.stop(100);
    expect(sink.requests).toHaveLength(0);
  });
});

describe("standard output", () => {
  const program = join(import.meta.dirname, "stdout-entry.ts");

  /** A closed state directory with three records of three connections. */
  async function stored(): Promise<string> {
    for (let row = 0; row < 3; row++) await commit(`nO${row}CNTRL`, 3);
    store.close();
    return store.config.state.path;
  }

  test("receives both signals and own log lines, one OTLP request per line", async () => {
    const child = Bun.spawn([process.execPath, program, await stored(), "5000"], { stdout: "pipe", stderr: "pipe" });
    const lines = (await new Response(child.stdout).text()).trimEnd().split("\n");
    expect(await new Response(child.stderr).text()).toBe("delivered 3 pending 0\n");
    expect(await child.exited).toBe(0);
    const bytes = lines.map((line) => new TextEncoder().encode(line));
    const logs = bytes.flatMap((line) => decodeOtlp("logs", "json", line).logs);
    const points = bytes.flatMap((line) => decodeOtlp("metrics", "json", line).points);
    expect(logs.filter(({ eventName }) => eventName === "tailscale.network.flow")).toHaveLength(9);
    expect(logs.filter(({ body }) => body === "hello")).toHaveLength(1);
    expect(points).toContainEqual(expect.objectContaining({ metric: "tailscale.stream.rejected", value: 1 }));
  });

  test("without a reader does not delay a stop: the process exits with 0, and what was not written stays pending", async () => {
    for (let row = 0; row < 20; row++) await commit(`nBIG${row}CNTRL`, 400);
    const path = await stored();
    const pipe = join(path, "pipe");
    expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0);
    const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(pipe, constants.O_WRONLY);
    const child = Bun.spawn([process.execPath, program, path, "3600000"], { stdout: writer, stderr: "pipe" });
    closeSync(writer);
    const report = await new Response(child.stderr).text();
    expect(await child.exited).toBe(0);
    const [, written, pending] = /^delivered (\d+) pending (\d+)\n$/.exec(report) ?? [];
    expect(Number(pending)).toBeGreaterThan(0);
    expect(Number(written) + Number(pending)).toBe(23);
    const lines = readFileSync(reader, "utf8").split("\n");
    closeSync(reader);
    expect(lines.length).toBeGreaterThan(1);
    for (const whole of lines.slice(0, -1)) JSON.parse(whole);
  }, 120_000);

  test("whose reader has gone ends the process, which is reported", async () => {
    const command = ["sh", "-c", '"$@" | exec true', "sh", process.execPath, program, await stored(), "5000"];
    const child = Bun.spawn(command, { stderr: "pipe" });
    expect(await new Response(child.stderr).text()).toBe("closed\n");
  });
});
