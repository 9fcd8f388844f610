/** The measurements: each runs the program under one kind of load and returns numbers by name. */
import { setTimeout as wait } from "node:timers/promises";
import { freePort } from "../../test/support/port.ts";
import { startDatabase } from "./database.ts";
import { medianOf } from "./floor.ts";
import { inPlace, type Place, startProgram } from "./program.ts";
import { type LoadFigures, Stage, type StageLoad, type StageOptions, type Sent } from "./stage.ts";
import { memoryOf } from "./usage.ts";

export const measurements = {
  protobuf: "full load, http/protobuf: CPU, memory, journal, rates",
  json: "full load, http/json",
  accepting: "full load, and nothing listens at the endpoint",
  half: "acknowledgement at half of the rate of the full load",
  pairs: "entries over 10, 10,000 and 1,000,000 distinct pairs of nodes",
  reader: "records for which the scanner gives up",
  small: "1,000 one-record requests a second",
  recovery: "kill -9 at full load, and the next start",
  memory: "full load for a minute (--long: ten)",
  keys: "full load with a full dedup window",
  postgres: "full load with the journal in PostgreSQL on the same cores, beside protobuf",
} as const;
export type MeasurementName = keyof typeof measurements;

/** Numbers by name; durations and sizes have their unit in the name. */
export type Numbers = Readonly<Record<string, number>>;

/** The extent of each measurement. */
export interface Extent {
  /** Length of one measured load, after `warmUpSeconds` of the same load that are not measured. */
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly memorySeconds: number;
  /** Keys for the full dedup window. */
  readonly keys: number;
  /** Entries of a load over distinct pairs, and so the maximum number of pairs. */
  readonly pairEntries: number;
}

const full: Extent = { seconds: 8, warmUpSeconds: 8, memorySeconds: 60, keys: 4_000_000, pairEntries: 1_000_000 };
const quick: Extent = { seconds: 3, warmUpSeconds: 1, memorySeconds: 10, keys: 400_000, pairEntries: 150_000 };
export const extents = { full, quick };

const idleMs = 3000;
const stopTimeoutMs = 10_000;
const restoreTimeoutMs = 60_000;
const fillTimeoutSeconds = 240;

/** Measures one program in one round; the full load is measured once for all measurements that need it. */
export class Measurer {
  readonly #program: string;
  readonly #extent: Extent;
  #full: Promise<Numbers> | undefined;
  /** What was lost, duplicated or counted wrongly. */
  readonly problems: string[] = [];

  constructor(program: string, extent: Extent) {
    this.#program = program;
    this.#extent = extent;
  }

  measure(name: MeasurementName): Promise<Numbers> {
    switch (name) {
      case "protobuf":
        return (this.#full ??= this.#fullLoad());
      case "json":
        return this.#loaded({ protocol: "http/json" });
      case "accepting":
        return this.#loaded({ backend: "down" });
      case "half":
        return this.#halfLoad();
      case "pairs":
        return this.#pairs();
      case "reader":
        return this.#reader();
      case "small":
        return this.#smallRequests();
      case "recovery":
        return this.#recovery();
      case "memory":
        return this.#longLoad();
      case "keys":
        return this.#fullKeys();
      case "postgres":
        return this.#inDatabase();
    }
  }

  async #fullLoad(): Promise<Numbers> {
    const idleBytes = await inPlace((place) => this.#idle(place));
    return inPlace((place) =>
      this.#staged(place, {}, async (stage) => {
        const { startToAcceptedMs } = stage.program;
        await this.#warmUp(stage);
        const figures = await stage.measure({ seconds: this.#extent.seconds });
        await stage.finish();
        const journalBytesPerEntry = stage.journalBytes / stage.sent.entries;
        return { ...numbersOf(figures), startToAcceptedMs, idleBytes, journalBytesPerEntry };
      }),
    );
  }

  /** Memory after the start, before anything has arrived. */
  async #idle(place: Place): Promise<number> {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const start = { path: this.#program, place, endpoint, protocol: "http/protobuf", settings: {} } as const;
    const program = await startProgram({ ...start, firstBody: undefined });
    await wait(idleMs);
    const bytes = memoryOf(program.pid, "VmRSS");
    await program.stop(stopTimeoutMs);
    return bytes;
  }

