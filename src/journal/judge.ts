/** Decides what of a batch is new: the one place where a record is accepted or known. Pure but for the keys it stages. */
import { factToleranceMs } from "../records/fact.ts";
import type { SeenKey } from "../records/identity.ts";
import type { RecordType } from "../records/types.ts";
import { type EventBudget, keepEvents } from "./kept-events.ts";
import { type KeyVerdict, repairedBit, sourceBits } from "./key-table.ts";
import type { KeyClass, StagedKeys } from "./seen-keys.ts";
import type { Append, AppendPart, InvalidRecord, PolledType, QuarantinedCount, Tally } from "./types.ts";

/** What a batch comes to. */
export interface Judgement {
  /** Parts with accepted records only; a part of which nothing is new is left out. */
  readonly parts: readonly AppendPart[];
  /** The flags of each part. */
  readonly flags: readonly (Uint8Array | undefined)[];
  readonly invalid: readonly InvalidRecord[];
  readonly tally: Tally;
  /** Keys to be written, by class: new ones, and known ones that came a new way. */
  readonly keys: ReadonlyMap<KeyClass, readonly SeenKey[]>;
  /** What is written beside each of them. */
  readonly keyBits: number;
}

/** Judges one batch against what is committed and what the open transaction has staged, and stages its keys. */
export function judge(append: Append, staged: StagedKeys): Judgement {
  const duplicates: Partial<Record<RecordType, number>> = {};
  const conflicts = { counters: 0, entries: 0 };
  const late: Partial<Record<PolledType, number>> = {};
  const keyBits = sourceBits[append.source] | (append.repairs === true ? repairedBit : 0);
  const keys = new Map<KeyClass, SeenKey[]>();
  const keep = (keyClass: KeyClass, key: SeenKey): void => {
    const kept = keys.get(keyClass);
    if (kept === undefined) keys.set(keyClass, [key]);
    else kept.push(key);
  };
  const repeat = (type: RecordType, key: SeenKey, verdict: KeyVerdict): void => {
    duplicates[type] = (duplicates[type] ?? 0) + 1;
    if (verdict === "known_counters") conflicts.counters++;
    if (!staged.isKnownFromElsewhere(type, key, append.source)) return;
    if (append.source === "stream" && type !== "webhook" && staged.isRepaired(type, key))
      late[type] = (late[type] ?? 0) + 1;
    staged.stage(type, key, keyBits);
    keep(type, key);
  };
  /** Whether the record is accepted. */
  const accept = (type: RecordType, key: SeenKey, fact: SeenKey | undefined): boolean => {
    const verdict = staged.probe(type, key);
    if (verdict === "known" || verdict === "known_counters") {
      repeat(type, key, verdict);
      return false;
    }
    if (verdict === "new_entries") conflicts.entries++;
    staged.stage(type, key, keyBits);
    keep(type, key);
    if (fact === undefined) return true;
    if (type === "webhook") {
      const isTold = isFactTold(fact, staged);
      if (isTold) duplicates.webhook = (duplicates.webhook ?? 0) + 1;
      return !isTold;
    }
    staged.stage("webhook", fact, keyBits);
    keep("webhook", fact);
    return true;
  };

  /** Known when the batch was put together, which is enough: its key may have left since, its record has not. */
  for (const { type, key } of append.known) repeat(type, key, staged.probe(type, key));
  const parts: AppendPart[] = [];
  for (const part of append.parts) {
    const known = new Set<number>();
    part.keys.forEach((key, place) => {
      if (!accept(part.type, key, part.facts?.[place])) known.add(place);
    });
    if (known.size < part.records) parts.push(known.size === 0 ? part : part.without(known));
  }
  const invalid = append.invalid.filter(({ type, key }) => {
    if (staged.probe("quarantined", key) !== "new") {
      duplicates[type] = (duplicates[type] ?? 0) + 1;
      return false;
    }
    staged.stage("quarantined", key, keyBits);
    keep("quarantined", key);
    return true;
  });
  const budget: EventBudget = { left: append.maxLogEvents ?? Number.POSITIVE_INFINITY, dropped: 0 };
  const flags = parts.map(({ logEvents }) => logEvents && keepEvents(logEvents, budget));
  const tally: Tally = {
    bytes: append.bytes,
    bytesOf: append.bytesOf,
    duplicates,
    skipped: append.skipped,
    quarantined: countInvalid(invalid),
    samples: append.samples.length,
    conflicts,
    futureTimes: parts.reduce((sum, part) => sum + part.futureTimes, 0),
    ...(budget.dropped > 0 && { droppedLogEvents: budget.dropped }),
    ...(append.retries !== undefined && { retried: { [append.retries.reason]: 1 } }),
    ...reconciled(append, parts, late),
  };
  return { parts, flags, invalid, tally, keys, keyBits };
}

/** What stream and poll have to say about each other; nothing in nearly every batch. */
function reconciled(
  { repairs, poll }: Append,
  parts: readonly AppendPart[],
  late: Partial<Record<PolledType, number>>,
): Pick<Tally, "repaired" | "late" | "unproven" | "unverifiable"> {
  const repaired: Partial<Record<PolledType, number>> = {};
  const unproven: Partial<Record<PolledType, number>> = {};
  for (const { type, records, unproven: older = 0 } of parts) {
    if (type === "webhook") continue;
    if (repairs === true) repaired[type] = (repaired[type] ?? 0) + records;
    if (older > 0) unproven[type] = (unproven[type] ?? 0) + older;
  }
  const unverifiable =
    poll === undefined || poll.unverifiableSeconds === 0 ? {} : { [poll.type]: poll.unverifiableSeconds };
  return {
    ...(hasAny(repaired) && { repaired }),
    ...(hasAny(late) && { late }),
    ...(hasAny(unproven) && { unproven }),
    ...(hasAny(unverifiable) && { unverifiable }),
  };
}

function hasAny(counts: object): boolean {
  return Object.keys(counts).length > 0;
}

/** Whether a fact is held whose time is that of this one, give or take the tolerance. Some 2,000 look-ups, 0.1 ms. */
function isFactTold(fact: SeenKey, staged: StagedKeys): boolean {
  for (let ms = -factToleranceMs; ms <= factToleranceMs; ms++) {
    if (staged.probe("webhook", { ...fact, low: (fact.low + ms) >>> 0 }) !== "new") return true;
  }
  return false;
}

function countInvalid(invalid: readonly InvalidRecord[]): QuarantinedCount[] {
  const counts = new Map<string, { type: RecordType; reason: InvalidRecord["reason"]; records: number }>();
  for (const { type, reason } of invalid) {
    const known = counts.get(`${type} ${reason}`);
    if (known === undefined) counts.set(`${type} ${reason}`, { type, reason, records: 1 });
    else known.records++;
  }
  return [...counts.values()];
}
