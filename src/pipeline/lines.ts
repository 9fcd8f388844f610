/** Stored lines on their way into a row: bytes appended with a newline between two, in a buffer that is used again. */
import { packText, unpackText } from "../journal/packing.ts";
import { keyWords } from "../records/identity.ts";
import { endsOfObjects } from "../records/json.ts";

/** Bytes of text in one row. A delivery request is put together from whole rows in memory: rows of 4 MiB cost it 50 to 100 MB more. */
export const maxRowBytes = 1024 * 1024;

const newline = 0x0a;
const encoder = new TextEncoder();

export class Lines {
  #bytes = new Uint8Array(64 * 1024);
  #length = 0;

  /** Bytes appended so far. */
  get length(): number {
    return this.#length;
  }

  /** Bytes held in memory. */
  get byteLength(): number {
    return this.#bytes.length;
  }

  get isFull(): boolean {
    return this.#length >= maxRowBytes;
  }

  /** Appends the bytes from `from` up to `to`, which hold no newline. */
  addBytes(bytes: Uint8Array, from: number, to: number): void {
    this.#reserve(to - from);
    this.#separate();
    this.#bytes.set(bytes.subarray(from, to), this.#length);
    this.#length += to - from;
  }

  /** Appends a text without a newline. */
  addText(text: string): void {
    this.#reserve(text.length * 3);
    this.#separate();
    this.#length += encoder.encodeInto(text, this.#bytes.subarray(this.#length)).written;
  }

  /** A copy of what was appended. */
  text(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Packs what was appended and empties the buffer. */
  pack(): { readonly body: Uint8Array; readonly length: number } {
    const length = this.#length;
    const body = packText(this.#bytes.subarray(0, length));
    this.#length = 0;
    return { body, length };
  }

  #separate(): void {
    if (this.#length > 0) this.#bytes[this.#length++] = newline;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes + 1;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, Math.min(this.#bytes.length * 2, this.#bytes.length + maxRowBytes)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** The lines of a row's text. */
export function linesOf(text: Uint8Array): string[] {
  return text.length === 0 ? [] : Buffer.from(text.buffer, text.byteOffset, text.length).toString("utf8").split("\n");
}

/** What stands beside each record, without those whose byte in `dropped` is 1. */
export function without<One>(ofRecords: readonly One[], dropped: Uint8Array): One[] {
  return ofRecords.filter((_, record) => dropped[record] !== 1);
}

/** Text and keys of a part without the records whose byte in `dropped` is 1. */
export function withoutRecords(
  { body, length, keys }: { readonly body: Uint8Array; readonly length: number; readonly keys: Uint32Array },
  dropped: Uint8Array,
) {
  const text = withoutLines(unpackText(body, length), dropped);
  const keptKeys = keys.filter((_, word) => dropped[Math.floor(word / keyWords)] !== 1);
  return { body: packText(text), length: text.length, keys: keptKeys };
}

/** The row's text without the lines whose byte in `dropped` is 1. */
export function withoutLines(text: Uint8Array, dropped: Uint8Array): Uint8Array {
  const kept = new Uint8Array(text.length + dropped.length);
  let length = 0;
  let from = 0;
  endsOfObjects(text).forEach((to, line) => {
    if (text[from] === newline) from++;
    if (dropped[line] !== 1) {
      if (length > 0) kept[length++] = newline;
      kept.set(text.subarray(from, to), length);
      length += to - from;
    }
    from = to;
  });
  return kept.subarray(0, length);
}
