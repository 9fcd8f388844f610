/**
 * Runs the program under load through a long backend outage and the recovery. Prints memory, disk usage and delivery speed;
 * fails if anything was lost, rejected for good, out of order or miscounted, or if too much memory was used.
 *
 * - `bun test/chaos/outage.ts [--minutes 2] [--rate 5000]`: an outage of that length, with load before and after its end.
 * - `bun test/chaos/outage.ts --backlog 3h`: events of that span, sent as fast as they are accepted.
 * - both: `[--answer 503] [--sink plain|loki] [--encoding protobuf|json] [--program PATH]`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { zstdCompressSync } from "node:zlib";
import { createLoad, serialLimit, sumsOfEntries } from "../../scripts/bench/bodies.ts";
import { parseDuration } from "../../src/lib/units.ts";
import { askAdmin } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { launchProgram } from "../support/running-program.ts";
import { OrderedSink } from "./ordered-sink.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    rate: { type: "string", default: "5000" },
    backlog: { type: "string" },
    answer: { type: "string", default: "503" },
    sink: { type: "string", default: "plain" },
    encoding: { type: "string", default: "protobuf" },
    program: { type: "string" },
  },
});

/** The benchmark's bodies: 600 nodes, each with a record of 8 entries every 5 s, and 73 records per body. */
const entriesPerMs = (600 * 8) / 5000;
const entriesPerBody = 73 * 8;
const maxBodies = Math.floor(serialLimit / entriesPerBody) - 1;

const maxMemoryBytes = 220e6;
/** Two requests of at most 5,000 log records are in flight at once, and one may overtake the other. */
const maxStepBack = 20_000;
const idleTimeoutMs = 120_000;

const backlogMs = values.backlog === undefined ? undefined : parseDuration(values.backlog);
if (values.backlog !== undefined && backlogMs === undefined) throw new TypeError("--backlog is a duration, such as 3h");
const bodies = backlogMs === undefined ? maxBodies : Math.ceil((backlogMs * entriesPerMs) / entriesPerBody);
if (bodies > maxBodies) throw new RangeError("the benchmark's bodies can be told apart for 4 hours and 50 minutes");
const endMs = Date.now();
const load = createLoad("stream", bodies, endMs);
const sink = new OrderedSink({
  rule: values.sink === "loki" ? "loki" : "plain",
  status: Number(values.answer),
  timeOf: (entry) => endMs - (bodies * entriesPerBody - entry) / entriesPerMs,
});
const directory = mkdtempSync(join(tmpdir(), "outage-"));
const program = await launchProgram({
  command: [values.program ?? programBinary()],
  directory,
  endpoint: sink.url,
  encoding: values.encoding === "json" ? "json" : "protobuf",
  settings: {
    TS2OTEL_OTLP__PROTOCOL: `http/${values.encoding}`,
    TS2OTEL_OTLP__METRIC_INTERVAL: "5s",
  },
});
const violations: string[] = [];
const startedAt = performance.now();
let sent = 0;
let refused = 0;
let peakBytes = 0;

