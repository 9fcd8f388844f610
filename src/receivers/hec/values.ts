/**
 * Splits the text of a body, which arrives in slices, into its top-level JSON values.
 *
 * Top level: objects with nothing or white space between, JSON arrays of values, and `{"logs":[…]}`, split like an array.
 */
import { Refusal } from "../../errors.ts";
import type { Batch } from "../../pipeline/batch.ts";
import { ValueBoundary } from "../../records/json.ts";
import { freeBuffer } from "../../runtime/process.ts";

/** What may come next. `value`: a value. `first`: a value, or the end of the list. `wrapper`: the end of `{"logs":[…]}`. */
type Place = "top" | "first" | "value" | "separator" | "wrapper";

/**
 * Splits bytes that arrive in slices into values and adds each to the batch: as a flow record of the usual shape or, if the
 * scanner gives up, parsed. Linear in the bytes, wherever the slices end. Yields where the caller may pause.
 */
export class ValueReader {
  /** Complete values so far, which is also the 0-based position of the next. */
  count = 0;
  /** Approximate number of members and elements in parsed values, as a measure of the garbage they leave behind. */
  parts = 0;
  /** Nothing but white space so far. */
  isEmpty = true;

  readonly #batch: Batch;
  #place: Place = "top";
  /** Inside the list of a `{"logs":[…]}`. */
  #isWrapped = false;
  #isAtStart = true;
  /** The body has ended. */
  #isLast = false;
  /** Unconsumed bytes: the beginning of a value, or of a prefix that decides its kind. */
  #held: Uint8Array = new Uint8Array(0);
  /** Finds the end of the value that `#held` begins, continuing at `#searchedBytes`. */
  #boundary: ValueBoundary | undefined;
  #searchedBytes = 0;
  /** Adds the last value, if it was not scanned. */
  #adding: Iterable<void> | undefined;

  constructor(batch: Batch) {
    this.#batch = batch;
  }

