/**
 * Tests that the released program polls a stand-in for Tailscale: together with the stream, across kills, and through a week of
 * backlog.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatRfc3339 } from "../../src/lib/rfc3339.ts";
import { programBinary } from "../support/binary.ts";
import { totalsOf } from "../support/exported-totals.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { canMeasureMemory, peakBytes } from "../support/peak-memory.ts";
import { freePort } from "../support/port.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { startTailnet, type Tailnet, type TailnetRecord } from "../support/tailnet/index.ts";
import { longTimeoutMs, timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let tailnet: Tailnet;
let program: RunningProgram | undefined;
let port: number;

async function startPolling(settings: Readonly<Record<string, string>> = {}): Promise<RunningProgram> {
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: sink.url,
    encoding: "json",
    port,
    settings: {
      TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: tailnet.oauth.clientId,
      TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: tailnet.oauth.clientSecret,
      ...Object.fromEntries(
        ["FLOWLOGS", "AUDITLOGS"].flatMap((log) => [
          [`TS2OTEL_COLLECTORS__${log}__SOURCE`, "both"],
          [`TS2OTEL_COLLECTORS__${log}__INTERVAL`, "1s"],
          [`TS2OTEL_COLLECTORS__${log}__LAG`, "0s"],
        ]),
      ),
      ...settings,
    },
  });
  return program;
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "poller-e2e-"));
  sink = await startOtlpSink();
  tailnet = await startTailnet();
  port = await freePort();
});

afterEach(async () => {
  await program?.kill();
  program = undefined;
  await sink.stop();
  await tailnet.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** A log time that many seconds ago. */
const secondsAgo = (seconds: number): string => formatRfc3339([Math.floor(Date.now() / 1000) - seconds, 0]);

function addFlow(index: number, seconds: number): TailnetRecord {
  const start = secondsAgo(seconds + 7);
  const end = secondsAgo(seconds + 2);
  const virtualTraffic = [connection({ txBytes: 1000 + index })];
  return tailnet.addFlow(flowValue({ nodeId: `n${index}CNTRL`, start, end, virtualTraffic }), secondsAgo(seconds));
}

const accepted = () => totalsOf(sink.points, "tailscale2otel.ingest.records", "outcome")["accepted"];
const repaired = () => totalsOf(sink.points, "tailscale2otel.reconcile.repaired", "type")["flow"];
const late = () => totalsOf(sink.points, "tailscale2otel.reconcile.late", "type")["flow"];
const transmitted = () => totalsOf(sink.points, "tailscale.network.io.rollup", "network.io.direction")["transmit"];
/** Node ids in the flow logs that have arrived; a log in flight at a kill arrives twice. */
const nodes = () =>
  new Set(
    sink.logs
      .filter(({ eventName }) => eventName === "tailscale.network.flow")
      .map(({ attributes }) => attributes["tailscale.node.id"]),
  );

test(
  "a record is counted once whether streamed or polled, even with kill -9 in between",
  async () => {
    const records = Array.from({ length: 40 }, (_, index) => addFlow(index, 60));
    tailnet.addAudit(auditValue({ eventGroupID: "group-1" }), secondsAgo(30));
    const streamed = records.slice(0, 20).map((record) => JSON.stringify(record.streamed));
    const send = async (texts: readonly string[]): Promise<number> => {
      const headers = { authorization: "Splunk test-token" };
      const url = `http://127.0.0.1:${port}/services/collector/event`;
      return (await fetch(url, { method: "POST", headers, body: texts.join("") })).status;
    };
    tailnet.fail({ path: /logging/, times: 1000, effect: { kind: "status", status: 403, message: "not yet" } });
    await startPolling();
    expect(await send(streamed)).toBe(200);
    await program?.kill();
    tailnet.recover();
    await startPolling();
    await sink.until(() => accepted() === 41 && repaired() === 20);
    expect(await send(records.slice(10, 30).map((record) => JSON.stringify(record.streamed)))).toBe(200);
    await sink.until(() => late() === 10);
    await program?.kill();
    await startPolling();
    addFlow(40, 1);
    await sink.until(() => accepted() === 42 && nodes().size === 41);
    expect(transmitted()).toBe(
      Array.from({ length: 41 }, (_, index) => 1000 + index).reduce((sum, bytes) => sum + bytes),
    );
    expect(repaired()).toBe(21);
  },
  timeoutMs,
);

