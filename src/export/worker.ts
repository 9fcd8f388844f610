/** The export worker: reads the journal over a connection of its own and delivers its logs, away from the thread that listens. */
import { parentPort } from "node:worker_threads";
import { openJournalReader } from "../journal/reader.ts";
import type { JournalReader } from "../journal/types.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger, LogLevel } from "../lib/logger.ts";
import type { Directory } from "../processors/directory.ts";
import { describeLine } from "../processors/index.ts";
import { journalSource } from "./delivery-source.ts";
import { routeDiagnostics } from "./diagnostics.ts";
import { createLogEncoder } from "./log-encoder.ts";
import { LogDelivery } from "./logs.ts";
import { createChannel } from "./protocol.ts";
import { resourceOf, scopeOf } from "./resource.ts";
import { createSender, type Destination, type Fetch, type RequestOutcome, type Sender } from "./sender.ts";
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
        running?.delivery.wake(message.seq);
        break;
      case "directory":
        running?.useDirectory(message.directory);
        break;
      case "headers":
        running?.useHeaders(message.headers);
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
  readonly delivery: LogDelivery;
  readonly send: Sender;
  useDirectory(directory: Directory | undefined): void;
  useHeaders(headers: Destination["headers"]): void;
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
  const reader: JournalReader = openJournalReader(options.databasePath);
  let headers: Destination["headers"] | undefined;
  const send = senderOf(options.wire, { ...parts, headers: () => headers }, say);
  const protocol = options.wire.kind === "http" ? options.wire : { encoding: "json" as const, isSet: true };
  const delivery = new LogDelivery(cursor, options.delivery, {
    source: journalSource(reader, (line, type, acceptedAt) => describeLine(line, type, options.processors, acceptedAt)),
    channel: createChannel(send, { signal: "logs", ...protocol }, logger),
    encode: encoderOf(options),
    clock: systemClock,
    random: Math.random,
    timer(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return () => clearTimeout(timer);
    },
    logger,
    onProgress: (advance) => say({ kind: "progress", ...advance }),
    onState: (state) => say({ kind: "state", state }),
  });
  say({ kind: "state", state: { kind: "idle" } });
  delivery.start(committedSeq);
  return {
    delivery,
    send,
    useDirectory(directory) {
      if (options.processors.directory !== undefined) options.processors.directory.current = directory;
    },
    useHeaders(next) {
      headers = next;
    },
    async stop(deadlineMs) {
      await delivery.stop(deadlineMs);
      reader.close();
    },
  };
}

function encoderOf(options: WorkerOptions) {
  return createLogEncoder(resourceOf(options.resource), scopeOf(options.version));
}

function senderOf(
  wire: Wire,
  { fetch: send, headers }: WorkerParts & { readonly headers: () => Destination["headers"] | undefined },
  say: Say,
): Sender {
  if (wire.kind === "stdout") return createStdoutSender(() => say({ kind: "stdout_closed" }));
  const { destination } = wire;
  const onAnswer = (outcome: RequestOutcome, seconds: number) => say({ kind: "request", outcome, seconds });
  return createSender(destination, {
    fetch: send,
    clock: systemClock,
    headers: () => headers() ?? destination.headers,
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
