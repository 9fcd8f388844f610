/** Turns log events into requests of a bounded size, and posts them. */
import type { LogEvent } from "../catalogue/log-event.ts";
import type { Answer, Encoding } from "./answer.ts";
import type { LogEncoder } from "./log-encoder.ts";
import type { Channel } from "./protocol.ts";

export interface RequestLimits {
  /** Log events a request. */
  readonly maxRecords: number;
  /** Encoded size of a request, before compression. */
  readonly maxBytes: number;
}

/** An answer, or why nothing was sent: events that cannot be written, or more than a request may hold. */
export type Posted = Answer | { readonly kind: "unsent"; readonly message: string };

/** A guess until the first request has been encoded. */
const firstGuessOfEventBytes = 1_000;

/** In a smaller request the resource weighs too much. */
const minEventsForEstimate = 16;

export class RequestWriter {
  readonly #limits: RequestLimits;
  readonly #channel: Channel;
  readonly #encode: LogEncoder;
  #eventBytes = firstGuessOfEventBytes;

  constructor(limits: RequestLimits, channel: Channel, encode: LogEncoder) {
    this.#limits = limits;
    this.#channel = channel;
    this.#encode = encode;
  }

  /** How many events should fit, by the size of those written last. Nothing is encoded twice to find out. */
  get maxEvents(): number {
    const { maxRecords, maxBytes } = this.#limits;
    return Math.max(1, Math.min(maxRecords, Math.floor(maxBytes / this.#eventBytes)));
  }

  /** Encodes and posts; never throws. A request of one event is sent whatever its size. */
  async post(events: readonly LogEvent[], stop: AbortSignal): Promise<Posted> {
    const encode = (encoding: Encoding) => {
      const body = this.#encode(events, encoding);
      if (events.length >= minEventsForEstimate) this.#eventBytes = Math.max(1, body.length / events.length);
      if (body.length > this.#limits.maxBytes && events.length > 1) throw new Error("over the size of a request");
      return body;
    };
    try {
      return await this.#channel.post(encode, stop);
    } catch (error) {
      return { kind: "unsent", message: error instanceof Error ? error.message : String(error) };
    }
  }
}
