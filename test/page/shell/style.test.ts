/** The colors of the page. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

const style = readFileSync(new URL("../../../src/page/style.css", import.meta.url), "utf8");

/** The declarations of a rule, one per line. */
function declarationsOf(selector: string): readonly string[] {
  const [, rule = ""] = style.split(`${selector} {`);
  const lines = rule.slice(0, rule.indexOf("}")).trim().split("\n");
  return lines.map((line) => line.trim());
}

test("dark is the same whether the system or a person asks for it, and has every color of light", () => {
  const [light, bySystem, byChoice] = [":root", ':root:not([data-theme="light"])', ':root[data-theme="dark"]'].map(
    declarationsOf,
  );
  const names = (declarations: readonly string[] = []): readonly string[] =>
    declarations.map((line) => line.replace(/:.*/, ""));
  expect(light?.length).toBeGreaterThan(10);
  expect(byChoice).toEqual(bySystem as string[]);
  expect(names(byChoice)).toEqual(names(light) as string[]);
});
