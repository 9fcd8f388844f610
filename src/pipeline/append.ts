/** Appends a batch to the journal: a large one in several transactions, so that the event loop is free in between. */
import type { Append, Committed, Journal } from "../journal/index.ts";
import { keyWords } from "../records/identity.ts";
import { maxRowRecords } from "./parts.ts";

/** The records of one batch by outcome. Their sum is what was received. */
export type Outcome = Readonly<Record<"accepted" | "duplicate" | "skipped" | "quarantined", number>>;

/**
 * Limits of text and of row bytes in one transaction: each of them, like `maxRowRecords` records, may take it some 25 ms. Text
 * does so if records of every row turn out to be known, because such rows are packed again.
 */
export const maxAppendText = 8 * 1024 * 1024;
const maxAppendBytes = 4 * 1024 * 1024;

/**
 * Resolves once the whole batch is on disk. What is not about single records is in the last transaction.
 * @throws {Unavailable} if the journal cannot accept it, or the rest of it.
 */
export async function appendBatch(
  batch: Append,
  journal: Pick<Journal, "append">,
  committed: (committed: Committed) => void,
): Promise<Outcome> {
  const { bytes, skipped, poll, retries, ...shared } = batch;
  const outcome = { accepted: 0, duplicate: 0, skipped: 0, quarantined: 0 };
  const slices = slicesOf(batch);
  let logRecordsLeft = batch.maxLogRecords;
  for (const [place, slice] of slices.entries()) {
    const isLast = place === slices.length - 1;
    const append: Append = {
      ...shared,
      ...slice,
      ...(isLast ? { bytes, skipped, ...(poll && { poll }), ...(retries && { retries }) } : { bytes: 0, skipped: {} }),
      ...(logRecordsLeft !== undefined && { maxLogRecords: logRecordsLeft }),
    };
    const { parts, tally } = await journal.append(append, committed);
    outcome.accepted += sumOf(parts.map(({ accepted }) => accepted));
    outcome.duplicate += sumOf(Object.values(tally.duplicates ?? {}));
    outcome.skipped += sumOf(Object.values(tally.skipped ?? {}));
    outcome.quarantined += sumOf((tally.quarantined ?? []).map(({ records }) => records));
    if (logRecordsLeft !== undefined) logRecordsLeft -= logRecordsOf(parts) - (tally.droppedLogRecords ?? 0);
  }
  return outcome;
}

type Slice = { [Name in "parts" | "known" | "quarantine"]: Append[Name][number][] };

/** Splits a batch into transactions, at least one. */
function slicesOf({ parts, known, quarantine }: Append): Slice[] {
  let slice: Slice = { parts: [], known: [], quarantine: [] };
  const slices = [slice];
  let [records, bytes, text] = [0, 0, 0];
  const withRoomFor = (moreRecords: number, moreBytes: number, moreText: number): Slice => {
    const isEmpty = records === 0;
    records += moreRecords;
    bytes += moreBytes;
    text += moreText;
    if (!isEmpty && (records > maxRowRecords || bytes > maxAppendBytes || text > maxAppendText)) {
      [records, bytes, text] = [moreRecords, moreBytes, moreText];
      slices.push((slice = { parts: [], known: [], quarantine: [] }));
    }
    return slice;
  };
  for (const { keys, ...rest } of known)
    for (let from = 0; from < keys.length; from += maxRowRecords * keyWords) {
      const some = keys.subarray(from, from + maxRowRecords * keyWords);
      withRoomFor(some.length / keyWords, 0, 0).known.push({ ...rest, keys: some });
    }
  for (const part of parts) withRoomFor(part.records, part.body.length, part.length).parts.push(part);
  for (const part of quarantine) withRoomFor(part.lines, part.body.length, part.length).quarantine.push(part);
  return slices;
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, one) => sum + one, 0);
}

/** If log records are limited: how many the accepted records would make without the limit. */
function logRecordsOf(parts: Committed["parts"]): number {
  return sumOf(
    parts.flatMap(({ part, dropped }) => Array.from((part.logRecords ?? []).filter((_, at) => dropped?.[at] !== 1))),
  );
}
