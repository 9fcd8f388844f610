/** Which rows and records of the journal a delivery reads: all of them, those of a replay, or those that marks name. */
import type { JournalReader, Mark, Redelivery, Row } from "../journal/index.ts";

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

const all: IsSelected = () => true;

export const everything: RowSelection = {
  untilSeq: Number.POSITIVE_INFINITY,
  skipTo: (seq) => seq,
  recordsOf: () => all,
};

/** The rows of a replay, by when they were received. */
export function replayed({ untilSeq, range }: Redelivery): RowSelection {
  return {
    untilSeq,
    skipTo: (seq) => seq,
    recordsOf: ({ acceptedAt }) =>
      range === undefined || (acceptedAt >= range.since && acceptedAt <= range.until) ? all : undefined,
  };
}

/** The records that those marks name. The marks are in the order of `marksOf`. */
export function marked(marks: readonly Mark[]): RowSelection {
  return {
    untilSeq: (marks.at(-1)?.seq ?? 0) + 1,
    skipTo: (seq) => marks[firstOf(marks, seq)]?.seq ?? seq,
    recordsOf({ seq }) {
      const ranges: Mark[] = [];
      for (let at = firstOf(marks, seq); marks[at]?.seq === seq; at++) ranges.push(marks[at] as Mark);
      if (ranges.length === 0) return undefined;
      return (record) => ranges.some(({ from, to }) => from <= record && record < to);
    },
  };
}

/** The marks of a retry that had been made when it was planned, by row and end. */
export function marksOf(reader: Pick<JournalReader, "marks">, { marks: filter, untilSeq }: Redelivery): Mark[] {
  const found: Mark[] = [];
  for (let afterId = 0; ; afterId = (found.at(-1) as Mark).id) {
    const page = reader.marks(filter ?? {}, { afterId, marks: marksPerPage });
    for (const mark of page) if (mark.id < untilSeq) found.push(mark);
    if (page.length < marksPerPage || (page.at(-1) as Mark).id >= untilSeq) break;
  }
  return found.sort((a, b) => a.seq - b.seq || a.to - b.to);
}

const marksPerPage = 1_000;

/** Where the first mark of that row or a later one stands. */
function firstOf(marks: readonly Mark[], seq: number): number {
  let low = 0;
  let high = marks.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((marks[middle] as Mark).seq < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Rows that the main thread hands over as it commits them, so that the worker need not read and inflate them: 0.5 µs less per
 * connection entry. Only a cache of the journal: a row that is not here is read from there.
 */
export class HandedRows implements Pick<JournalReader, "read"> {
  readonly #reader: Pick<JournalReader, "read">;
  /** In the order of `seq`, each once. */
  #rows: Row[] = [];

  constructor(reader: Pick<JournalReader, "read">) {
    this.#reader = reader;
  }

  /** Later rows than those before. */
  offer(rows: readonly Row[]): void {
    this.#rows.push(...rows);
  }

  /** Rows are given out once: whoever wants one again gets it from the journal. */
  read(fromSeq: number, limit: { readonly rows: number; readonly bytes: number }): readonly Row[] {
    let first = 0;
    while (first < this.#rows.length && (this.#rows[first] as Row).seq < fromSeq) first++;
    let end = first;
    let bytes = 0;
    for (let next = this.#rows[end]; next?.seq === fromSeq + end - first; next = this.#rows[end]) {
      if (end - first >= limit.rows || bytes >= limit.bytes) break;
      bytes += next.text.length;
      end++;
    }
    const found = this.#rows.slice(first, end);
    this.#rows.splice(0, end);
    return found.length > 0
      ? found
      : this.#reader.read(fromSeq, { ...limit, rows: this.#rowsToNext(fromSeq, limit.rows) });
  }

  /** So that a row that is here is not read from the journal as well. */
  #rowsToNext(fromSeq: number, rows: number): number {
    const [next] = this.#rows;
    return next === undefined ? rows : Math.max(1, Math.min(rows, next.seq - fromSeq));
  }
}
