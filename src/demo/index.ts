/** The demo: a simulated tailnet pushes its logs and webhooks into the real program, and the terminal shows what comes out. */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type App, startApp } from "../app.ts";
import { displayUrl, loadConfig } from "../config/index.ts";
import { ConfigError } from "../errors.ts";
import { systemClock as clock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import { createTemporaryDirectory } from "../lib/private-file.ts";
import { printable } from "../lib/text.ts";
import { onSignal } from "../runtime/process.ts";
import { build } from "../version.ts";
import { bytes, count } from "../screen/event-text.ts";
import { frameOf, linesOf, sumsOf } from "../screen/frame.ts";
import { createLook, type Moment } from "../screen/look.ts";
import { canDraw, openScreen } from "../screen/terminal.ts";
import {
  createSchedule,
  createStreamSender,
  createWebhookSender,
  noTotals,
  type SenderTotals,
  stream,
} from "./sender.ts";
import { buildTailnet } from "./tailnet.ts";

export interface DemoOptions {
  /** Base address of an OTLP backend; without it, nothing leaves this machine. */
  readonly endpoint: string | undefined;
  /** Ends the demo by itself; without it, Ctrl-C does. */
  readonly durationMs: number | undefined;
  readonly entriesPerSecond: number;
  /** Another seed gives another tailnet. */
  readonly seed: number;
  /** For headers and protocol of the backend, and `TERM`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly hasColor: boolean;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
}

const lookMs = 1000;
const stopDeadlineMs = 10_000;

/** At the end, the longest wait for delivery. */
const settleMs = 3000;

const shownNotices = 3;

/** What the receivers require of the simulated tailnet. */
interface Secrets {
  readonly token: string;
  readonly secret: string;
}

/**
 * Runs until Ctrl-C or the end of its duration, and leaves nothing behind. Uses loopback only, except for `endpoint`.
 * @throws {ConfigError} if the endpoint, or a variable about it, cannot be used.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const directory = createTemporaryDirectory("tailscale2otel-demo-");
  const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true });
  const interruption = listenForInterruption(removeDirectory);
  const notices: string[] = [];
  const isTerminal = canDraw(options.environment);
  const note = (message: string, fields: LogFields = {}): void => {
    const details = Object.entries(fields).filter(([, value]) => value !== undefined);
    const text = details.length === 0 ? message : `${message} (${details.map((pair) => pair.join(": ")).join(", ")})`;
    notices.push(printable(text));
    if (notices.length > shownNotices) notices.shift();
    if (!isTerminal) process.stderr.write(`${text}\n`);
  };
  const logger: Logger = { debug() {}, info() {}, warn: note, error: note };
  const secrets = {
    token: randomBytes(18).toString("base64url"),
    secret: `tskey-webhook-${randomBytes(18).toString("base64url")}`,
  };
  try {
    const { workerEntry } = options;
    const app = await startApp(configOf(options, directory, secrets), {
      logger,
      clock,
      build,
      workerEntry,
      onStdoutClosed: interruption.interrupt,
    });
    try {
      await present(options, secrets, { app, notices, interruption });
    } finally {
      await app.stop(stopDeadlineMs);
    }
  } finally {
    removeDirectory();
    interruption.release();
  }
}

async function present(
  options: DemoOptions,
  { token, secret }: Secrets,
  {
    app,
    notices,
    interruption,
  }: { app: App; notices: readonly string[]; interruption: Pick<Interruption, "signal" | "interrupt"> },
): Promise<void> {
  const { seed, entriesPerSecond, durationMs, endpoint, hasColor } = options;
  const tailnet = buildTailnet(seed);
  const timeUp = durationMs === undefined ? [] : [AbortSignal.timeout(durationMs)];
  const signal = AbortSignal.any([interruption.signal, ...timeUp]);
  const totals = noTotals();
  const take = createLook();
  const look = (): Promise<Moment> =>
    take({ overview: async () => app.overview(), events: (query) => app.events(query) });
  const { stream: hec = "", webhook = "" } = app.addresses;
  const target = endpoint === undefined ? undefined : displayUrl(endpoint);
  const next =
    target === undefined
      ? "add --endpoint http://127.0.0.1:4318 to send the result to your own OpenTelemetry backend"
      : "look there for the metric tailscale.network.io.rollup and the log records tailscale.network.flow";
  writeLines([
    `A simulated tailnet of ${tailnet.nodes.length} nodes sends its flow logs, audit logs and webhooks to the real program at ${hec}, as Tailscale would; ${target === undefined ? "this shows what it makes of them, and nothing is left behind" : `metrics and logs go to ${target}`}.`,
    `Ctrl-C ends it. Next: ${next}.`,
  ]);
  const screen = canDraw(options.environment) ? openScreen(interruption.interrupt) : undefined;
  const head = `tailscale2otel demo: a simulated tailnet of ${tailnet.nodes.length} nodes. q ends it; then ${next}`;
  try {
    const shared = { clock, signal, totals };
    const streaming = stream(
      createSchedule(tailnet, clock),
      {
        records: createStreamSender({ url: `${hec}/services/collector/event`, secret: token, ...shared }),
        events: createWebhookSender({ url: `${webhook}/tailscale/webhook`, secret, ...shared }),
      },
      { entriesPerSecond, signal },
    );
    while (!signal.aborted) {
      await Promise.race([streaming, wait(lookMs, undefined, { signal }).catch(() => undefined)]);
      if (signal.aborted) break;
      const moment = await look();
      screen?.draw((columns, rows) =>
        frameOf(moment, { columns, rows, hasColor, notices, head: [head, sentText(totals)] }),
      );
      if (screen === undefined) writeLines(linesOf(moment));
    }
    await streaming;
    const began = clock();
    while (app.overview().conservation.pending > 0 && clock() - began < settleMs) await wait(50);
  } finally {
    screen?.close();
  }
  const moment = await look();
  writeLines([...(screen === undefined ? linesOf(moment) : []), sentText(totals), ...sumsOf(moment)]);
}

/** What was sent, and how fast it was answered. */
function sentText({ requests, records, bytes: size, retries, acknowledgementMs }: SenderTotals): string {
  const times = acknowledgementMs.toSorted((left, right) => left - right);
  const quantile = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return `sent: ${count(requests)} requests, ${count(records)} records, ${bytes(size)} on the wire, ${count(retries)} retries; answered in ${quantile(0.5)} ms (p50), ${quantile(0.99)} ms (p99)`;
}

function writeLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

/** Variables that say how to reach a backend; all others are the business of a real installation. */
const backendVariable = /^(TS2OTEL_OTLP__|OTEL_EXPORTER_OTLP_)/;

function configOf({ endpoint, environment }: DemoOptions, directory: string, { token, secret }: Secrets) {
  // Naming an empty file keeps those of a real installation out.
  const configPath = join(directory, "demo.toml");
  writeFileSync(configPath, "");
  const backend = Object.entries(environment).filter(([name]) => endpoint !== undefined && backendVariable.test(name));
  const settings = {
    "streaming.enabled": true,
    "streaming.listen": "127.0.0.1:0",
    "streaming.token": token,
    "webhook.enabled": true,
    "webhook.listen": "127.0.0.1:0",
    "webhook.secret": secret,
    "collectors.flowlogs.source": "stream",
    "collectors.auditlogs.source": "stream",
    "otlp.metric_interval": "10s",
    "state.path": join(directory, "state"),
    "admin.listen": "127.0.0.1:0",
    ...(endpoint === undefined ? {} : { "otlp.endpoint": endpoint }),
  };
  try {
    return loadConfig({
      configPath,
      environment: Object.fromEntries(backend),
      assignments: Object.entries(settings).map((pair) => pair.join("=")),
      workingDirectory: directory,
      system: { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() },
    });
  } catch (error) {
    // In the words of the one flag that its user gives.
    const inFlags = (problem: string): string =>
      problem.replaceAll(/--set otlp\.endpoint(=?)/g, (_, equals) => `--endpoint${equals === "=" ? " " : ""}`);
    throw error instanceof ConfigError ? new ConfigError(error.problems.map(inFlags)) : error;
  }
}

/** `npx` and `bun run` pass on a Ctrl-C that the terminal has sent to every process: signals so close together are one. */
const sameSignalMs = 1000;

type Interruption = ReturnType<typeof listenForInterruption>;

/** Turns Ctrl-C, a request to end, a closed terminal and a closed pipe into one signal; a second Ctrl-C exits at once. */
function listenForInterruption(cleanUp: () => void) {
  const end = new AbortController();
  const interrupt = (): void => end.abort();
  let firstAt = Number.NEGATIVE_INFINITY;
  const onEnd = (): void => {
    if (end.signal.aborted && performance.now() - firstAt < sameSignalMs) return;
    firstAt = performance.now();
    if (!end.signal.aborted) return interrupt();
    cleanUp();
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
