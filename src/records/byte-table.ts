/**
 * A memo keyed by byte strings: looked up by a seeded hash, confirmed by comparing bytes. Bounded in entries and bytes, with at
 * most 32 probes per lookup. It is emptied when full, which is cheap and always correct for a memo.
 */
import { randomBytes } from "node:crypto";
import { freeBuffer } from "../runtime/process.ts";

export interface ByteTableLimits {
  /** Byte strings in the table. */
  readonly entries: number;
  /** Bytes of all of them together. */
  readonly bytes: number;
  /** Bytes of one; longer ones are not stored. */
  readonly bytesOfOne: number;
}

export class ByteTable<Value> {
  readonly #limits: ByteTableLimits;
  readonly #seed = randomBytes(4).readInt32LE();
  /** Two numbers per slot: a hash, and the entry's number plus one; 0 marks a free slot. At least twice as many slots as entries. */
  readonly #slots: Int32Array;
  readonly #mask: number;
  readonly #values: Value[] = [];
  /** Start of each entry's bytes, and the end of the last entry: stored contiguously, so that a lookup follows no pointers. */
  readonly #starts: Int32Array;
  #bytes = new Uint8Array(initialBytes);
  #view = new DataView(this.#bytes.buffer);

  constructor(limits: ByteTableLimits) {
    this.#limits = limits;
    const slots = 2 ** Math.ceil(Math.log2(limits.entries * 2));
    this.#slots = new Int32Array(slots * 2);
    this.#mask = slots - 1;
    this.#starts = new Int32Array(limits.entries + 1);
  }

  /** Byte strings in the table. */
  get size(): number {
    return this.#values.length;
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

  /** The number of the entry with that hash whose bytes are a prefix of the range; -1 if there is none. */
  find(hash: number, bytes: DataView, from: number, to: number): number {
    const slots = this.#slots;
    const starts = this.#starts;
    for (let probe = 0; probe < maxProbes; probe++) {
      const slot = ((hash + probe) & this.#mask) * 2;
      const entry = (slots[slot + 1] as number) - 1;
      if (entry < 0) return -1;
      if (slots[slot] !== hash) continue;
      const start = starts[entry] as number;
      if (isPrefix(this.#view, start, (starts[entry + 1] as number) - start, bytes, from, to)) return entry;
    }
    return -1;
  }

  /** The value of an entry that has just been found. */
  value(entry: number): Value {
    return this.#values[entry] as Value;
  }

  /** The length of an entry's bytes. */
  length(entry: number): number {
    return (this.#starts[entry + 1] as number) - (this.#starts[entry] as number);
  }

  /** Stores the value for the bytes in that range, within the limits. `hash`: the one that `find` will be called with. */
  add(hash: number, bytes: DataView, from: number, to: number, value: Value): void {
    const length = to - from;
    const { entries, bytes: maxBytes, bytesOfOne } = this.#limits;
    if (length > bytesOfOne) return;
    if (this.size === entries || (this.#starts[this.size] as number) + length > maxBytes) this.#clear();
    for (let probe = 0; probe < maxProbes; probe++) {
      const slot = ((hash + probe) & this.#mask) * 2;
      if (this.#slots[slot + 1] !== 0) continue;
      const start = this.#starts[this.size] as number;
      if (start + length > this.#bytes.length) this.#grow(start + length);
      this.#bytes.set(new Uint8Array(bytes.buffer, bytes.byteOffset + from, length), start);
      this.#values.push(value);
      this.#starts[this.size] = start + length;
      this.#slots[slot] = hash;
      this.#slots[slot + 1] = this.size;
      return;
    }
  }

  #grow(needed: number): void {
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes);
    freeBuffer(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  #clear(): void {
    this.#slots.fill(0);
    this.#values.length = 0;
  }
}

const maxProbes = 32;
const initialBytes = 16 * 1024;

/** Compares eight bytes at a time: one at a time would be most of the cost of a scanned record. */
function isPrefix(stored: DataView, start: number, length: number, bytes: DataView, from: number, to: number): boolean {
  if (length > to - from) return false;
  let at = 0;
  for (; at + 8 <= length; at += 8) {
    const here = stored.getInt32(start + at, true) ^ bytes.getInt32(from + at, true);
    const next = stored.getInt32(start + at + 4, true) ^ bytes.getInt32(from + at + 4, true);
    if ((here | next) !== 0) return false;
  }
  for (; at < length; at++) if (stored.getUint8(start + at) !== bytes.getUint8(from + at)) return false;
  return true;
}
