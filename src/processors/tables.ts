/**
 * Bounded hash tables from integers or texts to small numbers. Keys come from the wire, so hashes are seeded per process, and
 * lookups stop after 32 probes: a sender cannot choose keys that collide.
 */
import { addressIpv4 } from "../records/flow/columns.ts";
import { freeBuffer } from "../runtime/process.ts";

/** The key was not found, or there is no room for it. */
export const noNumber = -1;

const maxProbes = 32;

/** Initial slots, a power of two. */
const firstSlots = 256;

/** Random multipliers (odd) and offsets, so that collisions cannot be precomputed. */
const seeds = crypto.getRandomValues(new Uint32Array(5));
const offsetA = (seeds[0] as number) | 0;
const offsetB = (seeds[1] as number) | 0;
const multiplierA = (seeds[2] as number) | 1;
const multiplierB = (seeds[3] as number) | 1;
const secondSeed = (seeds[4] as number) | 0;

/** A seeded hash of two 32-bit integers, as a signed 32-bit integer. */
export function hashOf(a: number, b: number): number {
  let hash = Math.imul(a ^ offsetA, multiplierA);
  hash ^= hash >>> 15;
  hash = Math.imul(hash ^ b ^ offsetB, multiplierB);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** A seeded hash of an address in columns: `value` is an IPv4 address or an index into `ipv6`. */
export function hashOfAddress(tag: number, value: number, ipv6: Uint32Array): number {
  if (tag === addressIpv4) return hashOf(value, tag);
  const at = value * 4;
  const upper = hashOf(ipv6[at] as number, ipv6[at + 1] as number);
  return hashOf(upper, hashOf(ipv6[at + 2] as number, ipv6[at + 3] as number));
}

/** A seeded hash of a text; the caller bounds its length. */
export function hashOfText(text: string, seed: number = offsetA): number {
  const { length } = text;
  let hash = seed ^ length;
  for (let at = 0; at < length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), multiplierA);
    hash ^= hash >>> 15;
  }
  return hashOf(hash, length);
}

/** Maps pairs of unsigned 32-bit integers to numbers from 0. Grows as it fills. */
export class NumberTable {
  readonly #capacity: number;
  /** Three words per slot: the key's two, and the number plus one; 0 is a free slot. */
  #slots = new Uint32Array(firstSlots * 3);
  #mask = firstSlots - 1;
  #size = 0;

  /** `capacity`: maximum number of keys. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** The number of a key, or `noNumber`. */
  find(a: number, b: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    let slot = hashOf(a, b) & mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const at = slot * 3;
      const number = slots[at + 2] as number;
      if (number === 0) return noNumber;
      if (slots[at] === a && slots[at + 1] === b) return number - 1;
      slot = (slot + 1) & mask;
    }
    return noNumber;
  }

  /** Adds a key that is not in the table. Returns false, without adding it, if there is no room. */
  add(a: number, b: number, number: number): boolean {
    if (this.#size >= this.#capacity) return false;
    // Below a load of 46 %, 32 probes fail for fewer than one key in a thousand.
    if (this.#size * 2.2 > this.#mask) this.#grow();
    let slot = hashOf(a, b) & this.#mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const at = slot * 3;
      if (this.#slots[at + 2] === 0) {
        this.#slots[at] = a;
        this.#slots[at + 1] = b;
        this.#slots[at + 2] = number + 1;
        this.#size++;
        return true;
      }
      slot = (slot + 1) & this.#mask;
    }
    return false;
  }

  clear(): void {
    if (this.#size > 0) this.#slots.fill(0);
    this.#size = 0;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Uint32Array(old.length * 2);
    const mask = this.#mask * 2 + 1;
    for (let from = 0; from < old.length; from += 3) {
      if (old[from + 2] === 0) continue;
      let slot = hashOf(old[from] as number, old[from + 1] as number) & mask;
      while (slots[slot * 3 + 2] !== 0) slot = (slot + 1) & mask;
      for (let word = 0; word < 3; word++) slots[slot * 3 + word] = old[from + word] as number;
    }
    this.#slots = slots;
    this.#mask = mask;
    freeBuffer(old);
  }
}

/**
 * Holds a key and a value, together 64 bits, in two words per slot, so that a probe costs one cache line. Grows as it fills.
 */
export class PackedTable {
  readonly #capacity: number;
  readonly #keyMask: number;
  /** A second word of 0 is a free slot. */
  #slots = new Uint32Array(firstSlots * 2);
  #mask = firstSlots - 1;
  #size = 0;

  /** `capacity`: maximum number of keys. `keyMask`: the bits of the second word that belong to the key. */
  constructor(capacity: number, keyMask: number) {
    this.#capacity = capacity;
    this.#keyMask = keyMask;
  }

  get size(): number {
    return this.#size;
  }

  /** The second word of the slot whose key is that of these two words; 0 if there is none. */
  find(a: number, b: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    const key = b & this.#keyMask;
    let slot = hashOf(a, key) & mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const word = slots[slot * 2 + 1] as number;
      if (word === 0) return 0;
      if (slots[slot * 2] === a && (word & this.#keyMask) === key) return word;
      slot = (slot + 1) & mask;
    }
    return 0;
  }

  /** Adds a key that is not in the table; `b` is not 0. Returns false, without adding it, if there is no room. */
  add(a: number, b: number): boolean {
    if (this.#size >= this.#capacity) return false;
    if (this.#size * 2.2 > this.#mask) this.#grow();
    if (!this.#insert(a, b, maxProbes)) return false;
    this.#size++;
    return true;
  }

  clear(): void {
    if (this.#size > 0) this.#slots.fill(0);
    this.#size = 0;
  }

  /** Frees its memory. The table must not be used again. */
  free(): void {
    freeBuffer(this.#slots);
  }

  #insert(a: number, b: number, probes: number): boolean {
    const slots = this.#slots;
    let slot = hashOf(a, b & this.#keyMask) & this.#mask;
    for (let probe = 0; probe < probes; probe++) {
      if (slots[slot * 2 + 1] === 0) {
        slots[slot * 2] = a;
        slots[slot * 2 + 1] = b;
        return true;
      }
      slot = (slot + 1) & this.#mask;
    }
    return false;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Uint32Array(old.length * 2);
    this.#mask = this.#mask * 2 + 1;
    for (let from = 0; from < old.length; from += 2)
      if (old[from + 1] !== 0) this.#insert(old[from] as number, old[from + 1] as number, this.#mask);
    freeBuffer(old);
  }
}

/** Maps texts to consecutive numbers in order of arrival. */
export class TextTable {
  /** Keyed by two hashes of the text. */
  readonly #numbers: NumberTable;
  readonly #texts: string[] = [];

  constructor(capacity: number) {
    this.#numbers = new NumberTable(capacity);
  }

  get size(): number {
    return this.#texts.length;
  }

  /** The number of a text, which is added if new; `noNumber` if there is no room. */
  numberOf(text: string): number {
    const [a, b] = [hashOfText(text) >>> 0, hashOfText(text, secondSeed) >>> 0];
    const number = this.#numbers.find(a, b);
    if (number !== noNumber) return this.#texts[number] === text ? number : noNumber;
    return this.#numbers.add(a, b, this.#texts.length) ? this.#texts.push(text) - 1 : noNumber;
  }

  clear(): void {
    this.#numbers.clear();
    this.#texts.length = 0;
  }
}
