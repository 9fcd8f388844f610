/** A growing buffer that log requests are written into, and that the next one uses again. */

const initialBytes = 1 << 20;

/** A buffer that one huge request has made larger than this is not kept for the next. */
const keptBytes = 16 << 20;

export class ByteWriter {
  bytes: Buffer;
  length = 0;

  constructor(bytes: number = initialBytes) {
    this.bytes = Buffer.allocUnsafe(bytes);
  }

  /** Begins anew. */
  clear(): void {
    if (this.bytes.length > keptBytes) this.bytes = Buffer.allocUnsafe(initialBytes);
    this.length = 0;
  }

  /** What was written from `start` on, until the next `clear`. */
  view(start: number): Uint8Array {
    return this.bytes.subarray(start, this.length);
  }

  /** Makes room for that many bytes more. */
  reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  /** Writes prepared bytes. */
  raw(prepared: Uint8Array): void {
    this.reserve(prepared.length);
    this.bytes.set(prepared, this.length);
    this.length += prepared.length;
  }

  /** Writes some prepared bytes, so few that copying them by hand is faster. */
  short(prepared: Uint8Array): void {
    this.reserve(prepared.length);
    const { bytes, length } = this;
    for (let i = 0; i < prepared.length; i++) bytes[length + i] = prepared[i] as number;
    this.length = length + prepared.length;
  }

  /** Writes again what stands at an earlier place: what events share is encoded once and copied. */
  again(start: number, end: number): void {
    this.reserve(end - start);
    this.bytes.copyWithin(this.length, start, end);
    this.length += end - start;
  }

  /** Moves what was written from `from` on, by `by` bytes to the right. */
  shift(from: number, by: number): void {
    this.reserve(by);
    this.bytes.copyWithin(from + by, from, this.length);
    this.length += by;
  }

  /** Writes text as UTF-8; a lone surrogate becomes U+FFFD, as `TextEncoder` has it. */
  utf8(text: string): void {
    this.reserve(text.length * 3);
    const { bytes } = this;
    const start = this.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0x7f) {
        this.length = start + bytes.write(text, start, "utf8");
        return;
      }
      bytes[start + i] = code;
    }
    this.length = start + text.length;
  }

  /** Writes a safe integer in decimal. */
  integer(value: number): void {
    if (value < 0 || value > 0xffff_ffff) {
      this.utf8(String(value));
      return;
    }
    this.padded(value, digitsOf(value));
  }

  /** Writes a number from 0 to 2³²−1 with that many digits, zeros before it; four at a time, since dividing is slow. */
  padded(value: number, digits: number): void {
    this.reserve(digits);
    const { bytes, length } = this;
    let rest = value;
    let at = length + digits - 1;
    while (at >= length) {
      const next = rest < 10_000 ? 0 : Math.floor(rest / 10_000);
      let group = rest - next * 10_000;
      for (let digit = 0; digit < 4 && at >= length; digit++) {
        const tenth = (group * 6554) >>> 16;
        bytes[at--] = 0x30 + group - tenth * 10;
        group = tenth;
      }
      rest = next;
    }
    this.length = length + digits;
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let bound = 10; bound <= value; bound *= 10) digits++;
  return digits;
}
