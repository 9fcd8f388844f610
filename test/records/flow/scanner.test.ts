/** Tests that the scanner accepts what Tailscale writes, and rejects the rest without a trace; see also `mutants.test.ts`. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { ClaimTable } from "../../../src/records/flow/claims.ts";
import { FlowColumns } from "../../../src/records/flow/columns.ts";
import { FlowScanner } from "../../../src/records/flow/scanner.ts";
import { parseIpv4, parseIpv6Words } from "../../../src/records/address.ts";
import { seeded } from "../../support/random.ts";
import { columnsOf, plainRecord } from "../../support/columns.ts";
import { connection, enveloped, flowValue, sampleRecords, textOf } from "../../support/records.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const stream = encode(readFileSync(new URL("../../fixtures/samples/hec-flow.json", import.meta.url), "utf8").trim());

/** The columns of one text, if the scanner accepts all of it. */
function scan(text: string): FlowColumns | undefined {
  const columns = new FlowColumns();
  const bytes = encode(text);
  const end = new FlowScanner(new ClaimTable()).scan(bytes, 0, bytes.length, columns);
  if (end < 0)
    expect([columns.records, columns.entries, columns.nodeId.length, columns.ipv6Addresses]).toEqual([0, 0, 0, 0]);
  return end === bytes.length ? columns : undefined;
}

const takes = (value: unknown) => scan(JSON.stringify(value)) !== undefined;
const takesEntry = (members: object) => takes(flowValue({ virtualTraffic: [connection({ ...members })] }));

describe("accepts", () => {
  test("the stream as Tailscale sends it, record after record, except for a protocol given by name", () => {
    const scanner = new FlowScanner(new ClaimTable());
    const columns = new FlowColumns();
    let at = 0;
    while (at >= 0 && at < stream.length) {
      const end = scanner.scan(stream, at, stream.length, columns);
      if (end < 0) break;
      at = end;
    }
    const expected = columnsOf(...sampleRecords("hec-flow").map(({ line }) => JSON.parse(textOf(line)) as unknown));
    expect(columns.records).toBe(9);
    expect(columns.entries).toBe(expected.firstEntry[9] as number);
    for (let record = 0; record < 9; record++)
      expect(plainRecord(columns, record)).toEqual(plainRecord(expected, record));
    const tenth = new TextDecoder().decode(stream.subarray(at)).replace('"proto":"tcp"', '"proto":6');
    expect(plainRecord(scan(tenth) as FlowColumns, 0)).toEqual(plainRecord(expected, 9));
  });

  test("the API's bare records", () => {
    const scanner = new FlowScanner(new ClaimTable());
    for (const { value } of sampleRecords("api-network").slice(0, 9)) {
      const columns = new FlowColumns();
      const bytes = encode(JSON.stringify(value));
      expect(scanner.scan(bytes, 0, bytes.length, columns)).toBe(bytes.length);
      expect(plainRecord(columns, 0)).toEqual(plainRecord(columnsOf(value), 0));
    }
  });

  test("a record among other bytes, and nothing at or beyond its bound", () => {
    const text = JSON.stringify(enveloped(flowValue()));
    const scanner = new FlowScanner(new ClaimTable());
    for (let to = 0; to <= text.length; to++) {
      const columns = new FlowColumns();
      const bytes = encode(`}}${text}}}${text}`);
      expect(scanner.scan(bytes, 2, 2 + to, columns)).toBe(to === text.length ? 2 + to : -1);
    }
  });

  test("members in any order, and unknown ones that are strict JSON", () => {
    expect(takes({ fields: { a: 1, recorded: "2026-11-02T09:15:07Z" }, host: "h", event: flowValue() })).toBe(true);
    expect(takes({ logtail: { proc_id: 1 }, ...flowValue({ x: [[], {}, { a: [true, null, -1.5e-3, "b"] }] }) })).toBe(
      true,
    );
    expect(takes(enveloped(flowValue({ virtualTraffic: [{ src: "", future: { a: [] }, zone: 0 }] })))).toBe(true);
    const { proto, ...rest } = connection();
    expect(takes(flowValue({ virtualTraffic: [{ ...rest, proto }, {}, { src: "" }] }))).toBe(true);
  });

  test("up to 16,384 entries in a record", () => {
    const entries = Array.from({ length: 16_384 }, () => ({ txPkts: 1 }));
    expect(takes(flowValue({ virtualTraffic: entries }))).toBe(true);
    expect(takes(flowValue({ virtualTraffic: entries, exitTraffic: [{}] }))).toBe(false);
    expect(takes(flowValue({ virtualTraffic: [...entries, {}] }))).toBe(false);
  });

  test("any IPv6 address in brackets that the reader accepts", () => {
    const words = new Uint32Array(4);
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), ipv6Noise), (address) => {
        const columns = scan(JSON.stringify(flowValue({ virtualTraffic: [{ src: `[${address}]:7`, rxPkts: 1 }] })));
        if (columns !== undefined) {
          expect(parseIpv6Words(address, words, 0)).toBe(true);
          expect([...columns.ipv6.subarray(0, 4)]).toEqual([...words]);
        } else if (!address.includes(".") && parseIpv4(address) === undefined)
          expect(parseIpv6Words(address, words, 0)).toBe(false);
      }),
      seeded(3000),
    );
  });
});

