/** Decides which records of a batch are new: the one place where a record is accepted or found to be known. */
import { decodeLeftOut, encodeLeftOut, keepsAll } from "../records/flow/rows.ts";
import type { DefectReason, RecordType } from "../records/types.ts";
import { type Append, type KnownKeys, type Part, partFlags, type QuarantinePart, type Tally } from "./batch.ts";
import type { KeyClass } from "./journal.ts";
import { keyBits, type KeyTable, keyWords } from "./keys.ts";

/** The keys that a batch is judged against: committed ones, and those added by the open transaction. A key is four words at `at`. */
export interface Keys {
  held(keyClass: KeyClass): Pick<KeyTable, "heldWord" | "holdsWindow">;
  /**
   * Adds a key with these bits in its fourth word, unless it is held. It ages from `agesFrom` on, epoch milliseconds. Returns the
   * fourth word of the held key, or 0.
   */
  addNew(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): number;
  /** Adds a key, or adds the bits to a held one. */
  add(keyClass: KeyClass, keys: Uint32Array, at: number, bits: number, agesFrom: number): void;
}

export interface JudgedPart {
  /** A byte per record, 1 for known ones; undefined if none is known. */
  readonly dropped: Uint8Array | undefined;
  /** The part to write, with the limit on log records applied; undefined if all of it is known. */
  readonly accepted: Part | undefined;
}

/** Maximum difference between the times of an audit record and of a webhook event about the same fact. */
const factToleranceMs = 1000;

/** Members of a tally that count by name. */
type Named = "duplicates" | "leftOut" | "retried" | "repaired" | "late" | "unproven" | "unverifiable";

/** Judges one batch against the keys, and adds the keys of what is new. Depends on nothing else. */
export class Judgement {
  /** In the order of the append's parts. */
  readonly parts: readonly JudgedPart[];
  /** Quarantined texts that are new. */
  readonly quarantine: readonly QuarantinePart[];
  readonly #append: Append;
  readonly #keys: Keys;
  readonly #sourceBit: number;
  /** Bits that are stored with each key. */
  readonly #bits: number;
  readonly #named: { [Name in Named]?: Record<string, number> } = {};
  readonly #conflicts = { counters: 0, entries: 0 };
  readonly #sums = { samples: 0, futureTimes: 0, replacedTimes: 0, droppedLogRecords: 0 };
  /** Number of log records that the batch may still produce. */
  #logRecordsLeft: number;

