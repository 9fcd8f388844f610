/** Packs several appends into the parameters of one call of `append`: each is judged after those before it. */
import { type Append, type Committed, type Part, pollCursorOf } from "../batch.ts";
import { Judgement } from "../judge.ts";
import { rowBytes } from "./storage.ts";
import type { AppendKeys } from "./keys.ts";

/** What one call writes, and what it reports for each of its appends, with row numbers counted from 0. */
export type Call = ReturnType<typeof packCall>;

/** A row as `append` expects it; its blobs begin at `first`, with `left_out` before the body. */
interface PackedRow {
  readonly place: number;
  readonly at: number;
  readonly records: number;
  readonly length: number;
  readonly bytes: number;
  readonly source: string;
  readonly type: string;
  readonly tally: string | null;
  readonly first: number;
  readonly left_bytes: number | null;
  readonly body_bytes: number | null;
  readonly quarantined?: string;
  readonly why?: string;
}

/** Judges the appends one after another, and packs what is new. */
export function packCall(group: readonly Append[], keys: AppendKeys) {
  keys.clear();
  const rows: PackedRow[] = [];
  const blobs: Uint8Array[] = [];
  let first = 0;
  const push = (
    append: Append,
    row: Pick<PackedRow, "records" | "length" | "type" | "tally" | "quarantined" | "why">,
    leftOut?: Uint8Array,
    body?: Uint8Array,
  ): number => {
    const size = (leftOut?.length ?? 0) + (body?.length ?? 0);
    const [left_bytes, body_bytes] = [leftOut?.length ?? null, body?.length ?? null];
    const bytes = rowBytes + size + (row.tally?.length ?? 0);
    const { source, receivedAt } = append;
    const place = rows.length + 1;
    rows.push({ ...row, place, at: Math.trunc(receivedAt), source, bytes, first, left_bytes, body_bytes });
    for (const blob of [leftOut, body]) if (blob !== undefined) blobs.push(blob);
    first += size;
    return place;
  };
  const polls: { name: string; value: string }[] = [];
  const written = group.map((append): Committed => {
    const { source, receivedAt, poll } = append;
    keys.expect(append.parts);
    const judged = new Judgement(append, keys);
    const tally = judged.tally();
    /** Quarantine rows are deleted by separate rules, so the tally is never on one of them. */
    let text: string | null = JSON.stringify(tally);
    const parts = judged.parts.map(({ dropped, accepted }, place) => {
      const part = append.parts[place] as Part;
      if (accepted === undefined) return { part, dropped, accepted: 0, seq: 0 };
      const { type, records, length, body, leftOut } = accepted;
      const seq = push(append, { type, records, length, tally: text }, leftOut, body);
      text = null;
      return { part, dropped, accepted: records, seq };
    });
    if (text !== null) push(append, { type: "tally", records: 0, length: 0, tally: text });
    for (const { class: type, type: quarantined, reason: why, lines: records, length, body } of judged.quarantine)
      push(append, { type, records, length, tally: null, quarantined, why }, undefined, body);
    if (poll !== undefined) polls.push({ name: `poll.${poll.type}`, value: JSON.stringify(pollCursorOf(poll)) });
    return { lastSeq: rows.length, source, receivedAt, parts, tally };
  });
  const retries = group[0]?.retries;
  return {
    keys: keys.pack(),
    rows,
    bodies: Buffer.concat(blobs),
    polls: JSON.stringify(polls),
    retries,
    isLeaders: polls.length > 0 || retries !== undefined,
    written,
  };
}

/** Adds the row numbers that the database assigned, counted up from `before`. */
export function numbered(committed: Committed, before: number): Committed {
  const parts = committed.parts.map((one) => (one.seq === 0 ? one : { ...one, seq: before + one.seq }));
  return { ...committed, lastSeq: before + committed.lastSeq, parts };
}

/** Approximate size of an append in the database. */
export function bytesOf({ parts, quarantine }: Append): number {
  let bytes = rowBytes;
  for (const { body, records } of parts) bytes += body.length + rowBytes + records * 100;
  for (const { body } of quarantine) bytes += body.length + rowBytes;
  return bytes;
}

export function recordsOf({ parts }: Append): number {
  return parts.reduce((sum, { records }) => sum + records, 0);
}
