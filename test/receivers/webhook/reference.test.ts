import { expect, test } from "bun:test";
import { webhookTypes } from "../../../src/catalogue/vocabulary.ts";
import { webhookAnswers } from "../../../src/receivers/webhook/protocol.ts";
import { webhookPage } from "../../../scripts/receivers-reference.ts";

test("the reference page has every answer of the table, and every type", () => {
  const page = webhookPage();
  for (const { when, status, rejected } of Object.values(webhookAnswers)) {
    const row = page.split("\n").find((line) => line.startsWith(`| ${when} | ${status} |`));
    expect(row).toEndWith(rejected === undefined ? "|  |" : `| \`${rejected}\` |`);
  }
  for (const type of webhookTypes) expect(page.split(`\`${type}\``)).toHaveLength(2);
});
