/** The page about reachability has a configuration for each way, and each command of this program works. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runToEnd } from "../cli/program.ts";
import { blocksOf } from "../support/pages.ts";

const directory = mkdtempSync(join(tmpdir(), "reach-"));
afterAll(() => rmSync(directory, { recursive: true }));

const blocks = (language: string): readonly string[] =>
  blocksOf("docs/reach.md").flatMap((block) => (block.language === language ? [block.text] : []));

test("has a configuration for each way", () => {
  expect(blocks("toml").length).toBe(6);
  expect(blocks("toml").filter((text) => text.includes("tls.tailscale = true"))).toHaveLength(3);
});

test("the commands of this program work", async () => {
  writeFileSync(
    join(directory, "tailscale2otel.toml"),
    blocks("toml").find((text) => text.includes("[webhook]")) ?? "",
  );
  const lines = blocks("sh")
    .flatMap((text) => text.split("\n"))
    .filter((line) => line.startsWith("tailscale2otel "));
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    // Nothing listens there; the command only has to get as far as sending.
    const args = line
      .replace(/https:\/\/logs\.example\.com/, "http://127.0.0.1:1")
      .split(" ")
      .slice(1);
    const { code, stderr } = await runToEnd(directory, args);
    expect([code, stderr]).toEqual([1, expect.stringContaining("connection refused")]);
  }
});