  /** Adds the values that end in this slice, which must not change before the iteration ends. @throws {Refusal} */
  *push(slice: Uint8Array): Generator<void> {
    const bytes = this.#held.length > 0 ? Buffer.concat([this.#held, slice]) : slice;
    const used = yield* this.#run(bytes);
    freeBuffer(this.#held);
    this.#held = bytes === slice ? new Uint8Array(slice.subarray(used)) : bytes.subarray(used);
  }

  /** @throws {Refusal} `unparsable` if a value or a list is incomplete. */
  *end(): Generator<void> {
    this.#isLast = true;
    yield* this.push(new Uint8Array(0));
    if (this.#held.length > 0 || this.#place !== "top") throw this.damaged("the body ends in the middle of a value");
  }

  /** Frees its buffer. The reader must not be used again. */
  release(): void {
    freeBuffer(this.#held);
  }

  damaged(why: string): Refusal {
    return new Refusal("unparsable", why, { valueIndex: this.count });
  }

  /** Processes the bytes. Returns how many were consumed. */
  *#run(bytes: Uint8Array): Generator<void, number> {
    let at = 0;
    if (this.#isAtStart) {
      const matched = matchedBytes(bytes, 0, byteOrderMark);
      if (matched === bytes.length && !this.#isLast && matched < byteOrderMark.length) return 0;
      this.#isAtStart = false;
      if (matched === byteOrderMark.length) at = matched;
    }
    for (;;) {
      at = skipSpace(bytes, at);
      if (at >= bytes.length) return at;
      this.isEmpty = false;
      const next = this.#step(bytes, at);
      if (next < 0) return at;
      if (this.#adding !== undefined) yield* this.#add(this.#adding);
      at = next;
    }
  }

  *#add(adding: Iterable<void>): Generator<void> {
    this.#adding = undefined;
    try {
      yield* adding;
    } catch (error) {
      if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
      // `count` already includes this value.
      throw new Refusal("unparsable", error.message, { valueIndex: this.count - 1 });
    }
  }

  /** Consumes one punctuator or one value. Returns the offset after it, or -1 if it continues in the next slice. */
  #step(bytes: Uint8Array, at: number): number {
    const byte = bytes[at] as number;
    switch (this.#place) {
      case "top":
        if (byte === openBrace) return this.#topObject(bytes, at);
        if (byte !== openBracket) throw this.damaged("a JSON object should begin here");
        this.#place = "first";
        return at + 1;
      case "first":
      case "value":
        if (byte === closeBracket && this.#place === "first") return this.#endList(at);
        return this.#value(bytes, at);
      case "separator":
        if (byte === closeBracket) return this.#endList(at);
        if (byte !== comma) throw this.damaged('the list should go on with "," or end with "]" before this value');
        this.#place = "value";
        return at + 1;
      case "wrapper":
        return this.#endWrapper(bytes, at);
    }
  }

  /** Usually a flow record; `{"logs":[` is not a value but begins a list of them. */
  #topObject(bytes: Uint8Array, at: number): number {
    const matched = matchedBytes(bytes, at, logsPrefix);
    if (matched === logsPrefix.length) {
      this.#isWrapped = true;
      this.#place = "first";
      return at + matched;
    }
    return at + matched === bytes.length && !this.#isLast ? -1 : this.#value(bytes, at);
  }

  #endList(at: number): number {
    this.#place = this.#isWrapped ? "wrapper" : "top";
    return at + 1;
  }

  #value(bytes: Uint8Array, at: number): number {
    const isObject = bytes[at] === openBrace;
    const isResumed = this.#boundary !== undefined;
    let end = isObject && !isResumed ? this.#batch.scan(bytes, at, bytes.length) : -1;
    if (end < 0) {
      this.#boundary ??= new ValueBoundary();
      end = this.#endOf(this.#boundary, bytes, at);
      if (end < 0) return -1;
      const isScanned = isObject && isResumed && this.#batch.scan(bytes, at, end) === end;
      if (!isScanned) this.#adding = this.#batch.add(bytes, at, end);
    }
    this.count++;
    if (this.#place !== "top") this.#place = "separator";
    return end;
  }

  /** What follows the list is irrelevant to its records, but must complete the object opened before the list. */
  #endWrapper(bytes: Uint8Array, at: number): number {
    if (this.#boundary === undefined) {
      this.#boundary = new ValueBoundary();
      this.#boundary.endOf(Uint8Array.of(openBrace), 0, 1);
    }
    const end = this.#endOf(this.#boundary, bytes, at);
    if (end < 0) return -1;
    if (!endsWrapper(bytes.subarray(at, end))) throw this.damaged('the "logs" object should end before this value');
    this.#isWrapped = false;
    this.#place = "top";
    return end;
  }

  /** The end of the value that begins at `at`, or -1. */
  #endOf(boundary: ValueBoundary, bytes: Uint8Array, at: number): number {
    const end = boundary.endOf(bytes, at + this.#searchedBytes, bytes.length);
    if (end < 0 && !this.#isLast) {
      this.#searchedBytes = bytes.length - at;
      return -1;
    }
    this.parts += boundary.parts;
    this.#boundary = undefined;
    this.#searchedBytes = 0;
    if (end < 0) throw this.damaged("the body ends in the middle of a value");
    return end;
  }
}

/** True if these bytes end an object that already has a member: a brace, or more members. */
function endsWrapper(bytes: Uint8Array): boolean {
  if (bytes[0] === closeBrace) return true;
  try {
    const members = JSON.parse(`{${strictUtf8.decode(bytes.subarray(1))}`) as object;
    return bytes[0] === comma && Object.keys(members).length > 0;
  } catch {
    return false;
  }
}

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  for (; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break;
  }
  return at;
}

/** How many bytes of `prefix` match at `at`, up to its length or the end of the bytes. */
function matchedBytes(bytes: Uint8Array, at: number, prefix: Uint8Array): number {
  let matched = 0;
  while (matched < prefix.length && at + matched < bytes.length && bytes[at + matched] === prefix[matched]) matched++;
  return matched;
}

const comma = 0x2c;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf);
const logsPrefix = new TextEncoder().encode('{"logs":[');
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
