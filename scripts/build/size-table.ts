/** The sizes of what was built, as lines for a terminal. */
import { relative } from "node:path";
import type { BuiltFile } from "./compile.ts";
import { rootDir } from "./paths.ts";

export function sizeTable(files: readonly BuiltFile[]): string {
  const rows = files.map(({ path, bytes }) => [relative(rootDir, path), `${(bytes / 1e6).toFixed(1)} MB`] as const);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, size]) => `  ${name.padEnd(width)}  ${size.padStart(9)}\n`).join("");
}
