/** Ends of connections that event after event and request after request share, as bytes that are ready to be copied. */
import type { LogAttributes } from "../../catalogue/log-event.ts";
import type { Address } from "../../records/types.ts";
import type { ByteWriter } from "./byte-writer.ts";

/** One end in one role, but for its port. */
export interface PreparedEnd {
  /** How its canonical text begins: up to the port. */
  readonly opening: Uint8Array;
  readonly attributes: Uint8Array;
}

/** Of all ends together; past it they are prepared anew. A usual end has 250 bytes. */
const maxBytes = 8 << 20;

/** What an end costs beside its bytes. */
const overheadBytes = 300;

export class PreparedEnds {
  readonly #writer: ByteWriter;
  readonly #write: (set: LogAttributes) => void;
  readonly #ends = new Map<LogAttributes, PreparedEnd>();
  #bytes = 0;

  /** `write` writes a set's attributes to the writer. */
  constructor(writer: ByteWriter, write: (set: LogAttributes) => void) {
    this.#writer = writer;
    this.#write = write;
  }

  /** The end of that address with that set of attributes, which must be the same object each time. */
  of(address: Address, set: LogAttributes): PreparedEnd {
    return this.#ends.get(set) ?? this.#prepare(address, set);
  }

  #prepare({ text, family }: Address, set: LogAttributes): PreparedEnd {
    const end: PreparedEnd = {
      opening: Buffer.from(family === "ipv6" ? `[${text}]:` : `${text}:`),
      attributes: writtenAside(this.#writer, () => this.#write(set)),
    };
    if (this.#bytes > maxBytes) {
      this.#ends.clear();
      this.#bytes = 0;
    }
    this.#ends.set(set, end);
    this.#bytes += end.opening.length + end.attributes.length + overheadBytes;
    return end;
  }
}

/** A copy of what the function writes, which is taken back from the writer. */
export function writtenAside(writer: ByteWriter, write: () => void): Uint8Array {
  const start = writer.length;
  write();
  const written = new Uint8Array(writer.view(start));
  writer.length = start;
  return written;
}
