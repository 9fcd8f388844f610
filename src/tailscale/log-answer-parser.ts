/** Finds the elements of the top-level `logs` member in the bytes of an answer, piece by piece. */
import { MalformedAnswer } from "./unusable.ts";

/** Where in the answer the next byte stands. */
type Place =
  | "start"
  | "first_member"
  | "member"
  | "colon"
  | "value"
  | "after_value"
  | "first_element"
  | "element"
  | "after_element"
  | "end";

/** What the value that is being cut out is for. */
type Purpose = "name" | "value" | "element";

/** The largest record. An audit record of a policy has some hundred KB. */
const maxElementBytes = 16 * 1024 * 1024;

/** The largest name or value beside `logs`: the API has two short ones. */
const maxOtherBytes = 64 * 1024;

export class LogAnswerParser {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  #place: Place = "start";
  #hasLogs = false;
  /** The member whose value comes. */
  #member = "";
  #texts: string[] = [];
  #pendingBytes = 0;

  #purpose: Purpose | undefined;
  #isScalar = false;
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** What earlier pieces held of the value that is being cut out. */
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /** Bytes of the texts that `take` would give. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** The texts of the elements that have been found since the last call. */
  take(): readonly string[] {
    const texts = this.#texts;
    this.#texts = [];
    this.#pendingBytes = 0;
    return texts;
  }

  /** Takes the next bytes; they may be reused afterwards. @throws {MalformedAnswer} */
  push(piece: Uint8Array): void {
    let at = 0;
    while (at < piece.length) {
      at = this.#purpose === undefined ? this.#step(piece, at) : this.#cut(piece, at);
    }
  }

  /** The answer has ended. @throws {MalformedAnswer} when it should not have. */
  end(): void {
    if (this.#place !== "end") throw new MalformedAnswer(this.#place === "start" ? "it is empty" : "it is torn");
  }

  /** One byte between values. Returns where to go on. */
  #step(piece: Uint8Array, at: number): number {
    const byte = piece[at] as number;
    if (isSpace(byte)) return at + 1;
    switch (this.#place) {
      case "start":
        if (byte !== openBrace) throw new MalformedAnswer("it is not a JSON object");
        return this.#go("first_member", at);
      case "first_member":
        if (byte === closeBrace) return this.#go("end", at);
        return this.#begin("name", byte, at);
      case "member":
        return this.#begin("name", byte, at);
      case "colon":
        if (byte !== colon) throw unexpected(byte);
        return this.#go("value", at);
      case "value":
        if (this.#member !== "logs") return this.#begin("value", byte, at);
        if (this.#hasLogs) throw new MalformedAnswer("it has two members logs");
        this.#hasLogs = true;
        return byte === openBracket ? this.#go("first_element", at) : this.#begin("value", byte, at);
      case "after_value":
        if (byte === comma) return this.#go("member", at);
        if (byte !== closeBrace) throw unexpected(byte);
        return this.#go("end", at);
      case "first_element":
        if (byte === closeBracket) return this.#go("after_value", at);
        return this.#begin("element", byte, at);
      case "element":
        return this.#begin("element", byte, at);
      case "after_element":
        if (byte === comma) return this.#go("element", at);
        if (byte !== closeBracket) throw unexpected(byte);
        return this.#go("after_value", at);
      case "end":
        throw new MalformedAnswer("something follows it");
    }
  }

  #go(place: Place, at: number): number {
    this.#place = place;
    return at + 1;
  }

  #begin(purpose: Purpose, byte: number, at: number): number {
    if (purpose === "name" && byte !== quote) throw unexpected(byte);
    if (purpose === "element" && byte !== openBrace) throw new MalformedAnswer("a record is not an object");
    if (byte === closeBrace || byte === closeBracket || byte === comma || byte === colon) throw unexpected(byte);
    this.#purpose = purpose;
    this.#isScalar = byte !== quote && byte !== openBrace && byte !== openBracket;
    return at;
  }

  /** Goes to the end of the value that is being cut out, or of the piece. Returns where to go on. */
  #cut(piece: Uint8Array, start: number): number {
    const end = this.#isScalar ? endOfScalar(piece, start) : this.#endOfNested(piece, start);
    const isComplete = end >= 0;
    const part = piece.subarray(start, isComplete ? end : piece.length);
    this.#heldBytes += part.length;
    const maxBytes = this.#purpose === "element" ? maxElementBytes : maxOtherBytes;
    if (this.#heldBytes > maxBytes) throw new MalformedAnswer(`one of its values is larger than ${maxBytes} bytes`);
    if (!isComplete) {
      this.#held.push(part.slice());
      return piece.length;
    }
    const bytes = this.#held.length === 0 ? part : concatenated([...this.#held, part], this.#heldBytes);
    this.#found(this.#purpose as Purpose, this.#textOf(bytes), bytes.length);
    this.#purpose = undefined;
    this.#held = [];
    this.#heldBytes = 0;
    return end;
  }

  /** The end of an object, an array or a string, or -1 where the piece ends first. One pass, whatever the pieces are. */
  #endOfNested(piece: Uint8Array, start: number): number {
    let depth = this.#depth;
    let isInString = this.#isInString;
    let isEscaped = this.#isEscaped;
    let at = start;
    for (; at < piece.length; at++) {
      const byte = piece[at];
      if (isInString) {
        if (isEscaped) isEscaped = false;
        else if (byte === backslash) isEscaped = true;
        else if (byte === quote) isInString = false;
        else continue;
        if (isInString || depth > 0) continue;
        break;
      }
      if (byte === quote) isInString = true;
      else if (byte === openBrace || byte === openBracket) depth++;
      else if ((byte === closeBrace || byte === closeBracket) && --depth === 0) break;
    }
    this.#depth = depth;
    this.#isInString = isInString;
    this.#isEscaped = isEscaped;
    return at < piece.length ? at + 1 : -1;
  }

  #textOf(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      throw new MalformedAnswer("it is not UTF-8");
    }
  }

  #found(purpose: Purpose, text: string, bytes: number): void {
    switch (purpose) {
      case "name":
        this.#member = String(parsed(text));
        this.#place = "colon";
        return;
      case "value":
        if (parsed(text) !== null && this.#member === "logs") throw new MalformedAnswer("its logs are no array");
        this.#place = "after_value";
        return;
      case "element":
        this.#texts.push(text);
        this.#pendingBytes += bytes;
        this.#place = "after_element";
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedAnswer("it is not JSON");
  }
}

function unexpected(byte: number): MalformedAnswer {
  return new MalformedAnswer(`it is not JSON: byte 0x${byte.toString(16)} where it cannot be`);
}

function endOfScalar(piece: Uint8Array, start: number): number {
  for (let at = start; at < piece.length; at++) {
    const byte = piece[at] as number;
    if (byte === comma || byte === closeBrace || byte === closeBracket || isSpace(byte)) return at;
  }
  return -1;
}

function concatenated(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;
