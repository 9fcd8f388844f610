/** Tests the main job end to end: curl, the compiled program, and a real OpenTelemetry Collector. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { programBinary } from "../support/binary.ts";
import { startCollector } from "../support/collector.ts";
import type { Collector } from "../support/collector.ts";
import { canHaveCollector } from "../support/collector-build.ts";
import { curl } from "../support/curl.ts";
import { DeltaSums } from "../support/delta-sink.ts";
import type { CurlAnswer } from "../support/curl.ts";
import { totalsOf, trafficOf, trafficOfLogs } from "../support/exported-totals.ts";
import { countedBodySums, handCounted, sampleBody } from "../support/sample-body.ts";
import { startProgram } from "../support/running-program.ts";
import type { RunningProgram } from "../support/running-program.ts";
import { timeoutMs } from "../support/wait.ts";

const body = zstdCompressSync(sampleBody);
const flowEntries = 22;
const success = { status: 200, body: { text: "Success", code: 0 } };

/** Without Go, the tests are skipped, except in CI. */
const canRun = canHaveCollector() || process.env.CI !== undefined;

test("the sums counted by hand are those of the fixture", () => {
  expect(countedBodySums()).toEqual(handCounted);
});

describe.skipIf(!canRun).each(["json", "protobuf"] as const)("a stream body, exported as %s,", (encoding) => {
  let directory: string;
  let collector: Collector;
  let program: RunningProgram;
  let cleanups: (() => Promise<void>)[];

  const start = async (): Promise<RunningProgram> => {
    const { endpoint } = collector;
    const started = await startProgram({ command: [programBinary()], directory, endpoint, encoding });
    cleanups.push(() => started.kill());
    return started;
  };
  const send = (bytes: Uint8Array = body): CurlAnswer =>
    curl({ url: program.url, token: program.token, body: bytes, encoding: "zstd" });
  const duplicates = () => totalsOf(collector.metrics(), "tailscale.stream.duplicates", "type");
  const accepted = () => totalsOf(collector.metrics(), "tailscale.stream.records", "type");
  const isAllDelivered = () => distinct(collector.logs()).length === flowEntries + 8 && accepted()["audit"] === 8;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "collector-test-"));
    cleanups = [async () => rmSync(directory, { recursive: true, force: true })];
    collector = await startCollector();
    cleanups.push(() => collector.stop());
    program = await start();
  }, timeoutMs);

  afterEach(async () => {
    for (const cleanup of cleanups.toReversed()) await cleanup();
  });

  test(
    "arrives whole, as logs and as metrics",
    async () => {
      expect(send()).toEqual(success);
      await collector.until(isAllDelivered);
      expect(accepted()).toEqual({ flow: 10, audit: 8 });
      expect(trafficOf(collector.metrics())).toEqual(handCounted);
      expect(totalsOf(collector.metrics(), "tailscale.config.audit.events", "tailscale.audit.action")).toEqual({
        UPDATE: 4,
        CREATE: 2,
        EXPIRED: 1,
        other: 1,
      });
      expect(collector.logs()).toHaveLength(flowEntries + 8);
      expect(trafficOfLogs(collector.logs())).toEqual(handCounted);
      expect(collector.logs().filter(({ eventName }) => eventName === "tailscale.config.audit")).toHaveLength(8);
    },
    timeoutMs,
  );

  test(
    "changes no counter when it is sent again",
    async () => {
      send();
      await collector.until(isAllDelivered);
      expect(send()).toEqual(success);
      await collector.until(() => duplicates()["audit"] === 8);
      expect(duplicates()).toEqual({ flow: 10, audit: 8 });
      expect(accepted()).toEqual({ flow: 10, audit: 8 });
      expect(trafficOf(collector.metrics())).toEqual(handCounted);
      expect(collector.logs()).toHaveLength(flowEntries + 8);
    },
    timeoutMs,
  );

  test(
    "survives a kill right after the 200",
    async () => {
      expect(send()).toEqual(success);
      await program.kill();
      program = await start();
      await collector.until(isAllDelivered);
      expect(trafficOf(collector.metrics())).toEqual(handCounted);
      expect(trafficOfLogs(distinct(collector.logs()))).toEqual(handCounted);
      expect(send()).toEqual(success);
      await collector.until(() => duplicates()["audit"] === 8);
      expect(duplicates()).toEqual({ flow: 10, audit: 8 });
      expect(trafficOf(collector.metrics())).toEqual(handCounted);
    },
    timeoutMs,
  );

  test(
    "is refused with code 6 when it is torn, and nothing of it is taken",
    async () => {
      expect(send(zstdCompressSync(sampleBody.slice(0, -10)))).toMatchObject({ status: 400, body: { code: 6 } });
      expect(send(body.subarray(0, body.length - 10))).toMatchObject({ status: 400, body: { code: 6 } });
      const [oneRecord = ""] = sampleBody.slice(sampleBody.lastIndexOf('{"time"')).split("\n");
      expect(send(zstdCompressSync(oneRecord))).toEqual(success);
      await collector.until(() => collector.logs().length > 0 && accepted()["audit"] !== undefined);
      expect(accepted()).toEqual({ audit: 1 });
      expect(collector.logs()).toHaveLength(1);
    },
    timeoutMs,
  );
});

/** A log can arrive twice if the program is killed while it delivers, but then with the same content. */
function distinct<Log>(logs: readonly Log[]): readonly Log[] {
  const seen = new Map(logs.map((log) => [JSON.stringify(log), log]));
  return [...seen.values()];
}

test.skipIf(!canRun)(
  "differences, compressed with zstd, add up to the same sums, also after a kill",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "collector-delta-test-"));
    const collector = await startCollector();
    const settings = { TS2OTEL_OTLP__METRICS__TEMPORALITY: "delta", TS2OTEL_OTLP__COMPRESSION: "zstd" };
    const start = () =>
      startProgram({
        command: [programBinary()],
        directory,
        endpoint: collector.endpoint,
        encoding: "protobuf",
        settings,
      });
    let program = await start();
    const sumsOf = () => {
      const sums = new DeltaSums();
      sums.take(collector.metrics());
      expect(sums.mistakes).toEqual([]);
      return sums.sums;
    };
    try {
      for (const times of [0, 1]) {
        expect(curl({ url: program.url, token: program.token, body, encoding: "zstd" })).toEqual(success);
        await collector.until(() => sumsOf().get("tailscale.stream.duplicates ") === (times === 0 ? undefined : 18));
        await collector.until(() => sumsOf().get("tailscale.network.flows ") === flowEntries);
        await program.kill();
        program = await start();
      }
      const traffic = Object.values(handCounted);
      expect(sumsOf().get("tailscale.network.io.rollup transmit")).toBe(
        traffic.reduce((sum, { txBytes }) => sum + txBytes, 0),
      );
      expect(sumsOf().get("tailscale.network.flows ")).toBe(flowEntries);
    } finally {
      await program.kill();
      await collector.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  timeoutMs,
);
