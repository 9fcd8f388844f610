/** Counts the requests that are being worked on, and says when there are none. */
import type { Telemetry } from "../../catalogue/telemetry.ts";

export interface InFlight {
  enter(): void;
  leave(): void;
  /** Resolves when nothing is in flight; at once if nothing is. */
  idle(): Promise<void>;
}

export function createInFlight(telemetry: Telemetry): InFlight {
  const waiting: (() => void)[] = [];
  let count = 0;
  return {
    enter() {
      count++;
      telemetry.add("tailscale.stream.inflight", 1, {});
    },
    leave() {
      count--;
      telemetry.add("tailscale.stream.inflight", -1, {});
      if (count === 0) for (const resolve of waiting.splice(0)) resolve();
    },
    async idle() {
      if (count > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}
