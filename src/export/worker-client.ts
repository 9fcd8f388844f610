/** The main thread's end of the export worker: starts it, passes messages in both directions, and restarts it when it dies. */
import { Worker } from "node:worker_threads";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { displayUrl } from "../config/index.ts";
import { waitAtMost } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Committed, LogCursor, Progress, Redelivery, RedeliveryProgress, Row } from "../journal/index.ts";
import type { Signal } from "./answer.ts";
import type { DeliveryKind } from "./delivery.ts";
import { type DeliveryState, exportBackoffMs } from "./outage.ts";
import type { MetricReport } from "./metrics.ts";
import type { Destinations, ExportSetup } from "./destination.ts";
import { answerCall, type Args, type Call, type MainCalls, type WorkerCalls } from "./worker.ts";

export interface WorkerDeps {
  /** The module that calls `startExportWorker` when it runs in a worker thread. */
  readonly entry: URL;
  readonly clock: Clock;
  readonly random: () => number;
  /** Must not lead back to the worker. */
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** What the journal must commit with its next turn. */
  readonly onProgress: (progress: Progress) => void;
  readonly onRedelivered: (progress: RedeliveryProgress) => void;
  /** What became of metric points, to be counted in the ledger. */
  readonly onPoints: (points: MetricReport["points"]) => void;
  /** The destination of metrics has acknowledged these totals, which the next start needs. */
  readonly onAcknowledged: (totals: Uint8Array) => void;
  /** The worker has met damage in the journal. */
  readonly onDamage: (reason: string) => void;
  /** Standard output has lost its reader: the process should end. */
  readonly onStdoutClosed: () => void;
}

export interface DeadWorker {
  readonly kind: "dead";
  readonly why: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

/** Nothing was tried yet since the process began. */
export interface Untried {
  readonly kind: "untried";
}

export type CommittedRows = Pick<Committed, "lastSeq" | "source" | "receivedAt" | "parts">;

/** A worker that has lived this long begins its back-off anew. */
const healthyAfterMs = 60_000;

/** Commits that come within this time are one message. */
const wakeMs = 5;

/** Over the deadline that the worker itself keeps, before it is not waited for any longer. */
const graceMs = 500;

/** A thread whose system call waits for a reader of standard output cannot be ended: the process ends with it. */
const terminationMs = 200;

/** Text that is handed over and not read yet. A worker that is further behind reads the journal. */
const maxHandedBytes = 4 * 1024 * 1024;

export class ExportWorker {
  /** Set from its death until another one is at work. */
  dead: DeadWorker | undefined;
  /** How each delivery of logs fares. */
  readonly deliveries: Partial<Record<DeliveryKind, DeliveryState>> = {};
  metrics: MetricReport["state"] | undefined;
  readonly lastSuccess: Partial<Record<Signal, number>> = {};
  readonly #setup: ExportSetup;
  readonly #deps: WorkerDeps;
  #worker: Worker | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  /** The position that was committed, or will be with the next turn. */
  #cursor: LogCursor | undefined;
  #deaths = 0;
  #startedAt = 0;
  #isStopping = false;
  #isWaking = false;
  /** Rows for the next message. */
  #rows: Row[] = [];
  /** Text handed over to this worker, and how much of it the worker has read or dropped. */
  #handedBytes = 0;
  #readBytes = 0;
  readonly #redeliveries = new Map<Redelivery["name"], Redelivery>();
  /** What a stop waits for. */
  readonly #stops = new Map<"stopLogs" | "stop", PromiseWithResolvers<void>>();
  /** Handles what the worker reports. */
  readonly #calls: MainCalls;

