/** The export worker: delivers the journal's logs, metrics and the program's own log lines, off the listening thread. */
import { parentPort } from "node:worker_threads";
import { waitAtMost } from "../lib/backoff.ts";
import { systemClock } from "../lib/clock.ts";
import { messageOf } from "../lib/system-error.ts";
import { eachLevel, type LogFields, type Logger, type LogLevel, namedLogger } from "../lib/logger.ts";
import { isDamage, openReader, type Redelivery, type Row, startOfJournal } from "../journal/index.ts";
import { takeTruncatedTexts } from "../processors/outgoing.ts";
import type { Directory } from "../processors/index.ts";
import type { Signal } from "./answer.ts";
import { type Destinations, type ExportSetup, scopeOf, type Target } from "./destination.ts";
import type { FoldMessage } from "./fold-points.ts";
import type { Timer } from "./outage.ts";
import { createSelfLogs, routeDiagnostics } from "./self-logs.ts";
import { createSender, createStdoutSender, type Fetch, type SenderDeps } from "./sender.ts";
import { SharedRows } from "./shared-rows.ts";
import {
  answerCall,
  type Call,
  nameOf,
  type StartOfLogs,
  startTarget,
  type TargetDeps,
  type TargetReports,
} from "./target.ts";

/** What the main thread asks of the worker. A call is posted as its name and arguments, which are plain data. */
export interface WorkerCalls {
  /** `starts`: by destination, where its delivery of logs resumes. */
  start(setup: ExportSetup, starts: ReadonlyMap<string, StartOfLogs>): void;
  /** More rows are committed. Some are handed over, in the order of `seq`, so that they need not be read. */
  committed(rows: readonly Row[]): void;
  fold(fold: FoldMessage): void;
  useDirectory(directory: Directory | undefined): void;
  /** Uses the headers and certificates of `destinations` from the next request on. */
  useDestinations(target: string, destinations: Destinations): void;
  /** Continues the delivery of logs at `to`, because earlier records were given up. */
  move(target: string, to: StartOfLogs): void;
  /** Starts or resumes a replay or retry; undefined ends the one that runs under the name. */
  redeliver(target: string, name: Redelivery["name"], redelivery: Redelivery | undefined): void;
  /** A log line of the program itself. */
  line(level: LogLevel, message: string, fields: LogFields | undefined): void;
  /** Delivers logs one last time; answered with `stopped`, as is `stop`. */
  stopLogs(deadlineMs: number): void;
  /** Exports everything one last time. */
  stop(deadlineMs: number): void;
}

/** What the worker reports to the main thread. */
export interface MainCalls {
  /** The worker has opened the journal and is running. */
  running(): void;
  /** What a destination reports. `readBytes`: bytes of handed-over text that were read or dropped. */
  target(name: string, report: Call<TargetReports>, readBytes: number): void;
  /** The number of texts that were truncated since the last such message. */
  truncated(texts: number): void;
  log(level: LogLevel, message: string, fields: LogFields | undefined): void;
  stdoutClosed(): void;
  /** The journal cannot be read because it is damaged, not because of an I/O error. */
  damaged(reason: string): void;
  stopped(what: "stopLogs" | "stop"): void;
}

type Post = (...call: Call<MainCalls>) => void;

/**
 * Runs inside the worker thread for as long as the thread lives, from the main thread's `start` on. An unexpected error ends
 * the thread, and the main thread starts another.
 * @throws {Error} if it is called in the main thread.
 */
export function startExportWorker(): void {
  const port = parentPort;
  if (port === null) throw new Error("the export worker was started outside a worker thread");
  const post: Post = (...call) => port.postMessage(call);
  let calls: Omit<WorkerCalls, "start"> | undefined;
  const start = (setup: ExportSetup, starts: ReadonlyMap<string, StartOfLogs>): void => {
    calls = run(setup, starts, post, () => port.close());
    post("running");
  };
  port.on("message", (call: Call<WorkerCalls>) => {
    if (calls !== undefined || call[0] === "start") answerCall({ ...calls, start } as WorkerCalls, call);
  });
}

/**
 * How long a stop waits for the reader of standard output, which may be stalled. What it has not read by then stays in the
 * journal.
 */
const maxStdoutWaitMs = 2_000;

