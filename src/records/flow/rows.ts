/** Stored rows of flow records back into columns. What was decided when they were accepted is not decided again. */
import { Defect } from "../types.ts";
import { recordOfLine } from "../envelope.ts";
import { endOfObject } from "../json.ts";
import { decodeLeftOut } from "../left-out.ts";
import type { ClaimTable } from "./claims.ts";
import type { FlowColumns } from "./columns.ts";
import { appendEmptyRecord, countEntries, readFlow } from "./reader.ts";
import { FlowScanner } from "./scanner.ts";

/** Decodes rows, one after the other. */
export class FlowRowDecoder {
  readonly #claims: ClaimTable;
  readonly #scanner: FlowScanner;
  /** Entries that the row leaves out, the place of the next of them, and the number of the next entry in the row. */
  #leftOut: Uint32Array = new Uint32Array(0);
  #nextLeftOut = 0;
  #nextEntry = 0;

  constructor(claims: ClaimTable) {
    this.#claims = claims;
    this.#scanner = new FlowScanner(claims);
  }

  /**
   * Appends the row's records to the columns, one per line. A line that no longer decodes becomes an empty record with a text
   * in `defects`.
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
    this.#read(decoder.decode(text.subarray(from, to)), columns);
    return to;
  }

  #read(line: string, columns: FlowColumns): void {
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

  /** Whether one of the entries before `entry`, and not before the record's first, is left out. */
  #leavesOut(entry: number): boolean {
    return (this.#leftOut[this.#nextLeftOut] ?? Number.POSITIVE_INFINITY) < entry;
  }

  /** Asked for each entry of the row in turn. */
  #takesLeftOut(entry: number): boolean {
    if (this.#leftOut[this.#nextLeftOut] !== entry) return false;
    this.#nextLeftOut++;
    return true;
  }
}

const newline = 0x0a;
const openBrace = 0x7b;
const nothing = new Uint32Array(0);
const decoder = new TextDecoder();
