import { describe, expect, test } from "bun:test";
import {
  isLoopback,
  isTailnetAddress,
  overlaps,
  parseListen,
  shownListen,
  urlForOthers,
} from "../../src/lib/listen.ts";

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
    [":8088", "http on all interfaces, port 8088"],
    ["[::]:0", "http on all interfaces, port 8088"],
    ["0.0.0.0:8088", "http on all IPv4 interfaces, port 8088"],
    ["127.0.0.1:0", "http://127.0.0.1:8088"],
    ["[fd00::1]:0", "http://[fd00::1]:8088"],
    ["node.tail1234.ts.net:8088", "http://node.tail1234.ts.net:8088"],
  ])("%s is shown as %s", (text, shown) => {
    expect(shownListen(text, "http", 8088)).toBe(shown);
  });

  test.each([
    [":1", "127.0.0.1:1", true],
    [":1", "127.0.0.1:2", false],
    [":0", ":0", false],
    ["0.0.0.0:1", "[::1]:1", false],
    ["0.0.0.0:1", "example.com:1", true],
    ["localhost:1", "[::1]:1", true],
    ["localhost:1", "192.0.2.1:1", false],
    ["example.com:1", "EXAMPLE.com:1", true],
    ["example.com:1", "127.0.0.1:1", false],
  ])("%s and %s overlap: %p", (one, other, expected) => {
    expect([overlaps(one, other), overlaps(other, one)]).toEqual([expected, expected]);
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

  test.each([
    ["192.0.2.1:9091", "http://192.0.2.1:9091"],
    ["db.example.com:9091", "http://db.example.com:9091"],
    ["[fd00::1]:9091", "http://[fd00::1]:9091"],
    [":9091", "http://host-a:9091"],
    ["0.0.0.0:9091", "http://host-a:9091"],
    ["[::]:9091", "http://host-a:9091"],
    ["127.0.0.1:9091", "http://127.0.0.1:9091"],
    [":0", ""],
    ["127.0.0.1:0", ""],
    ["unix:/run/admin.sock", ""],
  ])("%s is reached by others at %p", (listen, expected) => {
    expect(urlForOthers(listen, "http", "host-a")).toBe(expected);
  });

  test.each([
    ["100.64.0.0", true],
    ["100.127.255.255", true],
    ["100.63.255.255", false],
    ["100.128.0.0", false],
    ["fd7a:115c:a1e0::53", true],
    ["FD7A:115C:A1E0:ab12::1", true],
    ["fd7a:115c:a1e1::1", false],
    ["100.64.0.1.example.com", false],
    ["", false],
  ])("%s is an address in a tailnet: %p", (hostname, expected) => {
    expect(isTailnetAddress(hostname)).toBe(expected);
  });
});
