/** One chaos run: load, a chaotic backend, kills at random moments, both encodings in turn; then the books are compared. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createRandom } from "../../src/demo/random.ts";
import { programBinary } from "../support/binary.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { launchProgram, type LaunchedProgram, type OtlpEncoding } from "../support/running-program.ts";
import { Account } from "./account.ts";
import { createChaoticBackend } from "./backend.ts";
import { type Senders, startSenders } from "./senders.ts";
import { lastBatch, streamTraffic, totalNames } from "./traffic.ts";
import { CounterWatch } from "./watch.ts";
import { webhookSecret, webhookTraffic } from "./webhooks.ts";

export interface StormOptions {
  readonly seed: number;
  /** Kills go on for this long, and until there were that many. */
  readonly durationMs: number;
  readonly minKills: number;
  /** A life ends at a random moment before this. */
  readonly maxLifeMs: number;
  readonly senders: number;
  /** Instead of the binary that is built from the source. */
  readonly program?: string | undefined;
}

export interface StormResult {
  /** What must not be; empty when all is well. */
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  readonly deeds: Readonly<Record<string, number>>;
}

const token = "test-token";
/** How long nothing may be delivered by a calm program with a backlog. */
const settleMs = 60_000;

export async function runStorm(options: StormOptions): Promise<StormResult> {
  const directory = mkdtempSync(join(tmpdir(), "chaos-"));
  const command = [options.program ?? programBinary()];
  const random = createRandom(options.seed);
  const account = new Account();
  const watch = new CounterWatch(account);
  const backend = createChaoticBackend(options.seed + 1);
  const sink = await startOtlpSink({ forgets: true });
  const encodings = { protobuf: 0, json: 0 };
  sink.behave((request) => {
    encodings[request.encoding]++;
    const behaviour = backend.behave(request);
    watch.exported(request.points);
    for (const log of request.logs) account.arrived(log, behaviour.kind === "take");
    return behaviour;
  });
  const ports = { port: await freePort(), adminPort: await freePort() };
  const { port, adminPort } = ports;
  const launch = (life: number) =>
    launchProgram({
      command,
      directory,
      endpoint: sink.url,
      ...inEncoding(life % 2 === 0 ? "protobuf" : "json", ports),
    });
  let program: LaunchedProgram | undefined;
  const startedAt = performance.now();
  try {
    const base = `http://127.0.0.1:${port}`;
    const url = `${base}/services/collector/event`;
    const stream = { url, source: streamTraffic(options.seed + 2, token) };
    const webhooks = { url: `${base}/tailscale/webhook`, source: webhookTraffic(options.seed + 4) };
    const senders = [
      startSenders({ ...stream, count: options.senders, seed: options.seed + 3 }, account),
      startSenders({ ...webhooks, count: 1, seed: options.seed + 5 }, account),
    ];
    const sent = (name: keyof Senders["figures"]) => senders.reduce((sum, { figures }) => sum + figures[name], 0);
    let kills = 0;
    let killsWhileStarting = 0;
    while (kills < options.minKills || performance.now() - startedAt < options.durationMs) {
      program = await launch(kills);
      const isStarting = random.chance(0.2);
      if (isStarting) killsWhileStarting++;
      else await program.healthy();
      await wait(random.below(isStarting ? 150 : options.maxLifeMs));
      await program.kill();
      kills++;
    }
    const stormMs = performance.now() - startedAt;

    backend.calm();
    program = await launch(kills);
    await program.healthy();
    await Promise.all(senders.map((some) => some.stop()));
    const last = lastBatch(token);
    account.sending(last);
    const { status } = await fetch(url, { method: "POST", headers: last.headers, body: last.body });
    if (status !== 200) account.violations.push(`a calm program answered ${status}`);
    account.answered(last, Date.now());
    let books = await readBooks(adminPort);
    let least = { pending: books.pending, at: performance.now() };
    while (books.pending > 0 || account.outstanding().length > 0) {
      if (books.pending < least.pending) least = { pending: books.pending, at: performance.now() };
      if (performance.now() - least.at > settleMs) break;
      await wait(50);
      books = await readBooks(adminPort);
    }
    if (books.pending > 0)
      account.violations.push(`${books.pending} records are still pending, and none was delivered`);
    for (const id of await deadLetterIds(adminPort)) account.deadLettered(id);
    const settleSeconds = (performance.now() - startedAt - stormMs) / 1000;
    const stoppedAt = performance.now();
    const exitCode = await program.stop();
    if (exitCode !== 0) account.violations.push(`it ended with ${exitCode}: ${program.output().slice(-2000)}`);
    if (performance.now() - stoppedAt > 20_000) account.violations.push("it took longer than 20 s to stop");

    const accepted = account.accepted();
    compare(account, watch, accepted);
    if (books.lost + books.uncounted > 0)
      account.violations.push(`the journal was damaged: ${books.lost} records lost, ${books.uncounted} uncounted`);
    const sum = books.delivered + books.deadLettered;
    if (sum !== accepted.records || books.accepted !== sum)
      account.violations.push(`accepted ${books.accepted}, delivered or dead letters ${sum}, seen ${accepted.records}`);
    if (/panic|uncaught|TypeError|RangeError/i.test(program.output())) account.violations.push(program.output());
    return {
      violations: [...new Set(account.violations)].slice(0, 50),
      deeds: backend.deeds,
      figures: {
        seconds: Math.round((performance.now() - startedAt) / 1000),
        kills,
        killsWhileStarting,
        requests: sent("requests"),
        refused: sent("refused"),
        unanswered: sent("unanswered"),
        recordsAnswered: account.answeredRecords,
        recordsAccepted: accepted.records,
        acceptedWithoutAnswer: accepted.unanswered,
        invalid: accepted.invalid,
        deadLettered: books.deadLettered,
        logEvents: account.arrivals,
        logEventsRepeated: account.repeats,
        requestsInProtobuf: encodings.protobuf,
        requestsInJson: encodings.json,
        folds: watch.folds,
        wholeFolds: watch.wholeFolds,
        points: watch.points,
        ...accepted.sums,
        settleSeconds: Number(settleSeconds.toFixed(1)),
      },
    };
  } finally {
    await program?.kill();
    await sink.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Ports {
  readonly port: number;
  readonly adminPort: number;
}

/** Short intervals and deadlines, so that folds, snapshots and failures fall between the kills. */
function inEncoding(encoding: OtlpEncoding, { port, adminPort }: Ports) {
  const settings = {
    TS2OTEL_WEBHOOK__ENABLED: "true",
    TS2OTEL_WEBHOOK__SECRET: webhookSecret,
    TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${port}`,
    TS2OTEL_ADMIN__LISTEN: `127.0.0.1:${adminPort}`,
    TS2OTEL_OTLP__PROTOCOL: `http/${encoding}`,
    TS2OTEL_OTLP__METRIC_INTERVAL: "200ms",
    TS2OTEL_OTLP__TIMEOUT: "1s",
    TS2OTEL_OTLP__LOGS__MAX_RECORDS: "200",
    TS2OTEL_CARDINALITY__FLOW__ROLLUP_TOP_N: "20",
  };
  return { encoding, port, settings };
}

/** Every exported counter equals, to the byte, the sum over what was accepted. */
function compare(account: Account, watch: CounterWatch, accepted: ReturnType<Account["accepted"]>): void {
  const totals = watch.totals();
  for (const name of totalNames) {
    const wanted = accepted.sums[name];
    if (totals[name] !== wanted) account.violations.push(`${name}: exported ${totals[name]}, accepted ${wanted}`);
  }
  const invalid = watch.sum("tailscale2otel.ingest.records", { outcome: "quarantined" });
  if (invalid !== accepted.invalid) account.violations.push(`quarantined: ${invalid}, not ${accepted.invalid}`);
}

/** In records, as the program itself tells. */
interface Books {
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly deadLettered: number;
  readonly lost: number;
  readonly uncounted: number;
}

async function readBooks(adminPort: number): Promise<Books> {
  return (await ask<{ conservation: Books }>(adminPort, "status")).conservation;
}

/** The node ids of all records that dead letters stand for. */
async function deadLetterIds(adminPort: number): Promise<readonly string[]> {
  const ids: string[] = [];
  const page = 1000;
  for (let from = ""; ;) {
    const path = `quarantine?class=dead_letter&limit=${page}${from}`;
    const { items } = await ask<{ items: readonly { id: string }[] }>(adminPort, path);
    for (const { id } of items) {
      const { texts, isCut } = await ask<{ texts: readonly string[]; isCut: boolean }>(
        adminPort,
        `quarantine/item?id=${id}`,
      );
      if (isCut) throw new Error(`dead letter ${id} stands for more records than are shown`);
      for (const text of texts) ids.push((JSON.parse(text) as { event: { nodeId: string } }).event.nodeId);
    }
    if (items.length < page) return ids;
    from = `&beforeId=${items.at(-1)?.id ?? ""}`;
  }
}

async function ask<Answer>(adminPort: number, path: string): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/api/${path}`);
  if (!response.ok) throw new Error(`/api/${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}
