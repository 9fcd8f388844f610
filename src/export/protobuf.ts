/**
 * The parts of the protobuf wire format that OTLP logs need (opentelemetry/proto/common/v1/common.proto). The `put`
 * functions write into room that their caller has reserved, and return the offset after what they wrote.
 */
import type { AttributeValue, LogAttributes } from "../catalogue/log-event.ts";

/** Tags: field number and wire type. */
const keyTag = 0x0a;
const valueTag = 0x12;
const stringTag = 0x0a;
const boolTag = 0x10;
const intTag = 0x18;
const doubleTag = 0x21;
const arrayTag = 0x2a;
const itemTag = 0x0a;

const negativeBytes = 10;

/** Bytes of a safe integer as a varint; a negative one is written as 64 bits. */
export function varintLength(value: number): number {
  if (value < 0x80) return value < 0 ? negativeBytes : 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  if (value < 0x1000_0000) return 4;
  if (value < 0x8_0000_0000) return 5;
  if (value < 0x400_0000_0000) return 6;
  return value < 0x2_0000_0000_0000 ? 7 : 8;
}

/** Writes a safe integer as a varint. */
export function putVarint(out: Uint8Array, at: number, value: number): number {
  if (value < 0) return putNegative(out, at, value);
  let rest = value;
  let next = at;
  while (rest > 0x7fff_ffff) {
    out[next++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest > 0x7f) {
    out[next++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[next++] = rest;
  return next;
}

function putNegative(out: Uint8Array, at: number, value: number): number {
  let rest = BigInt.asUintN(64, BigInt(value));
  let next = at;
  for (; rest > 0x7fn; rest >>= 7n) out[next++] = Number(rest & 0x7fn) | 0x80;
  out[next++] = Number(rest);
  return next;
}

/** Writes an integer from 0 to 2⁵³−1 in decimal. */
export function putDecimal(out: Uint8Array, at: number, value: number): number {
  let end = at + 1;
  for (let bound = 10; bound <= value; bound *= 10) end++;
  let rest = value;
  let place = end - 1;
  while (rest > 0x7fff_ffff) {
    const next = Math.floor(rest / 10);
    // Subtracted first, because 0x30 + `rest` could exceed 2⁵³.
    out[place--] = 0x30 + (rest - next * 10);
    rest = next;
  }
  rest |= 0;
  while (place >= at) {
    const next = (rest / 10) | 0;
    out[place--] = 0x30 + (rest - next * 10);
    rest = next;
  }
  return end;
}

/** Writes a time as unsigned nanoseconds since the epoch. `seconds` is not negative and below 2³⁴. */
export function putNanos(out: Uint8Array, at: number, seconds: number, nanos: number): number {
  // Split at 16 bits, so that every product stays exact.
  const upper = Math.floor(seconds / 0x1_0000) * 1e9;
  const lower = (seconds % 0x1_0000) * 1e9 + nanos;
  const low = (upper % 0x1_0000) * 0x1_0000 + lower;
  const next = putUint32(out, at, low >>> 0);
  return putUint32(out, next, Math.floor(upper / 0x1_0000) + Math.floor(low / 0x1_0000_0000));
}

function putUint32(out: Uint8Array, at: number, value: number): number {
  out[at] = value;
  out[at + 1] = value >>> 8;
  out[at + 2] = value >>> 16;
  out[at + 3] = value >>> 24;
  return at + 4;
}

/** Copies a few bytes, for which a loop is faster than `set`. */
export function putShort(out: Uint8Array, at: number, bytes: Uint8Array): number {
  const { length } = bytes;
  for (let byte = 0; byte < length; byte++) out[at + byte] = bytes[byte] as number;
  return at + length;
}

/** Writes an integer attribute; its lengths are below 128. */
export function putIntAttribute(out: Uint8Array, at: number, tag: number, key: Uint8Array, value: number): number {
  const next = putShort(out, at + 2, key);
  const end = putVarint(out, next + 2, value);
  out[at] = tag;
  out[at + 1] = end - at - 2;
  out[next] = end - next - 1;
  out[next + 1] = intTag;
  return end;
}

/**
 * Writes the length of a message that ends at `end` into the `room` bytes left before it. If the length needs more or fewer
 * bytes, the message is moved. Returns its end.
 */
export function putLength(out: Uint8Array, at: number, room: number, end: number): number {
  const length = end - at - room;
  const needed = varintLength(length);
  if (needed !== room) out.copyWithin(at + needed, at + room, end);
  putVarint(out, at, length);
  return end + needed - room;
}

/** Writes an attribute of ASCII text that is short enough for its lengths to be below 128. */
export function putAsciiAttribute(out: Uint8Array, at: number, tag: number, key: Uint8Array, text: string): number {
  const { length } = text;
  out[at] = tag;
  out[at + 1] = key.length + 3 + length;
  const next = putShort(out, at + 2, key);
  out[next] = 2 + length;
  out[next + 1] = stringTag;
  out[next + 2] = length;
  for (let character = 0; character < length; character++) out[next + 3 + character] = text.charCodeAt(character);
  return next + 3 + length;
}

/** Bytes of a string field with its tag and length. */
export function stringLength(text: string): number {
  const bytes = Buffer.byteLength(text);
  return 1 + varintLength(bytes) + bytes;
}

/** Writes a string field. The text is well-formed Unicode. */
export function putString(out: Buffer, at: number, tag: number, text: string): number {
  out[at] = tag;
  const next = putVarint(out, at + 1, Buffer.byteLength(text));
  return next + out.write(text, next, "utf8");
}

/**
 * Encodes attributes as repeated `KeyValue` fields of the message that holds them. Names are a closed set, and are encoded once
 * each. A flood of new ends passes through here, at 0.1 µs per attribute.
 */
export function encodedAttributes(attributes: LogAttributes, tag: number): Uint8Array {
  let at = 0;
  for (const name in attributes) {
    const key = keyOf(name);
    const value = attributes[name] as AttributeValue;
    reserve(at, key.length + roomFor(value));
    const isShort = typeof value === "string" && value.length <= shortLength && key.length <= shortLength;
    at =
      isShort && isAscii(value) ? putAsciiAttribute(scratch, at, tag, key, value) : putAttribute(at, tag, key, value);
  }
  const encoded = new Uint8Array(at);
  encoded.set(scratch.subarray(0, at));
  return encoded;
}

/** The buffer in which attributes are encoded before they are copied. */
let scratch = Buffer.allocUnsafeSlow(1 << 16);

/** Keeps the first `at` bytes and makes room for `bytes` more, plus some tags and lengths. */
function reserve(at: number, bytes: number): void {
  const needed = at + bytes + 64;
  if (needed <= scratch.length) return;
  const grown = Buffer.allocUnsafeSlow(needed * 2);
  scratch.copy(grown, 0, 0, at);
  scratch = grown;
}

/** Upper bound of a value's encoded length. */
function roomFor(value: AttributeValue): number {
  if (typeof value === "string") return value.length * 3;
  return typeof value === "object" ? value.reduce((sum, text) => sum + text.length * 3 + 12, 12) : 12;
}

/** `KeyValue.key` and the tag of the value, by name. */
const keys = new Map<string, Uint8Array>();

function keyOf(name: string): Uint8Array {
  let key = keys.get(name);
  if (key === undefined) keys.set(name, (key = encodedKey(name)));
  return key;
}

/** `KeyValue.key` and the tag of the value. */
export function encodedKey(name: string): Uint8Array {
  const key = Buffer.alloc(stringLength(name) + 1);
  key[putString(key, 0, keyTag, name)] = valueTag;
  return Uint8Array.from(key);
}

/** A key and a text of at most this length have lengths below 128 together. */
const shortLength = 60;

function isAscii(text: string): boolean {
  const { length } = text;
  for (let unit = 0; unit < length; unit++) if (text.charCodeAt(unit) > 0x7f) return false;
  return true;
}

function putAttribute(at: number, tag: number, key: Uint8Array, value: AttributeValue): number {
  scratch[at] = tag;
  const next = putShort(scratch, at + 2, key);
  const end = putLength(scratch, next, 1, putAnyValue(scratch, next + 1, value));
  return putLength(scratch, at + 1, 1, end);
}

function putAnyValue(out: Buffer, at: number, value: AttributeValue): number {
  if (typeof value === "string") return putString(out, at, stringTag, value);
  if (typeof value === "boolean") {
    out[at] = boolTag;
    out[at + 1] = value ? 1 : 0;
    return at + 2;
  }
  if (typeof value === "number") {
    out[at] = Number.isSafeInteger(value) ? intTag : doubleTag;
    return Number.isSafeInteger(value) ? putVarint(out, at + 1, value) : out.writeDoubleLE(value, at + 1);
  }
  out[at] = arrayTag;
  let next = at + 2;
  for (const text of value) {
    out[next] = itemTag;
    next = putLength(out, next + 1, 1, putString(out, next + 2, stringTag, text));
  }
  return putLength(out, at + 1, 1, next);
}
