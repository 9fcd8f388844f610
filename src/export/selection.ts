/** Which records of which rows a delivery is about: all, those of a replay, or those that marks name. */
import type { Mark, Redelivery, Row } from "../journal/index.ts";

/** Whether a record of a row, by its number, is selected. */
export type IsSelected = (record: number) => boolean;

export interface RowSelection {
  /** The first row that does not belong to it. */
  readonly untilSeq: number;
  /** From `seq` on: no row before that one is selected. */
  skipTo(seq: number): number;
  /** The records of a row that are selected; nothing if none is. */
  recordsOf(row: Row): IsSelected | undefined;
}

export const allRecords: IsSelected = () => true;

export const everyRow: RowSelection = {
  untilSeq: Number.POSITIVE_INFINITY,
  skipTo: (seq) => seq,
  recordsOf: () => allRecords,
};

/** The rows of a replay, by when they were received. */
export function replayed({ untilSeq, range }: Redelivery): RowSelection {
  return {
    ...everyRow,
    untilSeq,
    recordsOf: ({ acceptedAt }) =>
      range === undefined || (acceptedAt >= range.since && acceptedAt <= range.until) ? allRecords : undefined,
  };
}

/** The records that those marks name. The marks are in the order of `marksOf`. */
export function marked(marks: readonly Mark[]): RowSelection {
  return {
    untilSeq: (marks.at(-1)?.seq ?? 0) + 1,
    skipTo: (seq) => marks[firstAt(marks, seq)]?.seq ?? seq,
    recordsOf({ seq }) {
      const ranges = marks.slice(firstAt(marks, seq), firstAt(marks, seq + 1));
      return ranges.length === 0 ? undefined : (record) => ranges.some(({ from, to }) => from <= record && record < to);
    },
  };
}

/** Where the first of them at or after `seq` stands. */
export function firstAt(sorted: readonly { readonly seq: number }[], seq: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as { readonly seq: number }).seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}
