/** Tests the same bundle under Deno: what comes in by HTTP goes out by OTLP, and the live page is served. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { programBundle } from "../support/binary.ts";
import { denoCommand } from "../support/deno.ts";
import { totalsOf, trafficOf, trafficOfLogs } from "../support/exported-totals.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { handCounted, sampleBody } from "../support/sample-body.ts";
import { startProgram } from "../support/running-program.ts";
import { timeoutMs } from "../support/wait.ts";

test.each(["json", "protobuf"] as const)(
  "the bundle takes a zstd body under Deno and delivers logs and metrics as %s",
  async (encoding) => {
    const directory = mkdtempSync(join(tmpdir(), "deno-test-"));
    const sink = await startOtlpSink();
    const command = denoCommand(programBundle());
    const program = await startProgram({ command, directory, endpoint: sink.url, encoding });
    try {
      const response = await fetch(program.url, {
        method: "POST",
        headers: { authorization: `Splunk ${program.token}`, "content-encoding": "zstd" },
        body: zstdCompressSync(sampleBody),
      });
      expect([response.status, await response.json()]).toEqual([200, { text: "Success", code: 0 }]);
      await sink.until(({ logs, points }) => logs.length >= 30 && acceptedOf(points)["audit"] === 8);
      expect(acceptedOf(sink.points)).toEqual({ flow: 10, audit: 8 });
      expect(trafficOf(sink.points)).toEqual(handCounted);
      expect(trafficOfLogs(sink.logs)).toEqual(handCounted);
      expect(new Set(sink.requests.map((request) => request.encoding))).toEqual(new Set([encoding]));
      const page = await fetch(program.admin);
      expect([page.status, await page.text()]).toEqual([200, expect.stringContaining("<!doctype html>")]);
      const live = await fetch(`${program.admin}/api/v1/live`);
      expect(await program.stop()).toBe(0);
      // The stream stays open until then and ends with a complete event.
      expect(await live.text()).toMatch(/^retry: 2000\n\n(?:event: \w+\ndata: \{.*\}\n\n)+$/);
    } finally {
      await program.kill();
      await sink.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  },
  timeoutMs,
);

function acceptedOf(points: Parameters<typeof totalsOf>[0]): Readonly<Record<string, number>> {
  return totalsOf(points, "tailscale.stream.records", "type");
}
