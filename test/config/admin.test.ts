/** The admin listener's settings: off loopback, a token is required. */
import { expect, test } from "bun:test";
import { inspectIn, temporaryDirectory } from "./sources.ts";

const directory = temporaryDirectory();

const problemsOf = (toml: string): readonly string[] => inspectIn(directory, { toml }).problems;

test.each([
  '[admin]\nlisten = ":9091"',
  '[admin]\nlisten = "0.0.0.0:9091"',
  '[admin]\nlisten = "[::]:9091"',
  '[admin]\nlisten = "100.64.1.1:9091"',
])("%j is refused", (toml) => {
  expect(problemsOf(toml).join("\n")).toContain("is not loopback, but admin.token is empty");
});

test.each([
  "",
  '[admin]\nlisten = "127.0.0.1:0"',
  '[admin]\nlisten = "[::1]:9091"',
  '[admin]\nlisten = ":9091"\ntoken = "a-long-token"',
  '[admin]\nlisten = ":9091"\nenabled = false',
])("%j is accepted", (toml) => {
  expect(problemsOf(toml).join("\n")).not.toContain("admin.");
});
