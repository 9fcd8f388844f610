import { expect, test } from "bun:test";
import { hecAnswers } from "../../../src/receivers/hec/protocol.ts";
import { renderHecReference } from "../../../src/receivers/hec/reference.ts";

test("the reference page has every answer of the table", () => {
  const page = renderHecReference();
  for (const { when, status, code } of Object.values(hecAnswers)) {
    const row = page.split("\n").find((line) => line.startsWith(`| ${when} | ${status} |`));
    expect(row).toContain(code === undefined ? '"text"' : `"code":${code}`);
  }
});
