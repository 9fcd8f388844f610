/** What a batch brought that is never accepted and kept for inspection: invalid records, and samples of unknown kinds. */
import { cutText } from "../lib/text.ts";
import type { QuarantineLine, QuarantinePart } from "../journal/index.ts";
import { Lines, textWithout } from "./parts.ts";

type PartClass = QuarantinePart["class"];

/** Bytes of UTF-8 kept of one text. */
const maxTextBytes = 64 * 1024;
const maxDetailBytes = 1024;

/** A row of quarantined lines of one class, type and reason while it is filled. */
interface OpenRow extends Pick<QuarantinePart, "class" | "type" | "reason"> {
  readonly lines: Lines;
  readonly keys: number[];
  count: number;
}

export class OpenQuarantine {
  readonly #open = new Map<string, OpenRow>();
  readonly #sealed: QuarantinePart[] = [];

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    let bytes = 0;
    for (const { body, lines } of this.#sealed) bytes += body.length + lines * 64;
    for (const { lines, count } of this.#open.values()) bytes += lines.byteLength + count * 64;
    return bytes;
  }

  /** `key`: four words of class `quarantined`; samples have none. */
  add(partClass: PartClass, line: Omit<QuarantineLine, "isCut">, key?: Uint32Array): void {
    const { type, reason } = line;
    const name = `${partClass} ${type} ${reason}`;
    let row = this.#open.get(name);
    if (row === undefined)
      this.#open.set(name, (row = { class: partClass, type, reason, lines: new Lines(), keys: [], count: 0 }));
    const text = cutText(line.text, maxTextBytes);
    const stored = { ...line, detail: cutText(line.detail, maxDetailBytes), text };
    row.lines.addText(JSON.stringify(text === line.text ? stored : { ...stored, isCut: true }));
    if (key !== undefined) row.keys.push(...key);
    row.count++;
    if (row.lines.isFull) this.#seal(name, row);
  }

  seal(): readonly QuarantinePart[] {
    for (const [name, row] of this.#open) this.#seal(name, row);
    return this.#sealed;
  }

  #seal(name: string, { lines, keys, count, ...shared }: OpenRow): void {
    this.#open.delete(name);
    this.#sealed.push(partOf({ ...shared, lines: count, ...lines.pack(), keys: Uint32Array.from(keys) }));
    lines.release();
  }
}

function partOf(stored: Omit<QuarantinePart, "without">): QuarantinePart {
  return {
    ...stored,
    without(dropped) {
      const lines = stored.lines - dropped.reduce((sum, one) => sum + one, 0);
      return partOf({ ...stored, ...textWithout(stored, dropped), lines });
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
