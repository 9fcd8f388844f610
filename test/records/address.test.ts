/** Tests addresses in their canonical form, as text and as numbers. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  derpRelayIpv4,
  ipv4Text,
  ipv6Text,
  isOverlayIpv6,
  parseAddress,
  parseIpv4,
  parseIpv6Words,
} from "../../src/records/address.ts";
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
});

describe("addresses as numbers", () => {
  test("are converted back to their canonical text, as in the URL standard", () => {
    const words = new Uint32Array(6);
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), (ipv4, ipv6) => {
        expect(ipv4Text(parseIpv4(ipv4) ?? -1)).toBe(ipv4);
        const mapped = parseIpv4(ipv6);
        expect(parseIpv6Words(ipv6, words, 1)).toBe(mapped === undefined);
        if (mapped !== undefined) return;
        const text = ipv6Text(words, 1);
        expect(parseAddress(ipv6)).toEqual({ text, family: "ipv6", isOverlay: isOverlayIpv6(words, 1) });
        const again = new Uint32Array(4);
        expect(parseIpv6Words(text, again, 0)).toBe(true);
        expect([...again]).toEqual([...words.subarray(1, 5)]);
        const oracle = urlHost(ipv6);
        if (oracle !== undefined) expect(text).toBe(oracle);
      }),
      seeded(1000),
    );
  });

  test("are unsigned, most significant word first", () => {
    expect(parseIpv4("255.0.0.1")).toBe(0xff00_0001);
    expect(parseIpv4("127.3.3.40")).toBe(derpRelayIpv4);
    const words = new Uint32Array(4);
    parseIpv6Words("fd7a:115c:a1e0::1:2", words, 0);
    expect([...words]).toEqual([0xfd7a_115c, 0xa1e0_0000, 0, 0x0001_0002]);
  });

  test.each(["::ffff:192.0.2.1", "::ffff:c000:201", "fe80::1%eth0", "192.0.2.1", "", "::1::", `${"0:".repeat(50)}`])(
    "of %j are not words of IPv6",
    (text) => {
      const words = new Uint32Array(4);
      expect(parseIpv6Words(text, words, 0)).toBe(false);
      expect([...words]).toEqual([0, 0, 0, 0]);
    },
  );
});

/** RFC 5952 text as the URL standard's host serializer writes it; undefined for valid addresses that it rejects. */
function urlHost(ipv6: string): string | undefined {
  try {
    return new URL(`http://[${ipv6}]/`).hostname.slice(1, -1);
  } catch {
    return undefined;
  }
}
