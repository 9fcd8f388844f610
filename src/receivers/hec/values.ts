/**
 * Cuts the text of a body into its top-level JSON values. Each is scanned as a flow record of the usual shape or, if the
 * scanner gives it up, parsed. Linear in the bytes, wherever the slices end.
 *
 * Top level: objects with nothing or white space between, JSON arrays of values, and `{"logs":[…]}`, which is split like an array.
 */
import { Refusal } from "../../errors.ts";
import type { Batch } from "../../pipeline/batch.ts";
import { ValueBoundary } from "../../records/json.ts";

const space = 0x20;
const newline = 0x0a;
const carriageReturn = 0x0d;
const tab = 0x09;
const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

const byteOrderMark = [0xef, 0xbb, 0xbf];
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const logsPrefix = new TextEncoder().encode('{"logs":[');

/** Room for what is held of a torn value, at first. */
const firstHeldBytes = 256 * 1024;

/** What may come next: `value` and `first` begin a value, `first` may end an empty list as well. */
type Place = "top" | "first" | "value" | "separator" | "wrapper" | "members";

/** Cuts bytes that come in slices into values, and adds each to the batch. */
export class ValueReader {
  /** Complete values so far, which is also the 0-based position of the next. */
  count = 0;
  /** Members and elements of the values that the scanner has given up, roughly: what parsing them leaves behind. */
  parts = 0;
  /** Nothing but white space so far. */
  isEmpty = true;

  readonly #batch: Batch;
  #place: Place = "top";
  /** Inside the list of a `{"logs":[…]}`. */
  #isWrapped = false;
  #isAtStart = true;
  /** Bytes that are not used up: the beginning of a value, or of what tells its kind. */
  #held = new Uint8Array(0);
  #heldBytes = 0;
  /** Looks for the end of the value that `#held` begins, from there on. */
  #boundary: ValueBoundary | undefined;
  #searchedBytes = 0;

  constructor(batch: Batch) {
    this.#batch = batch;
  }

  /** Adds the values that end in this slice. @throws {Refusal} */
  push(slice: Uint8Array): void {
    this.#take(slice, "more");
  }

  /** @throws {Refusal} `unparsable` if a value or a list is torn. */
  end(): void {
    this.#take(new Uint8Array(0), "end");
    if (this.#heldBytes > 0 || this.#place !== "top") throw this.#damaged();
  }

  #take(slice: Uint8Array, then: "more" | "end"): void {
    let bytes = slice;
    if (this.#heldBytes > 0) bytes = this.#joined(slice);
    const used = this.#run(bytes, then);
    this.#hold(bytes, used);
  }

  #joined(slice: Uint8Array): Uint8Array {
    const needed = this.#heldBytes + slice.length;
    if (needed > this.#held.length) {
      const larger = new Uint8Array(Math.max(needed, this.#held.length * 2));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(slice, this.#heldBytes);
    return this.#held.subarray(0, needed);
  }

  #hold(bytes: Uint8Array, used: number): void {
    const left = bytes.length - used;
    if (left > 0 && (bytes.buffer !== this.#held.buffer || used > 0)) {
      if (left > this.#held.length) this.#held = new Uint8Array(Math.max(left, firstHeldBytes));
      if (bytes.buffer === this.#held.buffer) this.#held.copyWithin(0, used, bytes.length);
      else this.#held.set(bytes.subarray(used));
    }
    this.#heldBytes = left;
  }

  /** Works through the bytes. Returns how many are used up. */
  #run(bytes: Uint8Array, then: "more" | "end"): number {
    let at = this.#isAtStart ? this.#skipByteOrderMark(bytes, then) : 0;
    if (at < 0) return 0;
    for (;;) {
      at = skipSpace(bytes, at);
      if (at >= bytes.length) return at;
      this.isEmpty = false;
      const next = this.#step(bytes, at, then);
      if (next < 0) return at;
      at = next;
    }
  }

  /** One piece of punctuation or one value. Returns the offset behind it, or -1 if it goes on in the next slice. */
  #step(bytes: Uint8Array, at: number, then: "more" | "end"): number {
    const byte = bytes[at] as number;
    switch (this.#place) {
      case "top":
        if (byte === openBracket) {
          this.#place = "first";
          return at + 1;
        }
        if (byte !== openBrace) throw this.#damaged();
        return this.#topObject(bytes, at, then);
      case "first":
      case "value":
        if (byte === closeBracket && this.#place === "first") return this.#endList(at);
        return this.#value(bytes, at, then);
      case "separator":
        if (byte === closeBracket) return this.#endList(at);
        if (byte !== comma) throw this.#damaged();
        this.#place = "value";
        return at + 1;
      case "wrapper":
        if (byte === closeBrace) {
          this.#place = "top";
          return at + 1;
        }
        if (byte !== comma) throw this.#damaged();
        this.#beginMembers();
        return at + 1;
      case "members":
        return this.#members(bytes, at, then);
    }
  }

  /** A flow record in nearly every case; `{"logs":[` is no value, but the beginning of a list of them. */
  #topObject(bytes: Uint8Array, at: number, then: "more" | "end"): number {
    const matched = matchedBytes(bytes, at, logsPrefix);
    if (matched === logsPrefix.length) {
      this.#isWrapped = true;
      this.#place = "first";
      return at + matched;
    }
    if (at + matched === bytes.length && then === "more") return -1;
    return this.#value(bytes, at, then);
  }

  #endList(at: number): number {
    this.#place = this.#isWrapped ? "wrapper" : "top";
    this.#isWrapped = false;
    return at + 1;
  }

  #value(bytes: Uint8Array, at: number, then: "more" | "end"): number {
    const isObject = bytes[at] === openBrace;
    const isResumed = this.#boundary !== undefined;
    let end = isObject && !isResumed ? this.#batch.scan(bytes, at, bytes.length) : -1;
    if (end < 0) {
      end = this.#boundaryOf(bytes, at, then);
      if (end < 0) return -1;
      const isScanned = isObject && isResumed && this.#batch.scan(bytes, at, end) === end;
      if (!isScanned) this.#add(bytes, at, end);
    }
    this.count++;
    if (this.#place !== "top") this.#place = "separator";
    return end;
  }

  /** Members behind the list say nothing about its records. With a brace for the comma they are an object to be checked. */
  #beginMembers(): void {
    this.#boundary = new ValueBoundary();
    this.#boundary.endOf(Uint8Array.of(openBrace), 0, 1);
    this.#place = "members";
  }

  #members(bytes: Uint8Array, at: number, then: "more" | "end"): number {
    const end = this.#boundaryOf(bytes, at, then);
    if (end < 0) return -1;
    if (!areMembers(bytes.subarray(at, end))) throw this.#damaged();
    this.#place = "top";
    return end;
  }

