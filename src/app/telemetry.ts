/** Telemetry of what is created again and again during the life of a process. */
import type { Telemetry } from "../catalogue/telemetry.ts";

/** What a component observes until it ends. */
export interface TermTelemetry extends Telemetry {
  /** Nothing that was observed is read any more. */
  end(): void;
}

type Observed = Parameters<Telemetry["observe"]>[0];
type Read = () => readonly never[];

/**
 * Returns what makes a telemetry for one term after another. An instrument keeps its callbacks for ever: it gets one, which reads
 * what the present term observes.
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
