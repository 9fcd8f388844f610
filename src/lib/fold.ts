/** Text in lines that fit a terminal. */
import { stripVTControlCharacters } from "node:util";
import { columnsOf } from "./text.ts";

/**
 * The text with its lines broken at spaces where they are wider than `columns`, if that is known. What follows stands below
 * the last column of the line, as in a table, or below the line if that is far to the right. A word that is too long is left whole, so that it can be copied.
 */
export function foldLines(text: string, columns = Number.POSITIVE_INFINITY): string {
  return text
    .split("\n")
    .map((line) => (visibleColumns(line) <= columns ? line : foldLine(line, columns)))
    .join("\n");
}

function foldLine(line: string, columns: number): string {
  const [table = ""] = /^.*\S {2,}(?=\S)/.exec(line) ?? [];
  const isFar = visibleColumns(table) * 3 > columns * 2;
  if (isFar) return `  ${table.trim()}\n${foldWords(" ".repeat(stackedColumns), line.slice(table.length), columns)}`;
  const first = table || (/^ */.exec(line)?.[0] ?? "");
  return foldWords(first, line.slice(first.length), columns);
}

/** The words behind `first`, and those that do not fit below each other. */
function foldWords(first: string, words: string, columns: number): string {
  const indent = " ".repeat(visibleColumns(first));
  const [word = "", ...more] = words.split(" ");
  const rows = [first + word];
  for (const next of more) {
    const row = rows.at(-1) ?? "";
    if (visibleColumns(row) + 1 + visibleColumns(next) <= columns) rows[rows.length - 1] = `${row} ${next}`;
    else rows.push(indent + next);
  }
  return rows.join("\n");
}

/** Where the last column stands if it is too far to the right, below the others. */
const stackedColumns = 6;

const visibleColumns = (text: string): number => columnsOf(stripVTControlCharacters(text));