  constructor(append: Append, keys: Keys) {
    this.#append = append;
    this.#keys = keys;
    this.#sourceBit = keyBits[append.source];
    this.#bits = this.#sourceBit | (append.repairs === true ? keyBits.repaired : 0);
    this.#logRecordsLeft = append.maxLogRecords ?? Number.POSITIVE_INFINITY;
    for (const known of append.known) this.#repeatKnown(known);
    this.parts = append.parts.map((part) => this.#judge(part));
    this.quarantine = append.quarantine.flatMap((part) => this.#newLines(part));
  }

  #judge(part: Part): JudgedPart {
    const { type, keys, keysAt, facts, records } = part;
    const dropped = new Uint8Array(records);
    let count = 0;
    for (let record = 0; record < records; record++) {
      if (this.#accepts(type, keys, record * keyWords, keysAt, facts?.[record])) continue;
      dropped[record] = 1;
      count++;
    }
    if (count === 0) return { dropped: undefined, accepted: this.#limited(part) };
    return { dropped, accepted: count === records ? undefined : this.#limited(part.without(dropped)) };
  }

  /** A retried text that is quarantined again is always new, because its first line is cleared. */
  #newLines(part: QuarantinePart): QuarantinePart[] {
    if (part.keys.length === 0) return [part];
    const { retries, receivedAt } = this.#append;
    const dropped = new Uint8Array(part.lines);
    for (let line = 0; line < part.lines; line++) {
      const held = this.#keys.addNew("quarantined", part.keys, line * keyWords, this.#bits, receivedAt);
      if (held !== 0 && retries === undefined) dropped[line] = 1;
    }
    const duplicates = dropped.reduce((sum, one) => sum + one, 0);
    if (part.type !== "unknown") this.#count("duplicates", part.type, duplicates);
    if (duplicates === part.lines) return [];
    return [duplicates > 0 ? part.without(dropped) : part];
  }

  #accepts(type: RecordType, keys: Uint32Array, at: number, keysAt: number, fact: Uint32Array | undefined): boolean {
    const seen = this.#keys;
    const hasWindow = seen.held(type).holdsWindow(keys, at);
    const held = seen.addNew(type, keys, at, this.#bits, keysAt);
    if (held !== 0) {
      this.#repeat(type, keys, at, keysAt, held);
      return false;
    }
    if (hasWindow) this.#conflicts.entries++;
    if (fact === undefined) return true;
    if (type !== "webhook") {
      seen.add("webhook", fact, 0, this.#bits, keysAt);
      return true;
    }
    if (!this.#isFactKnown(fact)) return true;
    this.#count("duplicates", type, 1);
    return false;
  }

  /**
   * The records were known when the batch was built, which suffices: their keys may have been removed since, the records have
   * not.
   */
  #repeatKnown({ type, keys, keysAt }: KnownKeys): void {
    for (let at = 0; at < keys.length; at += keyWords)
      this.#repeat(type, keys, at, keysAt, this.#keys.held(type).heldWord(keys, at));
  }

  /** Counts a known record. If it came by another way than before, its key is written again with both ways. */
  #repeat(type: RecordType, keys: Uint32Array, at: number, keysAt: number, held: number): void {
    this.#count("duplicates", type, 1);
    if (held === 0) return;
    if (held >>> 8 !== (keys[at + 3] as number) >>> 8) this.#conflicts.counters++;
    if ((held & this.#sourceBit) !== 0) return;
    const isLate = this.#append.source === "stream" && (held & keyBits.repaired) !== 0;
    if (isLate && type !== "webhook") this.#count("late", type, 1);
    this.#keys.add(type, keys, at, this.#bits, keysAt);
  }

  /** True if a fact of about that time is known: of its own second or of an adjacent one. */
  #isFactKnown(fact: Uint32Array): boolean {
    for (let at = 0; at < fact.length; at += keyWords) {
      const held = this.#keys.held("webhook").heldWord(fact, at);
      if (held === 0) continue;
      const apart = ((held >>> 8) - ((fact[3] as number) >>> 8)) & 0xff_ffff;
      if (apart <= factToleranceMs || apart >= 0x100_0000 - factToleranceMs) return true;
    }
    return false;
  }

  /** The part with the batch's limit on log records applied to what is left out. */
  #limited(part: Part): Part {
    const { logRecords, leftOut, records } = part;
    if (logRecords === undefined || this.#append.maxLogRecords === undefined) return part;
    const kept = new Uint32Array(records).fill(keepsAll);
    for (let record = 0; record < records; record++) {
      const wanted = logRecords[record] as number;
      const granted = Math.min(wanted, this.#logRecordsLeft);
      this.#logRecordsLeft -= granted;
      this.#sums.droppedLogRecords += wanted - granted;
      if (granted < wanted) kept[record] = granted;
    }
    if (kept.every((count) => count === keepsAll)) return part;
    const entries = leftOut === undefined ? [] : decodeLeftOut(leftOut).entries;
    return { ...part, leftOut: encodeLeftOut({ entries, kept }) };
  }

  /** What the batch leaves besides its records; counts of zero are absent. Call it once. */
  tally(): Tally {
    const { bytes, bytesOf, skipped, retries, repairs, poll } = this.#append;
    for (const { accepted } of this.parts) if (accepted !== undefined) this.#countAccepted(accepted, repairs === true);
    if (retries !== undefined) this.#count("retried", retries.reason, 1);
    if (poll !== undefined) this.#count("unverifiable", poll.type, poll.unverifiableSeconds);
    const quarantined = this.quarantine.flatMap(({ class: itemClass, type, reason, lines: records }) => {
      if (itemClass === "sample") this.#sums.samples += records;
      return itemClass === "sample" || type === "unknown" ? [] : [{ type, reason: reason as DefectReason, records }];
    });
    return {
      bytes,
      bytesOf,
      ...this.#named,
      ...Object.fromEntries(Object.entries(this.#sums).filter(([, sum]) => sum > 0)),
      ...(this.#conflicts.counters + this.#conflicts.entries > 0 && { conflicts: this.#conflicts }),
      ...(Object.keys(skipped).length > 0 && { skipped }),
      ...(quarantined.length > 0 && { quarantined }),
    };
  }

  #countAccepted({ type, records, flags, leftOutEntries }: Part, isRepair: boolean): void {
    for (const [reason, entries] of Object.entries(leftOutEntries)) this.#count("leftOut", reason, entries);
    if (isRepair && type !== "webhook") this.#count("repaired", type, records);
    for (const flag of flags) {
      if (flag === 0) continue;
      if ((flag & partFlags.ahead) !== 0) this.#sums.futureTimes++;
      if ((flag & partFlags.replacedTime) !== 0) this.#sums.replacedTimes++;
      if ((flag & partFlags.unproven) !== 0 && type !== "webhook") this.#count("unproven", type, 1);
    }
  }

  #count(member: Named, name: string, more: number): void {
    if (more === 0) return;
    const counts = (this.#named[member] ??= {});
    counts[name] = (counts[name] ?? 0) + more;
  }
}
