/**
 * Limits what the requests of one receiver use together: bodies being read, bytes in memory, and requests being processed. A
 * request over a limit makes the slowest request of a heavier peer give way, or is refused at once.
 */
import { Refusal } from "../errors.ts";

export interface Limits {
  /** Maximum number of requests whose body is being read. */
  readonly maxReading: number;
  /** Maximum size of all bodies together, on the wire and decompressed. */
  readonly maxBytes: number;
  /** Maximum number of requests being processed. */
  readonly maxWorking: number;
}

/** What one request holds. */
export interface Admission {
  readonly bytes: number;
  /** Marks the body as being read, with `shed` to end that, or as no longer being read. */
  reading(shed: (() => void) | undefined): void;
  /** @throws {Refusal} `overloaded`, or `body_too_large` with `tooLarge` if this request alone exceeds the limit. */
  reserve(bytes: number, tooLarge: string): void;
  /** FIFO semaphore with a wait timeout; held until `leave`. @throws {Refusal} `overloaded` */
  work(timeoutMs: number): Promise<void>;
  /** Releases everything; safe to call twice. */
  leave(): void;
}

export type Limiter = ReturnType<typeof createLimiter>;

/** A request that is read this fast, or that began less than a second ago, is never shed for another one of its own peer. */
const slowBytesPerSecond = 64 * 1024;
const minReadingMs = 1000;

interface Held {
  readonly peer: string;
  readonly beganMs: number;
  bytes: number;
  shed: (() => void) | undefined;
}

/** `changed` is called for each request that enters (1) or leaves (-1). */
export function createLimiter(limits: Limits, changed: (change: 1 | -1) => void = () => {}) {
  const inside = new Set<Held>();
  const waiting = new Set<() => void>();
  let reading = 0;
  let working = 0;
  let bytes = 0;

  const rateOf = ({ bytes: read, beganMs }: Held): number => read / Math.max(1, performance.now() - beganMs);

  /** Sheds the slowest reader among the peers heavier by `weight` than the asking one, or among its own slow ones. */
  function shedFor(asking: Held, weight: (held: Held) => number): boolean {
    const weights = new Map<string, number>();
    for (const held of inside) weights.set(held.peer, (weights.get(held.peer) ?? 0) + weight(held));
    const own = weights.get(asking.peer) ?? 0;
    const now = performance.now();
    let slowest: Held | undefined;
    for (const held of inside) {
      if (held === asking || held.shed === undefined || weight(held) === 0) continue;
      const isHeavier = (weights.get(held.peer) ?? 0) > own + weight(asking);
      const isSlow = now - held.beganMs >= minReadingMs && rateOf(held) * 1000 < slowBytesPerSecond;
      if (!(held.peer === asking.peer ? isSlow : isHeavier)) continue;
      if (slowest === undefined || rateOf(held) < rateOf(slowest)) slowest = held;
    }
    slowest?.shed?.();
    return slowest !== undefined;
  }

  function release(): void {
    const [next] = waiting;
    if (next === undefined) working--;
    else {
      waiting.delete(next);
      next();
    }
  }

  function admission(held: Held): Admission {
    let isReading = true;
    let isWorking = false;
    let isInside = true;
    const endReading = (): void => {
      held.shed = undefined;
      if (isReading) reading--;
      isReading = false;
    };
    const free = (): void => {
      bytes -= held.bytes;
      held.bytes = 0;
    };
    return {
      get bytes() {
        return held.bytes;
      },
      reading(shed) {
        if (shed === undefined) return endReading();
        held.shed = () => {
          endReading();
          free();
          shed();
        };
      },
      reserve(more, tooLarge) {
        if (held.bytes + more > limits.maxBytes) throw new Refusal("body_too_large", tooLarge);
        while (bytes + more > limits.maxBytes)
          if (!shedFor(held, (other) => other.bytes))
            throw new Refusal("overloaded", "the bodies in memory have reached their limit");
        held.bytes += more;
        bytes += more;
      },
      async work(timeoutMs) {
        if (working < limits.maxWorking) working++;
        else if (!(await turn(timeoutMs)))
          throw new Refusal("overloaded", `waited ${Math.round(timeoutMs)} ms behind other requests`);
        isWorking = true;
      },
      leave() {
        if (!isInside) return;
        isInside = false;
        endReading();
        free();
        if (isWorking) release();
        inside.delete(held);
        changed(-1);
      },
    };
  }

  async function turn(timeoutMs: number): Promise<boolean> {
    return await new Promise((resolve) => {
      const enter = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        waiting.delete(enter);
        resolve(false);
      }, timeoutMs);
      waiting.add(enter);
    });
  }

  return {
    /** @throws {Refusal} `overloaded` */
    enter(peer: string): Admission {
      const held: Held = { peer, beganMs: performance.now(), bytes: 0, shed: undefined };
      if (reading >= limits.maxReading && !shedFor(held, () => 1))
        throw new Refusal("overloaded", `${reading} requests are being read already`);
      inside.add(held);
      reading++;
      changed(1);
      return admission(held);
    },
  };
}
