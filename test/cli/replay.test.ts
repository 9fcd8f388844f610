/** `replay` and `status` as processes, with the real program, which is killed during a replay. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ask, configure, type RunningProgram, startRunning, statusOf } from "./running.ts";
import { start, temporaryDirectory } from "./program.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { configAt, fillHours, openStore } from "../support/store.ts";
import { until } from "../support/wait.ts";

const parent = temporaryDirectory();
const rows = 96;
const recordsPerRow = 5;
const total = rows * recordsPerRow;
const all = Array.from({ length: total }, (_, number) => number + 1);

let sink: OtlpSink;
beforeAll(async () => {
  sink = await startOtlpSink();
});
afterAll(() => sink.stop());

const isLogs = ({ path }: { path: string }) => path.endsWith("/logs");
const logRequests = () => sink.requests.filter(isLogs);
const portsSince = (requests: number): number[] =>
  logRequests()
    .slice(requests)
    .filter(({ isTaken }) => isTaken)
    .flatMap(({ logs }) => logs.map(({ attributes }) => Number(attributes["destination.port"])));
const sorted = (numbers: Iterable<number>): number[] => [...numbers].toSorted((a, b) => a - b);

/** Creates a state directory with eight hours of records. */
async function eightHours(name: string): Promise<string> {
  const directory = configure(parent, name, sink.url, 'metric_interval = "1s"\n');
  const store = await openStore(configAt(join(directory, "state")));
  await fillHours(store, { hours: 8, rows, recordsPerRow, now: Date.now() });
  store.close();
  return directory;
}

/** Starts the program, and resolves once it has delivered all records as new logs, with the number of requests so far. */
async function deliver(directory: string): Promise<{ running: RunningProgram; requests: number }> {
  const before = logRequests().length;
  const running = await startRunning(directory);
  await sink.until(() => portsSince(before).length >= total);
  await until(async () => (await statusOf(directory, running)).conservation.delivered === total);
  expect(sorted(portsSince(before))).toEqual(all);
  return { running, requests: logRequests().length };
}

/** The counters of accepted records and their traffic as Prometheus reads them, after the next metric export. */
async function counters({ admin }: RunningProgram): Promise<string[]> {
  const metricRequests = () => sink.requests.filter((request) => !isLogs(request)).length;
  const before = metricRequests();
  await sink.until(() => metricRequests() > before + 1);
  const response = await fetch(`${admin}/metrics`, { headers: { authorization: "Bearer admin-token" } });
  const names = /^(tailscale_network|tailscale_stream|tailscale2otel_(ingest_(records|size)|export_log|quarantine))/;
  const lines = (await response.text()).split("\n").filter((line) => names.test(line));
  return lines.filter((line) => !line.includes("_bucket") && !/(age|delay|timestamp|unique)/.test(line)).toSorted();
}

test("exports 8 hours again on demand, each record exactly once, and no counter changes", async () => {
  const directory = await eightHours("once");
  const { running, requests } = await deliver(directory);
  const before = { counters: await counters(running), sums: (await statusOf(directory, running)).conservation };
  expect(before.counters.length).toBeGreaterThan(3);

  const { code, stdout } = await ask(directory, "replay --since 9h", running);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    name: "replay",
    state: "finished",
    total,
    delivered: total,
    rejected: 0,
  });
  expect(sorted(portsSince(requests))).toEqual(all);
  expect({ counters: await counters(running), sums: (await statusOf(directory, running)).conservation }).toEqual(
    before,
  );

  const nothing = await ask(directory, "replay --since 1s", running);
  expect([nothing.code, nothing.stderr]).toEqual([
    1,
    expect.stringContaining("nothing that was delivered in that time"),
  ]);
  await running.stop();
}, 120_000);

