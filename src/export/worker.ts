/** The export worker: delivers the journal's logs, metrics and our own log lines, away from the thread that listens. */
import { parentPort } from "node:worker_threads";
import type { InstrumentationScope } from "@opentelemetry/core";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Redelivery, Row } from "../journal/index.ts";
import { isDamage } from "../journal/sqlite/damage.ts";
import { openSqliteReader } from "../journal/sqlite/index.ts";
import { takeTruncatedTexts } from "../processors/bounds.ts";
import { EndBook } from "../processors/ends.ts";
import { FlowDescriber } from "../processors/flow.ts";
import type { Directory } from "../processors/index.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import type { Encoding, Signal } from "./answer.ts";
import { Delivery, type DeliveryDeps } from "./delivery.ts";
import type { Timer } from "./outage.ts";
import { behindFresh, Redelivering } from "./redelivery.ts";
import { scopeOf } from "./destination.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./messages.ts";
import { MetricExport } from "./metrics.ts";
import { RequestChannel } from "./requests.ts";
import { type RowContext, RowSource } from "./rows.ts";
import { HandedRows, marked, marksOf, replayed } from "./selection.ts";
import { createSelfLogs, eachLevel, routeDiagnostics } from "./self-logs.ts";
import { createSender, type Fetch, type Sender, type SenderDeps } from "./sender.ts";
import { createStdoutSender } from "./stdout.ts";

type Say = (message: FromWorker) => void;
type Start = Extract<ToWorker, { kind: "start" }>;

interface Shared extends Pick<DeliveryDeps, "clock" | "random" | "timer" | "logger"> {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly scope: InstrumentationScope;
  readonly say: Say;
}

/**
 * Runs inside the worker thread, for as long as the thread lives. It begins with the main thread's `start`; an error that
 * nobody expects ends the thread, and the main thread starts another.
 * @throws {Error} if it is called in the main thread.
 */
export function startExportWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error("the export worker was started outside a worker thread");
  const say: Say = (message) => port.postMessage(message);
  let handle: ReturnType<typeof run> | undefined;
  port.on("message", (message: ToWorker) => {
    if (message.kind === "start") {
      handle = run(message, say, () => port.close());
      say({ kind: "running" });
    } else handle?.(message);
  });
}

/**
 * How long a stop waits for a reader of standard output, which may not read at all. What it has not taken by then stays in
 * the journal.
 */
const maxStdoutWaitMs = 2_000;

/** Starts all that is exported. Returns what deals with further messages. */
function run(start: Start, say: Say, close: () => void): (message: Exclude<ToWorker, Start>) => void {
  const { setup } = start;
  const { encoding, resources, common } = setup;
  const logger: Logger = eachLevel((level) => (message, fields) => say({ kind: "log", level, message, fields }));
  routeDiagnostics(logger);
  const senderOf = createSenders(setup, say, logger);
  const count: OnAnswer = (signal, outcome, seconds) => say({ kind: "request", signal, outcome, seconds });
  const shared = { encoding, scope: scopeOf(setup.version), logger, clock: systemClock, random: Math.random, timer };
  const logs = setup.logs && startLogs(start, { ...shared, send: senderOf("logs", count), say });
  const metrics = setup.exportsMetrics
    ? new MetricExport({
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
        destination: () => (encoding === "json" && !setup.isStdout ? setup.destinations.logs : undefined),
        resource: resources.logs,
      })
    : undefined;

  async function stopLogs(deadlineMs: number): Promise<void> {
    await logs?.stop(deadlineMs);
    say({ kind: "logs_stopped" });
  }

  async function stop(deadlineMs: number): Promise<void> {
    await Promise.all([logs?.stop(deadlineMs), metrics?.stop(deadlineMs), ownLines?.stop(deadlineMs)]);
    say({ kind: "stopped" });
    close();
  }

  const waitMs = (deadlineMs: number): number => (setup.isStdout ? Math.min(deadlineMs, maxStdoutWaitMs) : deadlineMs);
  return (message) => {
    switch (message.kind) {
      case "committed":
        return logs?.wake(message.rows);
      case "fold":
        return metrics?.fold(message.fold);
      case "directory":
        return logs?.useDirectory(message.directory);
      case "credentials":
        setup.destinations = message.destinations;
        return;
      case "redeliver":
        return logs?.redeliver(message.name, message.redelivery);
      case "line":
        return ownLines?.sink[message.level](message.message, message.fields);
      case "stop_logs":
        return void stopLogs(waitMs(message.deadlineMs));
      case "stop":
        return void stop(waitMs(message.deadlineMs));
    }
  };
}

