/** A cache that cannot grow without end: when it is full it starts anew, which for a memo is correct and cheap. */

export class BoundedCache<Key, Value> {
  readonly #entries = new Map<Key, Value>();
  readonly #maxEntries: number;
  readonly #compute: (key: Key) => Value;
  #resets = 0;

  constructor(maxEntries: number, compute: (key: Key) => Value) {
    this.#maxEntries = maxEntries;
    this.#compute = compute;
  }

  /** How often the bound was reached. */
  get resets(): number {
    return this.#resets;
  }

  /** The value of a key, computed once while it stays. */
  get(key: Key): Value {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= this.#maxEntries) {
      this.#entries.clear();
      this.#resets++;
    }
    const value = this.#compute(key);
    this.#entries.set(key, value);
    return value;
  }
}
