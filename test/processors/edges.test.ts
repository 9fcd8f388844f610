/** Tests edges: one number for the same names and class, and limits that lose no sum. */
import { describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/records/types.ts";
import { type FlowClass, noIncrements } from "../../src/catalogue/increments.ts";
import { EdgeBook, maxEdges, noPeer, peerByAddress } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import type { ProcessorSettings } from "../../src/processors/index.ts";
import { columnsOf } from "../support/columns.ts";
import { connection, flowValue } from "../support/records.ts";
import { privacyWith, settingsWith } from "./given.ts";
import { pointsOf } from "./points.ts";

function bookWith(settings: ProcessorSettings) {
  const edges = new EdgeBook(settings);
  const context = { settings, edges, ends: new EndBook(settings) };
  const measured = (...values: JsonObject[]) => {
    const columns = columnsOf(...values);
    measureFlow(columns, 0, columns.records, context);
    return columns;
  };
  return { edges, measured, edgesOf: (...values: JsonObject[]) => edgeNumbers(measured(...values)) };
}

function edgeNumbers({ edge, entries }: { readonly edge: Uint32Array; readonly entries: number }): number[] {
  return [...edge.subarray(0, entries)];
}

const named = (name: string): JsonObject => flowValue({ srcNode: { nodeId: "n", name, addresses: ["100.64.1.1"] } });

test("the same content is the same edge, whatever its record", () => {
  const { edgesOf } = bookWith(settingsWith());
  const [one] = edgesOf(named("web-1"));
  expect(edgesOf({ ...named("web-1"), nodeId: "nOTHER", start: "" })).toEqual([one as number]);
  expect(edgesOf(named("web-2"))).not.toEqual([one as number]);
});

test("ports are not part of an edge, except for the service of the destination port", () => {
  const { edges, edgesOf } = bookWith(settingsWith());
  const [one = 0, two, ssh = 0] = edgesOf(
    flowValue({
      virtualTraffic: [
        connection({ dst: "100.64.1.2:50001" }),
        connection({ src: "100.64.1.1:1", dst: "100.64.1.2:50002" }),
        connection({ dst: "100.64.1.2:22" }),
      ],
    }),
  );
  expect(two).toBe(one);
  expect(edges.pair(ssh)).toBe(edges.pair(one));
  expect([edges.classOf(one).service, edges.classOf(ssh).service]).toEqual([undefined, "ssh"]);
});

test("a pair's key distinguishes an absent end from any name", () => {
  const { edges, edgesOf } = bookWith(settingsWith());
  const values = [named("-"), named("="), named(""), flowValue({ virtualTraffic: [connection({ src: "" })] })];
  expect(new Set(edgesOf(...values).map((edge) => edges.pair(edge).key)).size).toBe(4);
});

test("a class's key distinguishes transport, traffic, path and region", () => {
  const { edges, edgesOf } = bookWith(settingsWith());
  const value = {
    nodeId: "n",
    virtualTraffic: [{ proto: 6 }, { proto: 17 }],
    subnetTraffic: [{ proto: 6 }],
    exitTraffic: [{ proto: 6 }],
    physicalTraffic: [
      { proto: 6, dst: "192.0.2.1:1" },
      { proto: 6 },
      { proto: 6, dst: "127.3.3.40:1" },
      { proto: 6, dst: "127.3.3.40:2" },
      { proto: 6, dst: "127.3.3.40:0" },
    ],
  };
  const classes = edgesOf(value).map((edge) => edges.classOf(edge));
  expect(new Set(classes).size).toBe(9);
  expect(classes.slice(4).map(({ path, derpRegion }) => `${path} ${derpRegion}`)).toEqual([
    "direct undefined",
    "undefined undefined",
    "derp 1",
    "derp 2",
    "derp undefined",
  ]);
});

test("an edge's peer is a name of its own, the address, or nobody", () => {
  const { edges, edgesOf } = bookWith(settingsWith());
  const dstNodes = [{ name: "db-1", addresses: ["100.64.1.2"] }];
  const [db = 0, external = 0, none = 0, relay = 0] = edgesOf(
    flowValue({
      dstNodes,
      virtualTraffic: [connection(), connection({ dst: "192.0.2.1:443" }), connection({ src: "" })],
      physicalTraffic: [connection({ dst: "127.3.3.40:1" })],
    }),
  );
  const { peerOf } = edges;
  expect([peerByAddress, noPeer]).not.toContain(peerOf[db] as number);
  expect([peerOf[external], peerOf[none], peerOf[relay]]).toEqual([peerByAddress, noPeer, noPeer]);
});

test("peers are distinguished by their own names, even if privacy hides them", () => {
  const { edges, edgesOf } = bookWith(settingsWith({ privacy: privacyWith({ hostnames: "drop" }) }));
  const dstNodes = ["100.64.1.2", "100.64.1.3"].map((address, place) => ({
    name: `db-${place}`,
    addresses: [address],
  }));
  const [one = 0, two = 0] = edgesOf(
    flowValue({ dstNodes, virtualTraffic: [connection(), connection({ dst: "100.64.1.3:443" })] }),
  );
  expect(edges.peerOf[one]).not.toBe(edges.peerOf[two]);
  expect(edges.sourceOf[one]).toBe(edges.sourceOf[two] as number);
  expect(edges.pair(one)).toMatchObject({ destination: undefined });
});

describe("a full table", () => {
  test("of pairs counts further ones as other nodes, and loses no sum", async () => {
    const { edges, measured } = bookWith(settingsWith());
    const columns = measured(...Array.from({ length: 9000 }, (_, place) => named(`flood-${place}`)), named("flood-0"));
    const numbers = edgeNumbers(columns);
    expect(numbers[9000]).toBe(numbers[0] as number);
    expect(new Set(numbers.map((edge) => edges.pair(edge).key)).size).toBe(8001);
    expect(edges.pair(numbers[8999] as number)).toMatchObject({ source: "__other__", destination: "__other__" });
    expect(edges.classOf(numbers[8999] as number).service).toBe("https");
    expect(edges.takeOverflowed()).toBe(1000);
    expect(edges.takeOverflowed()).toBe(0);
    const points = await pointsOf(columns, edges, noIncrements());
    const sent = points.filter(
      ({ metric, attributes }) =>
        metric === "tailscale.network.io" && attributes["network.io.direction"] === "transmit",
    );
    expect(sent.reduce((sum, { value }) => sum + value, 0)).toBe(9001 * 300);
  });

  test("of ports counts further ones without ports, for the same nodes", () => {
    const dimensions = { nodes: true, identity: false, sourcePort: true, destinationPort: false };
    const { edges, edgesOf } = bookWith(settingsWith({ dimensions }));
    const entries = (from: number) =>
      Array.from({ length: 5000 }, (_, place) => connection({ src: `100.64.1.1:${from + place}` }));
    const numbers = edgesOf(flowValue({ virtualTraffic: entries(10_000) }));
    const last = edges.classOf(numbers[4999] as number);
    expect(edges.classOf(numbers[0] as number).ports).toEqual({ source: "10000", destination: undefined });
    expect(last).toMatchObject({ ports: undefined, service: "https" });
    expect(edges.pair(numbers[4999] as number)).toBe(edges.pair(numbers[0] as number));
    // About one key in a thousand may find no room because of its hash.
    const overflowed = edges.takeOverflowed();
    expect(overflowed).toBeGreaterThanOrEqual(5000 - 4096);
    expect(overflowed).toBeLessThan(5000 - 4096 + 50);
  });

  test("of regions counts further ones as relayed, without the region", () => {
    const { edges, edgesOf } = bookWith(settingsWith());
    const physicalTraffic = Array.from({ length: 8000 }, (_, place) => connection({ dst: `127.3.3.40:${place + 1}` }));
    const classes = edgesOf(flowValue({ virtualTraffic: [], physicalTraffic })).map((edge) => edges.classOf(edge));
    const withRegion = classes.filter(({ derpRegion }) => derpRegion !== undefined);
    expect(withRegion.length).toBeLessThan(7000);
    expect(new Set(classes.map(({ path }: FlowClass) => path))).toEqual(new Set(["derp"]));
  });

  test("of edges still has room for each class of other nodes", () => {
    const { edges, edgesOf } = bookWith(settingsWith());
    const protocols = Array.from({ length: 250 }, (_, proto) => ({ proto }));
    const numbers: number[] = [];
    for (let node = 0; node < 300; node++) {
      const members = { srcNode: { name: `n${node}`, addresses: ["100.64.1.1"] } };
      numbers.push(
        ...edgesOf(flowValue({ ...members, virtualTraffic: protocols.map(({ proto }) => connection({ proto })) })),
      );
    }
    expect(Math.max(...numbers)).toBeLessThan(maxEdges);
    expect(edges.takeOverflowed()).toBe(300 * 250 - (maxEdges - 8192));
    const last = numbers.at(-1) as number;
    expect(edges.pair(last).source).toBe("__other__");
    expect(edges.classOf(last).transport).toBe("249");
  });
});

describe("between two intervals", () => {
  test("a book that is more than half full renumbers its edges", () => {
    const { edges, edgesOf } = bookWith(settingsWith());
    const { generation } = edges;
    const [before = 0] = edgesOf(...Array.from({ length: 5000 }, (_, place) => named(`flood-${place}`)));
    const pair = edges.pair(before);
    edges.renew();
    expect(edges.generation).not.toBe(generation);
    const [after = 0] = edgesOf(named("flood-4999"));
    expect(edges.pair(after)).toMatchObject({ source: "flood-4999", destination: "unknown" });
    expect(pair.source).toBe("flood-0");
  });

  test("a recently used class keeps its meaning in a renumbered book", () => {
    const { edges, edgesOf } = bookWith(settingsWith());
    const ssh = (name: string): JsonObject => ({
      ...named(name),
      virtualTraffic: [connection({ dst: "100.64.1.2:22" })],
    });
    edgesOf(...Array.from({ length: 5000 }, (_, place) => named(`flood-${place}`)), ssh("web-1"));
    edges.renew();
    const services = edgesOf(ssh("web-1"), ssh("web-2")).map((edge) => edges.classOf(edge).service);
    expect(services).toEqual(["ssh", "ssh"]);
  });

  test("a book with room keeps its numbers", () => {
    const { edges, edgesOf } = bookWith(settingsWith());
    const { generation } = edges;
    const before = edgesOf(...Array.from({ length: 100 }, (_, place) => named(`node-${place}`)));
    edges.renew();
    expect(edges.generation).toBe(generation);
    expect(edgesOf(named("node-0"))).toEqual(before.slice(0, 1));
  });
});
