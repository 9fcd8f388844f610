/**
 * The seen keys of one class in memory: 16 bytes per slot, at most 25 bytes per key, at most 32 probes per look-up.
 *
 * Robin Hood hashing: a key takes the slot of one that is nearer to its own home slot, so distances stay short up to a load of
 * 0.8 (33 probes are expected once in a million keys at that load; the sub-table then grows early). The home slot is derived from
 * all 96 bits of window and entries and from a seed, so records of one window are spread like any others. A table has 256
 * sub-tables that grow independently, with staggered sizes so that they do not grow at the same moment.
 */
import { randomInt } from "node:crypto";
import { freeBuffer } from "../runtime/process.ts";

/**
 * The low 8 bits of a key's fourth word: the ways that brought it, whether a later row of `keys` holds it again, and whether a
 * poll brought it while the stream was available to bring it.
 */
export const keyBits = { stream: 1, poll: 2, webhook: 4, rewritten: 8, repaired: 16 } as const;

/** Words per key. */
export const keyWords = 4;

/** True if the stream brought any of these keys. */
export function isStreamed(words: Uint32Array): boolean {
  for (let at = 3; at < words.length; at += keyWords) if (((words[at] as number) & keyBits.stream) !== 0) return true;
  return false;
}

const subTables = 256;
const firstSlots = 8;
const maxProbes = 32;
const maxLoad = 0.8;
const growth = 1.25;

/** A sub-table this many times larger than its keys need drops a key for which it still has no slot. */
const maxSlack = 8;

/** Up to this size a sub-table can always grow. */
const smallSlots = 256;

export class KeyTable {
  /** Four words per slot. Signed, because the engine compares 32-bit integers faster than larger numbers. */
  readonly #tables = Array.from({ length: subTables }, (_, sub) => tableOf(staggered(firstSlots, sub)));
  readonly #used = new Uint32Array(subTables);
  readonly #firstSeed = randomInt(2 ** 32) | 0;
  readonly #secondSeed = randomInt(2 ** 32) | 0;
  /**
   * Windows of held keys, one per slot, the later replacing the earlier: 4 MiB for about the last million. A forgotten window
   * only means that a conflict is not reported. A window has 48 bits: 20 select the slot, 28 are stored.
   */
  readonly #windows: Uint32Array | undefined;
  /** The key that is being placed. */
  readonly #carried = new Int32Array(keyWords);
  #size = 0;

  /** `with windows`: `holdsWindow` recognizes other entries of a known window. */
  constructor(windows?: "with windows") {
    this.#windows = windows && new Uint32Array(1 << 20);
  }

  get size(): number {
    return this.#size;
  }

  get byteLength(): number {
    return this.#tables.reduce((sum, table) => sum + table.byteLength, 0);
  }

