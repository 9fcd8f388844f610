/** Tests the compiled program on a slow and on a failing disk: nothing acknowledged is lost, and it needs no restart. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { canHaveFaultyDisk, createFaultyDisk, type FaultyDisk } from "../support/faulty-disk.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { head } from "../support/raw-http.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { Account } from "./account.ts";
import { expectAllArrived, sendNext } from "./senders.ts";
import { streamTraffic, type TrafficSource } from "./traffic.ts";
import { timeoutMs, until } from "../support/wait.ts";

let directory: string;
let sink: OtlpSink;
let program: RunningProgram | undefined;
let account: Account;
let source: TrafficSource;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "faulty-disk-test-"));
  sink = await startOtlpSink({ forgets: true });
  account = new Account();
  source = streamTraffic(1, "test-token", { hasPoison: false });
  sink.behave((request) => {
    for (const log of request.logs) account.arrived(log, true);
    return { kind: "take" };
  });
});

afterEach(async () => {
  await program?.kill();
  await sink.stop();
  rmSync(directory, { recursive: true });
});

async function start({ prefix }: Pick<FaultyDisk, "prefix">): Promise<RunningProgram> {
  const command = [...prefix, programBinary()];
  return (program = await startProgram({ command, directory, endpoint: sink.url, encoding: "json" }));
}

const send = ({ url }: RunningProgram) => sendNext(url, source, account);

/** Number of append transactions so far. */
async function commits({ admin }: RunningProgram): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(/^tailscale2otel_journal_commit_duration_seconds_count(?:\{.*\})? (\d+)/m.exec(text)?.[1] ?? 0);
}

/** Posts the next batch on a new connection; `sent` resolves when the kernel has it, `status` with the response. */
function post({ url }: RunningProgram): { readonly sent: Promise<void>; readonly status: Promise<string> } {
  const { port, pathname } = new URL(url);
  const batch = source.next();
  account.sending(batch);
  const length = { "content-length": batch.body.length, connection: "close" };
  const request = Buffer.concat([Buffer.from(head("POST", pathname, { ...batch.headers, ...length })), batch.body]);
  const socket = connect(Number(port), "127.0.0.1");
  const sent = new Promise<void>((resolve) => socket.write(request, () => resolve()));
  const status = new Promise<string>((resolve, reject) => {
    let answer = "";
    socket.on("data", (data) => (answer += data.toString("latin1")));
    socket.on("error", reject).on("close", () => {
      if (answer.startsWith("HTTP/1.1 200 ")) account.answered(batch, Date.now());
      resolve(answer.split("\r\n")[0] ?? "");
    });
  });
  return { sent, status };
}

test.skipIf(!canHaveFaultyDisk)(
  "sixteen senders share the syncs of a slow disk, none is answered early, and a kill loses nothing that was answered",
  async () => {
    const disk = createFaultyDisk(directory);
    const running = await start(disk);
    const before = await commits(running);
    const rounds = 10;
    let answered = 0;
    for (let round = 0; round < rounds; round++) {
      disk.hold();
      const posts = Array.from({ length: 16 }, () => post(running));
      for (const { status } of posts) void status.then(() => answered++);
      await Promise.all(posts.map(({ sent }) => sent));
      await until(() => disk.isHolding());
      expect(answered).toBe(16 * round);
      disk.release();
      expect(new Set(await Promise.all(posts.map(({ status }) => status)))).toEqual(new Set(["HTTP/1.1 200 OK"]));
    }
    /** Requests that arrive during a sync share the next transaction. Reporting positions adds some transactions. */
    const turns = (await commits(running)) - before;
    expect(turns).toBeGreaterThanOrEqual(rounds);
    expect(turns).toBeLessThan((16 * rounds) / 2);
    process.stdout.write(
      `\na disk that holds its syncs, sixteen senders: ${16 * rounds} requests, ${turns} transactions\n`,
    );
    await running.kill();
    await expectAllArrived(await start({ prefix: [] }), account);
  },
  timeoutMs,
);

test.skipIf(!canHaveFaultyDisk)(
  "answers 503 while the disk fails, reports that it is not ready, and continues when it works again",
  async () => {
    const disk = createFaultyDisk(directory);
    const running = await start(disk);
    for (let time = 0; time < 30; time++) expect((await send(running)).status).toBe(200);
    disk.fail();
    for (let time = 0; time < 30; time++) {
      const answer = await send(running);
      expect([answer.status, JSON.parse(answer.text)]).toMatchObject([503, { code: 9 }]);
    }
    const health = await fetch(running.url.replace("/event", "/health"));
    expect([health.status, await health.json()]).toMatchObject([503, { code: 18 }]);
    expect((await fetch(`${running.admin}/readyz`)).status).toBe(503);
    expect((await fetch(`${running.admin}/healthz`)).status).toBe(200);
    disk.heal();
    await until(async () => (await send(running)).status === 200);
    for (let time = 0; time < 30; time++) expect((await send(running)).status).toBe(200);
    expect((await fetch(`${running.admin}/readyz`)).status).toBe(200);
    await expectAllArrived(running, account);
    expect(running.output()).not.toContain("damaged");
  },
  timeoutMs,
);

test.skipIf(!canHaveFaultyDisk)(
  "a kill while the disk fails loses nothing that was answered",
  async () => {
    const disk = createFaultyDisk(directory);
    const running = await start(disk);
    for (let round = 0; round < 4; round++) {
      for (let time = 0; time < 10; time++) expect((await send(running)).status).toBe(200);
      disk.fail();
      for (let time = 0; time < 10; time++) expect((await send(running)).status).toBe(503);
      if (round === 3) break;
      disk.heal();
      await until(async () => (await send(running)).status === 200);
    }
    await running.kill();
    await expectAllArrived(await start({ prefix: [] }), account);
  },
  timeoutMs,
);
