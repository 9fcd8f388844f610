/** The demo: a simulated tailnet pushes its logs and webhooks into the real program, and the terminal shows what comes out. */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type App, startApp } from "../app.ts";
import { displayUrl, loadConfig } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { seriesOf } from "../ledger/series.ts";
import { systemClock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import { createTemporaryDirectory } from "../lib/private-file.ts";
import { printable } from "../lib/text.ts";
import { onSignal } from "../runtime/process.ts";
import { build } from "../version.ts";
import { closingOf, createLook, createScreen, frameOf, linesOf, type Watched } from "./screen.ts";
import { createSchedule, createStreamSender, createWebhookSender, noTotals, stream } from "./sender.ts";
import { buildTailnet } from "./tailnet.ts";

export interface DemoOptions {
  /** Base address of an OTLP backend; without it, nothing leaves this machine. */
  readonly endpoint: string | undefined;
  /** Ends the demo by itself; without it, Ctrl-C does. */
  readonly durationMs: number | undefined;
  readonly entriesPerSecond: number;
  /** Another seed gives another tailnet. */
  readonly seed: number;
  /** For headers and protocol of the backend. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
}

const lookMs = 1000;
const stopDeadlineMs = 10_000;

/** At the end, the longest wait for delivery and for the last fold. */
const settleMs = 3000;

const shownNotices = 3;
const isTerminal = process.stdout.isTTY === true;

/**
 * Runs until Ctrl-C or the end of its duration, and leaves nothing behind. Uses loopback only, except for `endpoint`.
 * @throws {ConfigError} if the endpoint, or a variable about it, cannot be used.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const directory = createTemporaryDirectory("tailscale2otel-demo-");
  const interruption = listenForInterruption(directory);
  const notices: string[] = [];
  const note = (message: string, fields: LogFields = {}): void => {
    const details = Object.entries(fields).filter(([, value]) => value !== undefined);
    const text = details.length === 0 ? message : `${message} (${details.map((pair) => pair.join(": ")).join(", ")})`;
    notices.push(printable(text));
    if (notices.length > shownNotices) notices.shift();
    if (!isTerminal) process.stderr.write(`${text}\n`);
  };
  const logger: Logger = { debug() {}, info() {}, warn: note, error: note };
  const token = randomBytes(18).toString("base64url");
  const secret = `tskey-webhook-${randomBytes(18).toString("base64url")}`;
  try {
    const { workerEntry } = options;
    const app = await startApp(configOf(options, directory, { token, secret }), {
      logger,
      clock: systemClock,
      build,
      workerEntry,
      onStdoutClosed: interruption.interrupt,
    });
    try {
      const { stream: records = "", webhook = "" } = app.addresses;
      const receivers = {
        stream: { url: `${records}/services/collector/event`, secret: token },
        webhook: { url: `${webhook}/tailscale/webhook`, secret },
      };
      await present(options, receivers, { app, notices, interrupted: interruption.signal });
    } finally {
      await app.stop(stopDeadlineMs);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
    interruption.release();
  }
}

type Receivers = Readonly<Record<"stream" | "webhook", { readonly url: string; readonly secret: string }>>;

async function present(
  { seed, entriesPerSecond, durationMs, endpoint }: DemoOptions,
  receivers: Receivers,
  { app, notices, interrupted }: { app: App; notices: readonly string[]; interrupted: AbortSignal },
): Promise<void> {
  const clock = systemClock;
  const tailnet = buildTailnet(seed);
  const signal =
    durationMs === undefined ? interrupted : AbortSignal.any([interrupted, AbortSignal.timeout(durationMs)]);
  const totals = noTotals();
  const watched = watchedOf(app);
  const look = createLook(watched, totals, clock);
  const draw = createScreen({
    // Some terminals do not know their size and say 0.
    columns: () => process.stdout.columns || 80,
    rows: () => process.stdout.rows || 24,
    write: (text) => void process.stdout.write(text),
  });
  const show = (): void => {
    const moment = look();
    if (isTerminal) draw(frameOf(moment, notices));
    else writeLines(linesOf(moment));
  };

  writeLines(introduction(tailnet.nodes.length, new URL(receivers.stream.url).origin, endpoint));
  const streaming = stream({
    schedule: createSchedule(tailnet, clock),
    pushRecords: createStreamSender({ ...receivers.stream, clock, signal, totals }),
    pushEvents: createWebhookSender({ ...receivers.webhook, clock, signal, totals }),
    entriesPerSecond,
    clock,
    signal,
  });
  while (!signal.aborted) {
    await Promise.race([streaming, wait(lookMs, undefined, { signal }).catch(() => undefined)]);
    if (!signal.aborted) show();
  }
  await streaming;
  const began = clock();
  const isSettled = (): boolean => watched.sums().pending === 0 && watched.fold().at >= began;
  while (!isSettled() && clock() - began < settleMs) await wait(50);
  show();
  writeLines(isTerminal ? [""] : closingOf(look()));
}

function writeLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

function introduction(nodes: number, origin: string, endpoint: string | undefined): readonly string[] {
  const first = `A simulated tailnet of ${nodes} nodes sends its flow logs, audit logs and webhooks to the real program at ${origin}, as Tailscale would`;
  return endpoint === undefined
    ? [
        `${first}; this shows what it makes of them, and nothing is kept.`,
        "Ctrl-C ends it. Next: add --endpoint http://127.0.0.1:4318 to send the result to your own OpenTelemetry backend.",
      ]
    : [
        `${first}; metrics and logs go to ${displayUrl(endpoint)}.`,
        "Ctrl-C ends it. Next: look there for the metric tailscale.network.io.rollup and the log records tailscale.network.flow.",
      ];
}

/** Variables that say how to reach a backend; all others are the business of a real installation. */
const backendVariable = /^(TS2OTEL_OTLP__|OTEL_EXPORTER_OTLP_)/;

function configOf(
  { endpoint, environment }: DemoOptions,
  directory: string,
  { token, secret }: { readonly token: string; readonly secret: string },
) {
  // Naming an empty file keeps those of a real installation out.
  const configPath = join(directory, "demo.toml");
  writeFileSync(configPath, "");
  const backend = Object.entries(environment).filter(([name]) => endpoint !== undefined && backendVariable.test(name));
  const assignments = [
    "streaming.enabled=true",
    "streaming.listen=127.0.0.1:0",
    `streaming.token=${token}`,
    "webhook.enabled=true",
    "webhook.listen=127.0.0.1:0",
    `webhook.secret=${secret}`,
    "collectors.flowlogs.source=stream",
    "collectors.auditlogs.source=stream",
    "otlp.metric_interval=1s",
    `state.path=${join(directory, "state")}`,
    "admin.listen=127.0.0.1:0",
    ...(endpoint === undefined ? [] : [`otlp.endpoint=${endpoint}`]),
  ];
  const system = { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() };
  try {
    return loadConfig({
      configPath,
      environment: Object.fromEntries(backend),
      assignments,
      workingDirectory: directory,
      system,
    });
  } catch (error) {
    // In the words of the one flag that its user gives.
    const inFlags = (problem: string): string =>
      problem.replaceAll(/--set otlp\.endpoint(=?)/g, (_, equals) => `--endpoint${equals === "=" ? " " : ""}`);
    throw error instanceof ConfigError ? new ConfigError(error.problems.map(inFlags)) : error;
  }
}

function watchedOf(app: App): Watched {
  return {
    sums: () => app.status().conservation,
    fold() {
      const { at, metrics } = app.ledger();
      const series = (name: string) =>
        metrics.filter((metric) => metric.name === name).flatMap((metric) => [...seriesOf(metric)]);
      return { at, series };
    },
    events: (fromSeq, limit) => app.events(fromSeq, limit),
  };
}

/** Turns Ctrl-C, a request to end, a closed terminal and a closed pipe into one signal; a second Ctrl-C exits at once. */
function listenForInterruption(directory: string) {
  const end = new AbortController();
  const interrupt = (): void => end.abort();
  const onEnd = (): void => {
    if (!end.signal.aborted) return interrupt();
    rmSync(directory, { recursive: true, force: true });
    process.exit(130);
  };
  const releases = (["SIGINT", "SIGTERM", "SIGHUP"] as const).map((name) => onSignal(name, onEnd));
  // A broken pipe can be noticed late, so this handler stays.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    interrupt();
  });
  return { signal: end.signal, interrupt, release: () => releases.forEach((release) => release()) };
}
