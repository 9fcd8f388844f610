/** A table that is sorted by clicking on a heading, and scrolls within itself. */
import type { ComponentChildren, JSX } from "preact";
import { useId, useMemo, useState } from "preact/hooks";

export interface Column<Row> {
  readonly title: string;
  /** The value to sort by; without it, the column is not sortable. */
  readonly value?: (row: Row) => number | string;
  /** What to show; defaults to the value. */
  readonly cell?: (row: Row) => ComponentChildren;
  /** Numbers are right-aligned, and sorted in descending order first. */
  readonly align?: "left" | "right";
}

export interface TableProps<Row> {
  /** Label for screen readers. */
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
  /** Title of the initially sorted column; without it, rows keep their order. */
  readonly sortedBy?: string;
  /** Rows shown until all are requested. */
  readonly limit?: number;
  readonly isChosen?: (row: Row) => boolean;
  /** For pointers only: the action must also be a link or button in one of the row's cells. */
  readonly onPoint?: (row: Row) => void;
}

interface Sorting {
  readonly title: string;
  readonly direction: "ascending" | "descending";
}

export function Table<Row>(props: TableProps<Row>): JSX.Element {
  const { caption, columns, rows, keyOf, sortedBy, limit = 50, isChosen, onPoint } = props;
  const [sorting, setSorting] = useState<Sorting | undefined>(() => firstSorting(columns, sortedBy));
  const [isWhole, setWhole] = useState(false);
  const id = useId();
  const sorted = useMemo(() => sortedRows(rows, columns, sorting), [rows, columns, sorting]);
  const shown = isWhole ? sorted : sorted.slice(0, limit);
  return (
    <>
      <div class="table" role="region" aria-labelledby={id} tabIndex={0}>
        <table>
          <caption id={id} class="unseen">
            {caption}
          </caption>
          <thead>
            <tr>
              {columns.map((column) => (
                <Heading key={column.title} column={column} sorting={sorting} onSort={setSorting} />
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((row) => (
              <tr
                key={keyOf(row)}
                class={isChosen?.(row) ? "chosen" : undefined}
                data-can-point={onPoint && ""}
                onClick={onPoint && (({ target }) => isPlain(target) && onPoint(row))}
              >
                {columns.map(({ title, value, cell, align }) => (
                  <td key={title} class={align}>
                    {cell === undefined ? value?.(row) : cell(row)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {sorted.length > limit && (
        <button type="button" class="more" onClick={() => setWhole(!isWhole)}>
          {isWhole ? `Show only ${limit}` : `Show all ${sorted.length}`}
        </button>
      )}
    </>
  );
}

/** True unless the click is on a link or button, or ends a text selection. */
function isPlain(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("a, button") === null && getSelection()?.type !== "Range";
}

interface HeadingProps<Row> {
  readonly column: Column<Row>;
  readonly sorting: Sorting | undefined;
  readonly onSort: (sorting: Sorting) => void;
}

function Heading<Row>({ column, sorting, onSort }: HeadingProps<Row>): JSX.Element {
  const { title, value, align } = column;
  const direction = sorting?.title === title ? sorting.direction : undefined;
  if (value === undefined)
    return (
      <th scope="col" class={align}>
        {title}
      </th>
    );
  const opposite = direction === "ascending" ? "descending" : "ascending";
  const next = direction === undefined ? firstDirection(column) : opposite;
  return (
    <th scope="col" class={align} aria-sort={direction ?? "none"}>
      <button type="button" onClick={() => onSort({ title, direction: next })}>
        {title}
        <span aria-hidden="true">{direction === undefined ? "" : direction === "ascending" ? " ▲" : " ▼"}</span>
      </button>
    </th>
  );
}

/** Sorts into a new array; equal rows keep their order. */
export function sortedRows<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  sorting: Sorting | undefined,
): readonly Row[] {
  const value = columns.find(({ title }) => title === sorting?.title)?.value;
  if (value === undefined) return rows;
  const sign = sorting?.direction === "ascending" ? 1 : -1;
  return rows.toSorted((left, right) => sign * compared(value(left), value(right)));
}

function compared(left: number | string, right: number | string): number {
  if (typeof left === "number" && typeof right === "number") return left - right;
  return collator.compare(String(left), String(right));
}

/** Sorts numbers within names by value. */
const collator = new Intl.Collator(undefined, { numeric: true });

function firstDirection<Row>({ align }: Column<Row>): Sorting["direction"] {
  return align === "right" ? "descending" : "ascending";
}

function firstSorting<Row>(columns: readonly Column<Row>[], sortedBy: string | undefined): Sorting | undefined {
  const column = columns.find(({ title }) => title === sortedBy);
  return column && { title: column.title, direction: firstDirection(column) };
}
