/**
 * One chaos run with load, two chaotic destinations, kills at random moments and both encodings in turn, followed by a check of
 * the books.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createRandom } from "../../src/demo/random.ts";
import type { RunningStatus } from "../../src/admin/status.ts";
import type { Traffic } from "../../src/admin/traffic/index.ts";
import { askAdmin } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { launchProgram, type LaunchedProgram, type OtlpEncoding } from "../support/running-program.ts";
import { until } from "../support/wait.ts";
import { Account } from "./account.ts";
import { createChaoticBackend } from "./backend.ts";
import { compareCounters, compareHistory } from "./comparison.ts";
import { type Books, post, type Senders, startSenders } from "./senders.ts";
import { lastBatch, streamTraffic } from "./traffic.ts";
import { CounterWatch } from "./watch.ts";
import { webhookSecret, webhookTraffic } from "./webhooks.ts";

export interface StormOptions {
  readonly seed: number;
  /** Kills continue for this long, until there were `minKills`, and until these figures are reached. */
  readonly durationMs: number;
  readonly minKills: number;
  readonly minFigures: Readonly<Record<"recordsAnswered" | "wholeFolds" | OtlpEncoding, number>>;
  /** A life ends at a random moment before this. */
  readonly maxLifeMs: number;
  readonly senders: number;
  /** Replaces the binary built from source. */
  readonly program?: string | undefined;
}

export interface StormResult {
  /** Violated expectations; empty if all is well. */
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  readonly deeds: Readonly<Record<string, number>>;
}

const token = "test-token";
/** A calm program with a backlog may deliver nothing for this long: two of its longest back-offs. */
const settleMs = 120_000;

