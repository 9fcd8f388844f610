/**
 * Tests the compiled program on a disk that fills up: senders get 503, and it continues without a restart once there is space
 * again.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { Account } from "./account.ts";
import { expectAllArrived, sendNext } from "./senders.ts";
import { streamTraffic } from "./traffic.ts";
import { timeoutMs, until } from "../support/wait.ts";

let disk: SmallDisk;
let directory: string;
let sink: OtlpSink;
let program: RunningProgram | undefined;

beforeEach(async () => {
  if (!canMount) return;
  disk = mountSmallDisk(64);
  directory = mkdtempSync(join(tmpdir(), "small-disk-test-"));
  sink = await startOtlpSink({ forgets: true });
});

afterEach(async () => {
  if (!canMount) return;
  await program?.kill();
  await sink.stop();
  disk.remove();
  rmSync(directory, { recursive: true });
});

test.skipIf(!canMount)(
  "answers 503 while the disk is full, and loses nothing that it answered with 200",
  async () => {
    const account = new Account();
    let isDown = true;
    sink.behave((request) => {
      for (const log of request.logs) account.arrived(log, !isDown);
      return isDown ? { kind: "status", status: 503 } : { kind: "take" };
    });
    const running = (program = await startProgram({
      command: [programBinary()],
      directory,
      endpoint: sink.url,
      encoding: "json",
      settings: { TS2OTEL_STATE__PATH: join(disk.path, "state"), TS2OTEL_OTLP__METRIC_INTERVAL: "500ms" },
    }));
    const source = streamTraffic(1, running.token, { hasPoison: false });
    const send = () => sendNext(running.url, source, account);
    for (let time = 0; time < 50; time++) expect((await send()).status).toBe(200);
    disk.fill();
    let answer = await send();
    while (answer.status === 200) answer = await send();
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([503, { code: 9 }]);
    // A checkpoint of the write-ahead log frees some space, which is filled again.
    for (let refused = 0; refused < 20;) {
      if ((await send()).status === 503) refused++;
      else disk.fill();
    }
    isDown = false;
    disk.free();
    await until(async () => (await send()).status === 200);
    for (let time = 0; time < 50; time++) expect((await send()).status).toBe(200);
    expect(running.output()).toContain("the disk of the state directory has room again");
    await expectAllArrived(running, account);
  },
  timeoutMs,
);
