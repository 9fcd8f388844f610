/** The page about several destinations: its configuration is valid, and its commands do what it says on a running instance. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Overview } from "../../src/admin/overview.ts";
import type { RunningStatus } from "../../src/admin/status.ts";
import { askAdmin } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink, type SunkLog } from "../support/otlp-sink.ts";
import { blocksBelow } from "../support/pages.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { timeoutMs, until } from "../support/wait.ts";
import { runToEnd } from "./program.ts";

const page = "docs/destinations.md";
const [configuration = ""] = blocksBelow(page, "## Configuration");
const commands = blocksBelow(page, "## Status and commands")
  .flatMap((block) => block.split("\n"))
  .filter((line) => line.startsWith("tailscale2otel "));

let directory: string;
let sinks: Record<"primary" | "archive" | "security", OtlpSink>;
let program: RunningProgram | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "destinations-page-"));
  const [primary, archive, security] = await Promise.all([startOtlpSink(), startOtlpSink(), startOtlpSink()]);
  sinks = { primary, archive, security };
});

afterEach(async () => {
  await program?.kill();
  await Promise.all(Object.values(sinks).map((sink) => sink.stop()));
  rmSync(directory, { recursive: true });
});

/** Writes the page's configuration with the test's addresses. */
function configure(): string {
  const path = join(directory, "tailscale2otel.toml");
  const text = configuration
    .replace("http://127.0.0.1:4318", sinks.primary.url)
    .replace("https://archive.example.com/otlp", sinks.archive.url)
    .replace("http://siem.example.com:4318", sinks.security.url);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

async function start(): Promise<RunningProgram> {
  const settings = { TS2OTEL_CONFIG: configure() };
  return (program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: sinks.primary.url,
    encoding: "protobuf",
    settings,
  }));
}

let sent = 0;

async function send({ url, token }: RunningProgram, ...values: readonly JsonObject[]): Promise<void> {
  const body = values.map((value) => JSON.stringify(enveloped(value))).join("");
  const answer = await fetch(url, { method: "POST", headers: { authorization: `Splunk ${token}` }, body });
  expect(answer.status).toBe(200);
}

const audit = () => auditValue({ eventGroupID: `group-${++sent}` });
const flow = () => flowValue({ nodeId: `n${++sent}CNTRL`, virtualTraffic: [connection()] });
const typesAt = (sink: OtlpSink) => sink.logs.map(({ eventName }) => String(eventName).split(".")[1]).toSorted();
const run = (command: string, { admin }: RunningProgram) =>
  runToEnd(directory, [...command.split(" ").slice(1), "--url", admin]);

test(
  "each destination gets the records of its types with its own headers, and metrics if enabled",
  async () => {
    const running = await start();
    await send(running, flow(), audit());
    await until(
      () => sinks.primary.logs.length === 2 && sinks.archive.logs.length === 2 && sinks.security.logs.length === 1,
    );
    expect(typesAt(sinks.primary)).toEqual(["config", "network"]);
    expect(typesAt(sinks.security)).toEqual(["config"]);
    expect(sinks.archive.requests[0]?.headers["authorization"]).toBe("Bearer example");
    expect(sinks.primary.requests[0]?.headers["authorization"]).toBeUndefined();
    await until(() => sinks.archive.points.length > 0 && sinks.primary.points.length > 0);
    const named = (metric: string) =>
      new Set(
        sinks.archive.points.filter((point) => point.metric === metric).map((point) => point.attributes["destination"]),
      );
    await until(() => named("tailscale2otel.export.requests").has("security"));
    expect(named("tailscale2otel.export.log_records")).toEqual(new Set([undefined, "archive", "security"]));
    expect(named("tailscale2otel.export.evicted")).toEqual(new Set(["security"]));
    expect(sinks.security.points).toEqual([]);
  },
  timeoutMs,
);

