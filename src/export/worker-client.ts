/** The main thread's end of the export worker: starts it, passes on what either side says, and starts it again when it dies. */
import { Worker } from "node:worker_threads";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Committed, LogCursor, Progress, Redelivery, RedeliveryProgress, Row } from "../journal/index.ts";
import type { Signal } from "./answer.ts";
import { backoffMs } from "./delivery/outage.ts";
import type { DeliveryState } from "./delivery/index.ts";
import type { Credentials } from "./destination.ts";
import type { FromWorker, ToWorker, WorkerSetup } from "./messages.ts";
import type { MetricReport } from "./metrics.ts";

export interface WorkerClientDeps {
  /** The module that calls `startExportWorker` when it runs in a worker thread. */
  readonly entry: URL;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  readonly onProgress: (progress: Progress) => void;
  readonly onRedelivered: (progress: RedeliveryProgress) => void;
  readonly onMetrics: (report: MetricReport) => void;
  readonly onDamage: (reason: string) => void;
  readonly onStdoutClosed: () => void;
  /** A worker has been started that knows nothing of former folds. */
  readonly onLaunch: () => void;
}

export interface DeadWorker {
  readonly kind: "dead";
  readonly why: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

export interface ExportWorker {
  /** Set from its death until another one is at work. */
  readonly dead: DeadWorker | undefined;
  readonly logs: DeliveryState;
  readonly lastSuccess: Readonly<Partial<Record<Signal, number>>>;
  redeliveryState(name: Redelivery["name"]): DeliveryState | undefined;
  /** Delivers logs from there on. */
  start(from: LogCursor): void;
  redeliver(name: Redelivery["name"], redelivery: Redelivery | undefined): void;
  useCredentials(signal: Signal, credentials: Credentials): void;
  /** Whether the worker keeps up, so that rows should be handed over. */
  readonly wantsText: boolean;
  /** More rows are committed. */
  committed(batch: Pick<Committed, "source" | "receivedAt" | "parts">): void;
  /** Says something that a worker that is started again need not hear. */
  tell(message: Extract<ToWorker, { kind: "fold" | "line" | "directory" }>): void;
  stopLogs(deadlineMs: number): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

/** A worker that has lived this long begins its back-off anew. */
const healthyAfterMs = 60_000;

/** Commits that come within this time are one message. */
const wakeMs = 5;

/** Over the deadline that the worker itself keeps, before it is not waited for any longer. */
const graceMs = 500;

/** A thread whose system call waits for a reader of standard output cannot be ended: the process ends with it. */
const terminationMs = 200;

/** Text that is handed over and not delivered yet. A worker that is further behind reads the journal. */
const maxHandedBytes = 8 * 1024 * 1024;

interface HandedRow {
  readonly seq: number;
  readonly bytes: number;
}

/** Whether nothing else lies in the buffer, which leaves this thread with the text. */
function isAlone(text: Uint8Array): boolean {
  return text.byteOffset === 0 && text.buffer.byteLength <= text.byteLength * 2;
}

/** The rows of a commit whose text is at hand, and that stand in the journal just as they were appended. */
function rowsOf({ source, receivedAt, parts }: Pick<Committed, "source" | "receivedAt" | "parts">): Row[] {
  return parts.flatMap(({ part, dropped, seq, accepted }) => {
    const isChanged = dropped !== undefined || part.logRecords !== undefined || accepted === 0;
    if (part.text === undefined || isChanged) return [];
    const { type, records, leftOut } = part;
    const text = isAlone(part.text) ? part.text : part.text.slice();
    return [{ seq, acceptedAt: receivedAt, source, type, records, text, leftOut, tally: undefined, damage: undefined }];
  });
}

/** `setup.settings` is read again for each worker: its directory may be a newer one. */
export function createExportWorker(setup: WorkerSetup, deps: WorkerClientDeps): ExportWorker {
  let worker: Worker | undefined;
  let restart: ReturnType<typeof setTimeout> | undefined;
  let logs: DeliveryState = { kind: "idle" };
  let dead: DeadWorker | undefined;
  /** The position that was committed, or will be with the next turn. */
  let cursor: LogCursor | undefined;
  let deaths = 0;
  let startedAt = 0;
  let areLogsStopped = false;
  let isWaking = false;
  /** Rows for the next message, and what was handed over and is not delivered yet. */
  let rows: Row[] = [];
  const handed: HandedRow[] = [];
  let handedBytes = 0;
  const lastSuccess: Partial<Record<Signal, number>> = {};
  const newCredentials = new Map<Signal, Credentials>();
  const redeliveries = new Map<Redelivery["name"], Redelivery>();
  const redeliveryStates = new Map<Redelivery["name"], DeliveryState>();
  /** Answers of the worker that a stop waits for. */
  const stops = new Map<"logs_stopped" | "stopped", PromiseWithResolvers<void>>();

  const tell = (message: ToWorker): void => worker?.postMessage(message);

  function launch(from: LogCursor): void {
    startedAt = deps.clock();
    logs = { kind: "idle" };
    const mine = new Worker(deps.entry);
    worker = mine;
    let why = "the thread ended";
    // The last messages of a dead worker may come after its end: they must not mix with those of the next.
    mine.on("message", (message: FromWorker) => {
      if (worker === mine) handle(message);
    });
    mine.on("error", (error: unknown) => (why = error instanceof Error ? error.message : String(error)));
    mine.on("exit", () => {
      if (worker === mine) died(why);
    });
    tell({ kind: "start", setup, cursor: from });
    for (const [signal, credentials] of newCredentials) tell({ kind: "credentials", signal, credentials });
    for (const [name, redelivery] of redeliveries) tell({ kind: "redeliver", name, redelivery });
    deps.onLaunch();
  }

  /** Rows before that one are delivered. */
  function releaseUpTo(seq: number): void {
    let passed = 0;
    for (; passed < handed.length && (handed[passed] as HandedRow).seq < seq; passed++)
      handedBytes -= (handed[passed] as HandedRow).bytes;
    handed.splice(0, passed);
  }

  function died(why: string): void {
    worker = undefined;
    rows = [];
    releaseUpTo(Number.POSITIVE_INFINITY);
    const isStopping = stops.size > 0 || areLogsStopped;
    for (const { resolve } of stops.values()) resolve();
    if (isStopping) return;
    const now = deps.clock();
    deaths = now - startedAt >= healthyAfterMs ? 1 : deaths + 1;
    const delayMs = Math.round(backoffMs(deaths, undefined, deps.random));
    dead = { kind: "dead", why, since: dead?.since ?? now };
    deps.logger.error("export worker died; restarting it", { why, delay_ms: delayMs });
    restart = setTimeout(() => launch(cursor as LogCursor), delayMs);
  }

  function handle(message: FromWorker): void {
    switch (message.kind) {
      case "running":
        dead = undefined;
        return;
      case "progress":
        cursor = message.progress.cursor;
        releaseUpTo(cursor.seq);
        return deps.onProgress(message.progress);
      case "state":
        logs = message.state;
        return;
      case "redelivered":
        return redelivered(message.progress);
      case "redelivery_state":
        if (redeliveries.has(message.name)) redeliveryStates.set(message.name, message.state);
        return;
      case "metrics":
        return deps.onMetrics(message.report);
      case "request": {
        const { signal, outcome, seconds } = message;
        const { telemetry } = deps;
        telemetry.add("tailscale2otel.export.requests", 1, { signal, outcome });
        telemetry.record("tailscale2otel.export.duration", seconds, { signal, outcome });
        if (outcome === "success") lastSuccess[signal] = deps.clock();
        return;
      }
      case "truncated":
        return deps.telemetry.add("tailscale2otel.export.truncated_texts", message.texts, {});
      case "log":
        return deps.logger[message.level](message.message, message.fields);
      case "stdout_closed":
        return deps.onStdoutClosed();
      case "damaged":
        return deps.onDamage(message.reason);
      case "logs_stopped":
      case "stopped":
        stops.get(message.kind)?.resolve();
    }
  }

  function redelivered(progress: RedeliveryProgress): void {
    const known = redeliveries.get(progress.name);
    if (known?.id !== progress.id) return;
    redeliveries.set(progress.name, { ...known, cursor: progress.cursor });
    if (progress.isOver) forget(progress.name);
    deps.onRedelivered(progress);
  }

  function forget(name: Redelivery["name"]): void {
    redeliveries.delete(name);
    redeliveryStates.delete(name);
  }

  /** Asks the worker to stop something, and waits until it has, or has died, or does not answer. */
  async function ask(kind: "stop_logs" | "stop", answer: "logs_stopped" | "stopped", deadlineMs: number) {
    clearTimeout(restart);
    if (worker === undefined) return;
    let ending = stops.get(answer);
    if (ending === undefined) {
      stops.set(answer, (ending = Promise.withResolvers()));
      tell({ kind, deadlineMs });
    }
    const grace = setTimeout(ending.resolve, deadlineMs + graceMs);
    await ending.promise;
    clearTimeout(grace);
  }

  return {
    get dead() {
      return dead;
    },
    get logs() {
      return logs;
    },
    lastSuccess,
    redeliveryState: (name) => redeliveryStates.get(name),
    start(from) {
      cursor = from;
      launch(from);
    },
    get wantsText() {
      return worker !== undefined && handedBytes < maxHandedBytes;
    },
    committed(batch) {
      for (const row of rowsOf(batch)) {
        rows.push(row);
        handed.push({ seq: row.seq, bytes: row.text.length });
        handedBytes += row.text.length;
      }
      if (isWaking) return;
      isWaking = true;
      setTimeout(() => {
        isWaking = false;
        worker?.postMessage(
          { kind: "committed", rows } satisfies ToWorker,
          rows.map(({ text }) => text.buffer as ArrayBuffer),
        );
        rows = [];
      }, wakeMs);
    },
    redeliver(name, redelivery) {
      forget(name);
      if (redelivery !== undefined) redeliveries.set(name, redelivery);
      tell({ kind: "redeliver", name, redelivery });
    },
    useCredentials(signal, credentials) {
      newCredentials.set(signal, credentials);
      tell({ kind: "credentials", signal, credentials });
    },
    tell,
    async stopLogs(deadlineMs) {
      areLogsStopped = true;
      await ask("stop_logs", "logs_stopped", deadlineMs);
    },
    async stop(deadlineMs) {
      areLogsStopped = true;
      await ask("stop", "stopped", deadlineMs);
      const last = worker;
      worker = undefined;
      if (last === undefined) return;
      const { promise: notEnded, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, terminationMs);
      await Promise.race([last.terminate(), notEnded]);
      clearTimeout(timer);
    },
  };
}
