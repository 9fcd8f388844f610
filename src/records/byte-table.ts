/**
 * A memo from byte strings to what was made of them. Found by a seeded hash, decided by comparing bytes; bounded in entries
 * and bytes, and no search passes 32 slots. When it is full it starts anew, which is cheap and correct for a memo.
 */
import { randomBytes } from "node:crypto";

export interface ByteTableLimits {
  /** Byte strings remembered. */
  readonly entries: number;
  /** Bytes of all of them together. */
  readonly bytes: number;
  /** Bytes of one; a longer one is not remembered. */
  readonly bytesOfOne: number;
}

export class ByteTable<Value> {
  readonly #limits: ByteTableLimits;
  readonly #seed = randomBytes(4).readInt32LE();
  /** Entry number plus one; 0: free. A power of two, at least twice the entries. */
  readonly #slots: Uint32Array;
  readonly #hashes: Int32Array;
  readonly #offsets: Uint32Array;
  readonly #lengths: Uint32Array;
  readonly #values: Value[] = [];
  #held = new Uint8Array(4096);
  #heldView = new DataView(this.#held.buffer);
  #heldBytes = 0;

  constructor(limits: ByteTableLimits) {
    this.#limits = limits;
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(limits.entries * 2)));
    this.#hashes = new Int32Array(limits.entries);
    this.#offsets = new Uint32Array(limits.entries);
    this.#lengths = new Uint32Array(limits.entries);
  }

  /** Byte strings remembered now. */
  get size(): number {
    return this.#values.length;
  }

  /** The hash of the bytes in that range, by which `find` and `add` are asked. */
  hash(bytes: DataView, from: number, to: number): number {
    // Two lanes, since each step waits for the one before.
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

  /** The number of an entry with that hash whose bytes are the first ones from `from` on and end by `to`; -1 if there is none. */
  find(hash: number, bytes: DataView, from: number, to: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let probe = 0; probe < maxProbes; probe++) {
      const entry = (slots[(hash + probe) & mask] as number) - 1;
      if (entry < 0) return -1;
      if (this.#hashes[entry] === hash && this.#stands(entry, bytes, from, to)) return entry;
    }
    return -1;
  }

  /** What was remembered for an entry that `find` gave. */
  value(entry: number): Value {
    return this.#values[entry] as Value;
  }

  /** Bytes of an entry that `find` gave. */
  byteLength(entry: number): number {
    return this.#lengths[entry] as number;
  }

  /** Remembers the value of the bytes in that range under the hash, if its bounds allow it. */
  add(hash: number, bytes: DataView, from: number, to: number, value: Value): void {
    const length = to - from;
    if (length > this.#limits.bytesOfOne) return;
    if (this.size === this.#limits.entries || this.#heldBytes + length > this.#limits.bytes) this.#clear();
    const slot = this.#freeSlot(hash);
    if (slot < 0) return;
    const entry = this.#values.push(value) - 1;
    this.#slots[slot] = entry + 1;
    this.#hashes[entry] = hash;
    this.#offsets[entry] = this.#heldBytes;
    this.#lengths[entry] = length;
    this.#hold(new Uint8Array(bytes.buffer, bytes.byteOffset + from, length));
  }

  #freeSlot(hash: number): number {
    const mask = this.#slots.length - 1;
    for (let probe = 0; probe < maxProbes; probe++) {
      const slot = (hash + probe) & mask;
      if (this.#slots[slot] === 0) return slot;
    }
    return -1;
  }

  /** Eight bytes at a time: byte by byte it would be the larger part of what a scanned record costs. */
  #stands(entry: number, bytes: DataView, from: number, to: number): boolean {
    const length = this.#lengths[entry] as number;
    if (length > to - from) return false;
    const held = this.#heldView;
    const offset = this.#offsets[entry] as number;
    let at = 0;
    for (; at + 8 <= length; at += 8) {
      const here = held.getInt32(offset + at, true) ^ bytes.getInt32(from + at, true);
      const next = held.getInt32(offset + at + 4, true) ^ bytes.getInt32(from + at + 4, true);
      if ((here | next) !== 0) return false;
    }
    for (; at < length; at++) if (held.getUint8(offset + at) !== bytes.getUint8(from + at)) return false;
    return true;
  }

  #hold(bytes: Uint8Array): void {
    const needed = this.#heldBytes + bytes.length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.min(this.#limits.bytes, Math.max(needed, this.#held.length * 2)));
      larger.set(this.#held);
      this.#held = larger;
      this.#heldView = new DataView(larger.buffer);
    }
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes = needed;
  }

  #clear(): void {
    this.#slots.fill(0);
    this.#values.length = 0;
    this.#heldBytes = 0;
  }
}

const maxProbes = 32;
