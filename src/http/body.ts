/** Reads request bodies within bounds: size, bytes held by all, time, and a least speed. */
import { Refusal } from "../errors.ts";
import type { Reservation } from "./byte-budget.ts";

export interface BodyLimits {
  /** On the wire. */
  readonly maxBytes: number;
  /** What to tell a sender whose body is larger: the limit, and the setting behind it. */
  readonly tooLarge: string;
  /** Until the last byte must be here. */
  readonly timeoutMs: number;
  /** What is read is held here, until its owner releases it. */
  readonly reservation: Reservation;
  /** From when on the least speed is asked for. */
  readonly graceMs?: number;
}

/** A body that has been read, as it came over the wire. */
export interface Body {
  /** Whoever works through them may empty it as it goes. */
  readonly chunks: Uint8Array[];
  readonly bytes: number;
}

/** A sender below this is not sending, it is holding a connection. */
const leastBytesPerSecond = 1024;
const defaultGraceMs = 10_000;

/**
 * Reads the whole body, one chunk at a time, so that the runtime's back-pressure reaches the sender.
 * @throws {Refusal} `too_large`, `overloaded` (the reservation cannot grow) or `timeout` (too slow, or the sender left).
 */
export async function readBody(request: Request, limits: BodyLimits): Promise<Body> {
  const announced = announcedBytes(request);
  if (announced > limits.maxBytes) throw new Refusal("too_large", limits.tooLarge);
  reserve(limits, announced);
  if (request.body === null) return { chunks: [], bytes: 0 };

  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let isEnded = false;
  const guard = guardSpeed(limits, () => bytes, reader);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (guard.isExpired) throw new Refusal("timeout", "The body did not arrive in time");
      if (done) break;
      bytes += value.byteLength;
      if (bytes > limits.maxBytes) throw new Refusal("too_large", limits.tooLarge);
      if (bytes > limits.reservation.bytes) reserve(limits, bytes - limits.reservation.bytes);
      chunks.push(value);
    }
    isEnded = true;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("timeout", "The connection was closed before the body was complete");
  } finally {
    guard.end();
    if (!isEnded) reader.releaseLock();
  }
  if (bytes < announced) throw new Refusal("timeout", "The connection was closed before the body was complete");
  return { chunks, bytes };
}

/** Reads away what is left of a body, at most so many bytes and so long. Says whether the end was reached. */
export async function discardBody(request: Request, maxBytes: number, timeoutMs: number): Promise<boolean> {
  if (request.body === null) return true;
  const reader = request.body.getReader();
  let isExpired = false;
  const timer = setTimeout(() => {
    isExpired = true;
    reader.cancel().catch(ignore);
  }, timeoutMs);
  try {
    for (let bytes = 0; bytes <= maxBytes;) {
      const { done, value } = await reader.read();
      if (done) return !isExpired;
      bytes += value.byteLength;
    }
    return false;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

function announcedBytes(request: Request): number {
  const bytes = Number(request.headers.get("content-length") ?? 0);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : 0;
}

function reserve({ reservation, tooLarge }: BodyLimits, bytes: number): void {
  const answer = reservation.grow(bytes);
  if (answer === "impossible") throw new Refusal("too_large", tooLarge);
  if (answer === "full") throw new Refusal("overloaded", "Too many bytes in flight");
}

/** Ends the reading when its time is over, or when too little has come. A cancelled reader says that it is done. */
function guardSpeed(
  { timeoutMs, graceMs = defaultGraceMs }: BodyLimits,
  bytesNow: () => number,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): { readonly isExpired: boolean; end(): void } {
  let isExpired = false;
  let elapsedMs = Math.min(graceMs, timeoutMs);
  let timer = setTimeout(check, elapsedMs);
  function check(): void {
    const isTooSlow = elapsedMs >= graceMs && bytesNow() < (leastBytesPerSecond * elapsedMs) / 1000;
    if (elapsedMs >= timeoutMs || isTooSlow) {
      isExpired = true;
      reader.cancel().catch(ignore);
      return;
    }
    const nextMs = Math.min(1000, timeoutMs - elapsedMs);
    elapsedMs += nextMs;
    timer = setTimeout(check, nextMs);
  }
  return {
    get isExpired() {
      return isExpired;
    },
    end: () => clearTimeout(timer),
  };
}

function ignore(): void {}
