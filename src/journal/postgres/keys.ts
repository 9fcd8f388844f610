/**
 * The keys that an append is judged against: those that this instance remembers, and those that the append itself adds. If the
 * database holds others, the append writes nothing and returns them, and is judged again.
 */
import type { Part } from "../batch.ts";
import { type KeyClass, keyClasses } from "../journal.ts";
import type { Keys } from "../judge.ts";
import { keyBits, KeyTable, keyWords } from "../keys.ts";
import { RememberedKeys } from "./remembered.ts";

/** Held keys returned by the database: 16 bytes each, by class in base64 for classes other than flow. */
export interface HeldKeys {
  readonly known_flow: Uint8Array | null;
  readonly known_other: Readonly<Record<string, string>> | null;
}

const keyBytes = 12;
const heldBytes = keyWords * 4;
const changeBytes = heldBytes + 4;

interface DayOfKeys {
  readonly day: number;
  keys: number;
  latest: number;
  streamed: number;
}

class ClassOfKeys {
  readonly remembered: RememberedKeys;
  /** Keys added by the current append. */
  readonly added: KeyTable;
  words = new Uint32Array(256 * keyWords);
  /** The word that each added key has in the database; 0 if it is new. */
  expected = new Uint32Array(256);
  days = new Uint16Array(256);
  ages = new Float64Array(256);
  count = 0;
  changes = 0;
  /** True if a word has changed since its key was added. */
  isChanged = false;

  constructor(keyClass: KeyClass) {
    const windows = keyClass === "flow" ? "with windows" : undefined;
    this.remembered = new RememberedKeys(windows);
    this.added = new KeyTable(windows);
  }

  heldWord(keys: Uint32Array, at: number): number {
    return this.added.heldWord(keys, at) || this.remembered.heldWord(keys, at);
  }

  holdsWindow(keys: Uint32Array, at: number): boolean {
    return this.added.holdsWindow(keys, at) || this.remembered.holdsWindow(keys, at);
  }

  push(keys: Uint32Array, at: number, word: number, expected: number, day: number, agesFrom: number): void {
    if (this.count === this.expected.length) this.#resize(this.count * 2);
    const place = this.count * keyWords;
    const { words } = this;
    words[place] = keys[at] as number;
    words[place + 1] = keys[at + 1] as number;
    words[place + 2] = keys[at + 2] as number;
    words[place + 3] = word;
    this.expected[this.count] = expected;
    this.days[this.count] = day;
    this.ages[this.count] = agesFrom;
    if (expected !== 0) this.changes++;
    this.count++;
    this.added.addNew(words, place);
  }

  /** Updates the words of all added keys to their current values. */
  settle(): void {
    if (!this.isChanged) return;
    for (let key = 0; key < this.count; key++)
      this.words[key * keyWords + 3] = this.added.heldWord(this.words, key * keyWords);
    this.isChanged = false;
  }

  /** Removes all added keys. */
  clear(): void {
    for (let key = 0; key < this.count; key++) this.added.restore(this.words, key * keyWords, 0);
    this.count = 0;
    this.changes = 0;
    this.isChanged = false;
    if (this.expected.length > 65_536) this.#resize(256);
  }

  #resize(keys: number): void {
    const { words, expected, days, ages, count } = this;
    this.words = new Uint32Array(keys * keyWords);
    this.expected = new Uint32Array(keys);
    this.days = new Uint16Array(keys);
    this.ages = new Float64Array(keys);
    this.words.set(words.subarray(0, count * keyWords));
    this.expected.set(expected.subarray(0, count));
    this.days.set(days.subarray(0, count));
    this.ages.set(ages.subarray(0, count));
  }
}

