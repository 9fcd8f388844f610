/** The main thread's end of the export worker: starts it, tells it what is committed, passes on what it says, and starts it again when it dies. */
import { Worker } from "node:worker_threads";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { hasPassed, type Redelivery, type RedeliveryName, type RedeliveryProgress } from "../journal/redelivery.ts";
import type { LogCursor } from "../journal/types.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Answer } from "./answer.ts";
import { backoffMs, type Random } from "./backoff.ts";
import type { DeliveryState } from "./delivery-state.ts";
import type { Credentials, Sender } from "./sender.ts";
import type { Advance } from "./window.ts";
import type { FromWorker, ToWorker, WorkerOptions } from "./worker-messages.ts";

export interface WorkerClientDeps {
  /** The module that calls `startExportWorker` when it runs in a worker thread. */
  readonly entry: URL;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** What the journal must commit with its next turn. */
  readonly onProgress: (advance: Advance) => void;
  /** What is sent once more has come that far. */
  readonly onRedelivered: (progress: RedeliveryProgress) => void;
  /** The worker has met damage in the database. */
  readonly onDamage: (reason: string) => void;
  /** Standard output has lost its reader: the process should end. */
  readonly onStdoutClosed: () => void;
}

export interface ExportWorker {
  readonly state: WorkerState;
  /** When the backend took logs last, epoch milliseconds. */
  readonly lastSuccessAt: number | undefined;
  /** How what is sent once more fares. */
  redeliveryState(name: RedeliveryName): DeliveryState | undefined;
  start(from: { readonly cursor: LogCursor; readonly committedSeq: number }): void;
  committed(seq: number): void;
  /** The directory in the options is a newer one. */
  directoryChanged(): void;
  /** Of requests from now on. */
  useCredentials(credentials: Credentials): void;
  /** Sends that once more from its position on; without it, nothing of that name. */
  redeliver(name: RedeliveryName, redelivery: Redelivery | undefined): void;
  /** Writes a line of the main thread on standard output. */
  readonly write: Sender;
  stop(deadlineMs: number): Promise<void>;
}

export type WorkerState = DeliveryState | { readonly kind: "dead"; readonly why: string; readonly since: number };

/** A worker that has lived this long begins its back-off anew. */
const healthyAfterMs = 60_000;

/** Over the deadline that the worker itself keeps, before it is ended. */
const graceMs = 500;