const ipv6Noise = fc
  .array(fc.constantFrom("0", "1", "ffff", "a1E0", ":", "::", ":0", ":0:", "12345", "g"), {
    minLength: 1,
    maxLength: 17,
  })
  .map((parts) => parts.join(""));

describe("rejects", () => {
  test.each([
    ["an audit record", { actor: {}, action: "LOGIN", nodeId: "n" }],
    ["a record without a reporter", flowValue({ nodeId: "" })],
    ["a record without traffic", { nodeId: "n", start: "2026-11-02T09:15:00Z" }],
    ["an inverted window", flowValue({ end: "2026-11-02T09:14:59Z" })],
    ["a window inverted by a nanosecond", flowValue({ start: "2026-11-02T09:15:05.000000001Z" })],
    ["a list of traffic that is none", flowValue({ virtualTraffic: {} })],
    ["null for a list", flowValue({ virtualTraffic: null })],
    ["traffic in another order", { nodeId: "n", physicalTraffic: [], virtualTraffic: [] }],
    ["an envelope without an event", { time: 1, fields: {} }],
    ["an envelope of an envelope", enveloped(enveloped(flowValue()))],
    ["an envelope of a list", { time: 1, event: [flowValue()] }],
    ["an event beside a record's members", { ...flowValue(), event: {} }],
    ["logs beside a record's members", { ...flowValue(), logs: [] }],
    ["a time with an offset", flowValue({ start: "2026-11-02T10:15:00+01:00" })],
    ["a time that no calendar has", flowValue({ start: "2026-02-29T00:00:00Z" })],
    ["a leap second", flowValue({ end: "2026-12-31T23:59:60Z" })],
    ["ten digits of a second", flowValue({ start: "2026-11-02T09:15:00.0123456789Z" })],
    ["an empty time", flowValue({ start: "" })],
    ["a name beyond ASCII", flowValue({ nodeId: "é" })],
    ["a null claim", flowValue({ srcNode: null })],
    ["members nested 10,000 deep", flowValue({ x: JSON.parse("[".repeat(100) + "]".repeat(100)) as unknown })],
  ])("%s", (_, value) => {
    expect(takes(value)).toBe(false);
  });

  test.each([
    [{ proto: 256 }],
    [{ proto: -1 }],
    [{ proto: "tcp" }],
    [{ proto: null }],
    [{ src: "100.64.1.1" }],
    [{ src: "100.64.1.01:1" }],
    [{ src: "100.64.1.1:01" }],
    [{ src: "100.64.1.1:65536" }],
    [{ src: "100.64.1.256:1" }],
    [{ src: "100.64.1:1" }],
    [{ src: "[::1]" }],
    [{ src: "[fe80::1%eth0]:1" }],
    [{ src: "[::ffff:c000:201]:1" }],
    [{ dst: 7 }],
    [{ txBytes: -1 }],
    [{ txBytes: 1.5 }],
    [{ txBytes: 2 ** 53 }],
    [{ txBytes: "1" }],
  ])("an entry with %j", (members) => {
    expect(takesEntry(members)).toBe(false);
  });

  test.each([
    ["white space", '{"nodeId":"n", "exitTraffic":[]}'],
    ["an escape", String.raw`{"nodeId":"\u006e","exitTraffic":[]}`],
    ["an escaped name", String.raw`{"node\u0049d":"n","exitTraffic":[]}`],
    ["a member twice", '{"nodeId":"n","nodeId":"n","exitTraffic":[]}'],
    ["an entry's member twice", '{"nodeId":"n","exitTraffic":[{"txPkts":1,"rxPkts":2,"txPkts":1}]}'],
    ["an envelope's member twice", '{"time":1,"event":{"nodeId":"n","exitTraffic":[]},"time":1}'],
    ["a zero too many", '{"nodeId":"n","exitTraffic":[{"txPkts":01,"rxPkts":2}]}'],
    ["an exponent", '{"nodeId":"n","exitTraffic":[{"txPkts":1e3,"rxPkts":2}]}'],
    ["a comma too many", '{"nodeId":"n","exitTraffic":[{"txPkts":1,"rxPkts":2},]}'],
    ["a bracket too few", '{"nodeId":"n","exitTraffic":[{"txPkts":1,"rxPkts":2}}'],
    ["a control character", '{"nodeId":"n\u0001","exitTraffic":[]}'],
    ["nesting 10,000 deep", `{"x":${"[".repeat(10_000)}${"]".repeat(10_000)},"nodeId":"n","exitTraffic":[]}`],
    ["objects 10,000 deep", `{"x":${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)},"nodeId":"n","exitTraffic":[]}`],
  ])("%s", (_, text) => {
    expect(scan(text)).toBeUndefined();
  });
});

