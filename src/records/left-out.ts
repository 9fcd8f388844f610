/** The stored form of what of a row's records is left out: entries that make no sense, and log records past a limit. */

/** `kept` of a record all of whose log records are kept. */
export const keepsAll = 0xffff_ffff;

export interface LeftOut {
  /** Entries that are left out, numbered through all records of the row; ascending. */
  readonly entries: Uint32Array;
  /** Log records that are kept of each record, or `keepsAll`; nothing if there is no limit. */
  readonly kept: Uint32Array | undefined;
}

/** The bytes that say it, or nothing if nothing is left out. */
export function encodeLeftOut({
  entries,
  kept,
}: {
  readonly entries: ArrayLike<number>;
  readonly kept?: Uint32Array | undefined;
}): Uint8Array | undefined {
  const limits = kept?.some((count) => count !== keepsAll) ? kept : undefined;
  if (entries.length === 0 && limits === undefined) return undefined;
  const bytes: number[] = [format];
  writeNumber(bytes, entries.length);
  let previous = -1;
  for (let place = 0; place < entries.length; place++) {
    const entry = entries[place] as number;
    if (entry <= previous) throw new RangeError("entries that are left out must ascend");
    writeNumber(bytes, entry - previous - 1);
    previous = entry;
  }
  writeNumber(bytes, limits === undefined ? 0 : limits.length);
  for (const count of limits ?? []) writeNumber(bytes, (count + 1) >>> 0);
  return Uint8Array.from(bytes);
}

/**
 * What the bytes of `encodeLeftOut` say.
 * @throws {RangeError} for bytes that it did not write.
 */
export function decodeLeftOut(bytes: Uint8Array): LeftOut {
  const from = { bytes, at: 1 };
  if (bytes[0] !== format) throw damaged();
  const entries = new Uint32Array(readCount(from));
  let next = 0;
  for (let place = 0; place < entries.length; place++) {
    const entry = next + readNumber(from);
    if (entry >= keepsAll) throw damaged();
    entries[place] = entry;
    next = entry + 1;
  }
  const kept = new Uint32Array(readCount(from));
  for (let record = 0; record < kept.length; record++) kept[record] = readNumber(from) - 1;
  if (from.at !== bytes.length) throw damaged();
  return { entries, kept: kept.length === 0 ? undefined : kept };
}

const format = 1;

interface Reading {
  readonly bytes: Uint8Array;
  at: number;
}

/** Seven bits a byte, least significant first; the high bit says that more follow. */
function writeNumber(into: number[], number: number): void {
  let rest = number;
  for (; rest >= 0x80; rest >>>= 7) into.push((rest & 0x7f) | 0x80);
  into.push(rest);
}

function readNumber(from: Reading): number {
  let number = 0;
  for (let scale = 1; scale <= 2 ** 28; scale *= 128) {
    const byte = from.bytes[from.at++];
    if (byte === undefined) throw damaged();
    number += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (number > keepsAll) throw damaged();
      return number;
    }
  }
  throw damaged();
}

/** A count of numbers that follow, of one byte each at least. */
function readCount(from: Reading): number {
  const count = readNumber(from);
  if (count > from.bytes.length - from.at) throw damaged();
  return count;
}

function damaged(): RangeError {
  return new RangeError("the list of what is left out is damaged");
}
