/** `bun test/chaos/outage.ts [--minutes 2] [--rate 5000] [--answer 503]`: a backend that takes nothing for that long under load. Prints memory, disk and how fast all of it is delivered after. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { programBinary } from "../support/binary.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { launchProgram } from "../support/running-program.ts";
import { Account } from "./account.ts";
import { streamTraffic } from "./traffic.ts";
import { CounterWatch } from "./watch.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    rate: { type: "string", default: "5000" },
    answer: { type: "string", default: "503" },
  },
});
const rate = Number(values.rate);
const say = (name: string, figure: string) => void process.stdout.write(`${name.padEnd(34)}${figure}\n`);
const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;

const directory = mkdtempSync(join(tmpdir(), "outage-"));
const account = new Account();
const watch = new CounterWatch(account);
let isDown = true;
let taken = 0;
const sink = await startOtlpSink({ forgets: true });
sink.behave((request) => {
  watch.exported(request.points);
  for (const log of request.logs) account.arrived(log, !isDown);
  if (!isDown) taken += request.logs.length;
  return isDown ? { kind: "status", status: Number(values.answer) } : { kind: "take" };
});
const settings = { TS2OTEL_OTLP__METRIC_INTERVAL: "5s" };
const command = [programBinary()];
const program = await launchProgram({ command, directory, endpoint: sink.url, encoding: "json", settings });
const source = streamTraffic(1, program.token, { hasPoison: false });
let refused = 0;
let entries = 0;

async function send(): Promise<void> {
  const batch = source.next();
  account.sending(batch);
  for (const { adds } of batch.own) entries += adds.entries + adds.audits;
  const { status } = await fetch(program.url, { method: "POST", headers: batch.headers, body: batch.body });
  if (status === 200) account.answered(batch, Date.now());
  else refused++;
}

/** Keeps the rate, or as much of it as the machine gives, until it is time, whatever becomes of the single request. */
async function load(isOver: () => boolean): Promise<void> {
  const startedAt = performance.now();
  const before = entries;
  while (!isOver()) {
    while (!isOver() && entries - before < ((performance.now() - startedAt) / 1000) * rate)
      await Promise.all(Array.from({ length: 8 }, send));
    await wait(10);
  }
}

/** What is left may be as much as came in while it caught up; it is over when nothing more comes. */
async function drained(): Promise<void> {
  let arrivals = -1;
  while (account.outstanding().length > 0 && account.arrivals > arrivals) {
    ({ arrivals } = account);
    await wait(30_000);
  }
}

const residentBytes = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${program.pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
const diskBytes = () =>
  ["journal.db", "journal.db-wal"].reduce((sum, name) => sum + statSync(join(directory, "state", name)).size, 0);

try {
  await program.healthy();
  const outageMs = Number(values.minutes) * 60_000;
  const startedAt = performance.now();
  let nextAt = startedAt;
  await load(() => {
    const now = performance.now();
    if (now >= nextAt) {
      say(
        `after ${Math.round((now - startedAt) / 1000)} s`,
        `${megabytes(residentBytes())} memory, ${megabytes(diskBytes())} disk, ${entries} entries`,
      );
      nextAt += outageMs / 6;
    }
    return now - startedAt >= outageMs;
  });
  isDown = false;
  const backAt = performance.now();
  let firstAt = 0;
  const backlog = entries;
  const isCaughtUp = () => {
    if (firstAt === 0 && taken > 0) firstAt = performance.now();
    return taken >= backlog || performance.now() - backAt > outageMs + 300_000;
  };
  await load(isCaughtUp);
  const seconds = (performance.now() - firstAt) / 1000;
  say("the first delivery came after", `${((firstAt - backAt) / 1000).toFixed(1)} s`);
  say("caught up, under the same load", `${seconds.toFixed(1)} s, ${Math.round(taken / seconds)} entries/s`);
  say("memory at the end", megabytes(residentBytes()));
  await drained();
  await program.stop();
  const { records } = account.accepted();
  say("requests refused", String(refused));
  say("records accepted and delivered", `${records} of ${account.answeredRecords}`);
  say("log events repeated", String(account.repeats));
  for (const violation of account.violations.slice(0, 20)) say("VIOLATION", violation);
  process.exitCode = account.violations.length === 0 && records === account.answeredRecords ? 0 : 1;
} finally {
  await program.kill();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
}
