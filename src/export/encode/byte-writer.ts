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
    this.reserve(10);
    let digits = 1;
    for (let bound = 10; bound <= value; bound *= 10) digits++;
    let rest = value;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const next = Math.floor(rest / 10);
      this.bytes[at] = 0x30 + rest - next * 10;
      rest = next;
    }
    this.length += digits;
  }
}
