/** The live page, in a real browser. */
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { bundle } from "../../src/admin/page/bundle.ts";

const maxBytes = 120_000;

test("the page is small", () => {
  const files = bundle();
  const bytes = files.reduce((sum, { content }) => sum + Buffer.from(content, "base64").length, 0);
  expect(bytes).toBeGreaterThan(gzipSync("").length);
  expect(bytes).toBeLessThan(maxBytes);
});
