/** Appends a batch to the journal: a large one in several transactions, so that others get a turn in between. */
import type { Append, Committed, Journal, KnownKeys, QuarantinePart } from "../journal/index.ts";
import { keyWords } from "../records/identity.ts";
import type { RecordType } from "../records/types.ts";
import { maxRowRecords, type MeasuredPart } from "./parts.ts";

/** What became of the records of one batch. Their sum is what was received. */
export type Outcome = Readonly<Record<"accepted" | "duplicate" | "skipped" | "quarantined", number>>;

/** One batch, complete. */
export interface Appended extends Pick<Append, "source" | "receivedAt" | "repairs" | "maxLogRecords"> {
  readonly parts: readonly MeasuredPart[];
  readonly quarantine: readonly QuarantinePart[];
  /** Keys of records that the journal has: four words each. */
  readonly known: ReadonlyMap<RecordType, { readonly keys: readonly number[]; readonly keysAt: number }>;
  /** What is not about single records: committed last. */
  readonly rest: Pick<Append, "bytes" | "bytesOf" | "skipped" | "poll" | "retries">;
}

/** Bytes of rows in one transaction, which take it some 25 ms, as `maxRowRecords` records do. */
const maxAppendBytes = 4 * 1024 * 1024;

/** Resolves once all of it is on disk. @throws {Unavailable} if the journal cannot accept it, or the rest of it. */
export async function appendBatch(
  { parts, quarantine, known, rest, maxLogRecords, ...origin }: Appended,
  journal: Pick<Journal, "append">,
  committed: (committed: Committed) => void,
): Promise<Outcome> {
  const outcome = { accepted: 0, duplicate: 0, skipped: 0, quarantined: 0 };
  const slices = slicesOf(parts, quarantine, known);
  let logRecordsLeft = maxLogRecords;
  for (const [place, slice] of slices.entries()) {
    const isLast = place === slices.length - 1;
    const append: Append = {
      ...origin,
      ...slice,
      ...(isLast ? rest : { bytes: 0, bytesOf: rest.bytesOf, skipped: {} }),
      ...(logRecordsLeft !== undefined && { maxLogRecords: logRecordsLeft }),
    };
    const done = await journal.append(append, committed);
    outcome.accepted += sumOf(done.parts.map(({ accepted }) => accepted));
    outcome.duplicate += sumOf(Object.values(done.tally.duplicates ?? {}));
    outcome.skipped += sumOf(Object.values(done.tally.skipped ?? {}));
    outcome.quarantined += sumOf((done.tally.quarantined ?? []).map(({ records }) => records));
    if (logRecordsLeft !== undefined) logRecordsLeft -= logRecordsOf(done);
  }
  return outcome;
}

interface Slice {
  readonly parts: MeasuredPart[];
  readonly known: KnownKeys[];
  readonly quarantine: QuarantinePart[];
}

/** What goes into each transaction; at least one. */
function slicesOf(parts: Appended["parts"], quarantine: Appended["quarantine"], known: Appended["known"]): Slice[] {
  let slice: Slice = { parts: [], known: [], quarantine: [] };
  const slices = [slice];
  let [records, bytes] = [0, 0];
  const withRoomFor = (moreRecords: number, moreBytes: number): Slice => {
    records += moreRecords;
    bytes += moreBytes;
    if (records > maxRowRecords || bytes > maxAppendBytes) {
      [records, bytes] = [moreRecords, moreBytes];
      slices.push((slice = { parts: [], known: [], quarantine: [] }));
    }
    return slice;
  };
  for (const [type, { keys, keysAt }] of known) {
    for (let from = 0; from < keys.length; from += maxRowRecords * keyWords) {
      const some = Uint32Array.from(keys.slice(from, from + maxRowRecords * keyWords));
      withRoomFor(some.length / keyWords, 0).known.push({ type, keys: some, keysAt });
    }
  }
  for (const part of parts) withRoomFor(part.records, part.body.length).parts.push(part);
  for (const part of quarantine) withRoomFor(part.lines, part.body.length).quarantine.push(part);
  return slices;
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, one) => sum + one, 0);
}

/** Log records that the accepted records of a commit make, if they are limited. */
function logRecordsOf({ parts, tally }: Committed): number {
  let sum = -(tally.droppedLogRecords ?? 0);
  for (const { part, dropped } of parts)
    for (const [record, made] of (part.logRecords ?? []).entries()) if (dropped?.[record] !== 1) sum += made;
  return sum;
}
