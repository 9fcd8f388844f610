/** The export worker: reads the journal over a connection of its own and delivers its logs, away from the thread that listens. */
import { parentPort } from "node:worker_threads";
import { isDamage } from "../journal/damage.ts";
import { openJournalReader } from "../journal/reader.ts";
import type { JournalReader } from "../journal/types.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger, LogLevel } from "../lib/logger.ts";
import type { Directory } from "../processors/directory.ts";
import { describeLine } from "../processors/index.ts";
import { type DescribeLine, journalSource, newestBefore } from "./delivery-source.ts";
import { routeDiagnostics } from "./diagnostics.ts";
import { createLogEncoder } from "./log-encoder.ts";
import { LogDelivery, type Timer } from "./logs.ts";
import { createLanes } from "./lanes.ts";
import { createChannel } from "./protocol.ts";
import { createRedeliver, type Redeliver } from "./redeliver.ts";
import { resourceOf, scopeOf } from "./resource.ts";
import type { Fetch } from "./connection.ts";
import { createSender, type Credentials, type RequestOutcome, type Sender } from "./sender.ts";
import { createStdoutSender } from "./stdout.ts";
import type { FromWorker, ToWorker, Wire, WorkerOptions } from "./worker-messages.ts";

export interface WorkerParts {
  readonly fetch: Fetch;
}

/**
 * Runs inside the worker thread, for as long as the thread lives. It begins with the main thread's `start` message; an
 * error that is nobody's answer ends the thread, and the main thread starts another.
 * @throws {Error} when it is called in the main thread.
 */
export function startExportWorker(parts: WorkerParts = { fetch }): void {
  const port = parentPort;
  if (port === null) throw new Error("the export worker was started outside a worker thread");
  const say = (message: FromWorker) => port.postMessage(message);
  const logger = loggerTo(say);
  routeDiagnostics(logger);
  let running: Running | undefined;

  port.on("message", (message: ToWorker) => {
    switch (message.kind) {
      case "start":
        running = run(message, parts, say, logger);
        break;
      case "committed":
        running?.wake(message.seq);
        break;
      case "directory":
        running?.useDirectory(message.directory);
        break;
      case "credentials":
        running?.useCredentials(message.credentials);
        break;
      case "redeliver":
        running?.redeliver.use(message.name, message.redelivery);
        break;
      case "write": {
        const { id, body } = message;
        void running?.send(body, "json", neverStop).then((answer) => say({ kind: "written", id, answer }));
        break;
      }
      case "stop":
        void (running?.stop(message.deadlineMs) ?? Promise.resolve()).then(() => {
          say({ kind: "stopped" });
          port.close();
        });
        break;
    }
  });
}

interface Running {
  /** Rows up to that one are committed. */
  wake(committedSeq: number): void;
  readonly redeliver: Redeliver;
  readonly send: Sender;
  useDirectory(directory: Directory | undefined): void;
  useCredentials(credentials: Credentials): void;
  stop(deadlineMs: number): Promise<void>;
}

const neverStop = new AbortController().signal;

type Say = (message: FromWorker) => void;

function run(
  { options, cursor, committedSeq }: Extract<ToWorker, { kind: "start" }>,
  parts: WorkerParts,
  say: Say,
  logger: Logger,
): Running {
  const reader: JournalReader = openJournalReader(options.databasePath, (error) => {
    if (isDamage(error)) say({ kind: "damaged", reason: error instanceof Error ? error.message : String(error) });
  });
  let credentials: Credentials | undefined;
  const send = senderOf(options.wire, { ...parts, credentials: () => credentials }, say);
  const protocol = options.wire.kind === "http" ? options.wire : { encoding: "json" as const, isSet: true };
  const { concurrency } = options.delivery;
  const lanes = createLanes(createChannel(send, { signal: "logs", ...protocol }, logger), concurrency, timer);
  const describe: DescribeLine = (line, type, acceptedAt) => describeLine(line, type, options.processors, acceptedAt);
  const shared = { encode: encoderOf(options), clock: systemClock, random: Math.random, timer, logger };
  const source = journalSource(reader, describe);
  let lastSeq = committedSeq;
  const delivery = new LogDelivery(cursor, options.delivery, {
    ...shared,
    source,
    channel: lanes.fresh,
    onProgress: (advance) => say({ kind: "progress", ...advance }),
    onState(state) {
      lanes.freshIs(state);
      say({ kind: "state", state });
    },
  });
  const redeliver = createRedeliver(
    { ...options.delivery, concurrency: Math.max(1, concurrency - 1) },
    {
      ...shared,
      channel: lanes.again,
      databasePath: options.databasePath,
      describeLine: describe,
      newest: () => newestBefore(lastSeq, source),
      onProgress: (progress) => say({ kind: "redelivered", progress }),
      onState: (name, state) => say({ kind: "redelivery_state", name, state }),
    },
  );
  say({ kind: "state", state: { kind: "idle" } });
  delivery.start(committedSeq);
  return {
    wake(seq) {
      lastSeq = seq;
      delivery.wake(seq);
    },
    redeliver,
    send,
    useDirectory(directory) {
      if (options.processors.directory !== undefined) options.processors.directory.current = directory;
    },
    useCredentials(next) {
      credentials = next;
    },
    async stop(deadlineMs) {
      await Promise.all([redeliver.stop(deadlineMs), delivery.stop(deadlineMs)]);
      reader.close();
    },
  };
}

const timer: Timer = (delayMs, callback) => {
  const running = setTimeout(callback, delayMs);
  return () => clearTimeout(running);
};

function encoderOf(options: WorkerOptions) {
  return createLogEncoder(resourceOf(options.resource), scopeOf(options.version));
}

function senderOf(
  wire: Wire,
  { fetch: send, credentials }: WorkerParts & { readonly credentials: () => Credentials | undefined },
  say: Say,
): Sender {
  if (wire.kind === "stdout") return createStdoutSender(() => say({ kind: "stdout_closed" }));
  const { destination } = wire;
  const onAnswer = (outcome: RequestOutcome, seconds: number) => say({ kind: "request", outcome, seconds });
  return createSender(destination, {
    fetch: send,
    clock: systemClock,
    credentials: () => credentials() ?? destination,
    onAnswer,
  });
}

function loggerTo(say: Say): Logger {
  const line =
    (level: LogLevel): Logger[LogLevel] =>
    (message, fields) =>
      say({ kind: "log", level, message, fields });
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}
