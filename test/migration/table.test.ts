/** The table covers every setting of the Go program, and every setting it names exists here. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspectConfig } from "../../src/config/index.ts";
import { findKey } from "../../src/config/layers.ts";
import { readYaml } from "../../src/migration/source.ts";
import { isTable, rowOf, rows } from "../../src/migration/table.ts";

const example = readFileSync(join(import.meta.dirname, "go-example.yaml"), "utf8");

test("every setting of the Go program's example file has a row", () => {
  const givens = new Map();
  readYaml(example, "go-example.yaml", isTable, givens);
  expect(givens.size).toBeGreaterThan(300);
  expect([...givens.keys()].filter((key) => rowOf(key) === undefined)).toEqual([]);
});

test("the defaults of the table are those of the example file", () => {
  const givens = new Map<string, { value: unknown; place: string }>();
  readYaml(example, "go-example.yaml", isTable, givens);
  const differing = rows.flatMap(({ from, to, initial }) => {
    const value = givens.get(from)?.value;
    if (to === undefined || value === undefined) return [];
    const written = Array.isArray(value) ? value.join(",") : typeof value === "object" ? "" : String(value);
    return written === initial ? [] : [`${from}: ${initial}, but ${written}`];
  });
  expect(differing).toEqual([]);
});

test("every setting that a row names exists here", () => {
  expect(rows.filter(({ to }) => to !== undefined && findKey(to) === undefined)).toEqual([]);
});

test("each setting has one row, and a row without an equivalent says why", () => {
  expect(rows.map(({ from }) => from).filter((from, index, all) => all.indexOf(from) !== index)).toEqual([]);
  expect(rows.filter(({ to, remark }) => to === undefined && remark === undefined)).toEqual([]);
});

test("check names the same setting for a variable of the Go program as the table", () => {
  const named = rows.flatMap(({ from, to }) => {
    const variable = `TS2OTEL_${from.toUpperCase().replaceAll(".", "__")}`;
    if (to === undefined || to === from) return [];
    const { problems, warnings } = inspectConfig({
      environment: { [variable]: "true" },
      assignments: [],
      workingDirectory: "/",
      system: { platform: "linux", homeDirectory: "/home/ann" },
    });
    const findings = [...problems, ...warnings].filter(({ message }) => message.includes("of the Go version"));
    return findings.map(({ remedy }) => ({ from, to, isNamed: remedy.includes(to) }));
  });
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ isNamed }) => !isNamed)).toEqual([]);
});
