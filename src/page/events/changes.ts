/** Compares an old and a new value: within a short text, by lines, or, if that takes too long, not at all. */
import { diffLines } from "diff";
import { indented, isStructured } from "../record-text.ts";

export interface LineChange {
  readonly sign: " " | "-" | "+";
  readonly text: string;
  /** Line numbers in the old and new text, from 1. */
  readonly before: number | undefined;
  readonly after: number | undefined;
  /** The part that differs from the line that this one replaces or is replaced by; absent if there is no such line or nothing in common. */
  readonly part?: readonly [from: number, to: number];
}

/** Changed lines with those around them, or a run of equal lines that is hidden. */
export type Section =
  | { readonly kind: "lines"; readonly lines: readonly LineChange[] }
  | { readonly kind: "equal"; readonly lines: readonly LineChange[] };

export type Change =
  | { readonly kind: "short"; readonly before: string; readonly after: string }
  | { readonly kind: "lines"; readonly sections: readonly Section[]; readonly removed: number; readonly added: number }
  /** The texts have too little in common to be compared in time. */
  | { readonly kind: "apart"; readonly before: string; readonly after: string };

/** Comparisons are aborted after this time: 3,000 lines without one in common take six seconds. */
const timeoutMs = 300;

const shortCharacters = 100;

/** Equal lines shown around changed ones. */
const around = 3;

/** An absent value is passed as an empty text. */
export function changeOf(before: string, after: string): Change {
  const isShort = [before, after].every((text) => text.length <= shortCharacters && !text.includes("\n"));
  if (isShort) return { kind: "short", before, after };
  const [old, next] = prettyPair(before, after);
  const parts = diffLines(withEnd(old), withEnd(next), { timeout: timeoutMs });
  if (parts === undefined) return { kind: "apart", before: old, after: next };
  const lines: LineChange[] = [];
  let [left, right] = [1, 1];
  for (const { value, added, removed } of parts)
    for (const text of value.slice(0, -1).split("\n")) {
      if (added) lines.push({ sign: "+", text, before: undefined, after: right++ });
      else if (removed) lines.push({ sign: "-", text, before: left++, after: undefined });
      else lines.push({ sign: " ", text, before: left++, after: right++ });
    }
  const count = (sign: string): number => lines.filter((line) => line.sign === sign).length;
  return { kind: "lines", sections: sectionsOf(withParts(lines)), removed: count("-"), added: count("+") };
}

/** A line, or an excerpt of one that browsers would take seconds to lay out. `left` and `right` count the characters omitted. */
export function excerptOf({ text, part = [0, 0] }: Pick<LineChange, "text" | "part">) {
  const [from, to] = part;
  const start = text.length <= lineCharacters ? 0 : Math.max(0, from - beforePart);
  const shown = text.slice(start, start + lineCharacters).toWellFormed();
  const inside = (at: number): number => Math.min(at - start, shown.length);
  return { text: shown, from: inside(from), to: inside(to), left: start, right: text.length - start - shown.length };
}

const lineCharacters = 5000;
const beforePart = 100;

/** Formats both as JSON or neither: comparing one form with the other would show nothing but formatting. */
function prettyPair(before: string, after: string): readonly [string, string] {
  const areJson = [before, after].every((text) => text === "" || isStructured(text));
  return areJson ? [indented(before), indented(after)] : [before, after];
}

/** Adds the final line break, whose absence would count as a difference. */
function withEnd(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

/** Marks the differing parts of lines that were replaced by the same number of lines. */
function withParts(lines: readonly LineChange[]): readonly LineChange[] {
  const marked = [...lines];
  let at = 0;
  while (at < lines.length) {
    const removed = runOf(lines, at, "-");
    const added = runOf(lines, at + removed, "+");
    if (removed === added)
      for (let n = at; n < at + removed; n++) {
        const [old, next] = [lines[n] as LineChange, lines[n + removed] as LineChange];
        const parts = partsOf(old.text, next.text);
        if (parts === undefined) continue;
        marked[n] = { ...old, part: parts[0] };
        marked[n + removed] = { ...next, part: parts[1] };
      }
    at += Math.max(1, removed + added);
  }
  return marked;
}

function runOf(lines: readonly LineChange[], from: number, sign: LineChange["sign"]): number {
  let to = from;
  while (lines[to]?.sign === sign) to++;
  return to - from;
}

type Parts = readonly [readonly [number, number], readonly [number, number]];

/** The range between the common prefix and suffix of two lines; undefined if only whitespace is common. */
function partsOf(old: string, next: string): Parts | undefined {
  const most = Math.min(old.length, next.length);
  let start = 0;
  while (start < most && old[start] === next[start]) start++;
  let end = 0;
  while (end < most - start && old[old.length - 1 - end] === next[next.length - 1 - end]) end++;
  const equal = old.slice(0, start) + old.slice(old.length - end);
  return equal.trim() === ""
    ? undefined
    : [
        [start, old.length - end],
        [start, next.length - end],
      ];
}

function sectionsOf(lines: readonly LineChange[]): readonly Section[] {
  const near = new Uint8Array(lines.length);
  lines.forEach(({ sign }, at) => {
    if (sign !== " ") near.fill(1, Math.max(0, at - around), at + around + 1);
  });
  const sections: Section[] = [];
  for (let from = 0; from < lines.length;) {
    let to = from;
    while (to < lines.length && near[to] === near[from]) to++;
    // A single line takes no more room than the note that would replace it.
    const kind = near[from] === 1 || to - from === 1 ? "lines" : "equal";
    sections.push({ kind, lines: lines.slice(from, to) });
    from = to;
  }
  return sections;
}
