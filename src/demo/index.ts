/** `demo`: a simulated tailnet pushes its logs and webhooks into the real program, and the terminal shows what comes out. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { displayUrl } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import { systemClock } from "../lib/clock.ts";
import { closingOf, frameOf, linesOf } from "./frame.ts";
import { listenForInterruption } from "./interruption.ts";
import { createLook } from "./moment.ts";
import type { Moment, Watched } from "./moment.ts";
import { createNotices } from "./notices.ts";
import type { Notices } from "./notices.ts";
import { startProgram } from "./program.ts";
import type { Program } from "./program.ts";
import { createSchedule } from "./schedule.ts";
import { createScreen } from "./screen.ts";
import type { Output } from "./screen.ts";
import { createSender, createWebhookSender, noTotals } from "./sender.ts";
import { stream } from "./stream.ts";
import { buildTailnet } from "./tailnet.ts";

export interface DemoOptions {
  /** Base address of an OTLP backend; without it, what comes out stays here. */
  readonly endpoint?: string | undefined;
  /** Ends the demo by itself; without it, Ctrl-C does. */
  readonly durationMs?: number | undefined;
  /** The most connection entries to send a second. */
  readonly entriesPerSecond?: number | undefined;
  /** Another seed gives another tailnet. */
  readonly seed?: number | undefined;
  /** Where headers and the protocol of the backend may be given. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
}

export const defaultEntriesPerSecond = 2000;

const defaultSeed = 1;
const lookMs = 1000;
const stopDeadlineMs = 10_000;

/** At the end, the longest wait for delivery and for the last fold. */
const settleMs = 3000;

/**
 * Runs until Ctrl-C or the end of its duration, and leaves nothing behind. Uses loopback only, but for `endpoint`.
 * @throws {Error} when the program cannot start.
 */
export async function demo(options: DemoOptions): Promise<void> {
  const output = standardOutput;
  const directory = await mkdtemp(join(tmpdir(), "tailscale2otel-demo-"));
  const interruption = listenForInterruption(directory);
  const notices = createNotices((notice) => {
    if (!output.isTerminal) process.stderr.write(`${notice}\n`);
  });
  try {
    const { endpoint, environment, workerEntry } = options;
    const { logger } = notices;
    const onStdoutClosed = interruption.interrupt;
    const program = await startProgram({ directory, endpoint, environment, workerEntry, logger, onStdoutClosed });
    try {
      await present(options, program, output, notices, interruption.signal);
    } finally {
      await program.stop(stopDeadlineMs);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
    interruption.release();
  }
}

const standardOutput: Output = {
  isTerminal: process.stdout.isTTY === true,
  // Some terminals do not know their size and say 0.
  columns: () => process.stdout.columns || 80,
  rows: () => process.stdout.rows || 24,
  write: (text) => void process.stdout.write(text),
};

async function present(
  options: DemoOptions,
  program: Program,
  output: Output,
  notices: Notices,
  interrupted: AbortSignal,
): Promise<void> {
  const tailnet = buildTailnet(options.seed ?? defaultSeed);
  const signal = ending(interrupted, options.durationMs);
  const clock = systemClock;
  const totals = noTotals();
  const shared = { fetch, clock, signal, totals };
  const sender = createSender({ ...shared, url: program.stream.url, token: program.stream.secret });
  const webhooks = createWebhookSender({ ...shared, ...program.webhook });
  const schedule = createSchedule(tailnet, clock);
  const entriesPerSecond = options.entriesPerSecond ?? defaultEntriesPerSecond;
  const look = createLook(program.watched, totals, clock);
  const show = createShow(output, notices);

  writeLines(output, introduction(tailnet.nodes.length, program.stream.url, options.endpoint));
  const streaming = stream({ schedule, sender, webhooks, entriesPerSecond, clock, signal });
  while (!signal.aborted) {
    await Promise.race([streaming, wait(lookMs, undefined, { signal }).catch(() => undefined)]);
    if (!signal.aborted) show(look());
  }
  await streaming;
  await settled(program.watched, clock);
  const last = look();
  show(last);
  writeLines(output, output.isTerminal ? [""] : closingOf(last));
}

function ending(interrupted: AbortSignal, durationMs: number | undefined): AbortSignal {
  return durationMs === undefined ? interrupted : AbortSignal.any([interrupted, AbortSignal.timeout(durationMs)]);
}

/** Resolves when everything accepted is delivered and counted, or when that takes too long. */
async function settled(watched: Watched, clock: Clock): Promise<void> {
  const began = clock();
  while (clock() - began < settleMs) {
    if (watched.sums().pending === 0 && watched.fold().at >= began) return;
    await wait(50);
  }
}

function introduction(nodes: number, url: string, endpoint: string | undefined): readonly string[] {
  const { origin } = new URL(url);
  const first = `A simulated tailnet of ${nodes} nodes sends its flow logs, audit logs and webhooks to the real program at ${origin}, as Tailscale would`;
  if (endpoint === undefined) {
    return [
      `${first}; you see what it makes of them, and nothing is kept.`,
      "Ctrl-C ends it. Next: add --endpoint http://127.0.0.1:4318 to send the result to your own OpenTelemetry backend.",
    ];
  }
  return [
    `${first}; metrics and logs go to ${displayUrl(endpoint)}.`,
    "Ctrl-C ends it. Next: look there for the metric tailscale.network.io.rollup and the log events tailscale.network.flow.",
  ];
}

function createShow(output: Output, notices: Notices): (moment: Moment) => void {
  const screen = createScreen(output);
  return (moment) => {
    if (output.isTerminal) screen.draw(frameOf(moment, notices.latest()));
    else writeLines(output, linesOf(moment));
  };
}

function writeLines(output: Output, lines: readonly string[]): void {
  output.write(lines.map((line) => `${line}\n`).join(""));
}
