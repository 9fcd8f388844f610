/** How components report metrics without depending on OpenTelemetry; `export/` implements it with SDK instruments. */
import type { AttributesOf, MetricNameOf } from "./metrics.ts";

type Adding = MetricNameOf<"process", "counter" | "updown">;
type Recording = MetricNameOf<"process", "histogram">;
type Observing = MetricNameOf<"process", "gauge" | "total">;

/** One value at the time it is read. */
export interface Observation<Name extends Observing> {
  readonly value: number;
  readonly attributes: AttributesOf<Name>;
}

export interface Telemetry {
  add<Name extends Adding>(metric: Name, value: number, attributes: AttributesOf<Name>): void;
  record<Name extends Recording>(metric: Name, value: number, attributes: AttributesOf<Name>): void;
  /** Registers a callback for every collection; an empty list means nothing to report. */
  observe<Name extends Observing>(metric: Name, read: () => readonly Observation<Name>[]): void;
}

/** Registers a callback for each metric that reads one number, all with the same attributes; `undefined` means nothing to report. */
export function observeEach<Name extends Observing>(
  telemetry: Telemetry,
  attributes: AttributesOf<Name>,
  reads: Readonly<Record<Name, () => number | undefined>>,
): void {
  for (const [metric, read] of Object.entries(reads) as [Name, () => number | undefined][])
    telemetry.observe(metric, () => {
      const value = read();
      return value === undefined ? [] : [{ value, attributes }];
    });
}

/** Discards everything: for tests and for `self_observability.enabled = false`. */
export const silentTelemetry: Telemetry = {
  add() {},
  record() {},
  observe() {},
};
