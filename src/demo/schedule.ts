/** What the simulated tailnet has to send at any moment: what is due, and its own past while there is room. */
import type { Clock } from "../lib/clock.ts";
import { changesIn } from "./changes.ts";
import type { Tailnet } from "./tailnet.ts";
import { createTraffic, windowMs, windowSettledMs } from "./traffic.ts";
import { visitsIn } from "./visits.ts";
import type { Envelope, WireAudit, WireEvent, WireFlow } from "./wire.ts";

export interface Schedule {
  /** The flow records of one window, or none while nothing is due. */
  nextFlows(): readonly Envelope<WireFlow>[];
  /** The audit records that became due since the last call; the first call gives the past minutes too. */
  nextChanges(): readonly Envelope<WireAudit>[];
  /** The webhook deliveries that became due since the last call; the first call gives the past minutes too. */
  nextDeliveries(): readonly (readonly WireEvent[])[];
}

/** How far back the past goes: well inside the time for which seen keys are held. */
const pastFlowWindows = (60 * 60 * 1000) / windowMs;
const pastChangeWindows = (5 * 60 * 1000) / windowMs;

/** An audit stream, or a row of webhooks, that was held up catches up in pieces of this many windows. */
const maxChangeWindowsAtOnce = 1000;

/** Windows that end after the start are sent as they settle; the past goes backwards from the start, in the gaps. */
export function createSchedule(tailnet: Tailnet, clock: Clock): Schedule {
  const traffic = createTraffic(tailnet);
  const settled = () => Math.floor((clock() - windowSettledMs) / windowMs);
  const first = settled();
  let present = first + 1;
  let past = first;
  let changes = first - pastChangeWindows;
  let visits = changes;

  return {
    nextFlows() {
      // A machine that slept has lived through windows that nobody waits for any more.
      present = Math.max(present, settled() - pastFlowWindows);
      if (present <= settled()) return traffic(present++);
      if (past > first - pastFlowWindows) return traffic(past--);
      return [];
    },
    nextChanges() {
      const due: Envelope<WireAudit>[] = [];
      const end = Math.min(settled(), changes + maxChangeWindowsAtOnce);
      while (changes <= end) due.push(...changesIn(tailnet, changes++));
      return due;
    },
    nextDeliveries() {
      const due: (readonly WireEvent[])[] = [];
      // Webhooks are sent within seconds: no window has to settle.
      const end = Math.min(Math.floor(clock() / windowMs) - 1, visits + maxChangeWindowsAtOnce);
      while (visits <= end) due.push(...visitsIn(tailnet, visits++));
      return due;
    },
  };
}
