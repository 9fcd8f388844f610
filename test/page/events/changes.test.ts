/** Differences between two values of any kind. */
import { describe, expect, test } from "bun:test";
import { type Change, changeOf, excerptOf, type LineChange } from "../../../src/page/events/changes.ts";

type Lines = Extract<Change, { readonly kind: "lines" }>;

function linesOf(before: string, after: string): Lines {
  const change = changeOf(before, after);
  if (change.kind !== "lines") throw new Error(`the change is ${change.kind}`);
  return change;
}

const drawn = ({ sections }: Lines): string[] =>
  sections.flatMap(({ kind, lines }) =>
    kind === "equal" ? [`… ${lines.length}`] : lines.map(({ sign, text }) => `${sign}${text}`),
  );

/** Lines numbered from 1. */
const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `line ${n + 1}`);

describe("short values", () => {
  test.each([
    ["true", "false"],
    ["", "2027-03-01T09:15:00Z"],
    ["tag:a", ""],
    ['{"nameservers":[]}', '{"nameservers":["192.0.2.53"]}'],
  ])("%j and %j are shown side by side", (before, after) => {
    expect(changeOf(before, after)).toEqual({ kind: "short", before, after });
  });
});

describe("texts", () => {
  test("are compared line by line, with equal lines folded", () => {
    const old = numbered(40);
    const next = old.toSpliced(19, 1, "line twenty").toSpliced(30, 0, "inserted");
    const change = linesOf(old.join("\n"), next.join("\n"));
    expect([change.removed, change.added]).toEqual([1, 2]);
    expect(drawn(change)).toEqual([
      "… 16",
      " line 17",
      " line 18",
      " line 19",
      "-line 20",
      "+line twenty",
      " line 21",
      " line 22",
      " line 23",
      "… 4",
      " line 28",
      " line 29",
      " line 30",
      "+inserted",
      " line 31",
      " line 32",
      " line 33",
      "… 7",
    ]);
  });

  test("have line numbers in both versions", () => {
    const { sections } = linesOf("a\nb\nc\n", "a\nx\ny\nc\n");
    expect(sections.flatMap(({ lines }) => lines).map(({ sign, before, after }) => [sign, before, after])).toEqual([
      [" ", 1, 1],
      ["-", 2, undefined],
      ["+", undefined, 2],
      ["+", undefined, 3],
      [" ", 3, 4],
    ]);
  });

  test("show which part of a replaced line differs", () => {
    const { sections } = linesOf('{ // rules\n"dst": ["tag:web:443"]\n}', '{ // rules\n"dst": ["tag:prod:443"]\n}');
    const parts = sections.flatMap(({ lines }) => lines).map(({ text, part }) => part && text.slice(...part));
    expect(parts).toEqual([undefined, "web", "prod", undefined]);
  });

  test("do not mark parts of lines that have nothing in common", () => {
    const { sections } = linesOf("same\n  abc\n", "same\n  xyz\n");
    expect(sections.flatMap(({ lines }) => lines).some(({ part }) => part !== undefined)).toBe(false);
  });

  test("of one long line show the part that differs", () => {
    const [before, after] = ["x", "y"].map((middle) => `${"a".repeat(90_000)}${middle}${"b".repeat(80_000)}`);
    const [, added] = linesOf(before ?? "", after ?? "").sections[0]?.lines ?? [];
    const { text, from, to, left, right } = excerptOf(added as LineChange);
    expect([text.slice(from, to), text.length, left, right]).toEqual(["y", 5000, 89_900, 75_101]);
    expect(excerptOf({ text: "short" })).toEqual({ text: "short", from: 0, to: 0, left: 0, right: 0 });
  });

  test("that differ only in the final line break are equal", () => {
    const { removed, added } = linesOf("a\nb", "a\nb\n");
    expect([removed, added]).toEqual([0, 0]);
  });

  test("of which one is absent are all added or removed", () => {
    expect(drawn(linesOf("", "a\nb"))).toEqual(["+a", "+b"]);
    expect(drawn(linesOf("a\nb\n", ""))).toEqual(["-a", "-b"]);
  });

  test("without a line in common are compared in limited time", () => {
    const text = (name: string): string => Array.from({ length: 20_000 }, (_, n) => `${name} ${n * 7}`).join("\n");
    const began = performance.now();
    const change = changeOf(text("old"), text("new"));
    expect(change).toEqual({ kind: "apart", before: text("old"), after: text("new") });
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  test("with hostile content stay unchanged", () => {
    const after = "<img src=x onerror=alert(1)>\n\u202egnp.exe\n\u0000";
    expect(drawn(linesOf("a\n", after))).toEqual(["-a", ...after.split("\n").map((line) => `+${line}`)]);
  });
});

describe("JSON", () => {
  test("is compared by member", () => {
    const rules = (port: number): string =>
      JSON.stringify({
        acls: [{ action: "accept", src: ["group:operators", "group:admins"], dst: [`tag:prod:${port}`] }],
        list: [],
      });
    const changed = drawn(linesOf(rules(22), rules(443))).filter((line) => !line.startsWith(" "));
    expect(changed).toEqual(["… 6", '-        "tag:prod:22"', '+        "tag:prod:443"', "… 2"]);
  });

  test("of nothing but brackets grows within limits", () => {
    const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
    const texts = changeOf(nested(20_000), nested(20_001));
    expect(JSON.stringify(texts).length).toBeLessThan(40_000 * 2 * 200);
  });

  test("is not compared with a text", () => {
    const json = JSON.stringify({ a: "x".repeat(200) });
    expect(drawn(linesOf(json, `${json} // why`))).toEqual([`-${json}`, `+${json} // why`]);
  });
});