test(
  "the commands of the page work, and dead letters go back to the destination that rejected them",
  async () => {
    const isNew = ({ attributes }: SunkLog) => attributes["tailscale.audit.event_group_id"] !== undefined;
    let isStrict = true;
    sinks.archive.behave(({ logs }) =>
      isStrict && logs.some(isNew) ? { kind: "status", status: 400, body: "no audits here" } : { kind: "take" },
    );
    const running = await start();
    await send(running, flow(), audit());
    const status = () => askAdmin<RunningStatus>(running.admin, "status");
    const archive = async () => (await status()).destinations?.find(({ name }) => name === "archive")?.records;
    await until(async () => {
      await send(running, flow());
      return (await archive())?.deadLettered === 1;
    });
    const [show = "", replay = "", list = "", retry = "", ...others] = commands;
    expect(others).toEqual([]);
    const shown = await run(show, running);
    expect(shown.stdout).toMatch(/^destination +archive: \d+ = \d+ delivered \+ \d+ pending \+ 1 dead-lettered/m);
    expect(shown.stdout).toMatch(/^destination +security: 1 \(only audit, webhook\) = 1 delivered/m);
    expect((await askAdmin<Overview>(running.admin, "overview")).destinations).toMatchObject([
      { name: "archive", records: { deadLettered: 1 } },
      { name: "security", records: { accepted: 1, delivered: 1, pending: 0 } },
    ]);
    expect((await run(list, running)).stdout).toMatch(
      /dead_letter +audit +rejected +1 .* archive +HTTP 400: no audits here/,
    );
    expect((await run(list.replace("archive", "security"), running)).stdout).toBe("no items\n");

    isStrict = false;
    const before = { primary: sinks.primary.logs.length, archive: sinks.archive.logs.length };
    expect(await run(retry, running)).toMatchObject({ code: 0, stdout: expect.stringContaining("1 record queued") });
    await until(() => sinks.archive.logs.length === before.archive + 1);
    const replayed = await run(replay, running);
    expect(replayed.stdout).toMatch(/^replay of .* for archive: finished, \d+ of \d+ records delivered \(100%\)/);
    expect(sinks.archive.logs.length).toBeGreaterThan(before.archive + 2);
    expect(sinks.primary.logs).toHaveLength(before.primary);
    const unknown = await run(replay.replace("archive", "attic"), running);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain(
      'no logs are delivered to a destination "attic"; there are: primary, archive, security',
    );
  },
  timeoutMs,
);

test("check --online tries each destination", async () => {
  sinks.security.behave(() => ({ kind: "status", status: 401, body: "who are you?" }));
  const settings = [
    "streaming.enabled=true",
    "streaming.token=abcdefgh",
    "collectors.flowlogs.source=stream",
    "collectors.auditlogs.source=stream",
  ];
  const flags = settings.flatMap((one) => ["--set", one]);
  const state = ["--set", `state.path=${join(directory, "state")}`];
  const { stdout, code } = await runToEnd(directory, [
    "check",
    "--online",
    "--config",
    configure(),
    ...flags,
    ...state,
  ]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/ok +OTLP logs to archive +http.*\/v1\/logs accepts an empty export/);
  expect(stdout).toMatch(/ok +OTLP metrics to archive /);
  expect(stdout).toMatch(/failed +OTLP logs to security +.*401/);
  expect(stdout).toContain(
    "Check the credentials: otlp.also.1.headers, otlp.also.1.logs.headers or otlp.also.1.grafana_cloud.",
  );
});

test(
  "SIGHUP gives a destination its new headers at once, and says what waits for a restart",
  async () => {
    const running = await start();
    const path = configure();
    const text = readFileSync(path, "utf8");
    const changed = text.replace("Bearer example", "Bearer renewed").replace('name = "security"', 'name = "siem"');
    writeFileSync(path, changed, { mode: 0o600 });
    process.kill(running.pid, "SIGHUP");
    await until(() => running.output().includes("restart to apply: otlp.also.1.name"));
    // The lines are logged before the settings are applied.
    await until(async () => {
      await send(running, flow());
      return sinks.archive.requests.some(
        ({ logs, headers }) => logs.length > 0 && headers["authorization"] === "Bearer renewed",
      );
    });
  },
  timeoutMs,
);
