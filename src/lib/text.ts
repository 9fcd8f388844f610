/** Text under a bound, text that is safe to show, and the name that somebody meant to type. */

const encoder = new TextEncoder();
const mark = "…[truncated]";

/** Control characters, and those that are invisible or change the direction of text. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The text, or its longest beginning whose UTF-8 together with a mark fits `maxBytes`, never half a character. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || encoder.encode(text).length <= maxBytes) return text;
  const room = new Uint8Array(Math.max(0, maxBytes - encoder.encode(mark).length));
  const { read } = encoder.encodeInto(text, room);
  return text.slice(0, read) + mark;
}

/** The text with everything replaced that could forge a line, steer a terminal or hide what is written. */
export function printable(text: string, replace: (character: string) => string = () => "?"): string {
  return text.replace(unprintable, replace);
}

/** Longer words are cut, so that a hostile name costs no time. */
const maxLength = 120;

/**
 * The candidate nearest to the word, or `undefined` if none is near: at most a third of the letters differ, and at most
 * four. Without one, the only candidate that ends in the word after one of `separators` (`token` for `streaming.token`).
 */
export function nearest(word: string, candidates: Iterable<string>, separators = [".", "__", "-"]): string | undefined {
  const typed = word.slice(0, maxLength).toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(4, Math.floor(typed.length / 3)) + 1;
  const endings: string[] = [];
  for (const candidate of candidates) {
    const known = candidate.toLowerCase();
    const distance = editDistance(typed, known.slice(0, maxLength));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
    if (separators.some((separator) => known.endsWith(separator + typed))) endings.push(candidate);
  }
  return best ?? (endings.length === 1 ? endings[0] : undefined);
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other (optimal string alignment). */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  const at = (row: readonly number[], column: number): number => row[column] ?? Infinity;
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = at(last, column - 1) + (from[row - 1] === to[column - 1] ? 0 : 1);
      let least = Math.min(replaced, at(last, column) + 1, at(current, column - 1) + 1);
      const isSwap = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (isSwap) least = Math.min(least, at(beforeLast, column - 2) + 1);
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, to.length);
}
