/** The export worker: delivers the journal's logs, metrics and our own log lines, away from the thread that listens. */
import { parentPort } from "node:worker_threads";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Signal } from "./answer.ts";
import type { Fetch } from "./connection.ts";
import type { Timer } from "./delivery/source.ts";
import type { Credentials } from "./destination.ts";
import { type LogExport, startLogs } from "./logs.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./messages.ts";
import { createMetricExport, type MetricExport } from "./metrics.ts";
import { scopeOf } from "./resource.ts";
import { createSelfLogs, eachLevel, routeDiagnostics, type SelfLogs } from "./self-logs.ts";
import { createSender, type Sender, type SenderDeps } from "./sender.ts";
import { createStdoutSender } from "./stdout.ts";

type Say = (message: FromWorker) => void;
type Start = Extract<ToWorker, { kind: "start" }>;

/**
 * Runs inside the worker thread, for as long as the thread lives. It begins with the main thread's `start`; an error that
 * nobody expects ends the thread, and the main thread starts another.
 * @throws {Error} if it is called in the main thread.
 */
export function startExportWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error("the export worker was started outside a worker thread");
  const say: Say = (message) => port.postMessage(message);
  let running: Running | undefined;
  port.on("message", (message: ToWorker) => {
    if (message.kind === "start") {
      running = run(message, say);
      say({ kind: "running" });
    } else if (message.kind === "stop") void stop(message.deadlineMs);
    else if (running !== undefined) handle(message, running, say);
  });

  async function stop(deadlineMs: number): Promise<void> {
    await running?.stop(deadlineMs);
    say({ kind: "stopped" });
    port?.close();
  }
}

/**
 * How long a stop waits for a reader of standard output, which may not read at all. What it has not taken by then stays in
 * the journal.
 */
const maxStdoutWaitMs = 2_000;

interface Running {
  readonly logs: LogExport | undefined;
  readonly metrics: MetricExport | undefined;
  readonly ownLines: SelfLogs | undefined;
  readonly credentials: Map<Signal, Credentials>;
  stopLogs(deadlineMs: number): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

function handle(message: Exclude<ToWorker, { kind: "start" | "stop" }>, running: Running, say: Say): void {
  const { logs, metrics, ownLines, credentials } = running;
  switch (message.kind) {
    case "committed":
      return logs?.wake(message.rows);
    case "fold":
      return metrics?.fold(message.fold);
    case "directory":
      return logs?.useDirectory(message.directory);
    case "credentials":
      credentials.set(message.signal, message.credentials);
      return;
    case "redeliver":
      return logs?.redelivering.use(message.name, message.redelivery);
    case "line":
      return ownLines?.sink[message.level](message.message, message.fields);
    case "stop_logs":
      void running.stopLogs(message.deadlineMs).then(() => say({ kind: "logs_stopped" }));
  }
}

function run(start: Start, say: Say): Running {
  const { setup } = start;
  const logger: Logger = eachLevel((level) => (message, fields) => say({ kind: "log", level, message, fields }));
  routeDiagnostics(logger);
  const credentials = new Map<Signal, Credentials>();
  const senderOf = createSenders(setup, credentials, { say, logger });
  const { encoding, resources, common } = setup;
  const shared = { encoding, scope: scopeOf(setup.version), logger, clock: systemClock, random: Math.random, timer };
  const logs =
    setup.logs === undefined ? undefined : startLogs(start, { ...shared, send: senderOf("logs", count), say });
  const metrics = setup.exportsMetrics
    ? createMetricExport({
        ...shared,
        send: senderOf("metrics", count),
        resource: resources.metrics,
        common,
        onReport: (report) => say({ kind: "metrics", report }),
      })
    : undefined;
  const ownLines = setup.exportsOwnLines
    ? createSelfLogs({
        ...shared,
        send: senderOf("logs", () => undefined),
        destination: encoding === "json" ? setup.destinations.logs : undefined,
        resource: resources.logs,
      })
    : undefined;

  const waitMs = (deadlineMs: number): number => (setup.isStdout ? Math.min(deadlineMs, maxStdoutWaitMs) : deadlineMs);

  function count(...[signal, outcome, seconds]: Parameters<OnAnswer>): void {
    say({ kind: "request", signal, outcome, seconds });
  }

  return {
    logs,
    metrics,
    ownLines,
    credentials,
    async stopLogs(deadlineMs) {
      await logs?.stop(waitMs(deadlineMs));
    },
    async stop(deadlineMs) {
      const lastMs = waitMs(deadlineMs);
      await Promise.all([logs?.stop(lastMs), metrics?.stop(lastMs), ownLines?.stop(lastMs)]);
    },
  };
}

const timer: Timer = (delayMs, callback) => {
  const running = setTimeout(callback, delayMs);
  return () => clearTimeout(running);
};

type OnAnswer = SenderDeps["onAnswer"];

/** Standard output has one sender, which writes one line after the other. */
function createSenders(
  { destinations, isStdout }: WorkerSetup,
  credentials: ReadonlyMap<Signal, Credentials>,
  { say, logger }: { readonly say: Say; readonly logger: Logger },
): (signal: Signal, onAnswer: OnAnswer) => Sender {
  if (isStdout) {
    const lines = createStdoutSender(() => say({ kind: "stdout_closed" }));
    return () => lines;
  }
  return (signal, onAnswer) => {
    const destination = destinations[signal];
    if (destination === undefined) throw new Error(`there is no destination for ${signal}`);
    return createSender(destination, {
      fetch: fetch as Fetch,
      clock: systemClock,
      logger,
      credentials: () => credentials.get(signal) ?? destination,
      onAnswer,
    });
  };
}
