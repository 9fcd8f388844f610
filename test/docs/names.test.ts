/** Everything the pages name exists: commands and their flags, settings, variables, metrics, files and link targets. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { webhookTypes } from "../../src/catalogue/vocabulary.ts";
import { settings } from "../../src/config/schema.ts";
import { helpText } from "../support/help.ts";
import { blocksOf, pages, textOf } from "../support/pages.ts";

const root = resolve(import.meta.dirname, "../..");

/** The page about moving also names settings and metrics of the other program; the changelog names those of its time. */
const present = pages.filter((page) => page !== "docs/moving.md" && page !== "CHANGELOG.md");

/** Files for users whose comments contain commands. */
const installed = [
  "contrib/cluster/compose.yaml",
  "contrib/compose/compose.yaml",
  "contrib/container/Containerfile",
  "contrib/helm/tailscale2otel/templates/NOTES.txt",
  "scripts/release/package/config.toml",
];

const codeIn = (page: string): readonly string[] =>
  [...textOf(page).matchAll(/`([^`\n]+(?:\n[^`\n]+)?)`/g)].map(([, code = ""]) => code.replace(/\s+/g, " "));

/** Checks that a command and its flags exist. `command`: the words after the program's name. */
async function expectKnown(line: string, command: string): Promise<void> {
  const all = command.trim().split(/ +/);
  // The command's name ends at its flags, values or ids.
  const end = all.findIndex((word) => !/^[a-z]+$/.test(word));
  const text = await helpText(all.slice(0, end < 0 ? undefined : end)).catch((error: unknown) => String(error));
  expect([line, text]).toEqual([line, expect.stringContaining("USAGE")]);
  for (const [flag] of command.matchAll(/(?<= )--[a-z-]+/g))
    expect([line, text]).toEqual([line, expect.stringContaining(flag)]);
}

describe("every command and flag of this program exists", () => {
  test.each(pages)("in %s", async (page) => {
    const inBlocks = blocksOf(page).flatMap(({ text }) => text.replaceAll(/\\\n/g, " ").split("\n"));
    for (const line of [...codeIn(page), ...inBlocks]) {
      const [, command] = /^ *(?:sudo |dist\/|exec )*tailscale2otel ([a-z][^#|;&>]*)/.exec(line) ?? [];
      if (command !== undefined) await expectKnown(line, command);
    }
  });

  test.each(installed)("in the comments of %s", async (file) => {
    const lines = textOf(file).split("\n");
    const commands = lines.flatMap(
      (line) => /(?:^# +(?:sudo )?|\/usr\/bin\/)(tailscale2otel [a-z][^(]*|(?:docker|cp) .*)/.exec(line)?.[1] ?? [],
    );
    expect(commands.length).toBeGreaterThan(0);
    for (const command of commands) {
      const [, words] = /^tailscale2otel (.*)/.exec(command) ?? [];
      if (words !== undefined) await expectKnown(command, words);
      // Docker's commands are not checked here, but must match those of the page.
      else
        expect(textOf("docs/containers.md") + textOf("docs/past-one-machine.md")).toContain(
          command.replace(/ {2,}.*/, ""),
        );
    }
  });
});

const keys = settings.flatMap(({ key }) => [key, key.replaceAll(/\.\d+\b/g, "")]);
const tables = keys.flatMap((key) => key.split(".").map((_, at, all) => all.slice(0, at).join(".")));
const settingNames = new Set([
  ...keys,
  ...tables,
  ...settings.flatMap(({ key, kind }) => (kind === "secret" ? [`${key}_file`] : [])),
]);
const tops = [...new Set(keys.map((key) => key.split(".")[0]))].join("|");
/** Settings whose entries are named by the user. */
const maps = settings.filter(({ kind }) => kind === "map").map(({ key }) => key);
const webhookRecords = new Set(["other", ...webhookTypes].map((type) => `tailscale.webhook.${type}`));
/** The reference, which is generated from the catalogue. */
const signals = textOf("docs/signals.md");

test.each(present)("each setting and signal in %s exists", (page) => {
  const dotted = new RegExp(`^((?:${tops}|tailscale2otel)\\.[a-z0-9_.]*[a-z0-9])(?: ?=.*|\\.?\\*)?$`);
  const inText = codeIn(page)
    .map((code) => dotted.exec(code)?.[1])
    .filter((name) => name !== undefined)
    .filter((name) => !/\.(?:toml|env|rules\.yml|exe|json|rb)$/.test(name));
  const unknown = inText.filter(
    (name) =>
      !settingNames.has(name) &&
      !maps.some((map) => name.startsWith(`${map}.`)) &&
      !(name.startsWith("tailscale") && [`\`${name}\``, `\`${name}.`].some((mention) => signals.includes(mention))) &&
      !webhookRecords.has(name),
  );
  expect(unknown).toEqual([]);
});

test.each(pages)("each variable in %s exists", (page) => {
  const known = settings.flatMap(({ variable, kind }) => [
    variable,
    ...(kind === "secret" ? [`${variable}_FILE`] : []),
  ]);
  const others = new Set(["TS2OTEL_CONFIG", "TS2OTEL_INSTALL_BASE_URL", "TS2OTEL_SIGNING_KEY_FILE"]);
  const isKnown = (name: string): boolean =>
    known.includes(name) ||
    others.has(name) ||
    known.some((variable) => variable.startsWith(name) && name.endsWith("__")) ||
    maps.some((map) => name.startsWith(`TS2OTEL_${map.toUpperCase().replaceAll(".", "__")}__`));
  const named = [...textOf(page).matchAll(/TS2OTEL_[A-Z0-9_]+/g)].map(([name]) => name);
  expect(named.filter((name) => name !== "TS2OTEL_" && !isKnown(name))).toEqual([]);
});

test.each(pages)("links in %s lead to pages and headings that exist", (page) => {
  const anchorsOf = (text: string): readonly string[] =>
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replace(/[^\w\s-]/g, "")
        .trim()
        .replaceAll(" ", "-"),
    );
  for (const [link, path = "", anchor] of textOf(page).matchAll(/\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
    const target = path === "" ? page : join(dirname(page), path);
    expect([link, existsSync(join(root, target))]).toEqual([link, true]);
    if (anchor !== undefined)
      expect([link, anchorsOf(textOf(target))]).toEqual([link, expect.arrayContaining([anchor])]);
  }
});

/** Files that a command on the page creates from a file beside them. */
const copied: ReadonlySet<string> = new Set(["contrib/compose/.env", "contrib/cluster/.env"]);

test.each(pages)("each file of this repository in %s exists", (page) => {
  const named = [...textOf(page).matchAll(/(?<![\w/.-])(?:contrib|docs|scripts|src|test|\.ci)\/[\w./-]*\w/g)].map(
    ([path]) => path,
  );
  expect(named.filter((path) => !copied.has(path) && !existsSync(join(root, path)))).toEqual([]);
});