test("continues after a kill with the next run, and exports each record at least once", async () => {
  const directory = await eightHours("killed");
  const { running, requests } = await deliver(directory);
  sink.behave((request) => {
    if (!isLogs(request) || logRequests().length <= requests + 8) return { kind: "take" };
    return { kind: "hang" };
  });
  const begun = await ask(directory, "replay --since 9h --detach", running);
  expect(JSON.parse(begun.stdout)).toMatchObject({ state: "in progress", total });
  await sink.until(() => logRequests().length > requests + 8);
  const second = await ask(directory, "replay --since 1h", running);
  expect([second.code, second.stderr]).toEqual([1, expect.stringContaining("a replay has been in progress since")]);
  running.program.process.kill("SIGKILL");
  await running.program.ended;
  expect(new Set(portsSince(requests)).size).toBeLessThan(total);

  const stopped = await statusOf(directory);
  expect(stopped).toMatchObject({ running: false, redeliveries: [{ name: "replay", state: "in progress", total }] });
  sink.behave(() => ({ kind: "take" }));
  const again = await startRunning(directory);
  await sink.until(() => new Set(portsSince(requests)).size === total);
  const reports = async () => (await statusOf(directory, again)).redeliveries;
  await until(async () => (await reports())[0]?.state !== "in progress");
  expect(await reports()).toMatchObject([{ state: "finished", total, delivered: total, rejected: 0 }]);
  expect((await statusOf(directory, again)).conservation).toMatchObject({
    accepted: total,
    delivered: total,
    pending: 0,
  });
  await again.stop();
}, 120_000);

test("can be started and cancelled while no instance runs", async () => {
  const directory = await eightHours("asked");
  const { running, requests } = await deliver(directory);
  await running.stop();
  const asked = await ask(directory, "replay --since 9h");
  expect([asked.code, asked.stderr]).toEqual([0, "no instance is running: the next run starts the replay\n"]);
  const cancelled = await ask(directory, "replay --cancel");
  expect(JSON.parse(cancelled.stdout)).toMatchObject({ state: "cancelled", delivered: 0 });
  expect((await ask(directory, "replay --cancel")).stderr).toContain("no replay is in progress");
  expect((await ask(directory, "replay --since 9h")).code).toBe(0);
  const again = await startRunning(directory);
  await sink.until(() => portsSince(requests).length >= total);
  await again.stop();
  expect(sorted(portsSince(requests))).toEqual(all);
}, 120_000);

test("is refused if no logs are exported, and a queued replay is cancelled with a warning", async () => {
  const directory = configure(parent, "local", "");
  const store = await openStore(configAt(join(directory, "state")));
  await fillHours(store, { hours: 1, rows: 4, recordsPerRow: 1, now: Date.now() });
  const { journal } = store;
  journal.progress({ cursor: { ...journal.cursor, seq: 5, records: { delivered: 4, deadLettered: 0 } }, marks: [] });
  store.close();
  expect((await ask(directory, "replay --since 9h")).code).toBe(0);
  const running = await startRunning(directory);
  expect(await running.program.line("is cancelled")).toContain(
    "logs are not exported, so there is nothing to repeat: set otlp.endpoint",
  );
  const { code, stderr } = await ask(directory, "replay --since 9h", running);
  expect([code, stderr]).toEqual([1, expect.stringContaining("set otlp.endpoint")]);
  await running.stop();
}, 120_000);

test("reports mistakes in the command line", async () => {
  const directory = configure(parent, "usage", "");
  for (const [words, why] of [
    ["replay", "--since or --cancel is required"],
    ["replay --cancel --since 8h", "--cancel takes neither --since nor --until"],
    ["replay --since soon", "--since must be a duration such as 8h"],
    ["replay --since 1h --until 2h", "--until is before --since"],
  ] as const) {
    const { code, stderr } = await ask(directory, words);
    expect([words, code, stderr]).toEqual([words, 64, expect.stringContaining(why)]);
  }
}, 120_000);

test("says in a pipe what it waits for while the backend is down, and finishes when it is back", async () => {
  const { running } = await deliver(await eightHours("outage"));
  sink.behave(() => ({ kind: "status", status: 503, body: "out for lunch" }));
  const words = ["replay", "--since", "9h", "--url", running.admin, "--set", "admin.token=admin-token"];
  const replay = start(parent, words);
  expect(await replay.line("waiting: ")).toMatch(
    /^waiting: .*HTTP 503.* \(the replay continues if you end this command\)$/,
  );
  sink.behave(() => ({ kind: "take" }));
  const { code, stdout } = await replay.ended;
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^replay of \S+ to \S+: finished, 480 of 480 records/)]);
  await running.stop();
}, 120_000);
