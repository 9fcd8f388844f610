/** What records claim about nodes: remembered where it is the same, and never mixed up where it is not. */
import { describe, expect, test } from "bun:test";
import { decodeNode } from "../../src/records/node-claim.ts";
import type { JsonObject } from "../../src/records/types.ts";

const node = (members: JsonObject = {}): JsonObject => ({
  nodeId: "nONECNTRL",
  name: "web-1.tail1234.ts.net",
  addresses: ["100.64.1.1", "fd7a:115c:a1e0::1"],
  os: "linux",
  user: "alice@example.com",
  tags: ["tag:web", "tag:prod"],
  ...members,
});

describe("a claim", () => {
  test("is the same object when it comes again", () => {
    expect(decodeNode(node())).toBe(decodeNode(node()));
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
    const before = decodeNode(node());
    const other = decodeNode(node({ [member]: value }));
    expect(other).not.toEqual(before);
    expect(decodeNode(node())).toEqual(before);
  });

  test("of much text is not remembered", () => {
    const large = node({ user: "u".repeat(10_000) });
    expect(decodeNode(large)).not.toBe(decodeNode(large));
    expect(decodeNode(large)).toEqual(decodeNode(large));
  });

  test("stays what it is through a flood of others", () => {
    const before = decodeNode(node());
    for (let place = 0; place < 40_000; place++) decodeNode(node({ name: `host-${place}` }));
    expect(decodeNode(node())).toEqual(before);
  });
});
