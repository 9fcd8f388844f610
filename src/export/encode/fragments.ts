/** Where in the request that is being written the bytes stand that several events share. */
import type { LogAttributes, LogEvent } from "../../catalogue/log-event.ts";
import type { ByteWriter } from "./byte-writer.ts";

interface Place {
  readonly start: number;
  readonly end: number;
}

export class Fragments {
  readonly #sets = new Map<LogAttributes, Place>();
  #headOf: LogEvent | undefined;
  #head: Place = { start: 0, end: 0 };

  /** A new request begins: nothing stands in it yet. */
  clear(): void {
    this.#sets.clear();
    this.#headOf = undefined;
  }

  /** What stands from there on has been moved. */
  forgetFrom(start: number): void {
    for (const [set, place] of this.#sets) if (place.end > start) this.#sets.delete(set);
    if (this.#head.end > start) this.#headOf = undefined;
  }

  /** A set of attributes: written the first time, copied after that. */
  shared(set: LogAttributes, writer: ByteWriter, write: (set: LogAttributes) => void): void {
    const known = this.#sets.get(set);
    if (known !== undefined) {
      writer.again(known.start, known.end);
      return;
    }
    const start = writer.length;
    write(set);
    this.#sets.set(set, { start, end: writer.length });
  }

  /** What comes before the body: the same bytes for events of one record, which share their times. */
  head(event: LogEvent, writer: ByteWriter, write: (event: LogEvent) => void): void {
    const last = this.#headOf;
    const isSame =
      last !== undefined &&
      last.time === event.time &&
      last.observedTime === event.observedTime &&
      last.name === event.name &&
      last.severity === event.severity;
    if (isSame) {
      writer.again(this.#head.start, this.#head.end);
      return;
    }
    const start = writer.length;
    write(event);
    this.#headOf = event;
    this.#head = { start, end: writer.length };
  }
}
