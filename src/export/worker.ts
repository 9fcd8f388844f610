/** The export worker: delivers the journal's logs, metrics and our own log lines, away from the thread that listens. */
import { parentPort } from "node:worker_threads";
import type { InstrumentationScope } from "@opentelemetry/core";
import type { Config } from "../config/index.ts";
import { systemClock } from "../lib/clock.ts";
import { eachLevel, type LogFields, type Logger, type LogLevel } from "../lib/logger.ts";
import {
  isDamage,
  type LogCursor,
  openSqliteReader,
  type Progress,
  type Redelivery,
  type RedeliveryProgress,
  type Row,
} from "../journal/index.ts";
import { takeTruncatedTexts } from "../processors/outgoing.ts";
import { EndBook } from "../processors/ends.ts";
import { FlowDescriber } from "../processors/flow.ts";
import type { Directory } from "../processors/index.ts";
import { ClaimTable } from "../records/flow/claims.ts";
import { FlowRowDecoder } from "../records/flow/rows.ts";
import type { Encoding, Signal } from "./answer.ts";
import { Delivery, type DeliveryDeps, type DeliveryKind } from "./delivery.ts";
import { type Destinations, type ExportSetup, scopeOf } from "./destination.ts";
import type { FoldMessage } from "./fold-points.ts";
import { MetricExport, type MetricReport } from "./metrics.ts";
import type { DeliveryState, Timer } from "./outage.ts";
import { marked, marksOf, Redelivering, replayed, shareChannel } from "./redelivery.ts";
import { createChannel } from "./requests.ts";
import { type RowContext, RowSource } from "./rows.ts";
import { createSelfLogs, routeDiagnostics } from "./self-observability.ts";
import {
  createSender,
  createStdoutSender,
  type Fetch,
  type FailureType,
  type RequestOutcome,
  type Sender,
  type SenderDeps,
} from "./sender.ts";

/** What the main thread asks of the worker. Arguments are plain data: a call is posted as its name and what it is given. */
export interface WorkerCalls {
  start(setup: ExportSetup, cursor: LogCursor): void;
  /** More rows are committed. Some are handed over, in the order of `seq`, so that they need not be read. */
  committed(rows: readonly Row[]): void;
  fold(fold: FoldMessage): void;
  useDirectory(directory: Directory | undefined): void;
  /** Requests from now on carry their headers and certificates. */
  useDestinations(destinations: Destinations): void;
  /** Begins that replay or retry, or goes on with it; without one, ends what runs under the name. */
  redeliver(name: Redelivery["name"], redelivery: Redelivery | undefined): void;
  /** A log line of the program itself. */
  line(level: LogLevel, message: string, fields: LogFields | undefined): void;
  /** One last delivery of logs; answered with `stopped`, as is the next. */
  stopLogs(deadlineMs: number): void;
  /** One last export of everything. */
  stop(deadlineMs: number): void;
}

/** What the worker reports to the main thread. */
export interface MainCalls {
  /** It has opened the journal and is at work. */
  running(): void;
  /** How far fresh logs have come, and how much of the text that was handed over is read or dropped. */
  progress(progress: Progress, readBytes: number): void;
  redelivered(progress: RedeliveryProgress): void;
  deliveryState(kind: DeliveryKind, state: DeliveryState): void;
  metricReport(report: MetricReport): void;
  /** The totals that the destination of metrics has acknowledged. */
  acknowledged(totals: Uint8Array): void;
  requested(signal: Signal, outcome: RequestOutcome, seconds: number, failure?: FailureType): void;
  /** Texts that were cut to their bound since the last such message. */
  truncated(texts: number): void;
  log(level: LogLevel, message: string, fields: LogFields | undefined): void;
  stdoutClosed(): void;
  /** The journal cannot be read, and not for want of a disk. */
  damaged(reason: string): void;
  stopped(what: "stopLogs" | "stop"): void;
}

export type Call<Calls> = { [Name in keyof Calls]: [Name, ...Args<Calls, Name>] }[keyof Calls];
export type Args<Calls, Name extends keyof Calls> = Calls[Name] extends (...given: infer Given) => void ? Given : never;

/** Does what a message from the other thread asks for. */
export function answerCall<Calls>(calls: Calls, [name, ...given]: Call<Calls>): void {
  (calls[name] as (...all: unknown[]) => void)(...given);
}

type Post = <Name extends keyof MainCalls>(name: Name, ...given: Args<MainCalls, Name>) => void;

/**
 * Runs inside the worker thread, for as long as the thread lives. It begins with the main thread's `start`; an error that
 * nobody expects ends the thread, and the main thread starts another.
 * @throws {Error} if it is called in the main thread.
 */
export function startExportWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error("the export worker was started outside a worker thread");
  const post: Post = (...call) => port.postMessage(call);
  let calls: Omit<WorkerCalls, "start"> | undefined;
  const start = (setup: ExportSetup, cursor: LogCursor): void => {
    calls = run(setup, cursor, post, () => port.close());
    post("running");
  };
  port.on("message", (call: Call<WorkerCalls>) => {
    if (calls !== undefined || call[0] === "start") answerCall({ ...calls, start } as WorkerCalls, call);
  });
}

/**
 * How long a stop waits for a reader of standard output, which may not read at all. What it has not read by then stays in
 * the journal.
 */
const maxStdoutWaitMs = 2_000;

const timer: Timer = (delayMs, callback) => {
  const running = setTimeout(callback, delayMs);
  return () => clearTimeout(running);
};

