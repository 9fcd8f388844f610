/** The demo: a simulated tailnet pushes its logs and webhooks into the real program, and the terminal shows what comes out. */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { type App, startApp } from "../app/index.ts";
import { displayUrl } from "../config/index.ts";
import { ListenError } from "../http/listener.ts";
import { systemClock } from "../lib/clock.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import { createTemporaryDirectory } from "../lib/private-file.ts";
import { printable } from "../lib/text.ts";
import { formatDuration } from "../lib/units.ts";
import { onSignal } from "../runtime/process.ts";
import { build } from "../version.ts";
import { bytes, count } from "../screen/event-text.ts";
import { frameOf, linesOf, sumsOf } from "../screen/frame.ts";
import { createLook, type Moment } from "../screen/look.ts";
import { canDraw, openScreen } from "../screen/terminal.ts";
import { startBackend } from "./backend.ts";
import { openBrowser, whyNoBrowser } from "./browser.ts";
import { unwelcome } from "./mishaps.ts";
import {
  createPast,
  createStreamSender,
  createWebhookSender,
  noTotals,
  type Past,
  type Pushes,
  type SenderTotals,
  stream,
} from "./sender.ts";
import { demoConfig } from "./settings.ts";
import { buildTailnet } from "./tailnet.ts";

export interface DemoOptions {
  /** Base address of an OTLP backend; without it, nothing leaves this machine. */
  readonly endpoint: string | undefined;
  /** Duration of the demo; without it, the demo runs until Ctrl-C. */
  readonly durationMs: number | undefined;
  readonly entriesPerSecond: number;
  /** A different seed gives a different tailnet. */
  readonly seed: number;
  readonly nodeCount: number;
  /** Simulated time before the page opens, in milliseconds. */
  readonly pastMs: number;
  /** Opens the page in a browser if possible. */
  readonly opensBrowser: boolean;
  /** Provides headers and protocol for the backend, and `TERM`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly hasColor: boolean;
  /** The module that starts the export worker when it runs in a worker thread. */
  readonly workerEntry: URL;
}

const lookMs = 1000;
/** Simulating a longer past takes so long that silence would look like a hang. */
const announcedPastMs = 300_000;
const stopDeadlineMs = 10_000;

/** Longest wait for delivery at the end. */
const settleMs = 3000;

const shownNotices = 3;

/** Address of the page, the same as for a real instance, unless its port is taken. */
const usualAdminListen = "127.0.0.1:9091";
const anyAdminListen = "127.0.0.1:0";

