/** What a batch brought that is never accepted and kept to be looked at: invalid records, and samples of unknown kinds. */
import type { RecordType } from "../records/types.ts";
import { cutText } from "../lib/text.ts";
import type { QuarantineLine, QuarantinePart } from "../journal/index.ts";
import { packText, unpackText } from "../journal/packing.ts";
import { keyWords } from "../records/identity.ts";
import { Lines, withoutLines } from "./lines.ts";

/** Bytes of UTF-8 kept of one text. */
const maxTextBytes = 64 * 1024;

const maxDetailBytes = 1024;

export class OpenQuarantinePart {
  readonly #class: QuarantinePart["class"];
  readonly #lines = new Lines();
  readonly #keys: number[] = [];
  readonly #types: (RecordType | "unknown")[] = [];
  readonly #reasons: string[] = [];

  constructor(partClass: QuarantinePart["class"]) {
    this.#class = partClass;
  }

  get isFull(): boolean {
    return this.#lines.isFull;
  }

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    return this.#lines.byteLength + this.#types.length * 48;
  }

  /** `key`: four words of class `quarantined`; samples have none. */
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
    if (key !== undefined) for (let word = 0; word < keyWords; word++) this.#keys.push(key[word] as number);
    this.#types.push(line.type);
    this.#reasons.push(line.reason);
  }

  seal(): QuarantinePart {
    const { body, length } = this.#lines.pack();
    return quarantinePart({
      class: this.#class,
      lines: this.#types.length,
      length,
      body,
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
      const text = withoutLines(unpackText(stored.body, stored.length), dropped);
      const isKept = (_: unknown, line: number): boolean => dropped[line] !== 1;
      const types = stored.types.filter(isKept);
      return quarantinePart({
        class: stored.class,
        lines: types.length,
        length: text.length,
        body: packText(text),
        keys: stored.keys.filter((_, word) => dropped[Math.floor(word / keyWords)] !== 1),
        types,
        reasons: stored.reasons.filter(isKept),
      });
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
