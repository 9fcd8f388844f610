/** Remembers the newest keys of one class that this instance has committed or found in the database, as they were then. */
import { KeyTable, keyWords } from "../keys.ts";

/** A limit on memory (40 bytes each), not on what the database holds. */
const maxKeys = 500_000;

const firstKeys = 4096;

export class RememberedKeys {
  readonly #windows: "with windows" | undefined;
  #table: KeyTable;
  /** Keys in the order of arrival, the next one replacing the oldest. A forgotten key still has its place. */
  #ring = new Uint32Array(firstKeys * keyWords);
  #next = 0;
  #isFull = false;

  /** `with windows`: `holdsWindow` recognizes other entries of a known window. */
  constructor(windows?: "with windows") {
    this.#windows = windows;
    this.#table = new KeyTable(windows);
  }

  clear(): void {
    this.#table = new KeyTable(this.#windows);
    this.#ring = new Uint32Array(firstKeys * keyWords);
    this.#next = 0;
    this.#isFull = false;
  }

  /** The fourth word of the key of four words at `at`; 0 if it is not remembered. */
  heldWord(keys: Uint32Array, at: number): number {
    return this.#table.heldWord(keys, at);
  }

  holdsWindow(keys: Uint32Array, at: number): boolean {
    return this.#table.holdsWindow(keys, at);
  }

  /** Remembers a key with its fourth word, whose counters never change. */
  add(keys: Uint32Array, at: number): void {
    if (this.#table.addNew(keys, at) !== 0) {
      this.#table.restore(keys, at, (keys[at + 3] as number) & 0xff);
      return;
    }
    if (this.#next * keyWords === this.#ring.length) this.#turn();
    const place = this.#next++ * keyWords;
    if (this.#isFull) this.#table.restore(this.#ring, place, 0);
    this.#ring.set(keys.subarray(at, at + keyWords), place);
  }

  forget(keys: Uint32Array, at: number): void {
    this.#table.restore(keys, at, 0);
  }

  /** Called when the ring is full: it grows up to its limit, or starts over. */
  #turn(): void {
    if (this.#ring.length === maxKeys * keyWords) {
      this.#isFull = true;
      this.#next = 0;
      return;
    }
    const larger = new Uint32Array(Math.min(this.#ring.length * 2, maxKeys * keyWords));
    larger.set(this.#ring);
    this.#ring = larger;
  }
}
