/** Accepted records of one type on their way into the journal: packed as they come in, so that a large batch holds little memory. */
import { type Increments, noIncrements } from "../catalogue/increments.ts";
import { pack, unpackText } from "../journal/pack.ts";
import type { AppendPart } from "../journal/types.ts";
import { measure } from "../processors/index.ts";
import type { NameOptions } from "../processors/names.ts";
import { decodeRecord } from "../records/decode.ts";
import { recordOfLine } from "../records/envelope.ts";
import type { SeenKey } from "../records/identity.ts";
import type { RecordType } from "../records/types.ts";

/** One record of a part. */
export interface PartRecord {
  /** Its stored form. */
  readonly line: string;
  readonly key: SeenKey;
  /** What it tells that a record of another type can tell too. */
  readonly fact: SeenKey | undefined;
  /** Log events that it makes, where they are limited. */
  readonly logEvents: number | undefined;
  /** Its time lies ahead of ours. */
  readonly isAhead: boolean;
  /** It is older than the keys that are held. */
  readonly isUnproven: boolean;
}

/** A part of these records, `increments` being what they add. */
export function partOf(
  type: RecordType,
  records: readonly PartRecord[],
  increments: Increments,
  names: NameOptions,
): AppendPart {
  const body = pack(records.map(({ line }) => line).join("\n"));
  const keys = records.map(({ key }) => key);
  const facts = type === "flow" ? [] : records.map(({ fact }) => fact);
  const logEvents = records.flatMap((record) => record.logEvents ?? []);
  const ahead = records.map(({ isAhead }) => isAhead);
  const unproven = records.map(({ isUnproven }) => isUnproven);
  return {
    type,
    records: records.length,
    body,
    keys,
    ...(facts.some((fact) => fact !== undefined) && { facts }),
    increments,
    ...(logEvents.length > 0 && { logEvents }),
    futureTimes: countTrue(ahead),
    unproven: countTrue(unproven),
    without(places) {
      const kept: PartRecord[] = [];
      unpackText(body)
        .split("\n")
        .forEach((line, place) => {
          if (!places.has(place))
            kept.push({
              line,
              key: keys[place] as SeenKey,
              fact: facts[place],
              logEvents: logEvents[place],
              isAhead: ahead[place] === true,
              isUnproven: unproven[place] === true,
            });
        });
      return partOf(type, kept, measureLines(kept, type, names), names);
    },
  };
}

function countTrue(flags: readonly boolean[]): number {
  return flags.reduce((sum, isTrue) => sum + (isTrue ? 1 : 0), 0);
}

/** What stored records add, measured from their lines. @throws {Error} from the first that does not measure. */
export function measureLines(
  records: readonly Pick<PartRecord, "line">[],
  type: RecordType,
  names: NameOptions,
): Increments {
  const increments = noIncrements();
  for (const { line } of records) measure(decodeRecord(recordOfLine(line, type)), names, increments);
  return increments;
}
