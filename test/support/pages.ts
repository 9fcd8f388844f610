/** The pages of documentation, and their fenced blocks, which tests run as written. */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

export interface Block {
  /** `sh`, `toml`, …; empty if the fence names none. */
  readonly language: string;
  readonly text: string;
}

/** Every Markdown page for users, as a path in the repository. */
export const pages: readonly string[] = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
].toSorted();

/** `page`: a path in the repository. */
export function textOf(page: string): string {
  return readFileSync(join(root, page), "utf8");
}

/** All blocks in order, without the indentation of a list. */
export function blocksOf(page: string): readonly Block[] {
  return blocksIn(textOf(page));
}

/** Blocks between a heading and the next of the same level, in order. @throws {Error} if there is no such heading. */
export function blocksBelow(page: string, heading: string): readonly string[] {
  const lines = textOf(page).split("\n");
  const start = lines.indexOf(heading);
  if (start < 0) throw new Error(`${page} has no heading ${JSON.stringify(heading)}`);
  const level = heading.slice(0, heading.indexOf(" ") + 1);
  const end = lines.findIndex((line, index) => index > start && line.startsWith(level));
  return blocksIn(lines.slice(start, end < 0 ? undefined : end).join("\n")).map(({ text }) => text);
}

function blocksIn(markdown: string): readonly Block[] {
  return [...markdown.matchAll(/^( *)```(\w*)\n([^]*?)^\1```$/gm)].map(([, indent = "", language = "", text = ""]) => ({
    language,
    text: text.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
  }));
}
