/** Tests reading flow records into columns: invalid entries are left out alone, or the record is refused with the reason. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ClaimTable } from "../../../src/records/flow/claims.ts";
import { FlowColumns, leftOutReasons } from "../../../src/records/flow/columns.ts";
import { readFlow } from "../../../src/records/flow/reader.ts";
import type { JsonObject } from "../../../src/records/types.ts";
import { seeded } from "../../support/random.ts";
import { columnsOf, plainRecord } from "../../support/columns.ts";
import { connection, flowValue, sampleRecords, textOf } from "../../support/records.ts";

const read = (value: JsonObject) => {
  const columns = new FlowColumns();
  readFlow(value, [7, 8], new ClaimTable(), columns);
  return columns;
};
const plain = (value: JsonObject) => plainRecord(read(value), 0);
const entriesOf = (...entries: readonly unknown[]) => plain(flowValue({ virtualTraffic: entries })).entries;
const only = (members: JsonObject) => entriesOf(connection(members))[0];

describe("reads", () => {
  test("a whole record", () => {
    expect(
      plain({
        ...flowValue({
          logged: "2026-11-02T09:15:07.5Z",
          srcNode: { nodeId: "nONECNTRL", name: "web-1.tail1234.ts.net", addresses: ["100.64.1.1"] },
          dstNodes: [{ name: "db", os: "linux", user: "a@example.com", tags: ["tag:b ", "tag:a", "tag:b"] }],
        }),
      }),
    ).toEqual({
      nodeId: "nONECNTRL",
      start: [1_793_610_900, 0],
      end: [1_793_610_905, 0],
      recorded: [1_793_610_907, 500_000_000],
      sourceNode: { nodeId: "nONECNTRL", label: "web-1", ipv4: [0x6440_0101], ipv6: [], os: "", user: "", tags: "" },
      destinationNodes: [
        { nodeId: "", label: "db", ipv4: [], ipv6: [], os: "linux", user: "a@example.com", tags: "tag:a,tag:b" },
      ],
      entries: [
        {
          traffic: 0,
          protocol: 6,
          source: "100.64.1.1",
          destination: "100.64.1.2",
          sourcePort: 40_000,
          destinationPort: 443,
          counters: [3, 300, 2, 200],
          leftOut: 0,
          text: "",
        },
      ],
    });
  });

  test("what is absent, empty or null as nothing and zero", () => {
    const empty = { proto: null, src: "", dst: null, txPkts: 0, txBytes: null, rxPkts: -0 };
    const { start, end, sourceNode, destinationNodes, entries, recorded } = plain({
      nodeId: "n",
      start: "",
      end: null,
      srcNode: null,
      dstNodes: null,
      virtualTraffic: null,
      subnetTraffic: [],
      exitTraffic: [{}, empty],
    });
    expect({ start, end, sourceNode, destinationNodes }).toEqual({
      start: "none",
      end: "none",
      sourceNode: "none",
      destinationNodes: [],
    });
    expect(recorded).toEqual([7, 8]);
    expect(entries[1]).toEqual(entries[0] as never);
    expect(entries[1]).toMatchObject({ traffic: 2, protocol: 0, source: "absent", destination: "absent", leftOut: 0 });
    expect(Object.is(entries[1]?.counters[2], 0)).toBe(true);
  });

  test("the traffic arrays in a fixed order, whatever the original one", () => {
    const { entries } = plain({
      nodeId: "n",
      physicalTraffic: [{}],
      exitTraffic: [{}],
      subnetTraffic: [{}],
      virtualTraffic: [{}, {}],
    });
    expect(entries.map(({ traffic }) => traffic)).toEqual([0, 0, 1, 2, 3]);
  });

  test("protocols by number, quoted number and name, and the largest possible counter", () => {
    expect([6, "6", "tcp", "TCP"].map((proto) => only({ proto })?.protocol)).toEqual([6, 6, 6, 6]);
    expect(only({ txBytes: 2 ** 53 - 1 })?.counters[1]).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("a window of no length, and one with only one end", () => {
    expect(plain(flowValue({ end: "2026-11-02T09:15:00Z" })).end).toEqual([1_793_610_900, 0]);
    expect(plain(flowValue({ start: "" })).end).toEqual([1_793_610_905, 0]);
  });

  test("a record with unknown members, which are skipped", () => {
    expect(plain(flowValue({ futureTraffic: [{ x: 1 }], vni: {} })).entries).toHaveLength(1);
  });

  test("every sample, the same from stream and API except for the finer time", () => {
    const streamed = columnsOf(...sampleRecords("hec-flow").map(({ line }) => JSON.parse(textOf(line)) as unknown));
    const polled = columnsOf(...sampleRecords("api-network").map(({ value }) => value));
    expect(streamed.records).toBe(10);
    for (let record = 0; record < 10; record++)
      expect(plainRecord(polled, record)).toEqual(plainRecord(streamed, record));
    expect(plainRecord(streamed, 9).entries[0]?.protocol).toBe(6);
  });
});

describe("an endpoint", () => {
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
    ["[fe80::1%eth0]:22", "text fe80::1%eth0", 22],
    ["127.3.3.40:4", "127.3.3.40", 4],
  ] satisfies [string, string, number][])("%s", (text, source, sourcePort) => {
    expect(only({ src: text })).toMatchObject({ source, sourcePort, leftOut: 0 });
    expect(only({ dst: text })).toMatchObject({ destination: source, destinationPort: sourcePort, leftOut: 0 });
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
    "[100.64.1.1]:80",
    "100.64.1.1:80:80",
    "100.64.1.1:80\n",
    "[fe80::1%]]:80",
    "[".repeat(100_000),
  ])("is not %j", (text) => {
    const [good, bad] = entriesOf(connection(), connection({ src: text }));
    expect(good?.leftOut).toBe(0);
    expect(leftOutReasons[(bad?.leftOut ?? 0) - 1]).toBe("invalid_endpoint");
  });

  test("of any address and port is read back the same", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV6(), fc.nat(65_535), (ipv4, ipv6, port) => {
        expect(only({ src: `${ipv4}:${port}` })).toMatchObject({ source: ipv4, sourcePort: port });
        const first = only({ src: `[${ipv6}]:${port}` });
        const text = first?.source ?? "";
        const again = text.includes(":") ? `[${text}]:${port}` : `${text}:${port}`;
        expect(only({ src: again })).toEqual(first as never);
      }),
      seeded(200),
    );
  });
});

describe("leaves out only the invalid entry, with its canonical text and nothing else of it", () => {
  test.each([
    ["negative_counters", connection({ txBytes: -1 })],
    ["negative_counters", connection({ rxPkts: -0.5 })],
    ["oversized_counters", connection({ rxBytes: 2 ** 53 })],
    ["oversized_counters", connection({ txPkts: Number.POSITIVE_INFINITY })],
    ["invalid_endpoint", connection({ src: "web-1:443" })],
    ["invalid_endpoint", connection({ src: "[2001:db8::1]:1", dst: "100.64.1.1:65536" })],
    ["invalid_protocol", connection({ proto: 256 })],
    ["invalid_protocol", connection({ proto: "q c" })],
    ["invalid_entry", connection({ proto: true })],
    ["invalid_entry", connection({ src: 7 })],
    ["invalid_entry", connection({ txBytes: "300" })],
    ["invalid_entry", connection({ txBytes: 0.5 })],
    ["invalid_entry", null],
    ["invalid_entry", []],
  ] as const)("%s: %j", (reason, entry) => {
    const columns = read(flowValue({ virtualTraffic: [connection(), entry, connection()] }));
    const { entries } = plainRecord(columns, 0);
    expect(entries[0]).toEqual(plain(flowValue()).entries[0] as never);
    expect(entries[2]).toEqual(entries[0] as never);
    expect(entries[1]).toMatchObject({ protocol: 0, source: "absent", destination: "absent", counters: [0, 0, 0, 0] });
    expect(leftOutReasons[(entries[1]?.leftOut ?? 0) - 1]).toBe(reason);
    expect(entries[1]?.text).not.toBe("");
    expect(columns.ipv6Addresses).toBe(0);
  });

  test("in a record like the API description's example", () => {
    const entry = connection({ proto: "ipv4", src: "192.0.2.125:52343", dst: "192.0.2.126:443" });
    const { virtualTraffic: _, ...window } = flowValue();
    const columns = read({
      ...window,
      virtualTraffic: [entry],
      subnetTraffic: [{ ...entry, dst: "192.0.2.256:443" }],
      exitTraffic: [entry],
      physicalTraffic: [entry],
    });
    const leftOut = [0, leftOutReasons.indexOf("invalid_endpoint") + 1, 0, 0];
    expect(plainRecord(columns, 0).entries.map((one) => one.leftOut)).toEqual(leftOut);
    expect([...columns.protocol.subarray(0, 4)]).toEqual([4, 0, 4, 4]);
  });
});

describe("refuses a record", () => {
  const nested = (name: string, value: unknown) => flowValue({ srcNode: { [name]: value } });
  const withEntry = (members: JsonObject) => flowValue({ virtualTraffic: [connection(members)] });
  test.each([
    ["inverted_window", flowValue({ end: "2026-11-02T09:14:59Z" })],
    ["inverted_window", flowValue({ start: "2026-11-02T09:15:00.2Z", end: "2026-11-02T09:15:00.1Z" })],
    ["decode_error", flowValue({ virtualTraffic: {} })],
    ["decode_error", flowValue({ subnetTraffic: "x" })],
    ["decode_error", flowValue({ start: "yesterday" })],
    ["decode_error", flowValue({ end: 1_793_610_905 })],
    ["decode_error", flowValue({ logged: "soon" })],
    ["decode_error", flowValue({ srcNode: [] })],
    ["decode_error", flowValue({ dstNodes: {} })],
    ["decode_error", flowValue({ dstNodes: [null] })],
    ["decode_error", nested("name", 7)],
    ["decode_error", nested("addresses", "100.64.1.1")],
    ["decode_error", nested("addresses", [7])],
    ["decode_error", nested("tags", [null])],
    ["decode_error", nested("user", {})],
    ["negative_counters", withEntry({ txBytes: -1 })],
    ["invalid_endpoint", withEntry({ dst: "nowhere" })],
    ["invalid_entry", flowValue({ virtualTraffic: [null, connection({ txBytes: -1 })] })],
    ["invalid_protocol", flowValue({ virtualTraffic: [], physicalTraffic: [connection({ proto: 256 })] })],
  ] as const)("%s: %j, and leaves the columns unchanged", (reason, value) => {
    const columns = columnsOf(flowValue());
    const before = plainRecord(columns, 0);
    expect(() => readFlow(value, undefined, new ClaimTable(), columns)).toThrow(
      expect.objectContaining({ name: "Defect", reason }),
    );
    expect([columns.records, columns.entries, columns.nodeId.length, columns.leftOutTexts.size]).toEqual([1, 1, 1, 0]);
    readFlow(flowValue(), undefined, new ClaimTable(), columns);
    expect(plainRecord(columns, 0)).toEqual(before);
    expect(plainRecord(columns, 1)).toEqual(before);
  });

  test("of more than 16,384 entries, in whichever arrays", () => {
    const entries = Array.from({ length: 16_384 }, () => ({ txPkts: 1 }));
    expect(read(flowValue({ virtualTraffic: entries })).entries).toBe(16_384);
    expect(() => read(flowValue({ virtualTraffic: entries, exitTraffic: [{}] }))).toThrow(
      expect.objectContaining({ reason: "decode_error" }),
    );
  });
});

test("accepts a record without entries", () => {
  expect(plain(flowValue({ virtualTraffic: [] })).entries).toEqual([]);
});
