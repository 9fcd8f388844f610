/** Decodes stored rows of flow records into columns. Which entries count was decided at acceptance and is stored with the row. */
import { Defect } from "../types.ts";
import { recordOfLine } from "../envelope.ts";
import { endOfObject } from "../json.ts";
import type { ClaimTable } from "./claims.ts";
import type { FlowColumns } from "./columns.ts";
import { appendEmptyRecord, countEntries, readFlow } from "./reader.ts";
import { FlowScanner } from "./scanner.ts";

/** Decodes one row after another. */
export class FlowRowDecoder {
  readonly #claims: ClaimTable;
  readonly #scanner: FlowScanner;
  /** Excluded entries of the row, the index of the next one, and the number of the row's next entry. */
  #leftOut: Uint32Array = new Uint32Array(0);
  #nextLeftOut = 0;
  #nextEntry = 0;

  constructor(claims: ClaimTable) {
    this.#claims = claims;
    this.#scanner = new FlowScanner(claims);
  }

  /**
   * Appends the row's records to the columns, one per line. A line that cannot be decoded becomes an empty record, with the
   * reason in `defects`.
   * @throws {RangeError} for a damaged `leftOut`.
   */
  decode(text: Uint8Array, leftOut: Uint8Array | undefined, columns: FlowColumns): void {
    this.#leftOut = leftOut === undefined ? nothing : decodeLeftOut(leftOut).entries;
    this.#nextLeftOut = 0;
    this.#nextEntry = 0;
    for (let from = 0; from < text.length;) {
      from = this.#line(text, from, columns);
      if (text[from] === newline) from++;
    }
  }

  /** Returns the offset of the line's end. */
  #line(text: Uint8Array, from: number, columns: FlowColumns): number {
    const { records } = columns;
    const scanned = this.#scanner.scan(text, from, text.length, columns);
    if (scanned >= 0) {
      const entries = columns.entries - (columns.firstEntry[records] as number);
      const isWhole = scanned === text.length || text[scanned] === newline || text[scanned] === openBrace;
      if (isWhole && !this.#leavesOut(this.#nextEntry + entries)) {
        this.#nextEntry += entries;
        return scanned;
      }
      columns.takeBack(records);
    }
    const to = endOfObject(text, from);
    this.#read(text.subarray(from, to), columns);
    return to;
  }

  #read(line: Uint8Array, columns: FlowColumns): void {
    const { records } = columns;
    const first = this.#nextEntry;
    try {
      const { value, recorded } = recordOfLine(line, "flow");
      this.#nextEntry += countEntries(value);
      readFlow(value, recorded, this.#claims, columns, (entry) => this.#takesLeftOut(first + entry));
    } catch (error) {
      if (!(error instanceof Defect || error instanceof SyntaxError)) throw error;
      appendEmptyRecord(columns);
      columns.defects.set(records, error.message);
    }
    while (this.#leavesOut(this.#nextEntry)) this.#nextLeftOut++;
  }

  /** True if the next excluded entry comes before `entry`. */
  #leavesOut(entry: number): boolean {
    return (this.#leftOut[this.#nextLeftOut] ?? Number.POSITIVE_INFINITY) < entry;
  }

  /** True if this entry is excluded. Must be called for each entry in order. */
  #takesLeftOut(entry: number): boolean {
    if (this.#leftOut[this.#nextLeftOut] !== entry) return false;
    this.#nextLeftOut++;
    return true;
  }
}

/** In `kept`: all log records of the record are exported. */
export const keepsAll = 0xffff_ffff;

/** What a stored row excludes: invalid entries, and log records over a limit. */
export interface LeftOut {
  /** Excluded entries in ascending order, numbered across all records of the row. */
  readonly entries: Uint32Array;
  /** How many log records of each record are exported, or `keepsAll`; undefined if there is no limit. */
  readonly kept: Uint32Array | undefined;
}

/**
 * Encodes exclusions as JSON; undefined if there are none. An entry is stored as its distance from the previous one, `keepsAll`
 * as -1.
 */
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
  return encoder.encode(JSON.stringify(stored));
}

/**
 * Decodes the bytes that `encodeLeftOut` wrote.
 * @throws {RangeError} for any others.
 */
export function decodeLeftOut(bytes: Uint8Array): LeftOut {
  let stored: { readonly entries?: unknown; readonly kept?: unknown } | null;
  try {
    stored = JSON.parse(decoder.decode(bytes)) as typeof stored;
  } catch {
    throw damaged();
  }
  let entry = -1;
  const entries = Uint32Array.from(integers(stored?.entries, 1), (distance) => (entry += distance));
  if (entry >= keepsAll) throw damaged();
  const kept = stored?.kept;
  return { entries, kept: kept === undefined ? undefined : Uint32Array.from(integers(kept, -1)) };
}

function integers(list: unknown, least: number): readonly number[] {
  if (Array.isArray(list) && list.every((one) => Number.isInteger(one) && one >= least && one < keepsAll)) return list;
  throw damaged();
}

function damaged(): RangeError {
  return new RangeError("the list of left-out entries is damaged");
}

const newline = 0x0a;
const openBrace = 0x7b;
const nothing = new Uint32Array(0);
const decoder = new TextDecoder();
const encoder = new TextEncoder();
