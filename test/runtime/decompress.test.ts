/** Tests what the receiver relies on when it decompresses; the same cases run under Deno, which decompresses differently. */
import { describe, expect, test } from "bun:test";
import { decompressionCases } from "./decompression-cases.ts";

describe("decompressing", () => {
  test.each(decompressionCases())("$name", async ({ run }) => {
    expect(await run()).toBe("as expected");
  });

  test("works the same under Deno", async () => {
    const deno = Bun.spawn(
      [
        new URL("../../node_modules/.bin/deno", import.meta.url).pathname,
        "run",
        "--quiet",
        "--no-config",
        new URL("decompression-cases.ts", import.meta.url).pathname,
      ],
      {
        stdout: "pipe",
        stderr: "pipe",
      },
    );
    const [output, errors] = await Promise.all([new Response(deno.stdout).text(), new Response(deno.stderr).text()]);
    expect(errors).toBe("");
    expect(output.trim().split("\n")).toEqual(decompressionCases().map(({ name }) => `${name}: as expected`));
  }, 120_000);
});