  /** Reserves space for that many keys at once, before they are loaded. */
  reserve(keys: number): void {
    const slots = (keys / subTables / maxLoad) * 1.05;
    for (let sub = 0; sub < subTables; sub++) {
      const wanted = staggered(slots, sub / 4);
      if (wanted > this.#slotsOf(sub)) this.#resize(sub, wanted);
    }
  }

  /** The held fourth word (counters and bits) of the key of four words at `at`; 0 if the key is not held. */
  heldWord(keys: Uint32Array, at: number): number {
    const hash = this.#hashOf(keys, at);
    const table = this.#tables[hash >>> 24] as Int32Array;
    const place = find(table, hash, keys, at);
    return place < 0 ? 0 : (table[place + 3] as number) >>> 0;
  }

  /** True if a key of the same window is held, as far as the table of windows remembers. */
  holdsWindow(keys: Uint32Array, at: number): boolean {
    return this.#windows?.[slotOf(keys, at)] === windowIn(keys, at);
  }

  /** Adds a key with the bits of its fourth word, unless it is held. Returns the fourth word of the held key, or 0. */
  addNew(keys: Uint32Array, at: number): number {
    const hash = this.#hashOf(keys, at);
    const table = this.#tables[hash >>> 24] as Int32Array;
    const place = find(table, hash, keys, at);
    if (place >= 0) return (table[place + 3] as number) >>> 0;
    this.#insert(hash, keys, at);
    if (this.#windows !== undefined) this.#windows[slotOf(keys, at)] = windowIn(keys, at);
    return 0;
  }

  /**
   * Adds a key with the bits of its fourth word. A held key gets these bits and `rewritten`; its counters stay, because the first
   * ones win. Returns the bits that it had: 0 if it is new.
   */
  add(keys: Uint32Array, at: number): number {
    const held = this.addNew(keys, at) & 0xff;
    if (held !== 0) this.restore(keys, at, held | ((keys[at + 3] as number) & 0xff) | keyBits.rewritten);
    return held;
  }

  /** Adds the keys of a stored row at start. */
  load(keys: Uint32Array): void {
    for (let at = 0; at < keys.length; at += keyWords) this.add(keys, at);
  }

  /** Sets the bits of a key, to undo an `add` that returned them; 0 removes the key. */
  restore(keys: Uint32Array, at: number, bits: number): void {
    const hash = this.#hashOf(keys, at);
    const table = this.#tables[hash >>> 24] as Int32Array;
    const place = find(table, hash, keys, at);
    if (place < 0) return;
    if (bits !== 0) table[place + 3] = ((table[place + 3] as number) & ~0xff) | bits;
    else {
      this.#delete(hash >>> 24, place);
      if (this.#windows !== undefined && this.holdsWindow(keys, at)) this.#windows[slotOf(keys, at)] = 0;
    }
  }

  /** Called when a row that holds the key was deleted; the last such row removes the key. */
  remove(keys: Uint32Array, at: number): void {
    const bits = this.heldWord(keys, at) & 0xff;
    this.restore(keys, at, (bits & keyBits.rewritten) === 0 ? 0 : bits & ~keyBits.rewritten);
  }

  /** Mixes the 96 bits of window and entries. Most keys are keyed digests already; the seed is for those that are not. */
  #hashOf(keys: Uint32Array | Int32Array, at: number): number {
    let hash = Math.imul((keys[at] as number) ^ this.#firstSeed, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15) ^ (keys[at + 1] as number), 0xc2b2ae35);
    hash = Math.imul(hash ^ (hash >>> 13) ^ (keys[at + 2] as number) ^ this.#secondSeed, 0x27d4eb2f);
    hash = Math.imul(hash ^ (hash >>> 15), 0x165667b1);
    return hash ^ (hash >>> 16);
  }

  #slotsOf(sub: number): number {
    return (this.#tables[sub] as Int32Array).length / keyWords;
  }

  #insert(hash: number, keys: Uint32Array, at: number): void {
    const sub = hash >>> 24;
    if ((this.#used[sub] as number) + 1 > this.#slotsOf(sub) * maxLoad) this.#grow(sub);
    const carried = this.#carried;
    for (let word = 0; word < keyWords; word++) carried[word] = keys[at + word] as number;
    for (let carriedHash = hash; !this.#place(this.#tables[sub] as Int32Array, carried, carriedHash);) {
      carriedHash = this.#hashOf(carried, 0);
      if (!this.#grow(sub)) return;
    }
    this.#used[sub] = (this.#used[sub] as number) + 1;
    this.#size++;
  }

  /** Places a key by its hash. Returns false if a key, then in `carried`, would be too far from its home slot. */
  #place(table: Int32Array, carried: Int32Array, hash: number): boolean {
    const slots = table.length >>> 2;
    let slot = homeOf(hash, slots);
    for (let distance = 0; distance < maxProbes; distance++) {
      const at = slot << 2;
      const isFree = table[at + 3] === 0;
      const theirs = isFree ? -1 : this.#distance(table, slot, slots);
      if (theirs < distance) {
        for (let word = 0; word < keyWords; word++) {
          const held = table[at + word] as number;
          table[at + word] = carried[word] as number;
          carried[word] = held;
        }
        if (isFree) return true;
        distance = theirs;
      }
      slot = slot + 1 === slots ? 0 : slot + 1;
    }
    return false;
  }

  #distance(table: Int32Array, slot: number, slots: number): number {
    const home = homeOf(this.#hashOf(table, slot << 2), slots);
    return slot >= home ? slot - home : slot - home + slots;
  }

  /** Grows the sub-table. Returns false if it cannot. */
  #grow(sub: number): boolean {
    const slots = this.#slotsOf(sub);
    if (slots > smallSlots && slots > (this.#used[sub] as number) * maxSlack) return false;
    return this.#resize(sub, Math.ceil(slots * growth));
  }

  #resize(sub: number, wanted: number): boolean {
    const from = this.#tables[sub] as Int32Array;
    const carried = new Int32Array(keyWords);
    for (let slots = wanted; slots <= wanted * maxSlack; slots = Math.ceil(slots * growth)) {
      const to = tableOf(slots);
      let isPlaced = true;
      for (let at = 0; at < from.length && isPlaced; at += keyWords) {
        if (from[at + 3] === 0) continue;
        for (let word = 0; word < keyWords; word++) carried[word] = from[at + word] as number;
        isPlaced = this.#place(to, carried, this.#hashOf(carried, 0));
      }
      freeBuffer(isPlaced ? from : to);
      if (!isPlaced) continue;
      this.#tables[sub] = to;
      return true;
    }
    return false;
  }

  /** Empties a slot and moves the keys after it back, as far as they are beyond their home slots. */
  #delete(sub: number, place: number): void {
    const table = this.#tables[sub] as Int32Array;
    const slots = table.length / keyWords;
    let gap = place / keyWords;
    for (;;) {
      const next = gap + 1 === slots ? 0 : gap + 1;
      if (table[next * keyWords + 3] === 0 || this.#distance(table, next, slots) === 0) break;
      table.copyWithin(gap * keyWords, next * keyWords, (next + 1) * keyWords);
      gap = next;
    }
    table.fill(0, gap * keyWords, (gap + 1) * keyWords);
    this.#used[sub] = (this.#used[sub] as number) - 1;
    this.#size--;
  }
}

function tableOf(slots: number): Int32Array {
  return new Int32Array(slots * keyWords);
}

function staggered(slots: number, sub: number): number {
  return Math.ceil(slots * growth ** (sub / subTables));
}

/** Index of the key's first word in its sub-table; -1 if it is not there. */
function find(table: Int32Array, hash: number, keys: Uint32Array, at: number): number {
  const first = (keys[at] as number) | 0;
  const second = (keys[at + 1] as number) | 0;
  const third = (keys[at + 2] as number) | 0;
  let place = homeOf(hash, table.length >>> 2) << 2;
  for (let probe = 0; probe < maxProbes; probe++) {
    if (table[place + 3] === 0) return -1;
    if (table[place + 2] === third && table[place + 1] === second && table[place] === first) return place;
    place += keyWords;
    if (place === table.length) place = 0;
  }
  return -1;
}

function homeOf(hash: number, slots: number): number {
  return Math.floor(((hash & 0xff_ffff) * slots) / 0x100_0000);
}

function slotOf(keys: Uint32Array, at: number): number {
  return (keys[at] as number) & 0xf_ffff;
}

function windowIn(keys: Uint32Array, at: number): number {
  return (0x8000_0000 | (((keys[at + 1] as number) >>> 16) << 12) | ((keys[at] as number) >>> 20)) >>> 0;
}