  /** The full load with the journal in PostgreSQL, as multiples of the results with SQLite. */
  async #inDatabase(): Promise<Numbers> {
    const embedded = await this.measure("protobuf");
    const database = await startDatabase();
    try {
      const settings = { TS2OTEL_STATE__URL: database.url };
      return await inPlace((place) =>
        this.#staged(place, { settings }, async (stage) => {
          await this.#warmUp(stage);
          const before = database.cpuSeconds();
          const numbers = numbersOf(await stage.measure({ seconds: this.#extent.seconds }));
          const databaseSeconds = database.cpuSeconds() - before;
          await stage.finish();
          return {
            ...numbers,
            timesRate: (embedded["acceptedPerSecond"] ?? Number.NaN) / (numbers["acceptedPerSecond"] ?? Number.NaN),
            timesCpu: (numbers["timesFloor"] ?? Number.NaN) / (embedded["timesFloor"] ?? Number.NaN),
            databaseMicros: (databaseSeconds * 1e6) / (numbers["entries"] ?? Number.NaN),
            databaseBytesPerEntry: (await database.bytes()) / stage.sent.entries,
          };
        }),
      );
    } finally {
      await database.end();
    }
  }

  /** Runs at half the rate that was accepted under full load. */
  async #halfLoad(): Promise<Numbers> {
    const { bodiesPerSecond = 0 } = await this.measure("protobuf");
    return this.#loaded({}, { bodiesPerSecond: bodiesPerSecond / 2 });
  }

  async #reader(): Promise<Numbers> {
    const { timesFloor: scanned = Number.NaN } = await this.measure("protobuf");
    const read = await this.#loaded({ shape: "spaced" });
    return { ...read, timesScanner: (read["timesFloor"] ?? Number.NaN) / scanned };
  }

  /** The same number of entries over increasing numbers of pairs, in one interval at 50,000 entries per second and with its fold. */
  async #pairs(): Promise<Numbers> {
    const numbers: Record<string, number> = {};
    const bodies = Math.ceil(this.#extent.pairEntries / 584);
    for (const shape of ["pairs_10", "pairs_10000", "pairs_1000000"] as const) {
      const settings = { TS2OTEL_OTLP__METRIC_INTERVAL: `${Math.ceil(this.#extent.pairEntries / 50_000)}s` };
      const load = { seconds: 300, maxBodies: bodies, untilFolded: true } as const;
      numbers[shape] = (await this.#loaded({ shape, bodies, settings }, load))["timesFloor"] ?? Number.NaN;
    }
    const costs = Object.values(numbers);
    return { ...numbers, pairs: bodies * 584, spread: Math.max(...costs) / Math.min(...costs) };
  }

  #smallRequests(): Promise<Numbers> {
    const options = { shape: "one_record", senders: 16, bodies: 1000 * this.#extent.seconds } as const;
    return this.#loaded(options, { bodiesPerSecond: 1000 }, async (_, { cpuSeconds, loadSeconds, ...figures }) => ({
      ...numbersOf({ cpuSeconds, loadSeconds, ...figures }),
      cores: cpuSeconds / loadSeconds,
    }));
  }

  /** Kills the program at full load before anything is folded, because the interval is longer than the load. */
  #recovery(): Promise<Numbers> {
    const settings = { TS2OTEL_OTLP__METRIC_INTERVAL: "10m" };
    return inPlace((place) =>
      this.#staged(place, { settings }, async (stage) => {
        const sending = stage.send({ seconds: this.#extent.seconds + 0.1 });
        await wait(this.#extent.seconds * 1000);
        await stage.program.kill();
        const startedAt = performance.now();
        const { startToAcceptedMs } = await stage.startProgram();
        await sending;
        const { records } = stage.sent;
        while ((await stage.program.conservation()).accepted < records) {
          if (performance.now() - startedAt > restoreTimeoutMs) throw new Error("the counters were not restored");
          await wait(5);
        }
        const startToRestoredMs = performance.now() - startedAt;
        await stage.drained();
        await stage.finish();
        return { startToAcceptedMs, startToRestoredMs };
      }),
    );
  }

  /** A long full load, to see whether memory still grows after the first third. */
  #longLoad(): Promise<Numbers> {
    const load = { seconds: this.#extent.memorySeconds };
    return this.#loaded({ bodies: 600 }, load, async (stage, { peakBytes, memory, loadSeconds }) => {
      const between = (from: number, to: number) => {
        const isBetween = ({ second }: { second: number }) => second >= from * loadSeconds && second < to * loadSeconds;
        return medianOf(memory.filter(isBetween).map(({ bytes }) => bytes));
      };
      const growth = between(0.8, 1) / between(0.3, 0.5);
      await wait(idleMs);
      return { peakBytes, growth, seconds: loadSeconds, afterBytes: memoryOf(stage.program.pid, "VmRSS") };
    });
  }

  /** Fills the dedup window without log records, restarts with all those keys, and applies the full load. */
  #fullKeys(): Promise<Numbers> {
    const { keys, seconds } = this.#extent;
    const settings = { TS2OTEL_DEDUP__MAX_KEYS: String(keys) };
    const noLogs = { ...settings, TS2OTEL_COLLECTORS__FLOWLOGS__LOG_MODE: "off" };
    return inPlace(async (place) => {
      let before: Sent | undefined;
      await this.#staged(place, { shape: "one_entry", bodies: 200, settings: noLogs }, async (stage) => {
        await stage.send({ seconds: fillTimeoutSeconds, maxBodies: Math.ceil(keys / 2000) });
        await stage.drained();
        await stage.finish();
        before = stage.sent;
        return {};
      });
      return this.#staged(place, { settings, ...(before === undefined ? {} : { before }) }, async (stage) => {
        const { startToAcceptedMs } = stage.program;
        const { peakBytes } = await stage.measure({ seconds });
        await stage.finish();
        return { keys: Math.min(keys, before?.records ?? 0), startToAcceptedMs, peakBytes };
      });
    });
  }

  /** Warms up, measures the load, and checks the result. */
  #loaded(
    options: Partial<StageOptions>,
    load: Partial<StageLoad> = {},
    read = async (_: Stage, figures: LoadFigures): Promise<Numbers> => numbersOf(figures),
  ): Promise<Numbers> {
    return inPlace((place) =>
      this.#staged(place, options, async (stage) => {
        await this.#warmUp(stage);
        const numbers = await read(stage, await stage.measure({ seconds: this.#extent.seconds, ...load }));
        await stage.finish();
        return numbers;
      }),
    );
  }

  async #warmUp(stage: Stage): Promise<void> {
    await stage.send({ seconds: this.#extent.warmUpSeconds });
    await stage.drained();
  }

  async #staged(
    place: Place,
    options: Partial<StageOptions>,
    work: (stage: Stage) => Promise<Numbers>,
  ): Promise<Numbers> {
    const bodies = 250 * (this.#extent.seconds + this.#extent.warmUpSeconds);
    const usual = { shape: "stream", protocol: "http/protobuf", backend: "up", senders: 4, bodies } as const;
    const stage = await Stage.open({ program: this.#program, place, ...usual, ...options });
    try {
      return await work(stage);
    } finally {
      this.problems.push(...stage.problems);
      await stage.close();
    }
  }
}

function numbersOf({ cpuMicros, floorMicros, timesFloor, peakBytes, ...figures }: LoadFigures): Numbers {
  const { report, entries, loadSeconds, deliverySeconds } = figures;
  return {
    entries,
    cpuMicros,
    floorMicros,
    timesFloor,
    peakBytes,
    bodiesPerSecond: report.bodies / loadSeconds,
    acceptedPerSecond: entries / loadSeconds,
    deliveredPerSecond: entries / deliverySeconds,
    ackP50Ms: report.acknowledgementMs.p50,
    ackP99Ms: report.acknowledgementMs.p99,
  };
}
