/**
 * A memo keyed by byte strings: looked up by a seeded hash, confirmed by comparing bytes. Bounded in entries and bytes, with at
 * most 32 probes per lookup. It is emptied when full, which is cheap and always correct for a memo.
 */
import { randomBytes } from "node:crypto";

export interface ByteTableLimits {
  /** Byte strings in the table. */
  readonly entries: number;
  /** Bytes of all of them together. */
  readonly bytes: number;
  /** Bytes of one; longer ones are not stored. */
  readonly bytesOfOne: number;
}

export interface ByteTableEntry<Value> {
  readonly hash: number;
  readonly bytes: DataView;
  readonly length: number;
  readonly value: Value;
}

export class ByteTable<Value> {
  readonly #limits: ByteTableLimits;
  readonly #seed = randomBytes(4).readInt32LE();
  /** A power of two, at least twice the entries. */
  readonly #slots: (ByteTableEntry<Value> | undefined)[];
  #size = 0;
  #bytes = 0;

  constructor(limits: ByteTableLimits) {
    this.#limits = limits;
    const slots = 2 ** Math.ceil(Math.log2(limits.entries * 2));
    this.#slots = new Array<ByteTableEntry<Value> | undefined>(slots).fill(undefined);
  }

  /** Byte strings in the table. */
  get size(): number {
    return this.#size;
  }

  /** The hash of the bytes in that range, for `find` and `add`. */
  hash(bytes: DataView, from: number, to: number): number {
    // Two lanes, since each step waits for the previous one.
    let even = this.#seed;
    let odd = ~this.#seed;
    let at = from;
    for (; at + 8 <= to; at += 8) {
      even = Math.imul(even ^ bytes.getInt32(at, true), 0x85eb_ca6b);
      odd = Math.imul(odd ^ bytes.getInt32(at + 4, true), 0xc2b2_ae35);
      even ^= even >>> 15;
      odd ^= odd >>> 16;
    }
    for (; at < to; at++) odd = Math.imul(odd ^ bytes.getUint8(at), 0x85eb_ca6b);
    let hash = Math.imul(even ^ (odd >>> 13) ^ (odd << 19), 0x9e37_79b1);
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2_ae35);
    return hash ^ (hash >>> 16);
  }

  /** The entry with that hash whose bytes are a prefix of the range, if there is one. */
  find(hash: number, bytes: DataView, from: number, to: number): ByteTableEntry<Value> | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let probe = 0; probe < maxProbes; probe++) {
      const entry = slots[(hash + probe) & mask];
      if (entry === undefined) return undefined;
      if (entry.hash === hash && isPrefix(entry, bytes, from, to)) return entry;
    }
    return undefined;
  }

  /** Stores the value for the bytes in that range, within the limits. `hash`: the one that `find` will be called with. */
  add(hash: number, bytes: DataView, from: number, to: number, value: Value): void {
    const length = to - from;
    if (length > this.#limits.bytesOfOne) return;
    if (this.#size === this.#limits.entries || this.#bytes + length > this.#limits.bytes) this.#clear();
    const mask = this.#slots.length - 1;
    for (let probe = 0; probe < maxProbes; probe++) {
      const slot = (hash + probe) & mask;
      if (this.#slots[slot] !== undefined) continue;
      const start = bytes.byteOffset + from;
      const copy = new DataView(bytes.buffer.slice(start, start + length));
      this.#slots[slot] = { hash, bytes: copy, length, value };
      this.#size++;
      this.#bytes += length;
      return;
    }
  }

  #clear(): void {
    this.#slots.fill(undefined);
    this.#size = 0;
    this.#bytes = 0;
  }
}

const maxProbes = 32;

/** Eight bytes at a time: one at a time would be most of the cost of a scanned record. */
function isPrefix(
  { bytes: stored, length }: ByteTableEntry<unknown>,
  bytes: DataView,
  from: number,
  to: number,
): boolean {
  if (length > to - from) return false;
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    const here = stored.getInt32(at, true) ^ bytes.getInt32(from + at, true);
    const next = stored.getInt32(at + 4, true) ^ bytes.getInt32(from + at + 4, true);
    if ((here | next) !== 0) return false;
  }
  for (; at < length; at++) if (stored.getUint8(at) !== bytes.getUint8(from + at)) return false;
  return true;
}
