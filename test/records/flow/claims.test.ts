/** Tests what records claim about nodes: equal claims are remembered, and different ones are never confused. */
import { describe, expect, test } from "bun:test";
import { ClaimTable } from "../../../src/records/flow/claims.ts";
import type { JsonObject } from "../../../src/records/types.ts";

const node = (members: JsonObject = {}): JsonObject => ({
  nodeId: "nONECNTRL",
  name: "web-1.tail1234.ts.net",
  addresses: ["100.64.1.1", "fd7a:115c:a1e0::1"],
  os: "linux",
  user: "alice@example.com",
  tags: ["tag:web", "tag:prod"],
  ...members,
});

/** The claim of a text followed by other members, as in a record. */
function claimOf(table: ClaimTable, text: string) {
  const bytes = new TextEncoder().encode(
    `{"srcNode":${text},"virtualTraffic":[{"proto":6,"src":"100.64.1.1:40000"}],"x":1}`,
  );
  const claim = table.claimAt(new DataView(bytes.buffer), 11, bytes.length);
  if (claim !== undefined) expect(new TextDecoder().decode(bytes.subarray(11, table.end))).toBe(text);
  return claim;
}

describe("a claim", () => {
  test("has a label, addresses as numbers, and tags as one text", () => {
    const claim = new ClaimTable().claimOfJson(
      node({
        addresses: ["100.64.1.1", "::ffff:192.0.2.1", "nonsense", "FD7A:115C:A1E0::1"],
        tags: ["tag:b ", "tag:a", "", "tag:b"],
      }),
    );
    expect({ ...claim, ipv4: [...claim.ipv4], ipv6: [...claim.ipv6] }).toEqual({
      nodeId: "nONECNTRL",
      label: "web-1",
      ipv4: [0x6440_0101, 0xc000_0201],
      ipv6: [0xfd7a_115c, 0xa1e0_0000, 0, 1],
      os: "linux",
      user: "alice@example.com",
      tags: "tag:a,tag:b",
    });
  });

  test("is the same object when it is repeated, from the scanner or the reader", () => {
    const table = new ClaimTable();
    const first = claimOf(table, JSON.stringify(node()));
    expect(first).toBeDefined();
    expect(claimOf(table, JSON.stringify(node()))).toBe(first as never);
    expect(table.claimOfJson(node())).toBe(first as never);
    expect(table.size).toBe(1);
  });

  test("is remembered even if it is very short or at the end of the bytes", () => {
    const table = new ClaimTable();
    for (const text of ["{}", '{"name":"a"}', JSON.stringify(node())]) {
      const bytes = new TextEncoder().encode(text);
      const view = new DataView(bytes.buffer);
      const first = table.claimAt(view, 0, bytes.length);
      expect(first).toBeDefined();
      expect(table.claimAt(view, 0, bytes.length)).toBe(first as never);
      expect(claimOf(table, text)).toBe(first as never);
    }
    expect(table.size).toBe(3);
  });

  test.each([
    ["nodeId", "nTWOCNTRL"],
    ["name", "web-2.tail1234.ts.net"],
    ["addresses", ["100.64.1.1"]],
    ["addresses", ["100.64.1.1", "fd7a:115c:a1e0::2"]],
    ["os", "windows"],
    ["user", ""],
    ["tags", ["tag:web"]],
    ["tags", ["tag:web", "tag:dev"]],
  ] satisfies [string, unknown][])("with another %s, %j, is another, and back again", (member, value) => {
    const table = new ClaimTable();
    const before = claimOf(table, JSON.stringify(node()));
    expect(claimOf(table, JSON.stringify(node({ [member]: value })))).not.toEqual(before);
    expect(table.claimOfJson(node({ [member]: value }))).not.toEqual(before);
    expect(claimOf(table, JSON.stringify(node()))).toBe(before as never);
  });

  test("may contain text beyond ASCII, escapes and unknown members, with the meaning of JSON", () => {
    const table = new ClaimTable();
    const text = String.raw`{"nodeId":"\u006e1","name":"h\u00e9-}","user":"é","x":{"y":[{}]},"os":"a","os":"b"}`;
    expect(claimOf(table, text)).toMatchObject({ nodeId: "n1", label: "hé-}", user: "é", os: "b" });
    expect(claimOf(table, text)).toMatchObject({ nodeId: "n1" });
  });

  test("has a label of at most 63 code points, none of them cut in half", () => {
    const claim = new ClaimTable().claimOfJson({ name: "\u{1f600}".repeat(100) });
    expect(claim.label).toBe("\u{1f600}".repeat(63));
    expect(new ClaimTable().claimOfJson({ name: "x".repeat(10_000) }).label).toBe("x".repeat(63));
  });

  test.each([
    ["no object", "[1]"],
    ["null", "null"],
    ["a torn object", '{"nodeId":"n1"'],
    ["a torn string", '{"nodeId":"n1}'],
    ["brackets that do not match", '{"nodeId":"n1"]'],
    ["a member of the wrong type", '{"name":7}'],
    ["addresses of the wrong type", '{"addresses":[7]}'],
    ["a line break", '{"name":\n"a"}'],
    ["more than an object", '{"name":01}'],
    ["nesting 10,000 deep", `{"a":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
  ])("is not %s", (_, text) => {
    const bytes = new TextEncoder().encode(text.padEnd(100, " "));
    expect(new ClaimTable().claimAt(new DataView(bytes.buffer), 0, text.length)).toBeUndefined();
  });

  test("is not read from bytes that are not UTF-8", () => {
    const bytes = new TextEncoder().encode('{"name":"aaaa"}');
    bytes[10] = 0xc3;
    expect(new ClaimTable().claimAt(new DataView(bytes.buffer), 0, bytes.length)).toBeUndefined();
  });

  test("of excessive length is not remembered", () => {
    const table = new ClaimTable();
    const addresses = Array.from(
      { length: 20_000 },
      (_, place) => `10.${place >> 16}.${(place >> 8) & 255}.${place & 255}`,
    );
    const text = JSON.stringify(node({ addresses }));
    expect(claimOf(table, text)?.ipv4).toHaveLength(20_000);
    expect(table.claimOfJson(node({ addresses })).ipv4).toHaveLength(20_000);
    expect(table.size).toBe(0);
  });

  test("is unaffected by a flood of others, of which a limited number is remembered", () => {
    const table = new ClaimTable();
    const before = claimOf(table, JSON.stringify(node()));
    let most = 0;
    for (let place = 0; place < 40_000; place++) {
      // Most begin with the same 64 bytes.
      const name = place % 4 === 0 ? `${place}` : `${"x".repeat(60)}${place}`;
      expect(claimOf(table, JSON.stringify({ nodeId: name, name }))?.nodeId).toBe(name);
      most = Math.max(most, table.size);
    }
    expect(most).toBeLessThanOrEqual(16_384);
    expect(most).toBeGreaterThan(1000);
    expect(claimOf(table, JSON.stringify(node()))).toEqual(before as never);
  });
});
