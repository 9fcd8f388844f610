import { describe, expect, test } from "bun:test";
import { createLog, type LogOptions } from "../../src/lib/log.ts";
import type { LogFields } from "../../src/lib/logger.ts";

function logTo(lines: string[], options: Partial<LogOptions> = {}) {
  return createLog({
    level: "info",
    format: "auto",
    isTerminal: false,
    hasColor: false,
    clock: () => Date.UTC(2026, 8, 21, 13, 33, 20, 5),
    write: (line) => lines.push(line),
    ...options,
  });
}

test("a line in a pipe is one JSON object", () => {
  const lines: string[] = [];
  logTo(lines).warn("two\nlines", { count: 2, ok: true, nothing: undefined, text: "a b" });
  expect(lines).toEqual([
    '{"time":"2026-09-21T13:33:20.005Z","level":"warn","message":"two\\nlines","count":2,"ok":true,"text":"a b"}\n',
  ]);
});

test("a field whose name is taken is renamed, not dropped", () => {
  const lines: string[] = [];
  const fields = { message: "the backend's own words", time: "noon" };
  logTo(lines).warn("rejected", fields as object as LogFields);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "2026-09-21T13:33:20.005Z",
    level: "warn",
    message: "rejected",
    field_message: "the backend's own words",
    field_time: "noon",
  });
});

test("a line on a terminal is text, with colors if it supports them", () => {
  const lines: string[] = [];
  logTo(lines, { isTerminal: true, hasColor: true }).error("went wrong", { path: "/x" });
  logTo(lines, { isTerminal: true }).info("fine");
  expect(lines).toEqual([
    "\u001b[90m13:33:20.005\u001b[39m \u001b[31mERROR\u001b[39m went wrong \u001b[90mpath=/x\u001b[39m\n",
    "2026-09-21T13:33:20.005Z INFO  fine\n",
  ]);
});

test("the format can be set", () => {
  const lines: string[] = [];
  logTo(lines, { format: "text" }).info("a", { empty: "", spaced: "b c", quoted: 'x="y"', plain: "d" });
  logTo(lines, { format: "json", isTerminal: true, hasColor: true }).info("a");
  expect(lines).toEqual([
    '2026-09-21T13:33:20.005Z INFO  a empty="" spaced="b c" quoted="x=\\"y\\"" plain=d\n',
    '{"time":"2026-09-21T13:33:20.005Z","level":"info","message":"a"}\n',
  ]);
});

test("text from outside can neither forge a line nor control the terminal", () => {
  const lines: string[] = [];
  logTo(lines, { format: "text" }).info("a\nb\u001b[2J", { field: "c\r\u2028d\u009b\u202e" });
  expect(lines).toEqual(["2026-09-21T13:33:20.005Z INFO  a\\nb\\x1b[2J field=c\\x0d\\u{2028}d\\x9b\\u{202e}\n"]);
});

test.each(["text", "json"] as const)("a line is limited in length (%s)", (format) => {
  const lines: string[] = [];
  logTo(lines, { format }).info("é".repeat(1_000_000), { field: "x".repeat(1_000_000) });
  expect(lines).toHaveLength(1);
  expect(Buffer.byteLength(lines[0] ?? "")).toBeLessThan(20_000);
  expect(lines[0]).toContain("…[truncated]");
});

describe("the level", () => {
  test("suppresses less important lines, and can be changed", () => {
    const lines: string[] = [];
    const log = logTo(lines, { format: "text", level: "warn" });
    log.debug("no");
    log.info("no");
    log.warn("yes");
    log.setLevel("debug");
    log.debug("now");
    log.setLevel("error");
    log.warn("no");
    log.error("yes");
    expect(lines.map((line) => line.slice(25).trim())).toEqual(["WARN  yes", "DEBUG now", "ERROR yes"]);
  });
});
