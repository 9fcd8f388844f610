/** What a batch brought that is never accepted and kept for inspection: invalid records, and samples of unknown kinds. */
import { cutText } from "../lib/text.ts";
import type { QuarantineLine, QuarantinePart } from "../journal/index.ts";
import type { RecordType } from "../records/types.ts";
import { Lines, textWithout } from "./parts.ts";

type PartClass = QuarantinePart["class"];

/** Bytes of UTF-8 kept of one text. */
const maxTextBytes = 64 * 1024;
const maxDetailBytes = 1024;

/** A row of quarantined lines while it is filled. */
interface OpenRow {
  readonly lines: Lines;
  readonly keys: number[];
  readonly types: (RecordType | "unknown")[];
  readonly reasons: string[];
}

export class OpenQuarantine {
  readonly #open = new Map<PartClass, OpenRow>();
  readonly #sealed: QuarantinePart[] = [];

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    let bytes = 0;
    for (const { body, lines } of this.#sealed) bytes += body.length + lines * 64;
    for (const { lines, types } of this.#open.values()) bytes += lines.byteLength + types.length * 64;
    return bytes;
  }

  /** `key`: four words of class `quarantined`; samples have none. */
  add(partClass: PartClass, line: Omit<QuarantineLine, "isCut">, key?: Uint32Array): void {
    let row = this.#open.get(partClass);
    if (row === undefined) this.#open.set(partClass, (row = { lines: new Lines(), keys: [], types: [], reasons: [] }));
    const text = cutText(line.text, maxTextBytes);
    const stored = { ...line, detail: cutText(line.detail, maxDetailBytes), text };
    row.lines.addText(JSON.stringify(text === line.text ? stored : { ...stored, isCut: true }));
    if (key !== undefined) row.keys.push(...key);
    row.types.push(line.type);
    row.reasons.push(line.reason);
    if (row.lines.isFull) this.#seal(partClass, row);
  }

  seal(): readonly QuarantinePart[] {
    for (const [partClass, row] of this.#open) this.#seal(partClass, row);
    return this.#sealed;
  }

  #seal(partClass: PartClass, { lines, keys, types, reasons }: OpenRow): void {
    this.#open.delete(partClass);
    const packed = { ...lines.pack(), keys: Uint32Array.from(keys) };
    this.#sealed.push(partOf({ class: partClass, lines: types.length, ...packed, types, reasons }));
    lines.release();
  }
}

function partOf(stored: Omit<QuarantinePart, "without">): QuarantinePart {
  return {
    ...stored,
    without(dropped) {
      const isKept = (_: unknown, line: number): boolean => dropped[line] !== 1;
      const types = stored.types.filter(isKept);
      const reasons = stored.reasons.filter(isKept);
      return partOf({ ...stored, ...textWithout(stored, dropped), lines: types.length, types, reasons });
    },
  };
}

const maxKinds = 64;
const maxSamplesOfKind = 3;

/** Chooses which values of unknown kinds are kept: a few of each kind, and of a bounded number of kinds. */
export class Samples {
  readonly #counts = new Map<string, number>();

  /** Whether this text should be kept; counts it if so. A kind is its beginning: member names and their order. */
  wants(text: string): boolean {
    const kind = text.slice(0, 512).replaceAll(/:\s*("(?:[^"\\]|\\.)*"?|[\d.eE+-]+|true|false|null)/g, "");
    const count = this.#counts.get(kind) ?? 0;
    if (count >= maxSamplesOfKind || (count === 0 && this.#counts.size >= maxKinds)) return false;
    this.#counts.set(kind, count + 1);
    return true;
  }
}
