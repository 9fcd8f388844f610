/** The parts of the protobuf wire format that log requests need. */
import type { HrTime } from "../../lib/clock.ts";
import type { ByteWriter } from "./byte-writer.ts";

const negativeBytes = 10;

/** Bytes of a safe integer as a varint; a negative one is written as 64 bits. */
export function varintBytes(value: number): number {
  if (value < 0) return negativeBytes;
  let bytes = 1;
  for (let bound = 0x80; value >= bound; bound *= 0x80) bytes++;
  return bytes;
}

/** Writes a safe integer as a varint. */
export function varint(writer: ByteWriter, value: number): void {
  writer.reserve(negativeBytes);
  if (value < 0) {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 0x7fn; rest >>= 7n) writer.bytes[writer.length++] = Number(rest & 0x7fn) | 0x80;
    writer.bytes[writer.length++] = Number(rest);
    return;
  }
  let rest = value;
  while (rest > 0x7fff_ffff) {
    writer.bytes[writer.length++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  while (rest > 0x7f) {
    writer.bytes[writer.length++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  writer.bytes[writer.length++] = rest;
}

/** Writes an IEEE 754 double. */
export function double(writer: ByteWriter, value: number): void {
  writer.reserve(8);
  writer.bytes.writeDoubleLE(value, writer.length);
  writer.length += 8;
}

/** Writes a time as unsigned nanoseconds since the epoch. */
export function fixed64Nanos(writer: ByteWriter, [seconds, nanoseconds]: HrTime): void {
  writer.reserve(8);
  writer.bytes.writeBigUInt64LE(
    BigInt.asUintN(64, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds)),
    writer.length,
  );
  writer.length += 8;
}