export function createExportWorker(options: WorkerOptions, deps: WorkerClientDeps): ExportWorker {
  const writes = new Map<number, (answer: Answer) => void>();
  let worker: Worker | undefined;
  let restart: ReturnType<typeof setTimeout> | undefined;
  let state: WorkerState = { kind: "idle" };
  let cursor: LogCursor | undefined;
  let committedSeq = 0;
  let deaths = 0;
  let startedAt = 0;
  let lastSuccessAt: number | undefined;
  let nextWrite = 0;
  /** What a worker that is started again must be told besides. */
  let newCredentials: Credentials | undefined;
  const redeliveries = new Map<RedeliveryName, Redelivery>();
  const redeliveryStates = new Map<RedeliveryName, DeliveryState>();
  let ending: PromiseWithResolvers<void> | undefined;

  deps.telemetry.observe("tailscale2otel.export.last_success", () =>
    lastSuccessAt === undefined ? [] : [{ value: lastSuccessAt / 1000, attributes: { signal: "logs" as const } }],
  );

  const tell = (message: ToWorker) => worker?.postMessage(message);

  function launch(from: LogCursor): void {
    startedAt = deps.clock();
    const mine = new Worker(deps.entry);
    worker = mine;
    let why = "the thread ended";
    mine.on("message", (message: FromWorker) => heard(message));
    mine.on("error", (error: unknown) => (why = error instanceof Error ? error.message : String(error)));
    mine.on("exit", () => {
      if (worker === mine) died(why);
    });
    tell({ kind: "start", options, cursor: from, committedSeq });
    if (newCredentials !== undefined) tell({ kind: "credentials", credentials: newCredentials });
    for (const [name, redelivery] of redeliveries) tell({ kind: "redeliver", name, redelivery });
  }

  function died(why: string): void {
    worker = undefined;
    for (const [id, answered] of writes) {
      writes.delete(id);
      answered({ kind: "retry", why: "the export worker died" });
    }
    if (ending !== undefined) return ending.resolve();
    const now = deps.clock();
    deaths = now - startedAt >= healthyAfterMs ? 1 : deaths + 1;
    const delayMs = Math.round(backoffMs(deaths, undefined, deps.random));
    state = { kind: "dead", why, since: state.kind === "dead" ? state.since : now };
    deps.logger.error("the export worker died; it is started again", { why, delay_ms: delayMs });
    restart = setTimeout(() => launch(cursor as LogCursor), delayMs);
  }

  function heard(message: FromWorker): void {
    switch (message.kind) {
      case "progress":
        cursor = message.cursor;
        deps.onProgress(message);
        break;
      case "state":
        state = message.state;
        break;
      case "redelivered": {
        const { name, id, cursor: reached } = message.progress;
        const known = redeliveries.get(name);
        if (known?.id !== id) break;
        redeliveries.set(name, { ...known, ...reached });
        deps.onRedelivered(message.progress);
        if (hasPassed(known, reached)) forget(name);
        break;
      }
      case "redelivery_state":
        if (redeliveries.has(message.name)) redeliveryStates.set(message.name, message.state);
        break;
      case "request": {
        const attributes = { signal: "logs", outcome: message.outcome } as const;
        deps.telemetry.add("tailscale2otel.export.requests", 1, attributes);
        deps.telemetry.record("tailscale2otel.export.duration", message.seconds, attributes);
        if (message.outcome === "success") lastSuccessAt = deps.clock();
        break;
      }
      case "log":
        deps.logger[message.level](message.message, message.fields);
        break;
      case "written":
        writes.get(message.id)?.(message.answer);
        writes.delete(message.id);
        break;
      case "stdout_closed":
        deps.onStdoutClosed();
        break;
      case "damaged":
        deps.onDamage(message.reason);
        break;
      case "stopped":
        ending?.resolve();
        break;
    }
  }

  function forget(name: RedeliveryName): void {
    redeliveries.delete(name);
    redeliveryStates.delete(name);
  }

  return {
    get state() {
      return state;
    },
    get lastSuccessAt() {
      return lastSuccessAt;
    },
    redeliveryState: (name) => redeliveryStates.get(name),
    redeliver(name, redelivery) {
      forget(name);
      if (redelivery !== undefined) redeliveries.set(name, redelivery);
      tell({ kind: "redeliver", name, redelivery });
    },
    start(from) {
      cursor = from.cursor;
      committedSeq = from.committedSeq;
      launch(from.cursor);
    },
    committed(seq) {
      committedSeq = seq;
      tell({ kind: "committed", seq });
    },
    useCredentials(credentials) {
      newCredentials = credentials;
      tell({ kind: "credentials", credentials });
    },
    directoryChanged() {
      tell({ kind: "directory", directory: options.processors.directory?.current });
    },
    write(body) {
      if (worker === undefined) return Promise.resolve({ kind: "retry", why: "the export worker is not running" });
      const id = nextWrite++;
      return new Promise((resolve) => {
        writes.set(id, resolve);
        tell({ kind: "write", id, body });
      });
    },
    async stop(deadlineMs) {
      clearTimeout(restart);
      if (worker === undefined) return;
      if (ending !== undefined) return ending.promise;
      const { promise } = (ending = Promise.withResolvers<void>());
      tell({ kind: "stop", deadlineMs });
      const grace = setTimeout(ending.resolve, deadlineMs + graceMs);
      await promise;
      clearTimeout(grace);
      const last = worker;
      worker = undefined;
      await last?.terminate();
    },
  };
}
