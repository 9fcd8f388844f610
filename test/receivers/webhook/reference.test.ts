import { expect, test } from "bun:test";
import { webhookTypes } from "../../../src/catalogue/vocabulary.ts";
import { webhookAnswers } from "../../../src/receivers/webhook/protocol.ts";
import { hecPage, webhookPage } from "../../../scripts/receivers-reference.ts";

test("the reference page lists every answer in the table and every event type", () => {
  const page = webhookPage();
  for (const { when, status, rejected } of Object.values(webhookAnswers)) {
    const row = page.split("\n").find((line) => line.startsWith(`| ${when} | ${status} |`));
    expect(row).toEndWith(rejected === undefined ? "|  |" : `| \`${rejected}\` |`);
  }
  for (const type of webhookTypes) expect(page.split(`\`${type}\``)).toHaveLength(2);
});

test.each([
  ["hec.md", hecPage()],
  ["webhook.md", webhookPage()],
])("%s gives a figure for every limit, with a space before its unit", (_, page) => {
  const [, table = ""] = page.split("| what | limit | setting |\n| --- | --- | --- |\n");
  const limits = table.split("\n\n", 1)[0]?.trimEnd().split("\n") ?? [];
  expect(limits.length).toBeGreaterThanOrEqual(12);
  for (const limit of limits)
    expect(limit).toMatch(/^\| [^|]+ \| \d[\d,]*( (MiB|s)(, or one body)?)? \| (–|`[\w.]+`) \|$/);
});