/** How long after the deadline of a stop a read in progress may take. */
const lastReadMs = 200;

const timer: Timer = (delayMs, callback) => {
  const running = setTimeout(callback, delayMs);
  return () => clearTimeout(running);
};

/**
 * Starts all exports.
 * @throws {Error} if the journal cannot be opened. Damage is reported first.
 */
function run(
  setup: ExportSetup,
  starts: ReadonlyMap<string, StartOfLogs>,
  post: Post,
  close: () => void,
): Omit<WorkerCalls, "start"> {
  const { resources, targets, settings, location } = setup;
  const [primary] = targets;
  const logger: Logger = eachLevel((level) => (message, fields) => post("log", level, message, fields));
  routeDiagnostics(logger);
  // Standard output has one sender, which writes one line after another.
  const lines = primary.isStdout ? createStdoutSender(() => post("stdoutClosed")) : undefined;
  const senderOf = (target: Target, signal: Signal, onAnswer: SenderDeps["onAnswer"]) => {
    const destination = target.destinations[signal];
    if (target.isStdout && lines !== undefined) return lines;
    if (destination === undefined) throw new Error(`there is no destination for ${signal}`);
    const credentials = () => target.destinations[signal] ?? destination;
    const named = namedLogger(logger, nameOf(target) ?? {});
    const deps = { fetch: fetch as Fetch, clock: systemClock, logger: named, credentials, onAnswer };
    return createSender(destination, deps);
  };
  const shared = { scope: scopeOf(setup.version), logger, clock: systemClock, random: Math.random, timer };
  const rows = targets.some(({ logs }) => logs !== undefined)
    ? new SharedRows(
        openReader(location, (error) => {
          if (isDamage(error)) post("damaged", messageOf(error));
        }),
        settings,
      )
    : undefined;
  const running = new Map(
    targets.map((target) => {
      const start = starts.get(target.name) ?? { cursor: startOfJournal, epoch: 0 };
      const report: TargetDeps["report"] = (...call) => {
        post("target", target.name, call, rows?.readBytes ?? 0);
        const texts = takeTruncatedTexts();
        if (texts > 0) post("truncated", texts);
      };
      return [target.name, startTarget(target, start, { ...shared, setup, rows, senderOf, report })] as const;
    }),
  );
  const parts = Array.from(running.values());
  const ownLines = setup.exportsOwnLines
    ? createSelfLogs({
        ...shared,
        encoding: primary.encoding,
        send: senderOf(primary, "logs", () => undefined),
        destination: () => (primary.encoding === "json" && !primary.isStdout ? primary.destinations.logs : undefined),
        resource: resources.logs,
      })
    : undefined;
  const waitMs = (deadlineMs: number): number =>
    primary.isStdout ? Math.min(deadlineMs, maxStdoutWaitMs) : deadlineMs;
  const stopLogs = async (deadlineMs: number): Promise<void> => {
    const stopped = Promise.all(parts.map(({ logs }) => logs?.stop(waitMs(deadlineMs))));
    await waitAtMost(stopped, waitMs(deadlineMs) + lastReadMs);
    rows?.close();
  };
  let stopping: Promise<void> | undefined;
  return {
    committed(committed) {
      rows?.offer(committed);
      for (const { logs } of parts) logs?.wake();
    },
    fold(fold) {
      for (const { metrics } of parts) metrics?.fold(fold);
    },
    useDirectory: (directory) => rows?.useDirectory(directory),
    useDestinations(name, destinations) {
      const target = targets.find((one) => one.name === name);
      if (target !== undefined) target.destinations = destinations;
    },
    move: (name, to) => running.get(name)?.logs?.move(to),
    redeliver: (target, name, redelivery) => running.get(target)?.logs?.redeliver(name, redelivery),
    line: (level, message, fields) => ownLines?.sink[level](message, fields),
    async stopLogs(deadlineMs) {
      await (stopping ??= stopLogs(deadlineMs));
      post("stopped", "stopLogs");
    },
    async stop(deadlineMs) {
      const others = [...parts.map(({ metrics }) => metrics), ownLines].map((part) => part?.stop(waitMs(deadlineMs)));
      await Promise.all([(stopping ??= stopLogs(deadlineMs)), ...others]);
      post("stopped", "stop");
      close();
    },
  };
}
