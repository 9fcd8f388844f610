/** Telemetry of components that are created repeatedly during the life of a process. */
import type { Telemetry } from "../catalogue/telemetry.ts";

/** The telemetry of one term of a component. */
export interface TermTelemetry extends Telemetry {
  /** Stops reading everything that it has observed. */
  end(): void;
}

type Observed = Parameters<Telemetry["observe"]>[0];
type Read = () => readonly never[];

/**
 * Returns a function that creates the telemetry of each term. An instrument keeps its callbacks forever, so it gets a single one,
 * which reads what the current term observes.
 */
export function createTermTelemetry(telemetry: Telemetry): () => TermTelemetry {
  const present = new Map<Observed, Set<Read>>();
  return () => {
    const mine: (readonly [Set<Read>, Read])[] = [];
    return {
      add: telemetry.add,
      record: telemetry.record,
      observe(metric, read) {
        let reads = present.get(metric);
        if (reads === undefined) {
          const all = new Set<Read>();
          present.set(metric, (reads = all));
          telemetry.observe(metric, () => Array.from(all).flatMap((one) => one()));
        }
        reads.add(read as Read);
        mine.push([reads, read as Read]);
      },
      end: () => mine.forEach(([reads, read]) => reads.delete(read)),
    };
  };
}
