/** Adds up delta points as a strict backend does, without counting a repeated delta twice. */
import type { SunkPoint } from "./otlp-sink.ts";

interface Difference {
  readonly start: bigint;
  readonly value: number;
}

export class DeltaSums {
  readonly #series = new Map<string, { readonly name: string; taken: Difference[] }>();
  /** Number of points that were sent again, because the response to them was lost. */
  repeated = 0;
  /** Violations of the rules for deltas. */
  readonly mistakes: string[] = [];

  take(points: readonly SunkPoint[]): void {
    for (const point of points) if (point.kind === "sum" && point.isMonotonic === true) this.#take(point);
  }

  /** The sum of all deltas by `metric direction`. */
  get sums(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const { name, taken } of this.#series.values())
      sums.set(
        name,
        taken.reduce((sum, { value }) => sum + value, sums.get(name) ?? 0),
      );
    return sums;
  }

  /** A delta that begins at or before the start of an earlier one replaces that one. */
  #take({ metric, attributes, startTimeUnixNano = "", timeUnixNano = "", value = 0, ...point }: SunkPoint): void {
    const key = `${metric} ${JSON.stringify(Object.entries(attributes).toSorted())}`;
    const [start, end] = [BigInt(startTimeUnixNano), BigInt(timeUnixNano)];
    if (![1, "AGGREGATION_TEMPORALITY_DELTA"].includes(point.aggregationTemporality ?? 0))
      this.mistakes.push(`${key} is no difference`);
    if (value <= 0 || start >= end) this.mistakes.push(`${key}: ${value} from ${start} to ${end}`);
    const name = `${metric} ${String(attributes["network.io.direction"] ?? "")}`;
    const series = this.#series.get(key) ?? { name, taken: [] };
    this.#series.set(key, series);
    const rest = series.taken.filter((earlier) => earlier.start < start);
    this.repeated += series.taken.length - rest.length;
    series.taken = [...rest, { start, value }];
  }
}
