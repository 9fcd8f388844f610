/** Runs one program under load, with sink, generator and floor probe as separate processes, and checks that nothing was lost. */
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../../test/support/port.ts";
import { createLoad, type Load, type Shape, sumsOfEntries } from "./bodies.ts";
import { type Child, startChild } from "./child.ts";
import { type FloorProbe, startFloorProbe } from "./floor.ts";
import type { GeneratorRequest, Stretch, StretchReport } from "./generator.ts";
import { type Place, type Program, type Protocol, startProgram } from "./program.ts";
import type { SentEntries, SinkArrivals, SinkFindings, SinkRequest } from "./sink.ts";
import { cpuSecondsOf, memoryOf, usedBytesOf, watchMemory } from "./usage.ts";

export interface StageOptions {
  readonly program: string;
  readonly place: Place;
  readonly shape: Shape;
  readonly protocol: Protocol;
  /** `down`: nothing listens at the endpoint. */
  readonly backend: "up" | "down";
  /** Bodies prepared in advance. */
  readonly bodies: number;
  readonly senders: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** What earlier stages in the same place have sent. */
  readonly before?: Sent;
}

/** What was sent and answered with 200. */
export interface Sent {
  readonly entries: number;
  readonly records: number;
  readonly txBytes: number;
  readonly rxBytes: number;
}

export interface StageLoad extends Partial<Omit<Stretch, "url" | "token" | "seconds">> {
  readonly seconds: number;
  /** The measurement continues until the interval's metrics have been exported. */
  readonly untilFolded?: true;
}

/** The cost of one stretch of load, from its first request until everything was delivered. */
export interface LoadFigures {
  readonly entries: number;
  readonly loadSeconds: number;
  readonly deliverySeconds: number;
  /** CPU time of all threads. */
  readonly cpuSeconds: number;
  readonly cpuMicros: number;
  readonly floorMicros: number;
  readonly timesFloor: number;
  readonly peakBytes: number;
  readonly memory: readonly { readonly second: number; readonly bytes: number }[];
  readonly report: StretchReport;
}

interface Helpers {
  readonly sink: Child;
  readonly generator: Child;
  readonly probe: FloorProbe;
}

const childTimeoutMs = 60_000;
const standstillMs = 60_000;
const foldTimeoutMs = 120_000;
const stopTimeoutMs = 25_000;
const countingLooks = 50;

export class Stage {
  readonly #options: StageOptions;
  readonly #load: Load;
  readonly #helpers: Helpers;
  readonly #endpoint: string;
  #program: Program | undefined;
  #bodies = 0;
  #repeated = 0;
  #starts = 0;
  readonly problems: string[] = [];

  private constructor(options: StageOptions, helpers: Helpers, endpoint: string) {
    this.#options = options;
    this.#load = createLoad(options.shape, options.bodies, Date.now());
    this.#helpers = helpers;
    this.#endpoint = endpoint;
  }

  /** Starts everything, the program last. @throws {Error} if any of it does not start; nothing is left running then. */
  static async open(options: StageOptions): Promise<Stage> {
    const { shape, bodies, senders, backend } = options;
    const request: GeneratorRequest = { shape, bodies, senders, endMs: Date.now() };
    const helpers = {
      sink: startChild("sink.ts", []),
      generator: startChild("generator.ts", [JSON.stringify(request)]),
      probe: startFloorProbe(shape),
    };
    try {
      const { url } = await helpers.sink.read<{ url: string }>(childTimeoutMs);
      const endpoint = backend === "up" ? url : `http://127.0.0.1:${await freePort()}`;
      await helpers.generator.read<{ ready: true }>(5 * childTimeoutMs);
      const stage = new Stage(options, helpers, endpoint);
      await stage.startProgram();
      return stage;
    } catch (error) {
      await endAll(helpers);
      throw error;
    }
  }

