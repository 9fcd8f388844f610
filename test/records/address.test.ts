/** Addresses in one canonical form, endpoints in every form of the wire. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseAddress, parseEndpoint } from "../../src/records/address.ts";
import { Defect } from "../../src/records/defect.ts";
import type { Address } from "../../src/records/types.ts";
import { seeded } from "../support/random.ts";

describe("an address", () => {
  test.each([
    ["100.64.1.1", "100.64.1.1", "ipv4"],
    ["0.0.0.0", "0.0.0.0", "ipv4"],
    ["FD7A:115C:A1E0::1:1", "fd7a:115c:a1e0::1:1", "ipv6"],
    ["2001:0db8:0000:0000:0000:0000:0000:0035", "2001:db8::35", "ipv6"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1", "ipv6"],
    ["::", "::", "ipv6"],
    ["::1", "::1", "ipv6"],
    ["::ffff:192.0.2.1", "192.0.2.1", "ipv4"],
    ["::FFFF:C000:0201", "192.0.2.1", "ipv4"],
    ["0:0::0:0:192.0.2.1", "::c000:201", "ipv6"],
    ["1:0:0:2:3:0:0:4", "1::2:3:0:0:4", "ipv6"],
    ["1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0", "ipv6"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", "ipv6"],
    ["1:0:0:0:0:0:0:0", "1::", "ipv6"],
    ["0:0:0:0:0:ffff:100.64.1.1", "100.64.1.1", "ipv4"],
    ["::192.0.2.1", "::c000:201", "ipv6"],
    ["fe80::1%eth0", "fe80::1%eth0", "ipv6"],
    ["FE80::1%eth0", "fe80::1%eth0", "ipv6"],
    ["::ffff:192.0.2.1%eth0", "192.0.2.1", "ipv4"],
  ] satisfies [string, string, "ipv4" | "ipv6"][])("%s is %s", (text, canonical, family) => {
    expect(parseAddress(text)).toMatchObject({ text: canonical, family });
  });

  test.each([
    "",
    "host",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4/32",
    " 1.2.3.4",
    "2001:db8:::1",
    "2001:db8",
    "[::1]",
    "::1%",
    "fe80::1%a b",
    "fe80::1%a#1",
    `fe80::1%${"a".repeat(500)}`,
    "1.2.3.4\n",
  ])("is not %j", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test.each([
    ["100.63.255.255", false],
    ["100.64.0.0", true],
    ["100.127.255.255", true],
    ["100.128.0.0", false],
    ["10.64.0.1", false],
    ["fd7a:115c:a1e0::", true],
    ["fd7a:115c:a1e0:ffff::1", true],
    ["fd7a:115c:a1e1::1", false],
    ["::ffff:100.64.1.1", true],
  ] satisfies [string, boolean][])("%s from the overlay's ranges: %p", (text, isOverlay) => {
    expect(parseAddress(text)?.isOverlay).toBe(isOverlay);
  });

  test("is the same object for the same text", () => {
    expect(parseAddress("192.0.2.77")).toBe(parseAddress("192.0.2.77"));
  });
});

describe("an endpoint", () => {
  test("has the same address as its text alone, whatever was read in between", () => {
    const addresses = Array.from({ length: 20_000 }, (_, place) => `198.18.${place >> 8}.${place & 255}`);
    const read = () => addresses.map((text, port) => parseEndpoint(`${text}:${port}`).address.text);
    expect(read()).toEqual(addresses);
    expect(read()).toEqual(addresses);
    expect(parseEndpoint("198.18.0.1:443").address).toBe(parseAddress("198.18.0.1") as Address);
  });

  test.each([
    ["100.64.1.1:51544", "100.64.1.1", 51_544],
    ["100.64.1.1:0", "100.64.1.1", 0],
    ["100.64.1.1:65535", "100.64.1.1", 65_535],
    ["100.64.1.1:00443", "100.64.1.1", 443],
    ["100.64.1.1", "100.64.1.1", 0],
    ["[fd7a:115c:a1e0::1:1]:50000", "fd7a:115c:a1e0::1:1", 50_000],
    ["[FD7A:115C:A1E0::1:1]:53", "fd7a:115c:a1e0::1:1", 53],
    ["[2001:db8::35]", "2001:db8::35", 0],
    ["2001:db8::35", "2001:db8::35", 0],
    ["[::ffff:192.0.2.1]:443", "192.0.2.1", 443],
    ["[fe80::1%eth0]:22", "fe80::1%eth0", 22],
    ["127.3.3.40:4", "127.3.3.40", 4],
  ] satisfies [string, string, number][])("%s", (text, address, port) => {
    expect(parseEndpoint(text)).toMatchObject({ address: { text: address }, port });
  });

  test.each([
    ":443",
    "100.64.1.1:",
    "100.64.1.1:65536",
    "100.64.1.1:123456",
    "100.64.1.1:-1",
    "100.64.1.1:+1",
    "100.64.1.1:4x",
    "100.64.1.1: 4",
    "web-1:443",
    "[2001:db8::35]:",
    "[2001:db8::35]443",
    "[2001:db8::35:443",
    "2001:db8::35]:443",
    "[]:443",
    "[]",
    "100.64.1.1:80:80",
    "[fe80::1%]]:80",
  ])("is not %j", (text) => {
    expect(() => parseEndpoint(text)).toThrow(Defect);
    expect(() => parseEndpoint(text)).toThrow(expect.objectContaining({ reason: "invalid_endpoint" }));
  });

  test("of any address and port comes back", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.nat(65_535), (ipv4, ipv6, port) => {
        expect(parseEndpoint(`${ipv4}:${port}`)).toEqual({
          address: parseAddress(ipv4) as never,
          port,
          text: `${ipv4}:${port}`,
        });
        const { address, text } = parseEndpoint(`[${ipv6}]:${port}`);
        expect(parseEndpoint(text)).toEqual({ address, port, text });
        expect(text).toBe(address.family === "ipv6" ? `[${address.text}]:${port}` : `${address.text}:${port}`);
        expect(address).toBe(parseAddress(ipv6) as never);
        expect(parseAddress(address.text)?.text).toBe(address.text);
        const oracle = urlHost(ipv6);
        if (oracle !== undefined && address.family === "ipv6") expect(address.text).toBe(oracle);
      }),
      seeded(500),
    );
  });

  test("names at most 80 characters of what it refuses", () => {
    expect(() => parseEndpoint("x".repeat(10_000))).toThrow(
      expect.objectContaining({ message: `not an endpoint: ${"x".repeat(80)}` }),
    );
  });
});

/** RFC 5952 text as the URL standard's host serializer writes it, which fails on some valid addresses. */
function urlHost(ipv6: string): string | undefined {
  try {
    return new URL(`http://[${ipv6}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}
