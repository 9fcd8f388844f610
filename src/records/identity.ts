/**
 * The identity of a record: 96 bits that detect a duplicate, from whichever source, and 24 that detect different counters. The
 * digests are keyed, so that a node cannot forge a record that collides with another one's.
 */
import { hash } from "node:crypto";
import { millisOfHrTime } from "../lib/clock.ts";
import type { Fact } from "./plain.ts";
import type { AuditRecord, WebhookRecord } from "./types.ts";
import { addressIpv4, addressIpv6, addressText, type FlowColumns } from "./flow/columns.ts";
import { canonicalJson } from "./json.ts";

/**
 * Words of a key: the window's lower 32 bits · its upper 16, the upper 16 of the entries · the lower 32 of the entries ·
 * 24 bits of the counters, 8 flags, which are 0 here.
 */
export const keyWords = 4;

/** Computes keys under a secret, for one tailnet. */
export class Identifier {
  readonly #secret: string;
  readonly #tailnet: number;
  readonly #window: KeyedHash;
  readonly #entry: KeyedHash;
  readonly #counterSeed: number;
  readonly #words = new Int32Array(8 + maxPlainCharacters);
  readonly #key = new Uint32Array(keyWords);

  /** The journal stores `secretHex` and the tailnet's number, so naming the tailnet later does not change identities. */
  constructor(secretHex: string, tailnet: number) {
    this.#secret = secretHex;
    this.#tailnet = tailnet;
    this.#window = new KeyedHash(this.#digest("flow window", ""));
    this.#entry = new KeyedHash(this.#digest("flow entry", ""));
    this.#counterSeed = this.#digest("flow counters", "").readInt32LE(0);
  }

