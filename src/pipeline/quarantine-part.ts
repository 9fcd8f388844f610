/** What a batch brought that is never accepted and kept to be looked at: invalid records, and samples of unknown kinds. */
import type { RecordType } from "../records/types.ts";
import { cutText } from "../lib/text.ts";
import type { QuarantineLine, QuarantinePart } from "../journal/index.ts";
import { Lines, without, withoutRecords } from "./lines.ts";

type PartClass = QuarantinePart["class"];

/** Bytes of UTF-8 kept of one text. */
const maxTextBytes = 64 * 1024;

const maxDetailBytes = 1024;

/** All that a batch quarantines; what fills a row is sealed. */
export class OpenQuarantine {
  readonly #open = new Map<PartClass, OpenQuarantinePart>();
  readonly #sealed: QuarantinePart[] = [];
  #sealedBytes = 0;

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    let bytes = this.#sealedBytes;
    for (const part of this.#open.values()) bytes += part.byteLength;
    return bytes;
  }

  /** `key`: four words of class `quarantined`; samples have none. */
  add(partClass: PartClass, line: Omit<QuarantineLine, "isCut">, key?: Uint32Array): void {
    let part = this.#open.get(partClass);
    if (part === undefined) this.#open.set(partClass, (part = new OpenQuarantinePart(partClass)));
    part.add(line, key);
    if (part.isFull) this.#seal(part);
  }

  seal(): readonly QuarantinePart[] {
    for (const part of this.#open.values()) this.#seal(part);
    return this.#sealed;
  }

  #seal(part: OpenQuarantinePart): void {
    const sealed = part.seal();
    this.#open.delete(sealed.class);
    this.#sealed.push(sealed);
    this.#sealedBytes += sealed.body.length + sealed.lines * 64;
  }
}

export class OpenQuarantinePart {
  readonly #class: PartClass;
  readonly #lines = new Lines();
  readonly #keys: number[] = [];
  readonly #types: (RecordType | "unknown")[] = [];
  readonly #reasons: string[] = [];

  constructor(partClass: PartClass) {
    this.#class = partClass;
  }

  get isFull(): boolean {
    return this.#lines.isFull;
  }

  get byteLength(): number {
    return this.#lines.byteLength + this.#types.length * 48;
  }

  add(line: Omit<QuarantineLine, "isCut">, key: Uint32Array | undefined): void {
    const text = cutText(line.text, maxTextBytes);
    const stored: QuarantineLine = {
      type: line.type,
      reason: line.reason,
      detail: cutText(line.detail, maxDetailBytes),
      text,
      ...(text !== line.text && { isCut: true }),
    };
    this.#lines.addText(JSON.stringify(stored));
    if (key !== undefined) this.#keys.push(...key);
    this.#types.push(line.type);
    this.#reasons.push(line.reason);
  }

  seal(): QuarantinePart {
    return quarantinePart({
      class: this.#class,
      lines: this.#types.length,
      ...this.#lines.pack(),
      keys: Uint32Array.from(this.#keys),
      types: this.#types,
      reasons: this.#reasons,
    });
  }
}

function quarantinePart(stored: Omit<QuarantinePart, "without">): QuarantinePart {
  return {
    ...stored,
    without(dropped) {
      const types = without(stored.types, dropped);
      const reasons = without(stored.reasons, dropped);
      return quarantinePart({ ...stored, ...withoutRecords(stored, dropped), lines: types.length, types, reasons });
    },
  };
}

const maxKinds = 64;
const maxSamplesOfKind = 3;

/** Chooses which values of unknown kinds are kept: a few of each kind, and of a bounded number of kinds. */
export class Samples {
  readonly #kept = new Map<string, number>();

  /** Whether this text should be kept; counts it if so. A kind is its beginning: member names and their order. */
  wants(text: string): boolean {
    const kind = text.slice(0, 512).replaceAll(/:\s*("(?:[^"\\]|\\.)*"?|[\d.eE+-]+|true|false|null)/g, "");
    const count = this.#kept.get(kind) ?? 0;
    if (count >= maxSamplesOfKind || (count === 0 && this.#kept.size >= maxKinds)) return false;
    this.#kept.set(kind, count + 1);
    return true;
  }
}
