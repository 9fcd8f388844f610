import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { locateKeys } from "../../src/config/toml.ts";
import { seeded } from "../support/random.ts";

const toml = `# a comment = 1
top = "x = 1" # trailing
'quoted.key' = '''
long
inner = 2
'''
"esc\\u0041ped" = """
more \\"""
"""""

[streaming]
  listen = ":1"
token."a b" . c = 1

[ otlp . "logs" ]
list = [
  1, "]", # ] comment
  { deep = 1 },
]
headers = { A = "}", "B-C" = { d = [ { e = 1 } ] } }
after = 2026-01-01T00:00:00Z
multi = {
  one = 1,
  two = 2,
}
[[things]]
name = 1
`;

const lines: readonly [path: string[], line: number][] = [
  [["top"], 2],
  [["quoted.key"], 3],
  [["escAped"], 7],
  [["streaming"], 11],
  [["streaming", "listen"], 12],
  [["streaming", "token", "a b", "c"], 13],
  [["otlp", "logs"], 15],
  [["otlp", "logs", "list"], 16],
  [["otlp", "logs", "list", "deep"], 16],
  [["otlp", "logs", "headers", "A"], 20],
  [["otlp", "logs", "headers", "B-C", "d", "e"], 20],
  [["otlp", "logs", "after"], 21],
  [["otlp", "logs", "multi", "two"], 22],
  [["things", "name"], 27],
];

test.each(lines)("%j is found", (path, line) => {
  expect(locateKeys(toml)(path)).toBe(line);
});

test("a missing key has the line of its table", () => {
  expect(locateKeys(toml)(["streaming", "missing", "deeper"])).toBe(11);
  expect(locateKeys(toml)(["nowhere"])).toBe(1);
});

describe("properties", () => {
  const word = fc.stringMatching(/^[a-z_-]{1,8}$/);
  const value = fc.oneof(
    fc.string().map((text) => JSON.stringify(text).replaceAll("\u007f", "")),
    fc.array(fc.integer()).map((items) => `[\n${items.map((item) => `  ${item},\n`).join("")}]`),
    fc.constantFrom('"""\nx = 1\n[y]\n"""', "'''\n# no\n'''", "{ inner = '=' }", "1e3", "true"),
  );

  test("every key of a flat file is found on its line, whatever comes between", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(word, value), { selector: ([name]) => name, maxLength: 12 }), (entries) => {
        let text = "";
        const expected = entries.map(([name, written]) => {
          const line = text.split("\n").length;
          text += `${name} = ${written} # end\n\n`;
          return [name, line] as const;
        });
        const located = locateKeys(text);
        for (const [name, line] of expected) expect(located([name])).toBe(line);
      }),
      seeded(),
    );
  });

  test("any text terminates without a stack overflow, even if it is not TOML", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."ab[]{}=.,\"'#\\\n \t") }), (text) => {
        expect(() => locateKeys(text)).not.toThrow(RangeError);
      }),
      seeded(),
    );
  });
});
