/** Truncates text, makes it safe to show, measures its columns, and finds the name nearest to a mistyped one. */

const encoder = new TextEncoder();
const mark = "…[truncated]";

/** Control characters, and those that are invisible or change the direction of text. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** Truncates the text so that its UTF-8, with a mark, fits `maxBytes`. Never splits a character. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || encoder.encode(text).length <= maxBytes) return text;
  const room = new Uint8Array(Math.max(0, maxBytes - encoder.encode(mark).length));
  const { read } = encoder.encodeInto(text, room);
  return text.slice(0, read) + mark;
}

/** Replaces every character that could forge a line, control a terminal or hide text. */
export function printable(text: string, replace: (character: string) => string = () => "?"): string {
  return text.replace(unprintable, replace);
}

/** Characters that take two columns of a terminal, and those that take none. */
const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const plain = /^[\x20-\x7e]*$/;
const combining = /[\p{Mn}\p{Me}]/u;

/** How many terminal columns the text takes. Printable ASCII is the usual case. */
export function columnsOf(text: string): number {
  if (plain.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += columnsOfCharacter(character);
  return columns;
}

/** Truncates the text to `columns`, with an ellipsis. Never splits a character. */
export function cutColumns(text: string, columns: number): string {
  if (text.length * 2 <= columns || (text.length <= columns && plain.test(text))) return text;
  let left = columns;
  let end = 0;
  let cut = 0;
  for (const character of text) {
    left -= columnsOfCharacter(character);
    if (left < 0) return columns < 1 ? "" : `${text.slice(0, cut)}…`;
    end += character.length;
    if (left >= 1) cut = end;
  }
  return text;
}

function columnsOfCharacter(character: string): number {
  return combining.test(character) ? 0 : wide.test(character) ? 2 : 1;
}

/** Matches texts against a pattern: `*` is any characters, `?` is one. Case-insensitive. Backtracks only to the last `*`. */
export function globMatcher(pattern: string): (text: string) => boolean {
  const wanted = [...pattern.toLowerCase()];
  return (text) => {
    const given = [...text.toLowerCase()];
    let [at, place] = [0, 0];
    // The place after the last star, and how far in the text that star has matched.
    let [star, taken] = [-1, 0];
    while (at < given.length) {
      if (wanted[place] === "*") [star, taken] = [++place, at];
      else if (wanted[place] === "?" || wanted[place] === given[at]) [place, at] = [place + 1, at + 1];
      else if (star >= 0) [place, at] = [star, ++taken];
      else return false;
    }
    while (wanted[place] === "*") place++;
    return place === wanted.length;
  };
}

/** Longer words are truncated, so that a hostile name costs little time. */
const maxLength = 120;

/**
 * The candidate nearest to the word: at most a third of the letters differ, and at most four. Failing that, the only candidate
 * that ends in the word after one of `separators` (`token` for `streaming.token`), or `undefined`.
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

/** The number of insertions, deletions, replacements and swaps of neighbours between two texts (optimal string alignment). */
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
