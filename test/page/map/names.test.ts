/** Names of nodes as the map shows them. */
import { describe, expect, test } from "bun:test";
import { isolatedName, nodeKindOf, shownName } from "../../../src/page/map/names.ts";

describe("recognizes what a name stands for", () => {
  test.each([
    ["203.0.113.7", "outside"],
    ["203.0.113.7:443", "outside"],
    ["2001:db8::1", "outside"],
    ["[2001:db8::1]:53", "outside"],
    ["::ffff:192.0.2.1", "outside"],
    ["100.64.0.1", "machine"],
    ["100.127.255.254", "machine"],
    ["100.128.0.1", "outside"],
    ["fd7a:115c:a1e0::1", "machine"],
    ["web-1", "machine"],
    ["10.0.0.1.example.com", "machine"],
    ["cafe", "machine"],
    ["a:b", "machine"],
    ["__other__", "several"],
    ["", "several"],
    ["unknown", "several"],
    ["external", "outside"],
  ] as const)("%p: %s", (name, kind) => {
    expect(nodeKindOf(name)).toBe(kind);
  });
});

test("leaves an ordinary name unchanged", () => {
  expect(shownName("web-1", 5)).toBe("web-1");
  expect(shownName("<img src=x onerror=alert(1)>", 100)).toBe("<img src=x onerror=alert(1)>");
});

test("truncates a long name with an ellipsis, never inside a character", () => {
  expect(shownName("x".repeat(4096), 10)).toBe(`${"x".repeat(9)}…`);
  expect(shownName("😀".repeat(50), 4)).toBe("😀😀😀…");
});

test("replaces what could hide or reorder text", () => {
  expect(shownName("a\u0000b\nc\u202Egnp\u202C", 50)).toBe("a\ufffdb\ufffdc\ufffdgnp\ufffd");
  expect(shownName("\ud800x", 50)).toBe("\ufffdx");
});

test("keeps the joiners of emoji", () => {
  expect(shownName("👩‍👧", 50)).toBe("👩‍👧");
});

test("isolates the text direction of a name on a canvas", () => {
  expect(isolatedName("מחשב", 50)).toBe("\u2068מחשב\u2069");
});