export async function runStorm(options: StormOptions): Promise<StormResult> {
  const directory = mkdtempSync(join(tmpdir(), "chaos-"));
  const command = [options.program ?? programBinary()];
  const random = createRandom(options.seed);
  const account = new Account();
  const watch = new CounterWatch(account);
  const backend = createChaoticBackend(options.seed + 1);
  const sink = await startOtlpSink({ forgets: true });
  const lake = { account: new Account(), backend: createChaoticBackend(options.seed + 6) };
  const lakeSink = await startOtlpSink({ forgets: true });
  lakeSink.behave((request) => {
    const behaviour = lake.backend.behave(request);
    for (const log of request.logs) lake.account.arrived(log, behaviour.kind === "take");
    return behaviour;
  });
  const both = [account, lake.account];
  const books: Books = {
    sending: (batch) => both.forEach((one) => one.sending(batch)),
    answered: (batch, at) => both.forEach((one) => one.answered(batch, at)),
  };
  const encodings = { protobuf: 0, json: 0 };
  sink.behave((request) => {
    encodings[request.encoding]++;
    const behaviour = backend.behave(request);
    watch.exported(request.points);
    for (const log of request.logs) account.arrived(log, behaviour.kind === "take");
    return behaviour;
  });
  const port = await freePort();
  const launch = (life: number, timeout: string) => {
    const encoding = life % 2 === 0 ? "protobuf" : "json";
    const further = { NAME: "lake", ENDPOINT: lakeSink.url, TIMEOUT: timeout, LOGS__MAX_RECORDS: "150" };
    const settings = {
      ...settingsAt(port),
      TS2OTEL_OTLP__TIMEOUT: timeout,
      ...Object.fromEntries(Object.entries(further).map(([name, value]) => [`TS2OTEL_OTLP__ALSO__0__${name}`, value])),
    };
    return launchProgram({ command, directory, endpoint: sink.url, encoding, port, settings });
  };
  let program: LaunchedProgram | undefined;
  const startedAt = performance.now();
  try {
    const base = `http://127.0.0.1:${port}`;
    const url = `${base}/services/collector/event`;
    const stream = { urls: [url], source: streamTraffic(options.seed + 2, token) };
    const webhooks = { urls: [`${base}/tailscale/webhook`], source: webhookTraffic(options.seed + 4) };
    const senders = [
      startSenders({ ...stream, count: options.senders, seed: options.seed + 3 }, books),
      startSenders({ ...webhooks, count: 1, seed: options.seed + 5 }, books),
    ];
    const sent = (name: keyof Senders["figures"]) => senders.reduce((sum, { figures }) => sum + figures[name], 0);
    let kills = 0;
    let killsWhileStarting = 0;
    const { minFigures } = options;
    const hasEnough = () =>
      kills >= options.minKills &&
      performance.now() - startedAt >= options.durationMs &&
      account.answeredRecords >= minFigures.recordsAnswered &&
      watch.wholeFolds >= minFigures.wholeFolds &&
      encodings.protobuf >= minFigures.protobuf &&
      encodings.json >= minFigures.json;
    while (!hasEnough()) {
      program = await launch(kills, "1s");
      const isStarting = random.chance(0.2);
      if (isStarting) killsWhileStarting++;
      else await program.healthy();
      await wait(random.below(isStarting ? 150 : options.maxLifeMs));
      await program.kill();
      kills++;
    }
    const stormMs = performance.now() - startedAt;

    backend.calm();
    lake.backend.calm();
    program = await launch(kills, "1m");
    const { admin } = program;
    await program.healthy();
    await Promise.all(senders.map((some) => some.stop()));
    const last = lastBatch(token);
    books.sending(last);
    await until(async () => (await post(url, last, books)).status === 200);
    let sums = await sumsAt(admin);
    let least = { pending: sums.pending, at: performance.now() };
    while (sums.pending > 0 || both.some((one) => one.outstanding().length > 0)) {
      if (sums.pending < least.pending) least = { pending: sums.pending, at: performance.now() };
      if (performance.now() - least.at > settleMs) break;
      await wait(50);
      sums = await sumsAt(admin);
    }
    const { primary, further } = sums;
    if (sums.pending > 0) account.violations.push(`${sums.pending} records are still pending, and none was delivered`);
    for (const id of await deadLetterIds(admin, "primary")) account.deadLettered(id);
    for (const id of await deadLetterIds(admin, "lake")) lake.account.deadLettered(id);
    const history = await askAdmin<Traffic>(admin, "traffic?since=0");
    const settleSeconds = (performance.now() - startedAt - stormMs) / 1000;
    const exitCode = await program.stop();
    if (exitCode !== 0) account.violations.push(`it ended with ${exitCode}: ${program.output().slice(-2000)}`);

    const accepted = account.accepted();
    compareCounters(account, watch, accepted);
    compareHistory(account, history, accepted);
    if (primary.lost + primary.uncounted > 0)
      account.violations.push(`the journal was damaged: ${primary.lost} records lost, ${primary.uncounted} uncounted`);
    const seen = { primary: accepted.records, lake: lake.account.accepted().records };
    for (const [name, of] of Object.entries({ primary, lake: further })) {
      const sum = of.delivered + of.deadLettered;
      const records = seen[name as keyof typeof seen];
      if (sum !== records || of.accepted !== sum)
        account.violations.push(`${name}: accepted ${of.accepted}, delivered or dead letters ${sum}, seen ${records}`);
    }
    account.violations.push(...lake.account.violations.map((violation) => `lake: ${violation}`));
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
        deadLettered: primary.deadLettered,
        deadLetteredInLake: further.deadLettered,
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
    await lakeSink.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Intervals are short, so that folds, snapshots and failures happen between kills. */
function settingsAt(port: number): Readonly<Record<string, string>> {
  return {
    TS2OTEL_WEBHOOK__ENABLED: "true",
    TS2OTEL_WEBHOOK__SECRET: webhookSecret,
    TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${port}`,
    TS2OTEL_OTLP__METRIC_INTERVAL: "200ms",
    TS2OTEL_OTLP__LOGS__MAX_RECORDS: "200",
    TS2OTEL_CARDINALITY__FLOW__ROLLUP_TOP_N: "20",
  };
}

/** The sums of both destinations. */
async function sumsAt(admin: string) {
  const { conservation, destinations = [] } = await askAdmin<RunningStatus>(admin, "status");
  const further = destinations[0]?.records;
  if (further === undefined) throw new Error("there is no further destination");
  return { primary: conservation, further, pending: conservation.pending + further.pending };
}

/** Node ids of all records that are dead letters of a destination. */
async function deadLetterIds(admin: string, destination: string): Promise<readonly string[]> {
  const ids: string[] = [];
  const page = 1000;
  for (let from = ""; ;) {
    const path = `quarantine?class=dead_letter&destination=${destination}&limit=${page}${from}`;
    const { items } = await askAdmin<{ items: readonly { id: string }[] }>(admin, path);
    for (const { id } of items) {
      const { texts, isCut } = await askAdmin<{ texts: readonly string[]; isCut: boolean }>(
        admin,
        `quarantine/item?id=${id}`,
      );
      if (isCut) throw new Error(`dead letter ${id} stands for more records than are shown`);
      for (const text of texts) ids.push((JSON.parse(text) as { event: { nodeId: string } }).event.nodeId);
    }
    if (items.length < page) return ids;
    from = `&beforeId=${items.at(-1)?.id ?? ""}`;
  }
}
