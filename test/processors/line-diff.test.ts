/** Tests that changes of a policy are shown line by line, whatever the texts. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { lineDiff } from "../../src/processors/line-diff.ts";
import { seeded } from "../support/random.ts";

describe("a line diff", () => {
  test("shows each run of changes under its first lines, old and new", () => {
    const before = ["a", "b", "c", "d", "e", "f"].join("\n");
    const after = ["a", "B", "c", "d", "e", "f", "g"].join("\n");
    expect(lineDiff(before, after)).toBe("@@ -2 +2 @@\n-b\n+B\n@@ -7 +7 @@\n+g");
  });

  test("is empty if nothing differs, or if a text has one line", () => {
    expect(lineDiff("a\nb", "a\nb")).toBe("");
    expect(lineDiff("a", "a\nb")).toBe("");
    expect(lineDiff("", "")).toBe("");
  });

  test("turns one text into the other", () => {
    const text = fc.array(fc.constantFrom("a", "b", "c", ""), { minLength: 2, maxLength: 12 });
    fc.assert(
      fc.property(text, text, (before, after) => {
        expect(applied(before, lineDiff(before.join("\n"), after.join("\n")))).toEqual(after);
      }),
      seeded(),
    );
  });

  test("of two large and completely different texts is short, and shows whole lines as replaced", () => {
    const lines = (word: string) => Array.from({ length: 20_000 }, (_, line) => `${word} ${line}`).join("\n");
    const shown = lineDiff(lines("old"), lines("new")).split("\n");
    expect(shown).toHaveLength(500);
    expect(shown.slice(0, 2)).toEqual(["@@ -1 +1 @@", "-old 0"]);
  });
});

/** The old lines with a diff applied. */
function applied(before: readonly string[], diff: string): string[] {
  const after: string[] = [];
  let left = 0;
  for (const line of diff === "" ? [] : diff.split("\n")) {
    const [, from] = /^@@ -(\d+) /.exec(line) ?? [];
    if (from !== undefined) while (left < Number(from) - 1) after.push(before[left++] as string);
    else if (line.startsWith("-")) expect(line.slice(1)).toBe(before[left++] as string);
    else after.push(line.slice(1));
  }
  return [...after, ...before.slice(left)];
}
