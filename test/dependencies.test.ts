/** Tests that the page about dependencies is correct. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

interface Row {
  readonly name: string;
  readonly version: string;
  readonly file: string;
}

const root = resolve(import.meta.dirname, "..");
const read = (path: string) => readFileSync(join(root, path), "utf8");
const manifest = JSON.parse(read("package.json")) as Record<"dependencies" | "devDependencies", Record<string, string>>;
const [inProgram, forDevelopment] = read("docs/dependencies.md").split("## For development");

test("every package is on the page, with its version", () => {
  expect(versionsOf(rowsOf(inProgram))).toEqual(manifest.dependencies);
  expect(versionsOf(rowsOf(forDevelopment))).toEqual(manifest.devDependencies);
});

test("every package is pinned to one version", () => {
  const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+(-beta\.\d+)?$/.test(version))).toEqual([]);
});

test("every package of the program is imported where the page says", () => {
  const rows = rowsOf(inProgram);
  expect(rows.length).toBeGreaterThan(0);
  const mistaken = rows.filter(({ name, file }) => !read(file).includes(`from "${name}`));
  expect(mistaken).toEqual([]);
});

test("every file that the page names exists", () => {
  const files = rowsOf(forDevelopment).map(({ file }) => file);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

/** A second copy is listed under the package that requires it: "a/b" rather than "b". */
test("no package is locked twice", () => {
  const locked = [...read("bun.lock").matchAll(/^    "((?:@[^/"]+\/)?[^/"]+)(\/[^"]+)?": \[/gm)];
  expect(locked.length).toBeGreaterThan(20);
  expect(locked.filter(([, , nested]) => nested !== undefined).map(([line]) => line)).toEqual([]);
});

function rowsOf(text = ""): readonly Row[] {
  return [...text.matchAll(/^\| `([^`]+)` +\| (\S+) +\| .* \| `([^`]+)` +\|$/gm)].map(
    ([, name = "", version = "", file = ""]) => ({ name, version, file }),
  );
}

function versionsOf(rows: readonly Row[]): Readonly<Record<string, string>> {
  return Object.fromEntries(rows.map(({ name, version }) => [name, version]));
}