/**
 * Runs until Ctrl-C or the end of its duration, and leaves nothing behind. Uses only loopback, except for `endpoint`.
 * @throws {ConfigError} if the endpoint, or a variable for it, is invalid.
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
    // A refusal that the demo stages is not reported.
    if (text.includes(unwelcome)) return;
    notices.push(printable(text));
    if (notices.length > shownNotices) notices.shift();
    if (!isTerminal) process.stderr.write(`${text}\n`);
  };
  const logger: Logger = { debug() {}, info() {}, warn: note, error: note };
  const backend = await startBackend();
  const settings = {
    endpoint: options.endpoint,
    environment: options.environment,
    backendUrl: backend.url,
    directory,
    token: randomBytes(18).toString("base64url"),
    secret: `tskey-webhook-${randomBytes(18).toString("base64url")}`,
  };
  const past = createPast(buildTailnet(options.seed, options.nodeCount), options.pastMs);
  const { clock } = past;
  const start = (adminListen: string | undefined): Promise<App> =>
    startApp(demoConfig({ ...settings, adminListen }), {
      logger,
      clock,
      build,
      workerEntry: options.workerEntry,
      onStdoutClosed: interruption.interrupt,
    });
  const totals = noTotals();
  const pushesTo = ({ addresses: { stream: hec = "", webhook = "" } }: App, signal: AbortSignal): Pushes => {
    const shared = { clock, signal, totals };
    return {
      records: createStreamSender({ url: `${hec}/services/collector/event`, secret: settings.token, ...shared }),
      events: createWebhookSender({ url: `${webhook}/tailscale/webhook`, secret: settings.secret, ...shared }),
    };
  };
  try {
    if (options.pastMs > 0) {
      if (options.pastMs > announcedPastMs)
        writeLines([`Simulating the last ${formatDuration(options.pastMs)} first, before the page opens.`]);
      const app = await start(undefined);
      await past.liveThrough(app, pushesTo(app, interruption.signal), interruption.signal);
    }
    const app = await start(usualAdminListen).catch((error: unknown) => {
      if (error instanceof ListenError) return start(anyAdminListen);
      throw error;
    });
    try {
      await present(options, { app, past, pushesTo, totals, notices, note, interruption });
    } finally {
      await app.stop(stopDeadlineMs);
    }
  } finally {
    backend.stop();
    removeDirectory();
    interruption.release();
  }
}

interface Stage {
  readonly app: App;
  readonly past: Past;
  readonly pushesTo: (app: App, signal: AbortSignal) => Pushes;
  readonly totals: SenderTotals;
  readonly notices: readonly string[];
  readonly note: (message: string) => void;
  readonly interruption: Pick<Interruption, "signal" | "interrupt">;
}

async function present(
  options: DemoOptions,
  { app, past, pushesTo, totals, notices, note, interruption }: Stage,
): Promise<void> {
  const { nodeCount, entriesPerSecond, durationMs, endpoint, environment, hasColor } = options;
  const timeUp = durationMs === undefined ? [] : [AbortSignal.timeout(durationMs)];
  const signal = AbortSignal.any([interruption.signal, ...timeUp]);
  const take = createLook();
  const look = (): Promise<Moment> =>
    take({ overview: async () => app.overview(), events: (query) => app.events(query) });
  const { stream: hec = "", admin = "" } = app.addresses;
  const target = endpoint === undefined ? undefined : displayUrl(endpoint);
  const next =
    target === undefined
      ? "add --endpoint http://127.0.0.1:4318 to send the result to your own OpenTelemetry backend"
      : "look there for the metric tailscale.network.io.rollup and the log records tailscale.network.flow";
  const page = `${admin}/`;
  writeLines([
    `Open ${page} in a browser to watch it live.`,
    `A simulated tailnet of ${nodeCount} nodes sends its flow logs, audit logs and webhooks to the real program at ${hec}, as Tailscale would; ${target === undefined ? "nothing leaves this machine, and nothing is left behind" : `metrics and logs go to ${target}`}.`,
    `Ctrl-C ends it. Next: ${next}.`,
  ]);
  const whyNot = whyNoBrowser(environment);
  const open = (): void => (whyNot === undefined ? openBrowser(page, note) : note(`${whyNot}: open ${page} yourself`));
  if (options.opensBrowser) open();
  const screen = canDraw(environment) ? openScreen(interruption.interrupt, { o: open }) : undefined;
  const head = [
    `Open ${page} in a browser${whyNot === undefined ? " (o opens it)" : ""} to watch it live. q ends the demo.`,
    `A simulated tailnet of ${nodeCount} nodes sends to the real program. Next: ${next}`,
  ];
  try {
    const streaming = stream(past.schedule, pushesTo(app, signal), { entriesPerSecond, clock: past.clock, signal });
    while (!signal.aborted) {
      await Promise.race([streaming, wait(lookMs, undefined, { signal }).catch(() => undefined)]);
      if (signal.aborted) break;
      const moment = await look();
      screen?.draw((columns, rows) =>
        frameOf(moment, { columns, rows, hasColor, notices, head: [...head, sentText(totals)] }),
      );
      if (screen === undefined) writeLines(linesOf(moment));
    }
    await streaming;
    const began = systemClock();
    while (app.overview().conservation.pending > 0 && systemClock() - began < settleMs) await wait(50);
  } finally {
    screen?.close();
  }
  const moment = await look();
  writeLines([...(screen === undefined ? linesOf(moment) : []), sentText(totals), ...sumsOf(moment)]);
}

/** What was sent, and how fast it was acknowledged. */
function sentText({ requests, records, bytes: size, retries, acknowledgementMs }: SenderTotals): string {
  const times = acknowledgementMs.toSorted((left, right) => left - right);
  const quantile = (share: number) => times[Math.floor(times.length * share)] ?? 0;
  return `sent: ${count(requests)} requests, ${count(records)} records, ${bytes(size)} on the wire, ${count(retries)} retries; answered in ${quantile(0.5)} ms (p50), ${quantile(0.99)} ms (p99)`;
}

function writeLines(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

/** `npx` and `bun run` forward a Ctrl-C that the terminal has already sent to every process, so signals this close together count as one. */
const sameSignalMs = 1000;

type Interruption = ReturnType<typeof listenForInterruption>;

/** Turns Ctrl-C, a termination request, a closed terminal and a closed pipe into one signal; a second Ctrl-C exits at once. */
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
  // Never removed, because a broken pipe may be noticed late.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    interrupt();
  });
  return { signal: end.signal, interrupt, release: () => releases.forEach((release) => release()) };
}
