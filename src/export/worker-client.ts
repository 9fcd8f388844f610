/** The main thread's end of the export worker: starts it, passes messages in both directions, and restarts it when it dies. */
import { Worker } from "node:worker_threads";
import { waitAtMost } from "../lib/backoff.ts";
import { messageOf } from "../lib/system-error.ts";
import type { Committed, LogCursor, Redelivery, Row } from "../journal/index.ts";
import { exportBackoffMs } from "./outage.ts";
import type { ExportSetup, Target } from "./destination.ts";
import { TargetState, type TargetStateDeps } from "./target-state.ts";
import { answerCall, type Args, type Call } from "./target.ts";
import type { MainCalls, WorkerCalls } from "./worker.ts";

export interface WorkerDeps extends TargetStateDeps {
  /** The module that calls `startExportWorker` when it runs in a worker thread. */
  readonly entry: URL;
  readonly random: () => number;
  /** The worker has found damage in the journal. */
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

/** Nothing has been tried since the process started. */
export interface Untried {
  readonly kind: "untried";
}

export type CommittedRows = Pick<Committed, "lastSeq" | "source" | "receivedAt" | "parts">;

/** After a worker has lived this long, the back-off starts over. */
const healthyAfterMs = 60_000;

/** Commits within this time are posted as one message. */
const wakeMs = 5;

/** How long to wait for the worker beyond the deadline that it keeps itself. */
const graceMs = 500;

/** How long to wait for the thread to end: one that is blocked in a write to standard output only ends with the process. */
const terminationMs = 200;

/** Limit of text handed over but not read yet. A worker that is further behind reads the journal. */
const maxHandedBytes = 4 * 1024 * 1024;

export class ExportWorker {
  /** Set from a worker's death until the next one is running. */
  dead: DeadWorker | undefined;
  readonly targets: readonly TargetState[];
  readonly #setup: ExportSetup;
  readonly #deps: WorkerDeps;
  #worker: Worker | undefined;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #deaths = 0;
  #startedAt = 0;
  #isStopping = false;
  #isWaking = false;
  /** Rows for the next message. */
  #rows: Row[] = [];
  /** Bytes of text handed over to this worker, and how many of them it has read or dropped. */
  #handedBytes = 0;
  #readBytes = 0;
  /** The answers that stops are waiting for. */
  readonly #stops = new Map<"stopLogs" | "stop", PromiseWithResolvers<void>>();
  /** Handles what the worker reports. */
  readonly #calls: MainCalls;

  /** `setup.settings` is read again for each worker, because its directory may be newer. */
  constructor(setup: ExportSetup, deps: WorkerDeps) {
    this.#setup = setup;
    this.#deps = deps;
    this.targets = setup.targets.map((target) => new TargetState(target, deps));
    this.#calls = {
      running: () => (this.dead = undefined),
      target: (name, report, readBytes) => {
        this.#readBytes = readBytes;
        answerCall(this.target(name).reports, report);
      },
      truncated: (texts) => deps.telemetry.add("tailscale2otel.export.truncated_texts", texts, {}),
      log: (level, message, fields) => deps.logger[level](message, fields),
      stdoutClosed: deps.onStdoutClosed,
      damaged: deps.onDamage,
      stopped: (what) => this.#stops.get(what)?.resolve(),
    };
  }

  target(name: string): TargetState {
    const found = this.targets.find(({ target }) => target.name === name);
    if (found === undefined) throw new Error(`there is no destination ${name}`);
    return found;
  }

  /** Starts the worker. `from`: where the logs of each destination resume. */
  start(from: ReadonlyMap<string, LogCursor>): void {
    for (const [name, cursor] of from) this.target(name).moveTo(cursor);
    this.#launch();
  }

  /** Continues at `cursor`, because earlier undelivered records were given up. */
  move(name: string, cursor: LogCursor): void {
    this.post("move", name, this.target(name).moveTo(cursor));
  }

