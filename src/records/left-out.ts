/** The stored form of what is left out of a row's records: entries that make no sense, and log records over a limit. */

/** In `kept`: all log records of the record are kept. */
export const keepsAll = 0xffff_ffff;

export interface LeftOut {
  /** Entries that are left out, ascending; numbered across all records of the row. */
  readonly entries: Uint32Array;
  /** How many log records of each record are kept, or `keepsAll`; undefined if there is no limit. */
  readonly kept: Uint32Array | undefined;
}

/** As JSON, or undefined if nothing is left out. An entry is stored as its distance from the previous one, `keepsAll` as -1. */
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
  const { entries, kept } = parsed(bytes);
  const distances = numbers(entries, 1);
  let entry = -1;
  const numbered = Uint32Array.from(distances, (distance) => {
    entry += distance;
    if (entry >= keepsAll) throw damaged();
    return entry;
  });
  return { entries: numbered, kept: kept === undefined ? undefined : Uint32Array.from(numbers(kept, -1)) };
}

function parsed(bytes: Uint8Array): { readonly entries?: unknown; readonly kept?: unknown } {
  try {
    return (JSON.parse(new TextDecoder().decode(bytes)) ?? {}) as object;
  } catch {
    throw damaged();
  }
}

function numbers(list: unknown, least: number): readonly number[] {
  if (Array.isArray(list) && list.every((one) => Number.isInteger(one) && one >= least && one < keepsAll)) return list;
  throw damaged();
}

function damaged(): RangeError {
  return new RangeError("the list of left-out entries is damaged");
}
