/**
 * Tests the compiled program with delta counters, killed and disconnected repeatedly: the deltas the backend accepted add up to
 * what was sent.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { curl } from "../support/curl.ts";
import { DeltaSums } from "../support/delta-sink.ts";
import { totalsOf } from "../support/exported-totals.ts";
import { type Behaviour, type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { bytesOf, connection, enveloped, flowValue } from "../support/records.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let program: RunningProgram;
let received: DeltaSums;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "delta-test-"));
  sink = await startOtlpSink();
  received = new DeltaSums();
  windows = 0;
  sent = { flows: 0, transmit: 0, receive: 0 };
  backendAnswers("take");
  program = await start();
}, timeoutMs);

afterEach(async () => {
  await program.kill();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
});

const settingsOf = (temporality: "delta" | "cumulative") => ({
  TS2OTEL_OTLP__METRICS__TEMPORALITY: temporality,
  TS2OTEL_OTLP__METRIC_INTERVAL: "100ms",
  TS2OTEL_OTLP__LOGS__ENABLED: "false",
  TS2OTEL_CARDINALITY__FLOW__ROLLUP_TOP_N: "2",
});

const launch = (endpoint: string, settings: Readonly<Record<string, string>>): Promise<RunningProgram> =>
  startProgram({ command: [programBinary()], directory, endpoint, encoding: "protobuf", settings });

const start = (): Promise<RunningProgram> => launch(sink.url, settingsOf("delta"));

/** `loses`: the backend accepts requests without responding. */
function backendAnswers(how: "take" | "loses" | "fails" | "refuses"): void {
  const answers: Record<typeof how, Behaviour> = {
    take: { kind: "take" },
    loses: { kind: "hang" },
    fails: { kind: "status", status: 503 },
    refuses: { kind: "status", status: 400, body: "invalid label" },
  };
  sink.behave(({ points }) => {
    // A backend that rejects one series: requests that contain it are rejected as a whole.
    const isGuilty = points.some(({ attributes }) => attributes["network.transport"] === "udp");
    const does = how === "refuses" && !isGuilty ? "take" : how;
    if (does === "take" || does === "loses") received.take(points);
    return answers[does];
  });
}

const requests = (more: number): Promise<void> => {
  const before = sink.requests.length;
  return until(() => sink.requests.length >= before + more);
};

/** Sends twenty flows between six nodes, each in its own window. */
let windows: number;
let sent: { flows: number; transmit: number; receive: number };
function send(): void {
  const records = Array.from({ length: 20 }, () => {
    const number = windows++;
    const at = new Date(Date.parse("2026-11-02T00:00:00Z") + number * 5000).toISOString();
    const dst = `100.64.1.${2 + (number % 5)}:443`;
    const [txBytes, rxBytes] = [1000 + number, 500 + number];
    sent.flows++;
    sent.transmit += txBytes;
    sent.receive += rxBytes;
    const proto = number % 7 === 0 ? 17 : 6;
    return enveloped(flowValue({ start: at, end: at, virtualTraffic: [connection({ proto, dst, txBytes, rxBytes })] }));
  });
  const body = bytesOf(records.map((record) => JSON.stringify(record)).join(""));
  expect(curl({ url: program.url, token: program.token, body })).toMatchObject({ status: 200 });
}

function expectAllReceived(): void {
  const { sums, mistakes } = received;
  expect({
    flows: sums.get("tailscale.network.flows "),
    transmit: sums.get("tailscale.network.io.rollup transmit"),
    receive: sums.get("tailscale.network.io.rollup receive"),
    records: sums.get("tailscale.stream.records "),
  }).toEqual({ ...sent, records: sent.flows });
  expect(mistakes).toEqual([]);
}

test(
  "killed while the backend fails or refuses a series, it sends nothing twice",
  async () => {
    for (const how of ["take", "fails", "refuses", "fails", "take", "fails"] as const) {
      backendAnswers(how);
      send();
      await requests(3);
      if (how !== "fails") continue;
      send();
      await program.kill();
      program = await start();
    }
    backendAnswers("take");
    send();
    await requests(2);
    expect(await program.stop()).toBe(0);
    expectAllReceived();
    // Nothing is left for the next start to resend.
    program = await start();
    await requests(2);
    expectAllReceived();
    expect(received.repeated).toBe(0);
  },
  timeoutMs,
);

test(
  "killed at any moment, it sends again only what was not answered, from where that began",
  async () => {
    for (const how of ["take", "loses", "fails", "loses", "refuses", "take"] as const) {
      backendAnswers(how);
      send();
      await requests(how === "loses" ? 1 : 3);
      send();
      await program.kill();
      program = await start();
    }
    backendAnswers("take");
    send();
    await requests(2);
    expect(await program.stop()).toBe(0);
    expectAllReceived();
    expect(received.repeated).toBeGreaterThan(0);
  },
  timeoutMs,
);

test(
  "a further destination gets differences while the first one gets totals, each from what it acknowledged itself",
  async () => {
    const totals = await startOtlpSink();
    try {
      await program.kill();
      received = new DeltaSums();
      const settings = {
        ...settingsOf("cumulative"),
        TS2OTEL_OTLP__ALSO__0__NAME: "billing",
        TS2OTEL_OTLP__ALSO__0__ENDPOINT: sink.url,
        TS2OTEL_OTLP__ALSO__0__METRICS__TEMPORALITY: "delta",
        TS2OTEL_OTLP__ALSO__0__LOGS__ENABLED: "false",
      };
      const startBoth = () => launch(totals.url, settings);
      program = await startBoth();
      send();
      await requests(3);
      backendAnswers("fails");
      send();
      await requests(3);
      await program.kill();
      program = await startBoth();
      backendAnswers("take");
      send();
      await requests(2);
      expect(await program.stop()).toBe(0);
      expectAllReceived();
      expect(received.repeated).toBe(0);
      expect(totalsOf(totals.points, "tailscale.network.flows", "network.transport")).toEqual({ tcp: 51, udp: 9 });
    } finally {
      await totals.stop();
    }
  },
  timeoutMs,
);
