/**
 * The seen keys of one class in packed arrays: open addressing, 13 bytes a slot and at most 20 a key with the slack of
 * growth. A key's slot follows from `high` alone, so keys of one window stand together and are compared in one walk.
 */
import type { SeenKey } from "../records/identity.ts";

/** What the table says about a key. `entries`: the window is known with other entries, so the record is new all the same. */
export type KeyVerdict = "new" | "new_entries" | "known" | "known_counters";

/**
 * Bits beside a key: the ways that brought it, whether a later row of `keys` holds it again, and whether a poll brought it
 * while the stream was there to bring it.
 */
export const sourceBits = { stream: 1, poll: 2, webhook: 4 } as const;
export const rewrittenBit = 8;
export const repairedBit = 16;

const initialSlots = 1024;
const maxLoad = 0.8;
const growth = 1.2;

export class KeyTable {
  #high = new Uint32Array(initialSlots);
  #low = new Uint32Array(initialSlots);
  #check = new Uint32Array(initialSlots);
  /** 0 marks an empty slot: a key has at least one source. */
  #bits = new Uint8Array(initialSlots);
  #size = 0;

  /** Keys held. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the arrays. */
  get byteLength(): number {
    return this.#bits.length * 13;
  }

  /** Whether a key, its window or its counters are known. */
  probe({ high, low, check }: SeenKey): KeyVerdict {
    const slots = this.#bits.length;
    let verdict: KeyVerdict = "new";
    for (let slot = this.#home(high); this.#bits[slot] !== 0; slot = slot + 1 === slots ? 0 : slot + 1) {
      if (this.#high[slot] !== high) continue;
      const other = this.#low[slot] as number;
      if (other === low) return this.#check[slot] === check ? "known" : "known_counters";
      if (other >>> 24 === low >>> 24) verdict = "new_entries";
    }
    return verdict;
  }

  /** The bits of a key; 0 where it is not held. */
  bitsOf(key: SeenKey): number {
    const slot = this.#find(key);
    return slot < 0 ? 0 : (this.#bits[slot] as number);
  }

  /** Adds a key, or adds bits to a known one, whose counters stay: the first wins. */
  add(key: SeenKey, bits: number): void {
    const known = this.#find(key);
    if (known >= 0) {
      this.#bits[known] = (this.#bits[known] as number) | bits;
      return;
    }
    if (this.#size + 1 > this.#bits.length * maxLoad) this.#grow();
    this.#insert(key.high, key.low, key.check, bits);
    this.#size++;
  }

  /** Takes bits off a key; removes it when none but those of its sources would be left to keep it. */
  remove(key: SeenKey): void {
    const slot = this.#find(key);
    if (slot < 0) return;
    const bits = this.#bits[slot] as number;
    if ((bits & rewrittenBit) !== 0) {
      this.#bits[slot] = bits & ~rewrittenBit;
      return;
    }
    this.#closeGap(slot);
    this.#size--;
  }

  #home(high: number): number {
    return Math.floor((high / 0x1_0000_0000) * this.#bits.length);
  }

  #find({ high, low }: SeenKey): number {
    const slots = this.#bits.length;
    for (let slot = this.#home(high); this.#bits[slot] !== 0; slot = slot + 1 === slots ? 0 : slot + 1) {
      if (this.#high[slot] === high && this.#low[slot] === low) return slot;
    }
    return -1;
  }

  #insert(high: number, low: number, check: number, bits: number): void {
    const slots = this.#bits.length;
    let slot = this.#home(high);
    while (this.#bits[slot] !== 0) slot = slot + 1 === slots ? 0 : slot + 1;
    this.#high[slot] = high;
    this.#low[slot] = low;
    this.#check[slot] = check;
    this.#bits[slot] = bits;
  }

  #grow(): void {
    const [high, low, check, bits] = [this.#high, this.#low, this.#check, this.#bits];
    const slots = Math.ceil(bits.length * growth);
    this.#high = new Uint32Array(slots);
    this.#low = new Uint32Array(slots);
    this.#check = new Uint32Array(slots);
    this.#bits = new Uint8Array(slots);
    for (let slot = 0; slot < bits.length; slot++) {
      if (bits[slot] !== 0)
        this.#insert(high[slot] as number, low[slot] as number, check[slot] as number, bits[slot] as number);
    }
  }

  /** Moves later keys of the run back, so that no walk ends at the gap before its key (Knuth, volume 3, 6.4, algorithm R). */
  #closeGap(gap: number): void {
    const slots = this.#bits.length;
    for (let slot = gap + 1 === slots ? 0 : gap + 1; this.#bits[slot] !== 0; slot = slot + 1 === slots ? 0 : slot + 1) {
      const home = this.#home(this.#high[slot] as number);
      const staysReachable = gap <= slot ? home > gap && home <= slot : home > gap || home <= slot;
      if (staysReachable) continue;
      this.#high[gap] = this.#high[slot] as number;
      this.#low[gap] = this.#low[slot] as number;
      this.#check[gap] = this.#check[slot] as number;
      this.#bits[gap] = this.#bits[slot] as number;
      gap = slot;
    }
    this.#bits[gap] = 0;
  }
}
