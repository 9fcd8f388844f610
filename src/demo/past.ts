/** What has happened before somebody looks: the real program lives through the past, with a clock that runs as fast as it can. */
import type { App } from "../app/index.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { windowMs } from "./flows.ts";
import { bodiesPerRepeat, createSchedule, type Pushes, sendDue } from "./sender.ts";
import type { Tailnet } from "./tailnet.ts";

export type Past = ReturnType<typeof createPast>;

const stopDeadlineMs = 10_000;

export function createPast(tailnet: Tailnet, pastMs: number) {
  let now: number | undefined = systemClock() - pastMs;
  const clock: Clock = () => now ?? systemClock();
  const schedule = createSchedule(tailnet, clock);
  return {
    /** Where the past begins; afterwards the time of day. */
    clock,
    /** Goes on in the present where the past has ended. */
    schedule,
    /** Sends everything from then until now, and stops the app. */
    async liveThrough(app: App, pushes: Pushes, signal: AbortSignal): Promise<void> {
      try {
        for (let step = 1; now !== undefined && !signal.aborted; step++) {
          now += windowMs;
          if (now >= systemClock()) now = undefined;
          else await sendDue(schedule, pushes, { hasLostAnswer: step % bodiesPerRepeat === 0 });
        }
      } finally {
        now = undefined;
        await app.stop(stopDeadlineMs);
      }
    },
  };
}
