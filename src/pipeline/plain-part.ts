/** Accepted audit or webhook records of one row while they come in. They are few, and counted from merged increments. */
import { decodePlain } from "../records/plain.ts";
import type { AuditRecord, WebhookRecord } from "../records/types.ts";
import { type Increments, merge, noIncrements } from "../catalogue/increments.ts";
import type { Part } from "../journal/index.ts";
import { unpackText } from "../journal/packing.ts";
import { measure, type ProcessorSettings } from "../processors/index.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { RecordNotes } from "./flow-part.ts";
import { Lines, linesOf, without, withoutRecords } from "./lines.ts";

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
    this.#keys.push(...key);
    this.#facts.push(fact);
    this.#flags.push(flags);
    this.#keysAt = Math.max(this.#keysAt, keysAt);
  }

  seal(): PlainPart {
    return plainPart(this.#settings, {
      type: this.#type,
      records: this.#flags.length,
      ...this.#lines.pack(),
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
export interface PlainNotes extends Omit<RecordNotes, "logRecords"> {
  /** Keys of what it tells that a record of the other type can tell too, if that is compared. */
  readonly fact: Uint32Array | undefined;
}

function plainPart(settings: ProcessorSettings, stored: Omit<PlainPart, "without">): PlainPart {
  return {
    ...stored,
    without(dropped) {
      const flags = Uint8Array.from(without([...stored.flags], dropped));
      return plainPart(settings, {
        ...stored,
        ...withoutRecords(stored, dropped),
        records: flags.length,
        flags,
        increments: incrementsWithout(stored, dropped, settings),
        ...(stored.facts !== undefined && { facts: without(stored.facts, dropped) }),
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
