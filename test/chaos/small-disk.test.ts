/** The compiled program on a disk that fills: senders get 503, and it goes on without a restart when there is room again. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { Account } from "./account.ts";
import { streamTraffic } from "./traffic.ts";

const timeoutMs = 60_000;
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
  "answers 503 while the disk is full, and loses nothing of what it answered 200",
  async () => {
    const account = new Account();
    let isDown = true;
    sink.behave((request) => {
      for (const log of request.logs) account.arrived(log, !isDown);
      return isDown ? { kind: "status", status: 503 } : { kind: "take" };
    });
    const { url, token, ...running } = await startProgram({
      command: [programBinary()],
      directory,
      endpoint: sink.url,
      encoding: "json",
      settings: { TS2OTEL_STATE__PATH: join(disk.path, "state"), TS2OTEL_OTLP__METRIC_INTERVAL: "500ms" },
    });
    program = { url, token, ...running };
    const source = streamTraffic(1, token, { hasPoison: false });
    const send = async (): Promise<{ status: number; text: string }> => {
      const batch = source.next();
      account.sending(batch);
      const answer = await fetch(url, { method: "POST", headers: batch.headers, body: batch.body });
      if (answer.status === 200) account.answered(batch, Date.now());
      return { status: answer.status, text: await answer.text() };
    };
    const until = async (status: number): Promise<string> => {
      while (true) {
        const answer = await send();
        if (answer.status === status) return answer.text;
        expect([200, 503]).toContain(answer.status);
      }
    };
    for (let time = 0; time < 50; time++) expect((await send()).status).toBe(200);
    disk.fill();
    expect(JSON.parse(await until(503))).toMatchObject({ code: 9 });
    for (let time = 0; time < 20; time++) expect((await send()).status).toBe(503);
    isDown = false;
    disk.free();
    while ((await send()).status !== 200) await wait(50);
    for (let time = 0; time < 50; time++) expect((await send()).status).toBe(200);
    while (account.outstanding().length > 0) await wait(50);
    expect(account.violations).toEqual([]);
    expect(await program.stop()).toBe(0);
    const { records } = account.accepted();
    expect([records, account.violations]).toEqual([account.answeredRecords, []]);
  },
  timeoutMs,
);
