/**
 * Bounded tables from integers or texts to small numbers. What is looked up comes from the wire, so every table is seeded
 * anew in each process, holds no more than its bound and gives up after 32 probes: nobody can choose keys that collide.
 */
import { addressIpv4 } from "../records/flow/columns.ts";

/** A key was not found, or has no room. */
export const noNumber = -1;

const maxProbes = 32;

/** Random odd multipliers and offsets, so that collisions cannot be computed beforehand. */
const seeds = crypto.getRandomValues(new Uint32Array(4));
const offsetA = (seeds[0] as number) | 0;
const offsetB = (seeds[1] as number) | 0;
const multiplierA = (seeds[2] as number) | 1;
const multiplierB = (seeds[3] as number) | 1;

/** A seeded hash of two 32-bit integers, as a signed one. */
export function hashOf(a: number, b: number): number {
  let hash = Math.imul(a ^ offsetA, multiplierA);
  hash ^= hash >>> 15;
  hash = Math.imul(hash ^ b ^ offsetB, multiplierB);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** A seeded hash of an address as columns hold it: `value` is an IPv4 address, or an index into `ipv6`. */
export function hashOfAddress(tag: number, value: number, ipv6: Uint32Array): number {
  if (tag === addressIpv4) return hashOf(value, tag);
  const at = value * 4;
  const upper = hashOf(ipv6[at] as number, ipv6[at + 1] as number);
  return hashOf(upper, hashOf(ipv6[at + 2] as number, ipv6[at + 3] as number));
}

/** A seeded hash of a text, whose length somebody else has bounded. */
export function hashOfText(text: string): number {
  const { length } = text;
  let hash = offsetA ^ length;
  for (let at = 0; at < length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), multiplierA);
    hash ^= hash >>> 15;
  }
  return hashOf(hash, length);
}

/** A power of two of which a full table takes less than 46 %: 32 probes then fail for less than one key in a thousand. */
function slotsFor(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(capacity * 2.2));
}

/** Pairs of 32-bit integers to numbers from 0 on. */
export class NumberTable {
  readonly #capacity: number;
  readonly #mask: number;
  /** Three words per slot: the key's two, and the number plus one; 0 is a free slot. */
  readonly #slots: Uint32Array;
  #size = 0;

  /** `capacity`: keys held at most. */
  constructor(capacity: number) {
    this.#capacity = capacity;
    const slots = slotsFor(capacity);
    this.#mask = slots - 1;
    this.#slots = new Uint32Array(slots * 3);
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

  /** Adds a key that `find` has not found. False, and nothing added, if there is no room. */
  add(a: number, b: number, number: number): boolean {
    if (this.#size >= this.#capacity) return false;
    const slots = this.#slots;
    let slot = hashOf(a, b) & this.#mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const at = slot * 3;
      if (slots[at + 2] === 0) {
        slots[at] = a;
        slots[at + 1] = b;
        slots[at + 2] = number + 1;
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
}

/** Texts to numbers that are given in order of arrival. */
export class TextTable {
  readonly #capacity: number;
  readonly #mask: number;
  /** Per slot, the number plus one; 0 is a free slot. */
  readonly #slots: Uint32Array;
  readonly #texts: string[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
    const slots = slotsFor(capacity);
    this.#mask = slots - 1;
    this.#slots = new Uint32Array(slots);
  }

  get size(): number {
    return this.#texts.length;
  }

  /** The number of a text, which is added if it is new; `noNumber` if there is no room. */
  numberOf(text: string): number {
    let slot = hashOfText(text) & this.#mask;
    for (let probe = 0; probe < maxProbes; probe++) {
      const number = this.#slots[slot] as number;
      if (number === 0) {
        if (this.#texts.length >= this.#capacity) return noNumber;
        this.#slots[slot] = this.#texts.push(text);
        return this.#texts.length - 1;
      }
      if (this.#texts[number - 1] === text) return number - 1;
      slot = (slot + 1) & this.#mask;
    }
    return noNumber;
  }

  clear(): void {
    if (this.#texts.length > 0) this.#slots.fill(0);
    this.#texts.length = 0;
  }
}
