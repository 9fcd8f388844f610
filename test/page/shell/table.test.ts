/** How rows of a table are sorted. */
import { expect, test } from "bun:test";
import { type Column, sortedRows } from "../../../src/page/table.tsx";

interface Row {
  readonly name: string;
  readonly bytes: number;
}

const columns: readonly Column<Row>[] = [
  { title: "Name", value: ({ name }) => name },
  { title: "Bytes", value: ({ bytes }) => bytes, align: "right" },
  { title: "Plain" },
];

const rows: readonly Row[] = [
  { name: "node-10", bytes: 9 },
  { name: "node-9", bytes: 10 },
  { name: "node-1", bytes: 9 },
];

const names = (sorted: readonly Row[]) => sorted.map(({ name }) => name);

test("numbers are compared as numbers, even inside names, and equal rows keep their order", () => {
  expect(names(sortedRows(rows, columns, { title: "Name", direction: "ascending" }))).toEqual([
    "node-1",
    "node-9",
    "node-10",
  ]);
  expect(names(sortedRows(rows, columns, { title: "Bytes", direction: "descending" }))).toEqual([
    "node-9",
    "node-10",
    "node-1",
  ]);
});

test("without a column to sort by, rows keep their order", () => {
  expect(sortedRows(rows, columns, undefined)).toBe(rows);
  expect(sortedRows(rows, columns, { title: "Plain", direction: "ascending" })).toBe(rows);
});
