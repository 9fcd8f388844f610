/** Wraps text into lines that fit a terminal. */
import { stripVTControlCharacters } from "node:util";
import { columnsOf } from "./text.ts";

/**
 * Wraps lines wider than `columns`, if known, at spaces. The rest aligns with the last column of the line, as in a table; a last
 * column far to the right moves below the line. A word that is too long stays whole, so that it can be copied.
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

/** The words after `first`, wrapped and aligned below each other. */
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

/** The indent of a last column that moves below the line. */
const stackedColumns = 6;

const visibleColumns = (text: string): number => columnsOf(stripVTControlCharacters(text));
