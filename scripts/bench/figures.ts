/** The figures of the benchmark: where each is measured, its target (`must`) and its aim. */
import { medianOf } from "./floor.ts";
import type { MeasurementName, Numbers } from "./measurements.ts";

type Unit =
  "floors" | "bytes" | "ms" | "seconds" | "times" | "cores" | "entry_bytes" | "per_second" | "growth" | "micros";

interface FigureDefinition {
  readonly title: string;
  /** The name of the measurement and of its number. */
  readonly of: `${MeasurementName}.${string}`;
  readonly unit: Unit;
  /** Upper limits; a figure without them is shown for orientation. */
  readonly must?: number;
  readonly aim?: number;
}

/** Values are in bytes, in milliseconds, or as the unit says. */
const definitions: Readonly<Record<string, FigureDefinition>> = {
  cpu_protobuf: { title: "CPU per entry, http/protobuf", of: "protobuf.timesFloor", unit: "floors", must: 8, aim: 6 },
  cpu_json: { title: "CPU per entry, http/json", of: "json.timesFloor", unit: "floors", must: 18 },
  cpu_accepting: {
    title: "CPU per entry, backend down",
    of: "accepting.timesFloor",
    unit: "floors",
    must: 3.5,
    aim: 2.5,
  },
  memory_peak: { title: "peak RSS, full load", of: "protobuf.peakBytes", unit: "bytes", must: 220e6, aim: 140e6 },
  memory_long: { title: "peak RSS, long load", of: "memory.peakBytes", unit: "bytes", must: 220e6, aim: 140e6 },
  memory_growth: { title: "growth of RSS, long load", of: "memory.growth", unit: "growth", must: 1.1, aim: 1.05 },
  memory_keys: { title: "peak RSS, dedup window full", of: "keys.peakBytes", unit: "bytes", must: 300e6, aim: 220e6 },
  memory_idle: { title: "idle RSS", of: "protobuf.idleBytes", unit: "bytes", must: 75e6, aim: 60e6 },
  ack_p50: { title: "acknowledgement p50, half rate", of: "half.ackP50Ms", unit: "ms" },
  ack_p99: { title: "acknowledgement p99, half rate", of: "half.ackP99Ms", unit: "ms", must: 30, aim: 10 },
  journal: { title: "journal per entry", of: "protobuf.journalBytesPerEntry", unit: "entry_bytes", must: 45, aim: 38 },
  recovery: { title: "kill -9 to first 200", of: "recovery.startToAcceptedMs", unit: "seconds", must: 1000, aim: 300 },
  restored: { title: "kill -9 to counters restored", of: "recovery.startToRestoredMs", unit: "seconds" },
  pairs: { title: "10 to 1,000,000 distinct pairs", of: "pairs.spread", unit: "times", must: 2, aim: 1.1 },
  reader: { title: "reader instead of scanner", of: "reader.timesScanner", unit: "times", must: 3, aim: 2 },
  small: { title: "1,000 one-record requests/s", of: "small.cores", unit: "cores", must: 1, aim: 0.5 },
  accepted: { title: "accepted, full load", of: "protobuf.acceptedPerSecond", unit: "per_second" },
  delivered: { title: "delivered, full load", of: "protobuf.deliveredPerSecond", unit: "per_second" },
  ack_full_p50: { title: "acknowledgement p50, full load", of: "protobuf.ackP50Ms", unit: "ms" },
  ack_full_p99: { title: "acknowledgement p99, full load", of: "protobuf.ackP99Ms", unit: "ms" },
  pg_rate: { title: "SQLite's rate over PostgreSQL's", of: "postgres.timesRate", unit: "times", must: 2.5 },
  pg_cpu: { title: "CPU per entry over SQLite's", of: "postgres.timesCpu", unit: "times", must: 1.5 },
  pg_database: { title: "CPU of PostgreSQL per entry", of: "postgres.databaseMicros", unit: "micros" },
  pg_accepted: { title: "accepted, PostgreSQL", of: "postgres.acceptedPerSecond", unit: "per_second" },
  pg_delivered: { title: "delivered, PostgreSQL", of: "postgres.deliveredPerSecond", unit: "per_second" },
  pg_ack_p50: { title: "acknowledgement p50, PostgreSQL", of: "postgres.ackP50Ms", unit: "ms" },
  pg_ack_p99: { title: "acknowledgement p99, PostgreSQL", of: "postgres.ackP99Ms", unit: "ms" },
  pg_bytes: { title: "database per entry", of: "postgres.databaseBytesPerEntry", unit: "entry_bytes" },
  pg_peak: { title: "peak RSS, PostgreSQL", of: "postgres.peakBytes", unit: "bytes" },
  start: { title: "start to first 200", of: "protobuf.startToAcceptedMs", unit: "seconds" },
  floor: { title: "the floor, full load", of: "protobuf.floorMicros", unit: "micros" },
};