function say(name: string, figure: string): void {
  process.stdout.write(`${name.padEnd(34)}${figure}\n`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

interface Status {
  readonly conservation: Readonly<Record<"accepted" | "delivered" | "pending" | "deadLettered", number>>;
  readonly space: { readonly usedBytes: number };
}

const status = () => askAdmin<Status>(program.admin, "status");

/** Current resident memory; also notes the peak since the start. */
function residentBytes(): number {
  const text = readFileSync(`/proc/${program.pid}/status`, "utf8");
  const read = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0) * 1024;
  peakBytes = read("VmHWM");
  return read("VmRSS");
}

/** A single sender, so that the journal has the bodies in order; retries a body until it is accepted. */
async function sendNext(): Promise<void> {
  const body = zstdCompressSync(load.envelopes(sent).join(""));
  const headers = { authorization: `Splunk ${program.token}`, "content-encoding": "zstd" };
  for (;;) {
    const { status: answer } = await fetch(program.url, { method: "POST", headers, body });
    if (answer === 200) break;
    refused++;
    await wait(100);
  }
  sent++;
}

/** Sends at `rate` entries per second until it is over; without a rate, as fast as they are accepted. */
async function sendUntil(isOver: () => boolean, rate: number | undefined): Promise<void> {
  const [beganAt, before] = [performance.now(), sent];
  while (!isOver() && sent < maxBodies) {
    const dueMs = rate === undefined ? 0 : ((sent - before) * entriesPerBody * 1000) / rate;
    const earlyMs = dueMs - (performance.now() - beganAt);
    if (earlyMs > 1) await wait(Math.min(earlyMs, 100));
    else await sendNext();
  }
}

/** Waits until nothing is pending, or nothing has been delivered for a long time. */
async function drained(): Promise<void> {
  let [taken, changedAt] = [sink.taken, performance.now()];
  while ((await status()).conservation.pending > 0) {
    await wait(500);
    if (sink.taken > taken) [taken, changedAt] = [sink.taken, performance.now()];
    if (performance.now() - changedAt > idleTimeoutMs) return void violations.push("delivery stands still");
  }
}

function mustBe(name: string, value: number, wanted: number): void {
  if (value !== wanted) violations.push(`${name}: ${value}, not ${wanted}`);
}

async function outage(): Promise<void> {
  const outageMs = Number(values.minutes) * 60_000;
  const rate = backlogMs === undefined ? Number(values.rate) : undefined;
  const isOver = () => (backlogMs === undefined ? performance.now() - startedAt > outageMs : sent >= bodies);
  await sendUntil(isOver, rate);
  const { space } = await status();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  say(`the outage ends after ${seconds} s`, `${sent * entriesPerBody} entries, ${megabytes(space.usedBytes)} on disk`);
  sink.recover();
  const backAt = performance.now();
  const backlog = sent * entriesPerBody;
  let firstAt = 0;
  const isCaughtUp = () => {
    if (firstAt === 0 && sink.taken > 0) firstAt = performance.now();
    return sink.taken >= backlog || performance.now() - backAt > outageMs + 300_000;
  };
  if (rate !== undefined) await sendUntil(isCaughtUp, rate);
  while (!isCaughtUp()) await wait(20);
  const deliverySeconds = (performance.now() - firstAt) / 1000;
  say("the first delivery came after", `${((firstAt - backAt) / 1000).toFixed(1)} s`);
  say("caught up after", `${deliverySeconds.toFixed(1)} s, ${Math.round(sink.taken / deliverySeconds)} entries/s`);
}

async function compare(): Promise<void> {
  await drained();
  const { conservation } = await status();
  clearInterval(watch);
  residentBytes();
  const code = await program.stop();
  const entries = sent * entriesPerBody;
  const { txBytes, rxBytes } = sumsOfEntries(0, entries);
  mustBe("exit code", code ?? -1, 0);
  mustBe("records accepted", conservation.accepted, sent * 73);
  mustBe("records delivered", conservation.delivered, sent * 73);
  mustBe("dead letters", conservation.deadLettered, 0);
  mustBe("log records missing", sink.missing(entries), 0);
  mustBe("log records that nobody sent", sink.foreign, 0);
  mustBe("tailscale.network.flows", sink.total("tailscale.network.flows"), entries);
  mustBe("bytes sent", sink.total("tailscale.network.io.rollup", "transmit"), txBytes);
  mustBe("bytes received", sink.total("tailscale.network.io.rollup", "receive"), rxBytes);
  if (sink.stepBack > maxStepBack) violations.push(`out of order by ${sink.stepBack} entries`);
  if (peakBytes > maxMemoryBytes) violations.push(`memory rose to ${megabytes(peakBytes)}`);
}

const watch = setInterval(() => {
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const bytes = residentBytes();
  if (seconds % 30 === 0) say(`after ${seconds} s`, `${megabytes(bytes)} memory, ${sent * entriesPerBody} entries`);
}, 1000);

try {
  await program.healthy();
  await outage();
  await compare();
  say("peak memory", megabytes(peakBytes));
  say("out of order by at most", `${sink.stepBack} entries`);
  say("requests refused", `${refused} of senders, ${sink.refused} by the backend's rule`);
  say("log records repeated", String(sink.repeated));
  for (const violation of violations) say("VIOLATION", violation);
  if (violations.length === 0) say("everything was delivered in order", `${sink.taken} log records`);
  process.exitCode = violations.length === 0 ? 0 : 1;
} finally {
  clearInterval(watch);
  await program.kill();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
}