  /**
   * Writes the key of a flow record at `at`. Entry digests are summed, so their order does not matter but a repeated entry does;
   * an entry that is left out contributes the digest of its text. 70 ns per entry, including the window.
   */
  flow(columns: FlowColumns, record: number, into: Uint32Array, at: number): void {
    const to = columns.firstEntry[record + 1] as number;
    let low = 0;
    let high = 0;
    let counters = 0;
    for (let entry = columns.firstEntry[record] as number; entry < to; entry++) {
      const digest = columns.leftOut[entry] === 0 ? this.#hashEntry(columns, entry) : this.#hashLeftOut(columns, entry);
      low = (low + digest.low) | 0;
      high = (high + digest.high) | 0;
      counters = (counters + this.#hashCounters(columns, entry, digest.low)) | 0;
    }
    const window = this.#hashWindow(columns, record);
    into[at] = window.low;
    into[at + 1] = (window.high << 16) | (high & 0xffff);
    into[at + 2] = low;
    into[at + 3] = counters << 8;
  }

  /** The key of an audit record (see `identityOfAudit`), or of a webhook event, all of whose members are part of the identity. */
  plain(record: AuditRecord | WebhookRecord, into: Uint32Array, at: number): void {
    const text = record.type === "audit" ? identityOfAudit(record) : canonicalJson(record.event);
    writeDigest(this.#digest(record.type, text), into, at);
  }

  /** The key of a quarantined text, so that it is not quarantined twice. */
  text(text: string, into: Uint32Array, at: number): void {
    writeDigest(this.#digest("text", text), into, at);
  }

  /**
   * Keys of a fact for its own second and for the ones before and after, since the two sources may differ by one. The 24
   * counter bits hold the low bits of its epoch milliseconds: three lookups and a comparison of these bits find the same fact
   * within a second.
   */
  factKeys({ kind, name, time }: Fact): Uint32Array {
    const keys = new Uint32Array(keyWords * 3);
    for (const [place, offset] of [0, -1, 1].entries()) {
      writeDigest(this.#digest("fact", `${kind}\n${name}\n${time[0] + offset}`), keys, place * keyWords);
      keys[place * keyWords + 3] = Math.floor(millisOfHrTime(time)) << 8;
    }
    return keys;
  }

  /** Window and entries of a flow record in hexadecimal, for `log.record.uid`. */
  uid(columns: FlowColumns, record: number): string {
    this.flow(columns, record, this.#key, 0);
    return hexOf(this.#key);
  }

  /** The same for a record of another type. */
  uidOf(record: AuditRecord | WebhookRecord): string {
    this.plain(record, this.#key, 0);
    return hexOf(this.#key);
  }

  #hashWindow(columns: FlowColumns, record: number): KeyedHash {
    const words = this.#words;
    const nodeId = columns.nodeId[record] as string;
    let count = writeTime(words, 0, columns.startSeconds[record] as number, columns.startNanos[record] as number);
    count = writeTime(words, count, columns.endSeconds[record] as number, columns.endNanos[record] as number);
    count = this.#writeText(words, count, nodeId);
    this.#window.digest(words, count, 0);
    return this.#window;
  }

  /** Over canonical binary addresses, not column indexes. The final bytes make entries of different lengths distinct. */
  #hashEntry(columns: FlowColumns, entry: number): KeyedHash {
    const ends = columns.ends[entry] as number;
    this.#words[0] = (columns.sourcePort[entry] as number) | ((columns.destinationPort[entry] as number) << 16);
    let count = this.#writeAddress(1, columns, ends & 3, columns.source[entry] as number);
    count = this.#writeAddress(count, columns, ends >> 2, columns.destination[entry] as number);
    const name = columns.protocolNames.size === 0 ? undefined : columns.protocolNames.get(entry);
    if (name !== undefined) count = this.#writeText(this.#words, count, name);
    const protocol = name === undefined ? (columns.protocol[entry] as number) << 8 : namedMark;
    const last = (columns.traffic[entry] as number) | protocol | (ends << 16);
    this.#entry.digest(this.#words, count, last);
    return this.#entry;
  }

  #hashLeftOut(columns: FlowColumns, entry: number): KeyedHash {
    const count = this.#writeText(this.#words, 0, columns.leftOutTexts.get(entry) ?? "");
    this.#entry.digest(this.#words, count, leftOutMark | (columns.traffic[entry] as number));
    return this.#entry;
  }

  /** Returns the index after the last word written. */
  #writeAddress(place: number, columns: FlowColumns, tag: number, value: number): number {
    const words = this.#words;
    if (tag === addressIpv4) {
      words[place] = value;
      return place + 1;
    }
    if (tag === addressIpv6) {
      for (let word = 0; word < 4; word++) words[place + word] = columns.ipv6[value * 4 + word] as number;
      return place + 4;
    }
    return tag === addressText ? this.#writeText(words, place, columns.addressTexts[value] as string) : place;
  }

  /** The length, then two characters per word, or a digest of a long text: distinct texts give distinct words. */
  #writeText(words: Int32Array, place: number, text: string): number {
    let next = place;
    words[next++] = text.length;
    if (text.length > maxPlainCharacters) {
      const digest = this.#digest("flow text", text);
      for (let at = 0; at < 16; at += 4) words[next++] = digest.readInt32LE(at);
    } else {
      for (let at = 0; at < text.length; at += 2)
        words[next++] = text.charCodeAt(at) | (at + 1 < text.length ? text.charCodeAt(at + 1) << 16 : 0);
    }
    return next;
  }

  /** Bound to their entry, so that counters swapped between entries are detected. */
  #hashCounters(columns: FlowColumns, entry: number, digestOfEntry: number): number {
    let mixed = digestOfEntry ^ this.#counterSeed;
    mixed = mix(mixed, columns.txPackets[entry] as number);
    mixed = mix(mixed, columns.txBytes[entry] as number);
    mixed = mix(mixed, columns.rxPackets[entry] as number);
    return mix(mixed, columns.rxBytes[entry] as number);
  }

  #digest(purpose: string, text: string): Buffer {
    return hash("sha256", `${this.#secret}\n${purpose}\n${this.#tailnet}\n${text}`, "buffer");
  }
}

/** Leaves out the time, which differs in precision between stream and API, unless the record has no group id. */
function identityOfAudit({ actor, target, ...record }: AuditRecord): string {
  const time = record.eventGroupId === "" && record.time !== undefined ? Math.floor(millisOfHrTime(record.time)) : "";
  return JSON.stringify([
    record.eventGroupId,
    time,
    record.action,
    record.actionDetails,
    record.error,
    actor.id,
    target.type,
    target.id,
    target.name,
    target.property,
    canonicalJson(record.old),
    canonicalJson(record.new),
  ]);
}

/** Set in the last word only of entries with an unknown protocol name. */
const namedMark = 0x0040_0000;

/** Set in the last word only of entries that are left out. */
const leftOutMark = 0x0080_0000;

/** A longer text is replaced by its digest. */
const maxPlainCharacters = 64;

/** Writes a time as three words. Returns the index after them. */
function writeTime(words: Int32Array, place: number, seconds: number, nanos: number): number {
  words[place] = nanos;
  words[place + 1] = seconds;
  words[place + 2] = Math.floor(seconds / 0x1_0000_0000);
  return place + 3;
}

function writeDigest(digest: Buffer, into: Uint32Array, at: number): void {
  into[at] = digest.readUInt32LE(0);
  into[at + 1] = digest.readUInt32LE(4);
  into[at + 2] = digest.readUInt32LE(8);
  into[at + 3] = 0;
}

function mix(state: number, counter: number): number {
  let mixed = Math.imul(state ^ (counter | 0), 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ Math.floor(counter / 0x1_0000_0000), 0xc2b2_ae35);
  return mixed ^ (mixed >>> 16);
}

function hexOf(key: Uint32Array): string {
  let text = "";
  for (let word = 0; word < 3; word++) text += (key[word] as number).toString(16).padStart(8, "0");
  return text;
}

/**
 * HalfSipHash-2-4 with 64 bits of output, over 32-bit words: a pseudo-random function that needs only 32-bit arithmetic
 * (Aumasson and Bernstein, https://github.com/veorq/SipHash). SHA-256 costs ten times as much per entry.
 */
export class KeyedHash {
  /** The two halves of the last digest, as signed 32-bit integers. */
  low = 0;
  high = 0;

  readonly #key0: number;
  readonly #key1: number;

  /** The key is the first eight bytes. */
  constructor(key: Buffer) {
    this.#key0 = key.readInt32LE(0);
    this.#key1 = key.readInt32LE(4);
  }

  /** Digests the message of the first `count` words, least significant byte first, and three more bytes. */
  digest(words: Int32Array, count: number, lastThreeBytes: number): void {
    let v0 = this.#key0;
    let v1 = this.#key1 ^ 0xee;
    let v2 = this.#key0 ^ 0x6c79_6765;
    let v3 = this.#key1 ^ 0x7465_6462;
    const last = (lastThreeBytes & 0xff_ffff) | ((count * 4 + 3) << 24);
    // Two rounds for each word and the last one, then four for each half of the digest.
    const rounds = count * 2 + 2;
    let word = 0;
    for (let round = 0; round < rounds + 8; round++) {
      if (round < rounds) {
        if ((round & 1) === 0) {
          word = round === rounds - 2 ? last : (words[round >> 1] as number);
          v3 ^= word;
        }
      } else if (round === rounds) {
        v2 ^= 0xee;
      } else if (round === rounds + 4) {
        this.low = v1 ^ v3;
        v1 ^= 0xdd;
      }
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      if (round < rounds && (round & 1) === 1) v0 ^= word;
    }
    this.high = v1 ^ v3;
  }
}
