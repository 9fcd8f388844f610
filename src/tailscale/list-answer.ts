/**
 * Parses an answer with a list of objects, such as `{…,"logs":[…]|null,…}`, as it arrives and yields the objects, so that the
 * answer is never in memory as a whole.
 */
import { Buffer } from "node:buffer";
import { Refusal } from "../errors.ts";
import { ValueBoundary, valueLimits } from "../records/json.ts";
import { isObject } from "../records/members.ts";
import { BadAnswer } from "./errors.ts";

const pieceBytes = 256 * 1024;

/** Limit of everything but the list: the API has two short members there. */
const maxOtherBytes = 64 * 1024;

/** A list in an answer, and how much of it is read. */
export interface AnswerList {
  /** The name of the member. */
  readonly name: "logs" | "devices";
  /** Limit of the whole answer, after decompression. */
  readonly maxBytes: number;
  /** Maximum number of members, elements and scalars in one object of the list. */
  readonly maxParts: number;
}

/**
 * The texts of the objects, in order. They are split by their brackets; their parser checks what is inside.
 * @throws {BadAnswer} if the answer is truncated, larger than `maxBytes`, or has another shape
 */
export async function* objectsIn(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  list: AnswerList,
): AsyncGenerator<readonly Uint8Array[]> {
  const cutter = new ListCutter(list);
  const { maxBytes } = list;
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BadAnswer("too_large", `the answer is larger than ${maxBytes} bytes`);
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      const objects = cutter.push(chunk.subarray(at, at + pieceBytes));
      if (objects.length > 0) yield objects;
    }
  }
  cutter.end();
}

class ListCutter {
  /** What may come next. */
  #place: "before_list" | "first_object" | "object" | "after_object" | "after_list" = "before_list";
  /** Everything before and after the list, one character per byte. It is parsed at the end, with 0 in place of the list. */
  #before = "";
  #after = "";
  /** The beginning of an incomplete object, and the search for its end. */
  #held: Uint8Array = new Uint8Array(0);
  readonly #boundary: ValueBoundary;
  readonly #list: AnswerList["name"];
  readonly #opening: RegExp;

  constructor({ name, maxParts }: AnswerList) {
    this.#boundary = new ValueBoundary({ ...valueLimits, parts: maxParts });
    this.#list = name;
    this.#opening = new RegExp(`"${name}"\\s*:\\s*\\[`, "g");
  }

  /** The objects that end in this piece. @throws {BadAnswer} */
  push(piece: Uint8Array): readonly Uint8Array[] {
    const objects: Uint8Array[] = [];
    const bytes = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    let searchFrom = this.#held.length;
    this.#held = new Uint8Array(0);
    let at = this.#place === "before_list" ? this.#findList(piece) : 0;
    while (at < bytes.length && this.#place !== "after_list") {
      const byte = String.fromCharCode(bytes[at] as number);
      const isAfterObject = this.#place === "after_object";
      if (byte === "{" && !isAfterObject) {
        const end = this.#endOf(bytes, Math.max(at, searchFrom));
        if (end < 0) {
          this.#held = bytes.subarray(at);
          return objects;
        }
        objects.push(bytes.subarray(at, end));
        this.#place = "after_object";
        at = searchFrom = end;
        continue;
      }
      if (byte === "]" && this.#place !== "object") this.#place = "after_list";
      else if (byte === "," && isAfterObject) this.#place = "object";
      else if (!" \n\r\t".includes(byte))
        throw malformed(isAfterObject ? `its ${this.#list} are not JSON` : `one of its ${this.#list} is not an object`);
      at++;
    }
    this.#after += latin1(bytes.subarray(at));
    if (this.#before.length + this.#after.length > maxOtherBytes)
      throw malformed(`it has more than ${maxOtherBytes} bytes beside its ${this.#list}`);
    return objects;
  }

  /** @throws {BadAnswer} if the answer is truncated, or has another shape. */
  end(): void {
    const hasList = this.#place !== "before_list";
    if (this.#before.trim() === "") throw malformed("it is empty");
    if (hasList && this.#place !== "after_list") throw malformed("it is torn");
    const whole = parse(hasList ? `${this.#before}0${this.#after}` : this.#before);
    if (whole === undefined) throw malformed("it is torn, or not a JSON object in UTF-8");
    const { [this.#list]: found = null } = whole;
    if (found !== (hasList ? 0 : null))
      throw malformed(hasList ? `it has two members ${this.#list}` : `its ${this.#list} are not an array`);
  }

  /** Returns where the list begins in the piece, or the piece's end. */
  #findList(piece: Uint8Array): number {
    const text = this.#before + latin1(piece);
    for (const { 0: match, index } of text.matchAll(this.#opening)) {
      const before = text.slice(0, index + match.length - 1);
      // For a nested member, one more bracket would be open.
      if (parse(`${before}0}`)?.[this.#list] !== 0) continue;
      const start = before.length + 1 - this.#before.length;
      this.#before = before;
      this.#place = "first_object";
      return start;
    }
    this.#before = text;
    return piece.length;
  }

  #endOf(bytes: Uint8Array, from: number): number {
    try {
      return this.#boundary.endOf(bytes, from, bytes.length);
    } catch (error) {
      throw error instanceof Refusal ? malformed(error.message) : error;
    }
  }
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** The JSON object in a text of one character per byte; `undefined` if it is not one. */
function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(text, "latin1"));
    const value: unknown = JSON.parse(utf8);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function malformed(message: string): BadAnswer {
  return new BadAnswer("malformed", message);
}