/** What each round measured, by measurement. */
export type Rounds = Partial<Record<MeasurementName, Numbers[]>>;

export interface Figure {
  readonly id: string;
  readonly title: string;
  /** Formatted with its unit. */
  readonly value: string;
  readonly ratio: string;
  readonly must: string;
  readonly aim: string;
  readonly verdict: "aim" | "must" | "MISSED" | "";
  /** Medians over the rounds: in floors, bytes, milliseconds, cores, or a plain ratio. */
  readonly median: number;
  readonly rounds: readonly number[];
}

/** The figures of everything that was measured. */
export function figuresOf(rounds: Rounds): readonly Figure[] {
  return Object.entries(definitions).flatMap(([id, definition]) => {
    const [from, number] = definition.of.split(".") as [MeasurementName, string];
    const measured = rounds[from];
    return measured === undefined ? [] : [figureOf(id, definition, number, measured)];
  });
}

function figureOf(id: string, definition: FigureDefinition, number: string, measured: readonly Numbers[]): Figure {
  const { title, unit, must, aim } = definition;
  const values = (name: string) => measured.map((numbers) => numbers[name] ?? Number.NaN);
  const rounds = values(number);
  const median = medianOf(rounds);
  const text = textOf(unit, median);
  return {
    id,
    title: titleOf(id, title, measured),
    value: unit === "floors" ? textOf("micros", medianOf(values("cpuMicros"))) : unit === "times" ? "" : text,
    ratio: unit === "floors" || unit === "times" ? text : "",
    must: must === undefined ? "" : `≤ ${textOf(unit, must)}`,
    aim: aim === undefined ? "" : `≤ ${textOf(unit, aim)}`,
    verdict: verdictOf(median, must, aim),
    median,
    rounds,
  };
}

/** The title, with the actual extent if a short run did less than the title says. */
function titleOf(id: string, title: string, measured: readonly Numbers[]): string {
  const numbers = measured[0] ?? {};
  const whole = (name: string) => Math.round(numbers[name] ?? Number.NaN).toLocaleString("en-US");
  switch (id) {
    case "memory_long":
    case "memory_growth":
      return `${title} (${whole("seconds")} s)`;
    case "memory_keys":
      return `${title} (${whole("keys")} keys)`;
    case "pairs":
      return (numbers["pairs"] ?? 0) < 1_000_000 ? `10 to ${whole("pairs")} distinct pairs` : title;
    default:
      return title;
  }
}

function verdictOf(value: number, must: number | undefined, aim: number | undefined): Figure["verdict"] {
  if (must === undefined) return "";
  if (!(value <= must)) return "MISSED";
  return aim !== undefined && value <= aim ? "aim" : "must";
}

function textOf(unit: Unit, value: number): string {
  switch (unit) {
    case "floors":
      return `${value.toFixed(1)} × floor`;
    case "times":
      return `${value.toFixed(2)} ×`;
    case "bytes":
      return `${(value / 1e6).toFixed(0)} MB`;
    case "ms":
      return `${value.toFixed(1)} ms`;
    case "seconds":
      return `${(value / 1000).toFixed(2)} s`;
    case "cores":
      return `${value.toFixed(2)} cores`;
    case "entry_bytes":
      return `${value.toFixed(1)} B`;
    case "per_second":
      return `${Math.round(value).toLocaleString("en-US")}/s`;
    case "micros":
      return `${value.toFixed(2)} µs`;
    case "growth":
      return `${value >= 1 ? "+" : ""}${((value - 1) * 100).toFixed(0)} %`;
  }
}

const columns = ["value", "ratio", "must", "aim", "verdict"] as const;

/** Lines of a table; with `other`, the second program's value and ratio in the last column. */
export function tableOf(own: readonly Figure[], other: readonly Figure[] | undefined): readonly string[] {
  const rows = own.map((figure) => {
    const cells: string[] = [figure.title, ...columns.map((column) => figure[column])];
    const theirs = other?.find(({ id }) => id === figure.id);
    return theirs === undefined ? cells : [...cells, `${theirs.value} ${theirs.ratio}`.trim()];
  });
  const all = [["figure", ...columns, ...(other === undefined ? [] : ["the other"])], ...rows];
  const widths = (all[0] ?? []).map((_, column) => Math.max(...all.map((cells) => (cells[column] ?? "").length)));
  return all.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
