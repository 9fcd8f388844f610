/** Files that are broken, expensive to read, or try to inject settings. */
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../support/temporary.ts";
import { migrateIn } from "./migrate.ts";

const directory = temporaryDirectory();

const laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
for (let level = 1; level < 12; level++)
  laughs.push(`a${level}: &a${level} [${Array.from({ length: 10 }, () => `*a${level - 1}`).join(", ")}]`);

const fields = Array.from({ length: 200 }, (_, index) => `f${index}: ${index}`).join(", ");
const merges = Array.from({ length: 2000 }, (_, index) => `m${index}: { <<: *base }`).join("\n");

describe("is refused with its position:", () => {
  test.each([
    ["a billion laughs", laughs.join("\n"), "there are more than 100000 values, with aliases expanded"],
    ["thousands of merged tables", `base: &base { ${fields} }\n${merges}`, "there are more than 100000 values"],
    ["an alias of itself", "a: &a [*a]", "nested deeper than 64 levels"],
    ["deep nesting", `a: ${"[".repeat(200_000)}`, ""],
    [
      "deep tables",
      Array.from({ length: 300 }, (_, depth) => `${" ".repeat(depth)}a:`).join("\n"),
      "nested deeper than 64",
    ],
    ["a tab", "streaming:\n\tenabled: true", "go.yaml:2: invalid YAML: a tab cannot indent a line; use spaces"],
    ["a name twice", "log_level: info\nlog_level: debug", 'go.yaml:2: "log_level" is set twice'],
    ["an unknown alias", "a: *nowhere", "go.yaml:1: *nowhere has no anchor above it"],
    ["several documents", "a: 1\n---\nb: 2", "go.yaml:2: invalid YAML"],
    ["a list", "- a", "it is not a table of settings"],
    ["a name that is a list", "[a, b]: 1", "a name must be text"],
    ["an open quote", 'a: "b', "invalid YAML"],
    ["nothing", "# only a comment\n---\n", "there are no settings of the Go program in go.yaml"],
    ["TOML", "[streaming]\nenabled = true\n", "go.yaml is TOML"],
  ])("%s", (_, yaml, message) => {
    expect(() => migrateIn(directory, { yaml })).toThrow(message);
  });

  test("a file of 10 MB", () => {
    expect(() => migrateIn(directory, { yaml: `a: "${"x".repeat(10_000_000)}"` })).toThrow(
      "cannot read go.yaml: it is larger than 512KiB",
    );
  });
});

test("thousands of unknown settings are counted, not all listed", () => {
  const yaml = Array.from({ length: 5000 }, (_, index) => `unknown_${index}: 1`).join("\n");
  const { toml, about } = migrateIn(directory, { yaml });
  expect(about("task")).toHaveLength(5000);
  expect(toml).toContain("and 4800 more: unknown setting, not converted");
  expect(toml.length).toBeLessThan(20_000);
});

test("no name or value escapes from its comment or string", () => {
  const { lines, problems } = migrateIn(directory, {
    yaml: `
"x\\n[streaming]\\nenabled = true": 1
resource:
  attributes:
    "a\\" = 1 }\\n[webhook]\\nenabled = true\\n#": "v\\"\\u0001\\u007f"
self_observability: { instance_id: "a\\"b\\\\c" }
`,
  });
  expect(lines).toContain('instance_id = "a\\"b\\\\c"');
  expect(lines.filter((line) => line.startsWith("["))).toEqual(["[otlp]", "[self_observability]"]);
  expect(problems.join()).not.toContain("invalid TOML");
});

test("names from the prototype of objects are treated like any other", () => {
  const { about } = migrateIn(directory, {
    yaml: "__proto__: { enabled: true }\nconstructor: 1\nstreaming: { __proto__: 1 }",
  });
  expect(about("task").map((text) => text.replace(/;.*/, ""))).toEqual([
    "go.yaml:1: __proto__.enabled: unknown setting, not converted",
    "go.yaml:2: constructor: unknown setting, not converted",
    "go.yaml:3: streaming.__proto__: unknown setting, not converted",
  ]);
});

test("bytes that are not UTF-8 do no harm", () => {
  const path = join(directory, "bytes.yaml");
  writeFileSync(path, Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe, 0x0a]));
  expect(migrateIn(directory, { yaml: "a: \ufffd\ufffd" }).about("task")).toHaveLength(1);
});
