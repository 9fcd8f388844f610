/** The stored form of what of a row's records is left out: entries that make no sense, and log records past a limit. */

/** `kept` of a record all of whose log records are kept. */
export const keepsAll = 0xffff_ffff;

export interface LeftOut {
  /** Entries that are left out, numbered through all records of the row; ascending. */
  readonly entries: Uint32Array;
  /** Log records that are kept of each record, or `keepsAll`; nothing if there is no limit. */
  readonly kept: Uint32Array | undefined;
}

/** JSON that says it, or nothing if nothing is left out. Each entry is its distance from the one before; -1: `keepsAll`. */
export function encodeLeftOut({
  entries,
  kept,
}: {
  readonly entries: ArrayLike<number>;
  readonly kept?: Uint32Array | undefined;
}): Uint8Array | undefined {
  const limits = kept?.some((count) => count !== keepsAll) ? kept : undefined;
  if (entries.length === 0 && limits === undefined) return undefined;
  const distances = Array.from(entries, (entry, place) => entry - (place === 0 ? -1 : (entries[place - 1] as number)));
  if (distances.some((distance) => distance < 1)) throw new RangeError("entries that are left out must ascend");
  const stored = { entries: distances, ...(limits && { kept: Array.from(limits, (count) => count | 0) }) };
  return new TextEncoder().encode(JSON.stringify(stored));
}

/**
 * What the bytes of `encodeLeftOut` say.
 * @throws {RangeError} for bytes that it did not write.
 */
export function decodeLeftOut(bytes: Uint8Array): LeftOut {
  const { entries: distances, kept } = parsed(bytes);
  const entries = new Uint32Array(numbers(distances, 1).length);
  let entry = -1;
  for (const [place, distance] of numbers(distances, 1).entries()) {
    entry += distance;
    if (entry >= keepsAll) throw damaged();
    entries[place] = entry;
  }
  return { entries, kept: kept === undefined ? undefined : Uint32Array.from(numbers(kept, -1)) };
}

function parsed(bytes: Uint8Array): { readonly entries?: unknown; readonly kept?: unknown } {
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) ?? {}) as object;
  } catch {
    throw damaged();
  }
}

function numbers(list: unknown, least: number): readonly number[] {
  const isList = Array.isArray(list) && list.every((one) => Number.isInteger(one) && one >= least && one < keepsAll);
  if (!isList) throw damaged();
  return list as number[];
}

function damaged(): RangeError {
  return new RangeError("the list of what is left out is damaged");
}
