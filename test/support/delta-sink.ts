/** Adds up differences as a backend does, and strictly: what has come already is not added again. */
import type { SunkPoint } from "./otlp-sink.ts";

interface Difference {
  readonly start: bigint;
  readonly value: number;
}

export class DeltaSums {
  readonly #series = new Map<string, { readonly name: string; taken: Difference[] }>();
  /** Points that repeat what had come: an answer to it was lost. */
  repeated = 0;
  /** What breaks the rules for differences. */
  readonly mistakes: string[] = [];

  take(points: readonly SunkPoint[]): void {
    for (const point of points) if (point.kind === "sum" && point.isMonotonic === true) this.#take(point);
  }

  /** By `metric direction`, the sum of all differences. */
  get sums(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const { name, taken } of this.#series.values())
      sums.set(
        name,
        taken.reduce((sum, { value }) => sum + value, sums.get(name) ?? 0),
      );
    return sums;
  }

  /** A difference that begins where an earlier one did, or before it, stands for that one too. */
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
