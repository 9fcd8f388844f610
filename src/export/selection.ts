/** Selects the records of a delivery: all, those of a replay, or those that marks name. */
import type { Mark, Redelivery, Row } from "../journal/index.ts";

/** True if a record of a row, given by its number, is selected. */
export type IsSelected = (record: number) => boolean;

export interface RowSelection {
  /** The first row after the selection. */
  readonly untilSeq: number;
  /** The first row at or after `seq` that may be selected. */
  skipTo(seq: number): number;
  /** The selected records of a row; undefined if there are none. */
  recordsOf(row: Row): IsSelected | undefined;
}

export const allRecords: IsSelected = () => true;

export const everyRow: RowSelection = {
  untilSeq: Number.POSITIVE_INFINITY,
  skipTo: (seq) => seq,
  recordsOf: () => allRecords,
};

/** Selects the rows of a replay by when they were received. */
export function replayed({ untilSeq, range }: Redelivery): RowSelection {
  return {
    ...everyRow,
    untilSeq,
    recordsOf: ({ acceptedAt }) =>
      range === undefined || (acceptedAt >= range.since && acceptedAt <= range.until) ? allRecords : undefined,
  };
}

/** Selects the records that marks name. The marks are in the order of `marksOf`. */
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

/** The index of the first element at or after `seq`. */
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