  get program(): Program {
    if (this.#program === undefined) throw new Error("the program was not started");
    return this.#program;
  }

  /** Everything sent so far, including earlier stages in the same place. */
  get sent(): Sent {
    const { before = { entries: 0, records: 0, txBytes: 0, rxBytes: 0 } } = this.#options;
    const sent = { ...before };
    for (const { first, end, times } of this.#sentEntries()) {
      const sums = sumsOfEntries(first, end);
      sent.entries += times * (end - first);
      sent.records += (times * (end - first)) / this.#load.entriesPerRecord;
      sent.txBytes += times * sums.txBytes;
      sent.rxBytes += times * sums.rxBytes;
    }
    return sent;
  }

  /** Starts the program, also after it was killed. Each start begins with one separate record. */
  async startProgram(): Promise<Program> {
    const { program: path, place, protocol, settings = {}, bodies } = this.#options;
    const firstBody = this.#load.extraEnvelope(bodies, this.#starts++);
    this.#program = await startProgram({ path, place, endpoint: this.#endpoint, protocol, settings, firstBody });
    return this.#program;
  }

  /** Sends one stretch of load without waiting for its delivery. */
  async send(load: StageLoad): Promise<StretchReport> {
    const { url, token } = this.program;
    const { generator } = this.#helpers;
    generator.write({ bodiesPerSecond: 0, ...load, url, token } satisfies Stretch);
    const report = await generator.read<StretchReport>(load.seconds * 1000 + 90_000);
    this.#bodies += report.bodies;
    this.#repeated += report.repeated;
    return report;
  }

  /** Sends one stretch of load and measures its cost. */
  async measure(load: StageLoad): Promise<LoadFigures> {
    const { pid } = this.program;
    const { probe } = this.#helpers;
    await probe.read();
    const memory = watchMemory(pid);
    const cpuBefore = cpuSecondsOf(pid);
    const beganAt = Date.now();
    const report = await this.send(load);
    await this.drained();
    if (load.untilFolded === true) await this.#folded();
    const cpuSeconds = cpuSecondsOf(pid) - cpuBefore;
    const floorMicros = await probe.read();
    memory.stop();
    const { lastLogAt } = await this.arrivals();
    const entries = report.bodies * this.#load.entriesPerBody;
    const cpuMicros = (cpuSeconds * 1e6) / entries;
    return {
      entries,
      loadSeconds: report.seconds,
      deliverySeconds: lastLogAt < beganAt ? Number.NaN : (lastLogAt - beganAt) / 1000,
      cpuSeconds,
      cpuMicros,
      floorMicros,
      timesFloor: cpuMicros / floorMicros,
      peakBytes: memoryOf(pid, "VmHWM"),
      memory: memory.samples,
      report,
    };
  }

  /** Resolves when no record is pending; at once if the backend is down. @throws {Error} if delivery makes no progress */
  async drained(): Promise<void> {
    if (this.#options.backend === "down") return;
    let [pending, changedAt] = [0, Date.now()];
    do {
      const { pending: now } = await this.program.conservation();
      if (now !== pending) [pending, changedAt] = [now, Date.now()];
      if (Date.now() - changedAt > standstillMs)
        throw new Error(
          [`delivery makes no progress with ${pending} records pending`, ...this.program.lastLines()].join("\n"),
        );
      if (pending > 0) await wait(200);
    } while (pending > 0);
  }

  async arrivals(): Promise<SinkArrivals> {
    const { sink } = this.#helpers;
    sink.write({ ask: "arrivals" } satisfies SinkRequest);
    return sink.read<SinkArrivals>(childTimeoutMs);
  }

  /** Stops the program and compares what arrived with what was sent. */
  async finish(): Promise<void> {
    const { records } = this.sent;
    let conservation = await this.program.conservation();
    // A journal shared by several instances counts its rows a moment later.
    for (let look = 0; conservation.accepted < records && look < countingLooks; look++) {
      await wait(100);
      conservation = await this.program.conservation();
    }
    const exitCode = await this.program.stop(stopTimeoutMs);
    if (exitCode !== 0) this.problems.push(`the program ended with ${exitCode ?? "a signal"}`);
    if (conservation.accepted !== records) this.problems.push(`accepted ${conservation.accepted}, not ${records}`);
    if (conservation.duplicate > this.#repeated * this.#load.recordsPerBody)
      this.problems.push(`${conservation.duplicate} records counted as duplicates`);
    if (this.#options.backend === "up") await this.#compareWithSink();
    else if (conservation.pending !== records)
      this.problems.push(`${conservation.pending} records are pending, not ${records}`);
    if (this.problems.length > 0) this.problems.push(...this.program.lastLines());
  }

  /** Bytes in use in the program's journal on disk, after the program has ended. */
  get journalBytes(): number {
    return usedBytesOf(join(this.#options.place.directory, "state/journal.db"));
  }

  /** Stops every process. */
  async close(): Promise<void> {
    await this.#program?.stop(1000);
    await endAll(this.#helpers);
  }

  /** Resolves a second after the next metrics request, when all requests of a fold have arrived. */
  async #folded(): Promise<void> {
    const { metricRequests } = await this.arrivals();
    const deadline = Date.now() + foldTimeoutMs;
    while ((await this.arrivals()).metricRequests === metricRequests && Date.now() < deadline) await wait(200);
    await wait(1000);
  }

  async #compareWithSink(): Promise<void> {
    const { sink } = this.#helpers;
    const isLogged = this.#options.settings?.["TS2OTEL_COLLECTORS__FLOWLOGS__LOG_MODE"] !== "off";
    sink.write({ ask: "verify", sent: isLogged ? this.#sentEntries() : [] } satisfies SinkRequest);
    const { missing, repeated, unexpected, totals } = await sink.read<SinkFindings>(5 * childTimeoutMs);
    if (missing > 0) this.problems.push(`${missing} log records were not delivered`);
    if (unexpected > 0) this.problems.push(`${unexpected} log records belong to nothing that was sent`);
    if (repeated > 0 && this.#starts === 1) this.problems.push(`${repeated} log records arrived more than once`);
    const { entries, records, txBytes, rxBytes } = this.sent;
    const expected: Readonly<Record<string, number>> = {
      "tailscale.network.flows": entries,
      "tailscale.network.io.rollup/transmit": txBytes,
      "tailscale.network.io.rollup/receive": rxBytes,
      "tailscale2otel.ingest.records/accepted": records,
    };
    for (const [total, value] of Object.entries(expected))
      if (totals[total] !== value) this.problems.push(`${total} is ${totals[total] ?? "absent"}, not ${value}`);
  }

  /** The bodies of all passes, and the first request of each start. */
  #sentEntries(): readonly SentEntries[] {
    const { bodies } = this.#options;
    const { entriesPerBody, entriesPerRecord } = this.#load;
    const passes = Math.floor(this.#bodies / bodies);
    const split = (this.#bodies % bodies) * entriesPerBody;
    const end = bodies * entriesPerBody;
    const ranges = [
      { first: 0, end: split, times: passes + 1 },
      { first: split, end, times: passes },
      { first: end, end: end + this.#starts * entriesPerRecord, times: 1 },
    ];
    return ranges.filter((range) => range.end > range.first && range.times > 0);
  }
}

async function endAll({ sink, generator, probe }: Helpers): Promise<void> {
  await Promise.all([sink.end(), generator.end(), probe.end()]);
}
