/** The fenced blocks of a page, which tests run as they are written. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

/** In order, those below a heading and above the next of the same level. `page`: a path inside the repository. @throws {Error} if there is no such heading. */
export function blocksBelow(page: string, heading: string): readonly string[] {
  const lines = readFileSync(join(root, page), "utf8").split("\n");
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`${page} has no heading ${JSON.stringify(heading)}`);
  const level = heading.slice(0, heading.indexOf(" ") + 1);
  const end = lines.findIndex((line, index) => index > start && line.startsWith(level));
  const text = lines.slice(start, end < 0 ? undefined : end).join("\n");
  return [...text.matchAll(/^```\w*\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
}
