/**
 * Reads a log's answer, `{"logs":[…]|null,…}`, while it arrives, and hands its records over about a MiB at a time: the answer is
 * never in memory as a whole.
 */
import { Refusal } from "../errors.ts";
import { ValueBoundary } from "../records/json.ts";
import { BadAnswer, CallerFailed } from "./errors.ts";

export interface ReadLogsOptions {
  /** Limit of the answer after decompression; past it, a `TailscaleError` of reason `too_large`. */
  readonly maxBytes: number;
  /** Gets the records' texts in order. Reading continues when it has resolved. */
  readonly onRecords: (records: readonly Uint8Array[]) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** A complete answer. */
export interface LogsAnswer {
  /** After decompression. */
  readonly bytes: number;
  readonly records: number;
}

const handOverBytes = 1024 * 1024;
const pieceBytes = 256 * 1024;

/** The largest name or value beside `logs`: the API has two short ones. */
const maxOtherBytes = 64 * 1024;

/**
 * Reads to the end. Records are cut out by their brackets; whoever parses them judges what is inside.
 * @throws {BadAnswer} if the answer is torn, larger than `maxBytes`, or has another shape
 * @throws {CallerFailed} with what `onRecords` threw as its cause
 */
export async function readLogAnswer(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  { maxBytes, onRecords }: Pick<ReadLogsOptions, "maxBytes" | "onRecords">,
): Promise<LogsAnswer> {
  const parser = new LogAnswerParser();
  let bytes = 0;
  let records = 0;
  const handOver = async (): Promise<void> => {
    const taken = parser.take();
    if (taken.length === 0) return;
    records += taken.length;
    try {
      await onRecords(taken);
    } catch (cause) {
      throw new CallerFailed("the caller failed", { cause });
    }
  };
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BadAnswer("too_large", `the answer is larger than ${maxBytes} bytes`);
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      parser.push(chunk.subarray(at, at + pieceBytes));
      if (parser.recordBytes >= handOverBytes) await handOver();
    }
  }
  parser.end();
  await handOver();
  return { bytes, records };
}

/** What may come next, besides white space. */
type Place = "start" | "first_name" | "name" | "colon" | "value" | "after_value" | ListPlace | "end";
type ListPlace = "first_record" | "record" | "after_record";

class LogAnswerParser {
  /** Bytes of the records that `take` would return. */
  recordBytes = 0;
  #records: Uint8Array[] = [];
  #place: Place = "start";
  #hasLogs = false;
  #member: unknown;
  /** Of the value that is being cut out, if there is one: where it ends, and what earlier pieces held of it. */
  readonly #boundary = new ValueBoundary(Number.POSITIVE_INFINITY);
  #isInValue = false;
  #parts: Uint8Array[] = [];

  /** The records found since the last call. */
  take(): readonly Uint8Array[] {
    const records = this.#records;
    this.#records = [];
    this.recordBytes = 0;
    return records;
  }

  /** @throws {BadAnswer} */
  push(piece: Uint8Array): void {
    for (let at = 0; at < piece.length;) {
      const byte = piece[at] as number;
      if (this.#isInValue) at = this.#cut(piece, at);
      else if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) at++;
      else if (this.#step(String.fromCharCode(byte)) === "punctuation") at++;
      else this.#isInValue = true;
    }
  }

  /** @throws {BadAnswer} if the answer should not end here. */
  end(): void {
    if (this.#place !== "end") throw malformed(this.#place === "start" ? "it is empty" : "it is torn");
  }

  /** Moves on by one byte of punctuation, unless a value begins here. */
  #step(byte: string): "punctuation" | "value" {
    const next = punctuation[this.#place]?.[byte];
    if (next !== undefined) {
      this.#place = next;
      return "punctuation";
    }
    switch (this.#place) {
      case "start":
        throw malformed("it is not a JSON object");
      case "end":
        throw malformed("something follows it");
      case "first_record":
      case "record":
        if (byte !== "{") throw malformed("a record is not an object");
        return "value";
      case "first_name":
      case "name":
        if (byte === '"') return "value";
        break;
      case "value":
        if (this.#member === "logs" && this.#hasLogs) throw malformed("it has two members logs");
        this.#hasLogs ||= this.#member === "logs";
        if (this.#member === "logs" && byte === "[") {
          this.#place = "first_record";
          return "punctuation";
        }
        if (!"}],:".includes(byte)) return "value";
    }
    throw malformed(`it is not JSON: unexpected ${JSON.stringify(byte)}`);
  }

  /** Goes to the end of the value, or of the piece. Returns where to go on. */
  #cut(piece: Uint8Array, from: number): number {
    let end: number;
    try {
      end = this.#boundary.endOf(piece, from, piece.length);
    } catch (error) {
      throw error instanceof Refusal ? malformed(error.message) : error;
    }
    this.#parts.push(piece.subarray(from, end < 0 ? piece.length : end));
    if (end < 0) return piece.length;
    const value = this.#parts.length === 1 ? (this.#parts[0] as Uint8Array) : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#isInValue = false;
    this.#found(value);
    return end;
  }

  #found(value: Uint8Array): void {
    if (this.#place === "record" || this.#place === "first_record") {
      this.#records.push(value);
      this.recordBytes += value.length;
      this.#place = "after_record";
      return;
    }
    const parsed = parse(value);
    if (this.#place === "value") {
      if (parsed !== null && this.#member === "logs") throw malformed("its logs are not an array");
      this.#place = "after_value";
    } else {
      this.#member = parsed;
      this.#place = "colon";
    }
  }
}

/** Where a byte leads to. Only an empty object or list ends at its first place. */
const punctuation: { readonly [From in Place]?: Readonly<Record<string, Place>> } = {
  start: { "{": "first_name" },
  first_name: { "}": "end" },
  first_record: { "]": "after_value" },
  colon: { ":": "value" },
  after_value: { ",": "name", "}": "end" },
  after_record: { ",": "record", "]": "after_value" },
};

function parse(value: Uint8Array): unknown {
  if (value.length > maxOtherBytes) throw malformed(`a value beside its logs is larger than ${maxOtherBytes} bytes`);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  } catch {
    throw malformed("it is not JSON in UTF-8");
  }
}

function malformed(message: string): BadAnswer {
  return new BadAnswer("malformed", message);
}
