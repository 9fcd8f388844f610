import { describe, expect, test } from "bun:test";
import { isLoopback, parseListen } from "../../src/lib/listen.ts";

describe("an address to listen on", () => {
  test.each([
    [":8088", undefined, 8088],
    ["127.0.0.1:8088", "127.0.0.1", 8088],
    ["0.0.0.0:1", "0.0.0.0", 1],
    ["[::1]:8088", "::1", 8088],
    ["[fd7a:115c:a1e0::1]:443", "fd7a:115c:a1e0::1", 443],
    ["localhost:0", "localhost", 0],
    ["node.tail1234.ts.net:8088", "node.tail1234.ts.net", 8088],
  ])("%s is parsed", (text, hostname, port) => {
    expect(parseListen(text)).toEqual({ text, hostname, port });
  });

  test.each([
    "",
    "8088",
    ":",
    ":70000",
    "::1:8088",
    "[::1]",
    "[127.0.0.1]:80",
    "[]:80",
    "300.0.0.1:80",
    "http://localhost:80",
    "a b:80",
    ":-1",
    ":8088 ",
  ])("%p is refused", (text) => {
    expect(parseListen(text)).toBeUndefined();
  });

  test.each([
    ["localhost", true],
    ["127.0.0.1", true],
    ["127.9.9.9", true],
    ["::1", true],
    ["::ffff:127.0.0.1", true],
    [undefined, false],
    ["::", false],
    ["0.0.0.0", false],
    ["127.0.0.1.evil.example", false],
    ["localhost.evil.example", false],
  ])("%s is loopback: %p", (hostname, expected) => {
    expect(isLoopback(hostname)).toBe(expected);
  });
});