  /** `setup.settings` is read again for each worker: its directory may be a newer one. */
  constructor(setup: ExportSetup, deps: WorkerDeps) {
    this.#setup = setup;
    this.#deps = deps;
    const { telemetry, clock, logger } = deps;
    this.#calls = {
      running: () => (this.dead = undefined),
      progress: (progress, readBytes) => {
        this.#cursor = progress.cursor;
        this.#readBytes = readBytes;
        deps.onProgress(progress);
      },
      deliveryState: (kind, state) => {
        if (kind === "logs" || this.#redeliveries.has(kind)) this.deliveries[kind] = state;
      },
      redelivered: (progress) => {
        const known = this.#redeliveries.get(progress.name);
        if (known?.id !== progress.id) return;
        this.#redeliveries.set(progress.name, { ...known, cursor: progress.cursor });
        if (progress.isOver) this.#forget(progress.name);
        deps.onRedelivered(progress);
      },
      metricReport: ({ state, points }) => {
        this.metrics = state;
        deps.onPoints(points);
      },
      acknowledged: (totals) => {
        setup.acknowledged = totals;
        deps.onAcknowledged(totals);
      },
      requested: (signal, outcome, seconds, failure) => {
        telemetry.add("tailscale2otel.export.requests", 1, { signal, outcome });
        const result = { signal, outcome: failure === undefined ? "success" : "failure" } as const;
        telemetry.record("tailscale2otel.export.duration", seconds, result);
        if (failure !== undefined) telemetry.add("tailscale2otel.export.failures", 1, { signal, error_type: failure });
        if (outcome !== "success") return;
        if (this.lastSuccess[signal] === undefined)
          logger.info("first delivery", { signal, to: this.#shownAddress(signal) });
        this.lastSuccess[signal] = clock();
      },
      truncated: (texts) => telemetry.add("tailscale2otel.export.truncated_texts", texts, {}),
      log: (level, message, fields) => logger[level](message, fields),
      stdoutClosed: deps.onStdoutClosed,
      damaged: deps.onDamage,
      stopped: (what) => this.#stops.get(what)?.resolve(),
    };
  }

  /** How the export of each signal fares. */
  get health() {
    const untried: Untried = { kind: "untried" };
    return { logs: this.dead ?? this.deliveries.logs ?? untried, metrics: this.dead ?? this.metrics ?? untried };
  }

  /** Why a redelivery is not getting through at the moment. */
  redeliveryTrouble(name: Redelivery["name"]): string | undefined {
    const state = this.dead ?? this.deliveries[name];
    return state !== undefined && "why" in state ? state.why : undefined;
  }

  /** Delivers logs from there on. */
  start(from: LogCursor): void {
    this.#cursor = from;
    this.#launch(from);
  }

  /** Whether the worker keeps up, so that rows should be handed over. */
  get wantsText(): boolean {
    return this.#worker !== undefined && this.#handedBytes - this.#readBytes < maxHandedBytes;
  }

  /** More rows are committed. */
  committed(batch: CommittedRows): void {
    this.#rows.push(...rowsOf(batch));
    if (!this.#isWaking) setTimeout(() => this.#handOver(), wakeMs);
    this.#isWaking = true;
  }

  /** Posts a call to the worker that is running. One that is started later does not get it. */
  post<Name extends keyof WorkerCalls>(name: Name, ...given: Args<WorkerCalls, Name>): void {
    this.#worker?.postMessage([name, ...given]);
  }

  redeliver(name: Redelivery["name"], redelivery: Redelivery | undefined): void {
    this.#forget(name);
    if (redelivery !== undefined) this.#redeliveries.set(name, redelivery);
    this.post("redeliver", name, redelivery);
  }

  /** Uses the headers and certificates of those destinations; addresses stay. */
  useCredentials(given: Destinations): void {
    const destinations = { ...this.#setup.destinations };
    for (const known of Object.values(this.#setup.destinations)) {
      const { headers, tls } = given[known.signal] ?? known;
      destinations[known.signal] = { ...known, headers, tls };
    }
    this.#setup.destinations = destinations;
    this.post("useDestinations", destinations);
  }

  stopLogs(deadlineMs: number): Promise<void> {
    return this.#ask("stopLogs", deadlineMs);
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#ask("stop", deadlineMs);
    const last = this.#worker;
    this.#worker = undefined;
    if (last === undefined) return;
    await waitAtMost(last.terminate(), terminationMs);
  }

  #launch(from: LogCursor): void {
    this.#startedAt = this.#deps.clock();
    if (this.deliveries.logs !== undefined) this.deliveries.logs = { kind: "idle" };
    const mine = new Worker(this.#deps.entry);
    this.#worker = mine;
    let why = "the thread ended";
    // The last messages of a dead worker may come after its end: they must not mix with those of the next.
    mine.on("message", (call: Call<MainCalls>) => {
      if (this.#worker === mine) answerCall(this.#calls, call);
    });
    mine.on("error", (error: unknown) => (why = error instanceof Error ? error.message : String(error)));
    mine.on("exit", () => {
      if (this.#worker === mine) this.#died(why);
    });
    this.post("start", this.#setup, from);
    for (const [name, redelivery] of this.#redeliveries) this.post("redeliver", name, redelivery);
  }

  #died(why: string): void {
    this.#worker = undefined;
    this.#rows = [];
    this.#handedBytes = this.#readBytes = 0;
    for (const { resolve } of this.#stops.values()) resolve();
    if (this.#isStopping) return;
    const { clock, random, logger } = this.#deps;
    const now = clock();
    this.#deaths = now - this.#startedAt >= healthyAfterMs ? 1 : this.#deaths + 1;
    const delayMs = Math.round(exportBackoffMs(this.#deaths, undefined, random));
    this.dead = { kind: "dead", why, since: this.dead?.since ?? now };
    logger.error("export worker died; restarting it", { why, delay_ms: delayMs });
    this.#restart = setTimeout(() => this.#launch(this.#cursor as LogCursor), delayMs);
  }

  /** Wakes the worker. Texts that cannot be handed over are in the journal too: the wake-up must not be lost with them. */
  #handOver(): void {
    const rows = this.#rows;
    this.#rows = [];
    this.#isWaking = false;
    if (this.#worker === undefined) return;
    const bytes = rows.reduce((sum, { text }) => sum + text.length, 0);
    try {
      const buffers = rows.map(({ text }) => text.buffer as ArrayBuffer);
      this.#worker.postMessage(["committed", rows] satisfies Call<WorkerCalls>, buffers);
      this.#handedBytes += bytes;
    } catch (error) {
      this.#deps.logger.debug("rows could not be handed to the export worker", { reason: String(error) });
      this.post("committed", []);
    }
  }

  #shownAddress(signal: Signal): string {
    const destination = this.#setup.destinations[signal];
    return destination === undefined ? "standard output" : displayUrl(destination.url);
  }

  #forget(name: Redelivery["name"]): void {
    this.#redeliveries.delete(name);
    delete this.deliveries[name];
  }

  /** Asks the worker to stop something, and waits until it has, or has died, or does not answer. */
  async #ask(what: "stopLogs" | "stop", deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    if (this.#worker === undefined) return;
    let ending = this.#stops.get(what);
    if (ending === undefined) {
      this.#stops.set(what, (ending = Promise.withResolvers()));
      this.post(what, deadlineMs);
    }
    await waitAtMost(ending.promise, deadlineMs + graceMs);
  }
}

/** The rows of a commit whose text is at hand, and that stand in the journal just as they were appended. */
function rowsOf({ source, receivedAt, parts }: CommittedRows): Row[] {
  return parts.flatMap(({ part, dropped, seq, accepted }) => {
    const isChanged = dropped !== undefined || part.logRecords !== undefined || accepted === 0;
    if (part.text === undefined || isChanged) return [];
    const { type, records, leftOut } = part;
    const text = isAlone(part.text) ? part.text : new Uint8Array(part.text);
    return [{ seq, acceptedAt: receivedAt, source, type, records, text, leftOut, tally: undefined, damage: undefined }];
  });
}

/** Whether nothing else lies in the buffer, which leaves this thread with the text. */
function isAlone(text: Uint8Array): boolean {
  return text.byteOffset === 0 && text.buffer.byteLength <= text.byteLength * 2;
}