export class AppendKeys implements Keys {
  readonly #classes: Readonly<Record<KeyClass, ClassOfKeys>> = {
    flow: new ClassOfKeys("flow"),
    audit: new ClassOfKeys("audit"),
    webhook: new ClassOfKeys("webhook"),
    quarantined: new ClassOfKeys("quarantined"),
  };
  /** Days of the parts that are being judged, by their keys. */
  readonly #days = new Map<Uint32Array, Uint16Array | undefined>();

  /** True if the key was recently committed by this instance, or found in the database. */
  knows(keyClass: KeyClass, keys: Uint32Array, at: number): boolean {
    return this.#classes[keyClass].remembered.heldWord(keys, at) !== 0;
  }

  held(keyClass: KeyClass): Pick<KeyTable, "heldWord" | "holdsWindow"> {
    return this.#classes[keyClass];
  }

  /** Call it with parts before they are judged, because their keys are stored by day. */
  expect(parts: readonly Pick<Part, "keys" | "days">[]): void {
    for (const { keys, days } of parts) this.#days.set(keys, days);
  }

  addNew(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): number {
    const of = this.#classes[keyClass];
    const held = of.heldWord(keys, at);
    if (held === 0) of.push(keys, at, wordOf(keys, at, bits), 0, this.#dayOf(keys, at), agesFrom);
    return held;
  }

  add(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): void {
    const of = this.#classes[keyClass];
    const added = of.added.heldWord(keys, at);
    if (added !== 0) {
      of.added.restore(keys, at, (added | bits) & 0xff);
      of.isChanged = true;
      return;
    }
    const expected = of.remembered.heldWord(keys, at);
    const word = expected === 0 ? wordOf(keys, at, bits) : (expected | bits) >>> 0;
    of.push(keys, at, word, expected, this.#dayOf(keys, at), agesFrom);
  }

  /** Adds keys to be looked up. */
  ask(keyClass: KeyClass, keys: Uint32Array, agesFrom: number): void {
    for (let at = 0; at < keys.length; at += keyWords) this.addNew(keyClass, keys, at, keyBits.stream, agesFrom);
  }

  /** The keys added since `committed` or `clear`, as expected by the functions `append` and `look_up`. */
  pack() {
    const { flow } = this.#classes;
    flow.settle();
    const fresh = flow.count - flow.changes;
    const words = flow.changes === 0 ? flow.words : new Uint32Array(fresh * keyWords);
    const days = flow.changes === 0 ? flow.days : new Uint16Array(fresh);
    const flowChanges = Buffer.alloc(flow.changes * changeBytes);
    if (flow.changes > 0) {
      let [keys, changes] = [0, 0];
      for (let key = 0; key < flow.count; key++) {
        if (flow.expected[key] !== 0) writeChange(flowChanges, changes++, flow, key);
        else {
          words.set(flow.words.subarray(key * keyWords, (key + 1) * keyWords), keys * keyWords);
          days[keys++] = flow.days[key] as number;
        }
      }
    }
    return {
      flowDays: Buffer.from(days.buffer, 0, fresh * 2),
      flowKeys: Buffer.from(words.buffer, 0, fresh * heldBytes),
      flowChanges,
      keyDays: JSON.stringify(daysOf(flow)),
      ...this.#packOthers(),
    };
  }

  /** Remembers the added keys, which are now in the database. */
  committed(): void {
    for (const keyClass of keyClasses) {
      const of = this.#classes[keyClass];
      of.settle();
      for (let key = 0; key < of.count; key++) of.remembered.add(of.words, key * keyWords);
    }
    this.clear();
  }

  /** Remembers the keys that the database holds, and discards the added ones, of which none was written. */
  learn({ known_flow: flow, known_other: others }: HeldKeys): void {
    for (const keyClass of keyClasses) {
      const of = this.#classes[keyClass];
      for (let key = 0; key < of.count; key++) of.remembered.forget(of.words, key * keyWords);
      const inBase64 = others?.[keyClass];
      const held = keyClass === "flow" ? flow : inBase64 === undefined ? null : Buffer.from(inBase64, "base64");
      if (held === null) continue;
      const words = new Uint32Array(Uint8Array.from(held).buffer);
      for (let at = 0; at < words.length; at += keyWords) of.remembered.add(words, at);
    }
    this.clear();
  }

  /** Forgets all remembered and added keys. */
  forget(): void {
    for (const keyClass of keyClasses) this.#classes[keyClass].remembered.clear();
    this.clear();
  }

  clear(): void {
    for (const keyClass of keyClasses) this.#classes[keyClass].clear();
    this.#days.clear();
  }

  #dayOf(keys: Uint32Array, at: number): number {
    return this.#days.get(keys)?.[at / keyWords] ?? 0;
  }

  #packOthers() {
    const groups: { class: KeyClass; at: number; first: number; keys: number }[] = [];
    const count = keyClasses.reduce((sum, one) => sum + (one === "flow" ? 0 : this.#classes[one].count), 0);
    const otherKeys = Buffer.alloc(count * changeBytes);
    let place = 0;
    for (const keyClass of keyClasses) {
      if (keyClass === "flow") continue;
      const of = this.#classes[keyClass];
      of.settle();
      for (let key = 0; key < of.count; key++) {
        const at = Math.ceil(of.ages[key] as number);
        let group = groups.at(-1);
        if (group?.class !== keyClass || group.at !== at)
          groups.push((group = { class: keyClass, at, first: place, keys: 0 }));
        group.keys++;
        writeChange(otherKeys, place++, of, key);
      }
    }
    return { otherKeys, otherGroups: JSON.stringify(groups) };
  }
}

function wordOf(keys: Uint32Array, at: number, bits: number): number {
  return (((keys[at + 3] as number) & ~0xff) | bits) >>> 0;
}

function writeChange(to: Buffer, place: number, { words, expected }: ClassOfKeys, key: number): void {
  const from = Buffer.from(words.buffer, key * heldBytes, heldBytes);
  from.copy(to, place * changeBytes, 0, keyBytes);
  to.writeUInt32LE(expected[key] as number, place * changeBytes + keyBytes);
  from.copy(to, place * changeBytes + heldBytes, keyBytes);
}

/** The number of new keys of each day, and the time from which the latest of them ages. */
function daysOf({ count, days, ages, expected, words }: ClassOfKeys): readonly DayOfKeys[] {
  const byDay = new Map<number, DayOfKeys>();
  let last: DayOfKeys | undefined;
  for (let key = 0; key < count; key++) {
    const day = days[key] as number;
    if (last?.day !== day) {
      last = byDay.get(day) ?? { day, keys: 0, latest: 0, streamed: 0 };
      byDay.set(day, last);
    }
    const at = Math.ceil(ages[key] as number);
    if (expected[key] === 0) last.keys++;
    if (at > last.latest) last.latest = at;
    const isStreamed = ((words[key * keyWords + 3] as number) & keyBits.stream) !== 0;
    if (isStreamed && at > last.streamed) last.streamed = at;
  }
  return [...byDay.values()];
}
