/** Collects what a batch stores for inspection without accepting it: invalid records, and samples of unknown kinds. */
import { cutText } from "../lib/text.ts";
import type { QuarantineLine, QuarantinePart } from "../journal/index.ts";
import { Lines, linesWithout } from "./parts.ts";

/** Maximum bytes (UTF-8) stored of one text. */
const maxTextBytes = 64 * 1024;
const maxDetailBytes = 1024;

/** Maximum bytes of a UTF-8 character, which a cut may split. */
const maxCharacterBytes = 4;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What all lines of a row share. */
type Shared = Pick<QuarantinePart, "class" | "type" | "reason">;

export class OpenQuarantine {
  readonly #open = new Map<string, { readonly shared: Shared; readonly lines: Lines; count: number }>();
  readonly #sealed: QuarantinePart[] = [];

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    let bytes = 0;
    for (const { body, lines } of this.#sealed) bytes += body.length + lines * 64;
    for (const { lines, count } of this.#open.values()) bytes += lines.byteLength + count * 64;
    return bytes;
  }

  /** Adds `text` and why it is quarantined. `key`: four words of class `quarantined`; samples have none. */
  add(text: Uint8Array, { detail, ...shared }: Shared & Pick<QuarantineLine, "detail">, key?: Uint32Array): void {
    const { class: partClass, type, reason } = shared;
    const name = `${partClass} ${type} ${reason}`;
    if (this.#open.get(name)?.lines.isFull) this.#seal(name);
    let row = this.#open.get(name);
    if (row === undefined) this.#open.set(name, (row = { shared, lines: Lines.open(), count: 0 }));
    const isCut = text.length > maxTextBytes;
    const kept = decoder.decode(isCut ? text.subarray(0, maxTextBytes + maxCharacterBytes) : text);
    const line: QuarantineLine = {
      type,
      reason,
      detail: cutText(detail, maxDetailBytes),
      text: cutText(kept, maxTextBytes),
      ...(isCut && { isCut }),
    };
    const stored = encoder.encode(JSON.stringify(line));
    row.lines.add(stored, 0, stored.length, key);
    row.count++;
  }

  /** Returns everything as rows. */
  seal(): readonly QuarantinePart[] {
    for (const name of this.#open.keys()) this.#seal(name);
    return this.#sealed;
  }

  #seal(name: string): void {
    const row = this.#open.get(name);
    if (row === undefined) return;
    this.#open.delete(name);
    this.#sealed.push(partOf({ ...row.shared, lines: row.count, ...row.lines.seal() }));
  }
}

function partOf(stored: Omit<QuarantinePart, "without">): QuarantinePart {
  return {
    ...stored,
    without(dropped) {
      const lines = stored.lines - dropped.reduce((sum, one) => sum + one, 0);
      return partOf({ ...stored, ...linesWithout(stored, dropped), lines });
    },
  };
}

const maxKinds = 64;
const maxSamplesOfKind = 3;

/** Chooses which values of unknown kinds are stored: a few of each kind, and of a bounded number of kinds. */
export class Samples {
  readonly #counts = new Map<string, number>();

  /** True if this text should be stored, which counts it. A kind is its beginning: member names and their order. */
  wants(text: Uint8Array): boolean {
    const beginning = decoder.decode(text.subarray(0, 512));
    const kind = beginning.replaceAll(/:\s*("(?:[^"\\]|\\.)*"?|[\d.eE+-]+|true|false|null)/g, "");
    const count = this.#counts.get(kind) ?? 0;
    if (count >= maxSamplesOfKind || (count === 0 && this.#counts.size >= maxKinds)) return false;
    this.#counts.set(kind, count + 1);
    return true;
  }
}
