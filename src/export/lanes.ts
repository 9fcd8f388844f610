/** Shares the requests of one destination between what is fresh and what is sent once more: fresh logs go first. */
import type { Answer } from "./answer.ts";
import type { DeliveryState } from "./delivery-state.ts";
import type { Timer } from "./logs.ts";
import type { Channel, Encode } from "./protocol.ts";

export interface Lanes {
  readonly fresh: Channel;
  /** Sends while nothing fresh waits; beside a steady stream of it, one request a second. During an outage it waits for fresh logs to get through. */
  readonly again: Channel;
  /** How the fresh lane fares. */
  freshIs(state: DeliveryState): void;
}

/** Beside a steady stream of fresh logs, what is sent once more waits this long for each request. */
const patienceMs = 1000;

interface Waiting {
  readonly enter: () => void;
  isPatient: boolean;
}

/** `slots`: requests under way at a time, of both lanes together. */
export function createLanes(channel: Channel, slots: number, timer: Timer): Lanes {
  const fresh: Waiting[] = [];
  const again: Waiting[] = [];
  let isIdle = true;
  let isWell = true;
  let used = 0;

  function admit(): void {
    while (used < slots) {
      const next = fresh.shift() ?? nextAgain();
      if (next === undefined) return;
      used++;
      next.enter();
    }
  }

  function nextAgain(): Waiting | undefined {
    const [first] = again;
    if (first === undefined || !isWell || (first.isPatient && !isIdle)) return undefined;
    return again.shift();
  }

  /** Resolves with whether its turn has come; not where it was stopped first. */
  function turnIn(lane: Waiting[], stop: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const cancelPatience =
        lane === again
          ? timer(patienceMs, () => {
              waiting.isPatient = false;
              admit();
            })
          : () => {};
      const settle = (hasTurn: boolean): void => {
        cancelPatience();
        stop.removeEventListener("abort", leave);
        resolve(hasTurn);
      };
      const leave = (): void => {
        const place = lane.indexOf(waiting);
        if (place < 0) return;
        lane.splice(place, 1);
        settle(false);
      };
      const waiting: Waiting = { isPatient: lane === again, enter: () => settle(true) };
      lane.push(waiting);
      stop.addEventListener("abort", leave);
      if (stop.aborted) leave();
      else admit();
    });
  }

  const throughLane = (lane: Waiting[]): Channel => ({
    get encoding() {
      return channel.encoding;
    },
    async post(encode: Encode, stop: AbortSignal): Promise<Answer> {
      if (!(await turnIn(lane, stop))) return { kind: "retry", why: "stopped" };
      try {
        return await channel.post(encode, stop);
      } finally {
        used--;
        admit();
      }
    },
  });

  return {
    fresh: throughLane(fresh),
    again: throughLane(again),
    freshIs(state) {
      isIdle = state.kind === "idle";
      isWell = state.kind !== "waiting";
      admit();
    },
  };
}
