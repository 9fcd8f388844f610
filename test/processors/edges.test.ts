/** Attribute sets of flows are one object for one content, and their memory is bounded. */
import { expect, test } from "bun:test";
import { type FlowEdge, noIncrements } from "../../src/catalogue/increments.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { classOf, edgeOf } from "../../src/processors/edges.ts";
import { measure } from "../../src/processors/index.ts";
import { claimsOf } from "../../src/processors/names.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connection, flowOf, flowValue } from "../support/records.ts";

const names = { collapseExternal: true };

function edgesOf(value: JsonObject): FlowEdge[] {
  const record = flowOf(value);
  return record.connections.map((one) => edgeOf(one, claimsOf(record), names));
}

const named = (name: string): JsonObject => flowValue({ srcNode: { nodeId: "n", name, addresses: ["100.64.1.1"] } });

test("the same content is the same object, whatever record it comes from", () => {
  const [one] = edgesOf(named("web-1"));
  const [again] = edgesOf({ ...named("web-1"), nodeId: "nOTHER", start: "" });
  expect(again).toBe(one as FlowEdge);
  expect(edgesOf(named("web-2"))[0]).not.toBe(one as FlowEdge);
});

test("ports are no part of it, but for the service that the destination's stands for", () => {
  const [one, two, ssh] = edgesOf(
    flowValue({
      virtualTraffic: [
        connection({ dst: "100.64.1.2:50001" }),
        connection({ src: "100.64.1.1:1", dst: "100.64.1.2:50002" }),
        connection({ dst: "100.64.1.2:22" }),
      ],
    }),
  );
  expect(two).toBe(one as FlowEdge);
  expect(ssh?.pair).toBe(one?.pair as FlowEdge["pair"]);
  expect([one?.class.service, ssh?.class.service]).toEqual([undefined, "ssh"]);
});

test("a pair's key tells an absent end from any name", () => {
  const keys = [named("-"), named("="), named(""), flowValue({ virtualTraffic: [connection({ src: "" })] })].map(
    (value) => edgesOf(value)[0]?.pair.key,
  );
  expect(new Set(keys).size).toBe(4);
});

test("a class's key tells transport, traffic, path and region apart", () => {
  const { connections } = flowOf({
    nodeId: "n",
    virtualTraffic: [{ proto: 6 }, { proto: 17 }],
    subnetTraffic: [{ proto: 6 }],
    exitTraffic: [{ proto: 6 }],
    physicalTraffic: [
      { proto: 6 },
      { proto: 6, dst: "127.3.3.40:1" },
      { proto: 6, dst: "127.3.3.40:2" },
      { proto: 6, dst: "127.3.3.40:0" },
    ],
  });
  const classes = connections.map(classOf);
  expect(new Set(classes.map(({ key }) => key)).size).toBe(8);
  expect(connections.map(classOf)).toEqual(classes);
});

test("a flood of names changes no sum, though what is remembered starts anew", () => {
  const increments = noIncrements();
  const before = edgesOf(named("first"))[0];
  for (let n = 0; n < 70_000; n++) measure(flowOf(named(`flood-${n}`)), names, increments);
  measure(flowOf(named("first")), names, increments);
  expect(edgesOf(named("first"))[0]).not.toBe(before as FlowEdge);
  increments.flows.set(before as FlowEdge, { entries: 1, txBytes: 300, rxBytes: 200, txPackets: 3, rxPackets: 2 });
  const ledger = new Ledger({ metricsMode: "all", rollupTopN: 1, metricLimit: 100_000, idleFolds: 1 }, 0);
  ledger.add(increments);
  const { metrics } = ledger.fold(1, 0, () => {});
  expect(ledger.sum("tailscale.network.io", { "network.io.direction": "transmit" })).toBe(70_002 * 300);
  expect(ledger.sum("tailscale.network.flows")).toBe(70_002);
  const series = metrics.find(({ name }) => name === "tailscale.network.io")?.series ?? [];
  expect(series.length).toBe(2 * 8_001);
}, 20_000);
