/** Rows as columns of text. */
import type { Output } from "./terminal.ts";

/** Lines with their newline; the head is bold where `out` can show it. Control characters cannot steer the terminal. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[], out: Output): string {
  const cells = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const [first = "", ...others] = lines;
  return `${[out.hasColour ? `\u001b[1m${first}\u001b[22m` : first, ...others].join("\n")}\n`;
}

/** The text without what could steer a terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "?");
}
