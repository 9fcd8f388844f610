/**
 * Tests the compiled program with a real VictoriaMetrics, which accepts only protobuf, the default, and counts every increase.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { curl } from "../support/curl.ts";
import { canHave } from "../support/go-build.ts";
import { type MetricsBackend, startVictoriaMetrics } from "../support/metrics-backend.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { handCounted, sampleBody } from "../support/sample-body.ts";
import { victoriaMetricsProgram } from "../support/victoriametrics-build.ts";
import { timeoutMs } from "../support/wait.ts";

const canRun = canHave(victoriaMetricsProgram) || process.env.CI !== undefined;
const sums = Object.values(handCounted);
const entries = sums.reduce((sum, one) => sum + one.entries, 0);
const bytes = sums.reduce((sum, { txBytes, rxBytes }) => sum + txBytes + rxBytes, 0);

describe.skipIf(!canRun)("a real VictoriaMetrics", () => {
  let directory: string;
  let backend: MetricsBackend;
  let program: RunningProgram;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "victoriametrics-test-"));
    backend = await startVictoriaMetrics();
    program = await startProgram({
      command: [programBinary()],
      directory,
      endpoint: backend.endpoint,
      encoding: "protobuf",
      settings: { TS2OTEL_OTLP__LOGS__ENABLED: "false" },
    });
  }, timeoutMs);

  afterEach(async () => {
    await program.kill();
    await backend.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  test(
    "accepts the metrics, with exact totals and increases",
    async () => {
      expect(curl({ url: program.url, token: program.token, body: Buffer.from(sampleBody) })).toMatchObject({
        status: 200,
      });
      for (const [metric, total] of [
        ["tailscale_network_flows_total", entries],
        ["tailscale_network_io_rollup_bytes_total", bytes],
      ] as const)
        for (const expression of [`sum(${metric})`, `sum(increase(${metric}[5m]))`])
          await backend.until(expression, ([sum]) => sum?.value === total);
    },
    timeoutMs,
  );
});
