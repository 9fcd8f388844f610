/** Flow records are decoded, or set aside with the reason. */
import { describe, expect, test } from "bun:test";
import { decodeFlow } from "../../src/records/flow.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connection, flowOf, flowValue, sampleRecords } from "../support/records.ts";

const decode = (value: JsonObject) => decodeFlow({ value, recorded: [7, 8] });
const only = (members: JsonObject) => decode(flowValue({ virtualTraffic: [connection(members)] })).connections[0];

describe("decodes", () => {
  test("a whole record", () => {
    expect(
      decode({
        ...flowValue({
          logged: "2026-11-02T09:15:07.5Z",
          srcNode: {
            nodeId: "nONECNTRL",
            name: "web-1.tail1234.ts.net",
            addresses: ["100.64.1.1", "FD7A:115C:A1E0::1"],
          },
          dstNodes: [
            { name: "db", addresses: [], os: "linux", user: "a@example.com", tags: ["tag:b ", "tag:a", "tag:b"] },
          ],
        }),
      }),
    ).toEqual({
      type: "flow",
      nodeId: "nONECNTRL",
      start: [1_793_610_900, 0],
      end: [1_793_610_905, 0],
      recorded: [1_793_610_907, 500_000_000],
      sourceNode: {
        nodeId: "nONECNTRL",
        label: "web-1",
        addresses: ["100.64.1.1", "fd7a:115c:a1e0::1"],
        os: "",
        user: "",
        tags: [],
      },
      destinationNodes: [
        { nodeId: "", label: "db", addresses: [], os: "linux", user: "a@example.com", tags: ["tag:a", "tag:b"] },
      ],
      connections: [
        {
          traffic: "virtual",
          protocol: 6,
          source: {
            address: { text: "100.64.1.1", family: "ipv4", isOverlay: true },
            port: 40_000,
            text: "100.64.1.1:40000",
          },
          destination: {
            address: { text: "100.64.1.2", family: "ipv4", isOverlay: true },
            port: 443,
            text: "100.64.1.2:443",
          },
          txPackets: 3,
          txBytes: 300,
          rxPackets: 2,
          rxBytes: 200,
        },
      ],
    });
  });

  test("what is absent, empty or null as nothing and zero", () => {
    const nothing = {
      protocol: 0,
      source: undefined,
      destination: undefined,
      txPackets: 0,
      txBytes: 0,
      rxPackets: 0,
      rxBytes: 0,
    };
    const empty = { proto: null, src: "", dst: null, txPkts: 0, txBytes: null, rxPkts: -0 };
    const { start, end, sourceNode, destinationNodes, connections, recorded } = decode({
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
      start: undefined,
      end: undefined,
      sourceNode: undefined,
      destinationNodes: [],
    });
    expect(recorded).toEqual([7, 8]);
    expect(connections).toEqual([
      { traffic: "exit", ...nothing },
      { traffic: "exit", ...nothing },
    ]);
    expect(Object.is(connections[1]?.rxPackets, 0)).toBe(true);
  });

  test("the traffic arrays in one order, whatever theirs is", () => {
    const { connections } = decode({
      nodeId: "n",
      physicalTraffic: [{}],
      exitTraffic: [{}],
      subnetTraffic: [{}],
      virtualTraffic: [{}],
    });
    expect(connections.map(({ traffic }) => traffic)).toEqual(["virtual", "subnet", "exit", "physical"]);
  });

  test("protocols by number, quoted number and name", () => {
    expect([6, "6", "tcp", "TCP"].map((proto) => only({ proto })?.protocol)).toEqual([6, 6, 6, 6]);
  });

  test("the largest counter that can be real", () => {
    expect(only({ txBytes: 2 ** 53 - 1 })?.txBytes).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("a window of no length, and one end alone", () => {
    expect(decode(flowValue({ end: "2026-11-02T09:15:00Z" })).end).toEqual([1_793_610_900, 0]);
    expect(decode(flowValue({ start: "" })).end).toEqual([1_793_610_905, 0]);
  });

  test("unknown members by passing them over", () => {
    expect(decode(flowValue({ futureTraffic: [{ x: 1 }], vni: {} })).connections).toHaveLength(1);
  });

  test("a claimed address that is none as its own text, and no more than a label of a name", () => {
    const { sourceNode } = decode(flowValue({ srcNode: { name: "x".repeat(10_000), addresses: ["nonsense"] } }));
    expect(sourceNode?.addresses).toEqual(["nonsense"]);
    expect(sourceNode?.label).toBe("x".repeat(63));
  });

  test("every sample, stream and API alike but for the finer time", () => {
    const streamed = sampleRecords("hec-flow").map((raw) => decodeFlow(raw));
    const polled = sampleRecords("api-network").map((raw) => decodeFlow(raw));
    expect(streamed).toHaveLength(10);
    expect(polled).toEqual(streamed);
    expect(flowOf(JSON.parse(sampleRecords("hec-flow")[9]?.line ?? "")).connections[0]?.protocol).toBe(6);
  });
});

describe("sets aside", () => {
  const nested = (name: string, value: unknown) => flowValue({ srcNode: { [name]: value } });
  const withConnection = (members: JsonObject) => flowValue({ virtualTraffic: [connection(members)] });
  test.each([
    ["negative_counters", withConnection({ txBytes: -1 })],
    ["negative_counters", withConnection({ rxPkts: -0.5 })],
    ["oversized_counters", withConnection({ rxBytes: 2 ** 53 })],
    ["oversized_counters", withConnection({ txPkts: Number.POSITIVE_INFINITY })],
    ["inverted_window", flowValue({ end: "2026-11-02T09:14:59Z" })],
    ["inverted_window", flowValue({ start: "2026-11-02T09:15:00.2Z", end: "2026-11-02T09:15:00.1Z" })],
    ["invalid_endpoint", withConnection({ src: "web-1:443" })],
    ["invalid_endpoint", withConnection({ dst: "100.64.1.1:65536" })],
    ["invalid_protocol", withConnection({ proto: 256 })],
    ["invalid_protocol", withConnection({ proto: "quic" })],
    ["decode_error", withConnection({ proto: true })],
    ["decode_error", withConnection({ src: 7 })],
    ["decode_error", withConnection({ txBytes: "300" })],
    ["decode_error", withConnection({ txBytes: 0.5 })],
    ["decode_error", flowValue({ virtualTraffic: {} })],
    ["decode_error", flowValue({ subnetTraffic: "x" })],
    ["decode_error", flowValue({ virtualTraffic: [null] })],
    ["decode_error", flowValue({ virtualTraffic: [[]] })],
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
  ] as const)("%s: %j", (reason, value) => {
    expect(() => decode(value)).toThrow(expect.objectContaining({ name: "Defect", reason }));
  });
});