  /** True if the worker keeps up, so that rows should be handed over. */
  get wantsText(): boolean {
    return this.#worker !== undefined && this.#handedBytes - this.#readBytes < maxHandedBytes;
  }

  /** Hands over committed rows. */
  committed(batch: CommittedRows): void {
    this.#rows.push(...rowsOf(batch));
    this.wake();
  }

  /** Tells the worker that more rows are committed, which it reads itself. */
  wake(): void {
    if (!this.#isWaking) setTimeout(() => this.#handOver(), wakeMs);
    this.#isWaking = true;
  }

  /** Posts a call to the running worker. One that is started later does not get it. */
  post<Name extends keyof WorkerCalls>(name: Name, ...given: Args<WorkerCalls, Name>): void {
    this.#worker?.postMessage([name, ...given]);
  }

  redeliver(destination: string, name: Redelivery["name"], redelivery: Redelivery | undefined): void {
    const target = this.target(destination);
    target.forget(name);
    if (redelivery !== undefined) target.redeliveries.set(name, redelivery);
    this.post("redeliver", destination, name, redelivery);
  }

  /** Uses the headers and certificates of `given`; addresses do not change. */
  useCredentials(given: readonly Target[]): void {
    for (const { name, destinations } of given) {
      const known = this.targets.find(({ target }) => target.name === name);
      if (known?.target.isStdout === false) this.post("useDestinations", name, known.useCredentials(destinations));
    }
  }

  /** Ends at once without a last delivery, because another instance delivers. */
  async abandon(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    await this.#terminate();
  }

  stopLogs(deadlineMs: number): Promise<void> {
    return this.#ask("stopLogs", deadlineMs);
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#ask("stop", deadlineMs);
    await this.#terminate();
  }

  async #terminate(): Promise<void> {
    const last = this.#worker;
    this.#worker = undefined;
    if (last === undefined) return;
    await waitAtMost(last.terminate(), terminationMs);
  }

  #launch(): void {
    this.#startedAt = this.#deps.clock();
    for (const { deliveries } of this.targets) if (deliveries.logs !== undefined) deliveries.logs = { kind: "idle" };
    const mine = new Worker(this.#deps.entry);
    this.#worker = mine;
    let why = "the thread ended";
    // The last messages of a dead worker may arrive after its end, and must not mix with those of the next.
    mine.on("message", (call: Call<MainCalls>) => {
      if (this.#worker === mine) answerCall(this.#calls, call);
    });
    mine.on("error", (error: unknown) => (why = messageOf(error)));
    mine.on("exit", () => {
      if (this.#worker === mine) this.#died(why);
    });
    const starts = this.targets.flatMap(({ target, start }) =>
      start === undefined ? [] : [[target.name, start] as const],
    );
    this.post("start", this.#setup, new Map(starts));
    for (const { target, redeliveries } of this.targets)
      for (const [name, redelivery] of redeliveries) this.post("redeliver", target.name, name, redelivery);
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
    this.#restart = setTimeout(() => this.#launch(), delayMs);
  }

  /** Hands over rows and wakes the worker. If the rows cannot be handed over, it reads them, so it must be woken anyway. */
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

  /** Asks the worker to stop something, and waits until it has stopped it, has died, or does not answer in time. */
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

/** The rows of a commit whose text is available and that were stored exactly as appended. */
function rowsOf({ source, receivedAt, parts }: CommittedRows): Row[] {
  return parts.flatMap(({ part, dropped, seq, accepted }) => {
    const isChanged = dropped !== undefined || part.logRecords !== undefined || accepted === 0;
    if (part.text === undefined || isChanged) return [];
    const { type, records, leftOut } = part;
    const text = isAlone(part.text) ? part.text : new Uint8Array(part.text);
    return [{ seq, acceptedAt: receivedAt, source, type, records, text, leftOut, tally: undefined, damage: undefined }];
  });
}

/** True if the buffer, which is transferred with the text, holds nothing else. */
function isAlone(text: Uint8Array): boolean {
  return text.byteOffset === 0 && text.buffer.byteLength <= text.byteLength * 2;
}