const timer: Timer = (delayMs, callback) => {
  const running = setTimeout(callback, delayMs);
  return () => clearTimeout(running);
};

type OnAnswer = SenderDeps["onAnswer"];

/** Standard output has one sender, which writes one line after the other. */
function createSenders(setup: WorkerSetup, say: Say, logger: Logger): (signal: Signal, onAnswer: OnAnswer) => Sender {
  if (setup.isStdout) {
    const lines = createStdoutSender(() => say({ kind: "stdout_closed" }));
    return () => lines;
  }
  return (signal, onAnswer) => {
    const destination = setup.destinations[signal];
    if (destination === undefined) throw new Error(`there is no destination for ${signal}`);
    const credentials = () => setup.destinations[signal] ?? destination;
    return createSender(destination, { fetch: fetch as Fetch, clock: systemClock, logger, credentials, onAnswer });
  };
}

/** Begins to deliver logs: fresh ones from the journal's cursor on, and behind them what is replayed or retried. @throws {Error} if the journal cannot be opened. Damage is reported first. */
function startLogs({ setup, cursor }: Start, { send, encoding, scope, say, ...shared }: Shared) {
  const { settings, logs: limits, resources } = setup;
  if (limits === undefined) throw new Error("logs are not exported");
  const reader = openSqliteReader(setup.location, (error) => {
    if (isDamage(error)) say({ kind: "damaged", reason: error instanceof Error ? error.message : String(error) });
  });
  const claims = new ClaimTable();
  const describer = new FlowDescriber(settings, new EndBook(settings));
  const context: RowContext = { decoder: new FlowRowDecoder(claims), describer, settings };
  const channel = new RequestChannel(limits, { send, encoding, describer, resource: resources.logs, scope });
  const behind = behindFresh(channel, shared.timer);
  const handed = new HandedRows(reader);
  const freshRows = new RowSource(handed, context);

  const fresh = new Delivery("logs", cursor, {
    ...shared,
    source: freshRows,
    channel,
    concurrency: limits.concurrency,
    onProgress(progress) {
      say({ kind: "progress", progress });
      const texts = takeTruncatedTexts();
      if (texts > 0) say({ kind: "truncated", texts });
    },
    onState(state) {
      behind.freshIs(state);
      say({ kind: "state", state });
    },
  });
  const redelivering = new Redelivering({
    ...shared,
    channel: behind.channel,
    open(redelivery) {
      const marks = redelivery.name === "retry" ? marksOf(reader, redelivery) : [];
      const selection = redelivery.name === "retry" ? marked(marks) : replayed(redelivery);
      return { marks, source: new RowSource(reader, context, selection) };
    },
    onProgress: (progress) => say({ kind: "redelivered", progress }),
    onState: (name, state) => say({ kind: "redelivery_state", name, state }),
  });
  let stopping: Promise<void> | undefined;

  async function stop(deadlineMs: number): Promise<void> {
    await Promise.all([redelivering.stop(deadlineMs), fresh.stop(deadlineMs)]);
    reader.close();
  }

  fresh.start();
  return {
    /** Begins that replay or retry, or goes on with it; without one, ends what runs under the name. */
    redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined) => redelivering.use(name, redelivery),
    /** More rows are committed; these of them need not be read. */
    wake(rows: readonly Row[]): void {
      handed.offer(rows);
      fresh.wake();
    },
    useDirectory(directory: Directory | undefined): void {
      settings.directory.current = directory;
      freshRows.forget();
    },
    /** One last delivery, cut off at the deadline. Safe twice. */
    stop: (deadlineMs: number): Promise<void> => (stopping ??= stop(deadlineMs)),
  };
}