/** Starts all that is exported. */
function run(setup: ExportSetup, cursor: LogCursor, post: Post, close: () => void): Omit<WorkerCalls, "start"> {
  const { encoding, resources, common, isStdout } = setup;
  const logger: Logger = eachLevel((level) => (message, fields) => post("log", level, message, fields));
  routeDiagnostics(logger);
  // Standard output has one sender, which writes one line after the other.
  const lines = isStdout ? createStdoutSender(() => post("stdoutClosed")) : undefined;
  const senderOf = (signal: Signal, onAnswer: SenderDeps["onAnswer"]) => {
    const destination = setup.destinations[signal];
    if (lines !== undefined) return lines;
    if (destination === undefined) throw new Error(`there is no destination for ${signal}`);
    const credentials = () => setup.destinations[signal] ?? destination;
    return createSender(destination, { fetch: fetch as Fetch, clock: systemClock, logger, credentials, onAnswer });
  };
  const count: SenderDeps["onAnswer"] = (...answered) => post("requested", ...answered);
  const shared = { encoding, scope: scopeOf(setup.version), logger, clock: systemClock, random: Math.random, timer };
  const logs = setup.logs && startLogs(setup, setup.logs, cursor, { ...shared, send: senderOf("logs", count), post });
  const metrics = setup.exportsMetrics
    ? new MetricExport({
        ...shared,
        send: senderOf("metrics", count),
        resource: resources.metrics,
        common,
        acknowledged: setup.acknowledged,
        onReport: (report) => post("metricReport", report),
        onAcknowledged: (totals) => post("acknowledged", totals),
      })
    : undefined;
  const ownLines = setup.exportsOwnLines
    ? createSelfLogs({
        ...shared,
        send: senderOf("logs", () => undefined),
        destination: () => (encoding === "json" && !isStdout ? setup.destinations.logs : undefined),
        resource: resources.logs,
      })
    : undefined;
  const waitMs = (deadlineMs: number): number => (isStdout ? Math.min(deadlineMs, maxStdoutWaitMs) : deadlineMs);
  return {
    committed: (rows) => logs?.wake(rows),
    fold: (fold) => metrics?.fold(fold),
    useDirectory: (directory) => logs?.useDirectory(directory),
    useDestinations: (destinations) => void (setup.destinations = destinations),
    redeliver: (name, redelivery) => logs?.redelivering.use(name, redelivery),
    line: (level, message, fields) => ownLines?.sink[level](message, fields),
    async stopLogs(deadlineMs) {
      await logs?.stop(waitMs(deadlineMs));
      post("stopped", "stopLogs");
    },
    async stop(deadlineMs) {
      await Promise.all([logs, metrics, ownLines].map((part) => part?.stop(waitMs(deadlineMs))));
      post("stopped", "stop");
      close();
    },
  };
}

interface LogDeps extends Pick<DeliveryDeps, "clock" | "random" | "timer" | "logger"> {
  readonly send: Sender;
  readonly encoding: Encoding;
  readonly scope: InstrumentationScope;
  readonly post: Post;
}

/**
 * Begins to deliver logs: fresh ones from the journal's cursor on, and behind them what is replayed or retried.
 * @throws {Error} if the journal cannot be opened. Damage is reported first.
 */
function startLogs(
  { settings, location, resources }: ExportSetup,
  limits: Config["otlp"]["logs"],
  cursor: LogCursor,
  { send, encoding, scope, post, ...shared }: LogDeps,
) {
  const reader = openSqliteReader(location, (error) => {
    if (isDamage(error)) post("damaged", error instanceof Error ? error.message : String(error));
  });
  const describer = new FlowDescriber(settings, new EndBook(settings));
  const context: RowContext = { decoder: new FlowRowDecoder(new ClaimTable()), describer, settings };
  const channel = createChannel(limits, { send, encoding, describer, resource: resources.logs, scope });
  const shares = shareChannel(channel, limits.concurrency, shared.timer);
  const source = new RowSource(reader, context);
  const fresh = new Delivery("logs", cursor, {
    ...shared,
    source,
    channel: shares.fresh,
    concurrency: limits.concurrency,
    onProgress(progress) {
      post("progress", progress, source.readBytes);
      const texts = takeTruncatedTexts();
      if (texts > 0) post("truncated", texts);
    },
    onState(state) {
      shares.freshIs(state);
      post("deliveryState", "logs", state);
    },
  });
  const redelivering = new Redelivering({
    ...shared,
    channel: shares.behind,
    open(redelivery) {
      const marks = redelivery.name === "retry" ? marksOf(reader, redelivery) : [];
      const selection = redelivery.name === "retry" ? marked(marks) : replayed(redelivery);
      return { marks, source: new RowSource(reader, context, selection) };
    },
    onProgress: (progress) => post("redelivered", progress),
    onState: (kind, state) => post("deliveryState", kind, state),
  });
  let stopping: Promise<void> | undefined;

  async function stop(deadlineMs: number): Promise<void> {
    await Promise.all([redelivering.stop(deadlineMs), fresh.stop(deadlineMs)]);
    reader.close();
  }

  fresh.start();
  return {
    redelivering,
    wake(rows: readonly Row[]): void {
      source.offer(rows);
      fresh.wake();
    },
    useDirectory(directory: Directory | undefined): void {
      settings.directory.current = directory;
      source.forget();
    },
    /** One last delivery, cut off at the deadline. Safe twice. */
    stop: (deadlineMs: number): Promise<void> => (stopping ??= stop(deadlineMs)),
  };
}