  #boundaryOf(bytes: Uint8Array, at: number, then: "more" | "end"): number {
    this.#boundary ??= new ValueBoundary();
    const end = this.#boundary.endOf(bytes, at + this.#searchedBytes, bytes.length);
    if (end < 0 && then === "more") {
      this.#searchedBytes = bytes.length - at;
      return -1;
    }
    this.parts += this.#boundary.parts;
    this.#boundary = undefined;
    this.#searchedBytes = 0;
    if (end < 0) throw this.#damaged();
    return end;
  }

  #add(bytes: Uint8Array, from: number, to: number): void {
    try {
      this.#batch.add(bytes, from, to);
    } catch (error) {
      throw error instanceof Refusal && error.reason === "unparsable" ? this.#damaged() : error;
    }
  }

  #skipByteOrderMark(bytes: Uint8Array, then: "more" | "end"): number {
    const isMark = byteOrderMark.every((byte, place) => place >= bytes.length || bytes[place] === byte);
    if (isMark && bytes.length < byteOrderMark.length && then === "more") return -1;
    this.#isAtStart = false;
    return isMark && bytes.length >= byteOrderMark.length ? byteOrderMark.length : 0;
  }

  #damaged(): Refusal {
    return damaged(this.count);
  }
}

/** `valueIndex`: 0-based, of the damaged value. */
export function damaged(valueIndex: number): Refusal {
  return new Refusal("unparsable", "Invalid data format", { valueIndex });
}

/** Whether these bytes end an object that has been opened, with at least one member. */
function areMembers(bytes: Uint8Array): boolean {
  try {
    return Object.keys(JSON.parse(`{${strictUtf8.decode(bytes)}`) as object).length > 0;
  } catch {
    return false;
  }
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== space && byte !== newline && byte !== carriageReturn && byte !== tab) break;
  }
  return at;
}

/** How many bytes of `prefix` stand at `at`, up to its length or the end of the bytes. */
function matchedBytes(bytes: Uint8Array, at: number, prefix: Uint8Array): number {
  let matched = 0;
  while (matched < prefix.length && at + matched < bytes.length && bytes[at + matched] === prefix[matched]) matched++;
  return matched;
}
