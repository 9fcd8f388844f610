/** Shows what changed between two versions of a policy file as a compact line diff. */

/** Comparing this many pairs of lines takes some 10 ms; more are not compared one by one. */
const maxPairs = 1_000_000;

/** Maximum number of lines shown; the caller bounds the bytes. */
const maxShownLines = 500;

/**
 * Removed lines after `-`, added ones after `+`, each run of them under `@@ -<line> +<line> @@`; empty if one of the texts has
 * only one line or nothing differs. Time and memory are bounded: if too many lines would have to be compared, all lines
 * between the first and the last difference are shown as replaced.
 */
export function lineDiff(before: string, after: string): string {
  if (!before.includes("\n") || !after.includes("\n")) return "";
  const old = before.split("\n");
  const now = after.split("\n");
  let from = 0;
  while (from < old.length && from < now.length && old[from] === now[from]) from++;
  let [oldTo, newTo] = [old.length, now.length];
  while (oldTo > from && newTo > from && old[oldTo - 1] === now[newTo - 1]) {
    oldTo--;
    newTo--;
  }
  const common = commonLengths(old.slice(from, oldTo), now.slice(from, newTo));
  const shown: string[] = [];
  let [left, right] = [from, from];
  let isInRun = false;
  while ((left < oldTo || right < newTo) && shown.length < maxShownLines) {
    if (left < oldTo && right < newTo && old[left] === now[right] && common !== undefined) {
      isInRun = false;
      left++;
      right++;
      continue;
    }
    if (!isInRun) shown.push(`@@ -${left + 1} +${right + 1} @@`);
    isInRun = true;
    const dropsLine = common?.(left - from + 1, right - from) ?? 0;
    const addsLine = common?.(left - from, right - from + 1) ?? 0;
    if (left < oldTo && (right === newTo || dropsLine >= addsLine)) shown.push(`-${old[left++]}`);
    else shown.push(`+${now[right++]}`);
  }
  return shown.join("\n");
}

/** Gives the length of the longest common subsequence after two positions; undefined if there are too many pairs. */
function commonLengths(
  old: readonly string[],
  now: readonly string[],
): ((left: number, right: number) => number) | undefined {
  const width = now.length + 1;
  if ((old.length + 1) * width > maxPairs) return undefined;
  const lengths = new Uint16Array((old.length + 1) * width);
  for (let left = old.length - 1; left >= 0; left--) {
    for (let right = now.length - 1; right >= 0; right--) {
      const at = left * width + right;
      const longer = Math.max(lengths[at + width] as number, lengths[at + 1] as number);
      lengths[at] = old[left] === now[right] ? (lengths[at + width + 1] as number) + 1 : longer;
    }
  }
  return (left, right) => lengths[left * width + right] as number;
}