test("an endless number is read no further than a counter can extend", () => {
  const text = (digits: string) => `{"nodeId":"n","exitTraffic":[{"txBytes":${digits},"rxPkts":1}]}`;
  expect(scan(text("9".repeat(1_000_000)))).toBeUndefined();
  expect(scan(text("9007199254740991"))?.txBytes[0]).toBe(Number.MAX_SAFE_INTEGER);
  for (const digits of ["9007199254740992", "9007199254740993", "10000000000000000"])
    expect(scan(text(digits))).toBeUndefined();
  for (const digits of ["99999999", "999999999", "1000000000", "4294967296"])
    expect(scan(text(digits))?.txBytes[0]).toBe(Number(digits));
});

test("a node id of 200 KB is accepted twice", () => {
  const scanner = new FlowScanner(new ClaimTable());
  const columns = new FlowColumns();
  const bytes = encode(JSON.stringify(flowValue({ nodeId: "n".repeat(200_000) })));
  for (let times = 1; times <= 2; times++) expect(scanner.scan(bytes, 0, bytes.length, columns)).toBe(bytes.length);
  expect(columns.nodeId).toEqual(["n".repeat(200_000), "n".repeat(200_000)]);
});

test("100,000 reporters are distinguished", () => {
  const scanner = new FlowScanner(new ClaimTable());
  const columns = new FlowColumns();
  for (let place = 0; place < 100_000; place++) {
    columns.clear();
    const bytes = encode(`{"nodeId":"n${place}","exitTraffic":[]}`);
    scanner.scan(bytes, 0, bytes.length, columns);
    if (columns.nodeId[0] !== `n${place}`) throw new Error(`${columns.nodeId[0]} for n${place}`);
  }
});
