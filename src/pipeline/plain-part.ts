/** Accepted audit or webhook records of one row while they come in. They are few, and counted from merged increments. */
import { decodeAudit } from "../records/audit.ts";
import type { AuditRecord, RawRecord, WebhookRecord } from "../records/types.ts";
import { decodeWebhook } from "../records/webhook.ts";
import { type Increments, merge, noIncrements } from "../catalogue/increments.ts";
import type { Part } from "../journal/index.ts";
import { packText, unpackText } from "../journal/packing.ts";
import { measure, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import { keyWords } from "../records/identity.ts";
import type { RecordNotes } from "./flow-part.ts";
import { Lines, linesOf, withoutLines } from "./lines.ts";

export type PlainType = "audit" | "webhook";

/** A sealed part of audit or webhook records, with what all of its records add to the counters. */
export interface PlainPart extends Part {
  readonly type: PlainType;
  readonly increments: Increments;
}

export class OpenPlainPart {
  readonly #type: PlainType;
  readonly #settings: ProcessorSettings;
  readonly #lines = new Lines();
  readonly #increments = noIncrements();
  readonly #keys: number[] = [];
  readonly #flags: number[] = [];
  readonly #facts: (Uint32Array | undefined)[] = [];
  #keysAt = 0;

  constructor(type: PlainType, settings: ProcessorSettings) {
    this.#type = type;
    this.#settings = settings;
  }

  get isFull(): boolean {
    return this.#lines.isFull;
  }

  /** Bytes held in memory, roughly. */
  get byteLength(): number {
    return this.#lines.byteLength + this.#keys.length * 8;
  }

  /** Accepts a record. @throws {Error} if it does not measure; then it has not been added. */
  add(record: AuditRecord | WebhookRecord, line: string, { key, fact, flags, keysAt }: PlainNotes): void {
    const own = noIncrements();
    measure(record, this.#settings, own);
    merge(this.#increments, own);
    this.#lines.addText(line);
    for (let word = 0; word < keyWords; word++) this.#keys.push(key[word] as number);
    this.#facts.push(fact);
    this.#flags.push(flags);
    this.#keysAt = Math.max(this.#keysAt, keysAt);
  }

  seal(): PlainPart {
    const { body, length } = this.#lines.pack();
    const records = this.#flags.length;
    return plainPart(this.#settings, {
      type: this.#type,
      records,
      length,
      body,
      leftOut: undefined,
      leftOutEntries: {},
      keys: Uint32Array.from(this.#keys),
      keysAt: this.#keysAt,
      flags: Uint8Array.from(this.#flags),
      increments: this.#increments,
      ...(this.#facts.some((fact) => fact !== undefined) && { facts: this.#facts }),
    });
  }
}

/** What is known of a record beside its text. */
export interface PlainNotes extends Pick<RecordNotes, "flags" | "keysAt"> {
  /** Four words. */
  readonly key: Uint32Array;
  /** Keys of what it tells that a record of the other type can tell too, if that is compared. */
  readonly fact: Uint32Array | undefined;
}

function plainPart(settings: ProcessorSettings, stored: Omit<PlainPart, "without">): PlainPart {
  return {
    ...stored,
    without(dropped) {
      const { keys, flags, facts } = stored;
      const text = withoutLines(unpackText(stored.body, stored.length), dropped);
      const isKept = (_: unknown, record: number): boolean => dropped[record] !== 1;
      return plainPart(settings, {
        ...stored,
        records: dropped.reduce((sum, isDropped) => sum - isDropped, stored.records),
        length: text.length,
        body: packText(text),
        keys: keys.filter((_, word) => dropped[Math.floor(word / keyWords)] !== 1),
        flags: flags.filter(isKept),
        increments: incrementsWithout(stored, dropped, settings),
        ...(facts !== undefined && { facts: facts.filter(isKept) }),
      });
    },
  };
}

/** What the records of a part add that are not dropped. */
export function incrementsWithout(
  part: Pick<PlainPart, "type" | "body" | "length">,
  dropped: Uint8Array,
  settings: ProcessorSettings,
): Increments {
  const increments = noIncrements();
  linesOf(unpackText(part.body, part.length)).forEach((line, place) => {
    if (dropped[place] === 1) return;
    measure(decodePlain(recordOfLine(line, part.type)), settings, increments);
  });
  return increments;
}

/** @throws {Defect} if the record cannot be accepted. */
export function decodePlain(raw: RawRecord): AuditRecord | WebhookRecord {
  return raw.type === "audit" ? decodeAudit(raw) : decodeWebhook(raw);
}