const hourSeconds = 3600;
const backlogHours = 7 * 24;
/** These hours have 100 MB, the others 1 MB. */
const busyHours = new Set([3, 80, 81]);
const recordsOfSecond = (hour: number, second: number): number => (busyHours.has(hour) ? 28 : second % 4 === 0 ? 1 : 0);

/** The records of a window, 1 KB each. */
function* textsOfWindow(firstSecond: number, from: number, to: number): Generator<string> {
  const virtualTraffic = Array.from({ length: 8 }, (_, index) => connection({ src: `100.64.1.1:${40_000 + index}` }));
  for (let second = Math.max(0, from - firstSecond); second <= Math.min(to - firstSecond, lastSecond); second++) {
    const records = recordsOfSecond(Math.floor(second / hourSeconds), second);
    for (let index = 0; index < records; index++) {
      const at = firstSecond + second;
      yield JSON.stringify({
        logged: formatRfc3339([at, index]),
        ...flowValue({
          nodeId: `n${second}x${index}CNTRL`,
          start: formatRfc3339([at - 7, 0]),
          end: formatRfc3339([at - 2, 0]),
          virtualTraffic,
        }),
      });
    }
  }
}

const lastSecond = backlogHours * hourSeconds - 60;
const maxCatchUpMiB = 550;

test(
  "a week of backlog with windows of 100 MB is caught up in bounded memory",
  async () => {
    const firstSecond = Math.floor(Date.now() / 1000) - backlogHours * hourSeconds;
    tailnet.serveRecords("network", (from, to) => textsOfWindow(firstSecond, from, to));
    const { pid } = await startPolling({
      TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "poll",
      TS2OTEL_COLLECTORS__FLOWLOGS__INITIAL_LOOKBACK: `${backlogHours + 1}h`,
      TS2OTEL_COLLECTORS__FLOWLOGS__LOG_MODE: "off",
      TS2OTEL_STATE__RETENTION: "0s",
    });
    let wanted = 0;
    for (let second = 0; second <= lastSecond; second++)
      wanted += recordsOfSecond(Math.floor(second / hourSeconds), second);
    await sink.until(() => accepted() === wanted);
    const peakMiB = Math.round(peakBytes(pid) / 2 ** 20);
    const sizes = totalsOf(sink.points, "tailscale2otel.ingest.size", "source");
    const windows = tailnet.requests.filter(({ path }) => path.endsWith("/logging/network")).length;
    process.stdout.write(
      `\nbacklog of a week: ${windows} windows, ${wanted} records, ${Math.round((sizes["poll"] ?? 0) / 2 ** 20)} MiB in answers, peak ${peakMiB} MiB\n`,
    );
    if (canMeasureMemory) expect(peakMiB).toBeLessThan(maxCatchUpMiB);
  },
  longTimeoutMs,
);

test(
  "stops in time while Tailscale's API does not answer: what was received is counted and delivered first",
  async () => {
    tailnet.fail({ times: 1_000_000, effect: { kind: "hang" } });
    const running = await startPolling({ TS2OTEL_OTLP__METRIC_INTERVAL: "1h" });
    await until(() => tailnet.requests.length > 0);
    const body = JSON.stringify(flowValue({ start: secondsAgo(9), end: secondsAgo(4) }));
    const headers = { authorization: "Splunk test-token" };
    expect((await fetch(running.url, { method: "POST", headers, body })).status).toBe(200);
    expect(await running.stop()).toBe(0);
    expect(accepted()).toBe(1);
    expect(nodes().size).toBe(1);
  },
  timeoutMs,
);
