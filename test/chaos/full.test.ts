/**
 * Tests that the compiled program with a full journal frees space as soon as the backend recovers, without waiting for the next
 * fold.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { auditValue, enveloped } from "../support/records.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let program: RunningProgram | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "full-test-"));
  sink = await startOtlpSink({ forgets: true });
});

afterEach(async () => {
  await program?.kill();
  await sink.stop();
  rmSync(directory, { recursive: true });
});

let sent = 0;

/** A batch of about a mebibyte that does not compress. */
function batch(): string {
  return Array.from({ length: 8 }, () =>
    JSON.stringify(
      enveloped(auditValue({ eventGroupID: `group-${++sent}`, new: randomBytes(96_000).toString("base64") })),
    ),
  ).join("");
}

async function send({ url, token }: RunningProgram): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { method: "POST", headers: { authorization: `Splunk ${token}` }, body: batch() });
  return { status: answer.status, text: await answer.text() };
}

test(
  "frees space with an additional snapshot as soon as rows are delivered, however long the metric interval",
  async () => {
    let isDown = true;
    sink.behave(() => (isDown ? { kind: "status", status: 503 } : { kind: "take" }));
    const running = (program = await startProgram({
      command: [programBinary()],
      directory,
      endpoint: sink.url,
      encoding: "json",
      settings: { TS2OTEL_STATE__MAX_BYTES: "32MiB", TS2OTEL_OTLP__METRIC_INTERVAL: "1h" },
    }));
    let answer = await send(running);
    while (answer.status === 200) answer = await send(running);
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([503, { code: 9 }]);
    isDown = false;
    await until(async () => (await send(running)).status === 200);
    expect(await running.stop()).toBe(0);
  },
  timeoutMs,
);
