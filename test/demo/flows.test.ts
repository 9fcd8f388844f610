/** The simulated flow records: deterministic for a seed, true to the wire format, and consistent between both ends. */
import { describe, expect, test } from "bun:test";
import { buildTailnet } from "../../src/demo/tailnet.ts";
import { createTraffic, windowMs, windowSettledMs } from "../../src/demo/flows.ts";
import { bodyOf } from "../../src/demo/wire.ts";
import type { WireConnection, WireFlow } from "../../src/demo/wire.ts";
import { columnsOf } from "../support/columns.ts";

const firstWindow = 358_720_000;
const windows = Array.from({ length: 20 }, (_, offset) => firstWindow + offset);

const traffic = createTraffic(buildTailnet(7));
const envelopes = windows.flatMap((window) => traffic(window));
const flows = envelopes.map(({ event }) => event);

const arrays = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"] as const;

describe("determinism", () => {
  test("the same seed gives the same bodies, whatever was requested before", () => {
    const backwards = createTraffic(buildTailnet(7));
    const again = new Map(windows.toReversed().map((window) => [window, bodyOf(backwards(window))]));
    for (const window of windows) expect(again.get(window)).toBe(bodyOf(traffic(window)));
  });

  test("another seed or another window gives other traffic", () => {
    expect(bodyOf(createTraffic(buildTailnet(8))(firstWindow))).not.toBe(bodyOf(traffic(firstWindow)));
    expect(bodyOf(traffic(firstWindow + 1))).not.toBe(bodyOf(traffic(firstWindow)));
  });
});

describe("the wire format", () => {
  test("dozens of nodes report, and no node reports a window twice", () => {
    const keys = flows.map(({ nodeId, start }) => `${nodeId} ${start}`);
    expect(new Set(keys).size).toBe(keys.length);
    expect(new Set(flows.map(({ nodeId }) => nodeId)).size).toBeGreaterThan(24);
  });

  test("every record is decoded with all of its entries", () => {
    const columns = columnsOf(...envelopes);
    expect([columns.records, columns.leftOutTexts.size]).toEqual([envelopes.length, 0]);
  });

  test("zero and empty members are left out", () => {
    for (const flow of flows) {
      for (const array of arrays) expect(flow[array]?.length).not.toBe(0);
      for (const [, entry] of entriesOf(flow)) {
        for (const value of Object.values(entry)) expect(value === 0 || value === "").toBe(false);
      }
    }
  });

  test("all traffic types, transports, both families and both kinds of path occur", () => {
    const entries = flows.flatMap(entriesOf);
    const text = JSON.stringify(entries);
    expect(new Set(entries.map(([array]) => array))).toEqual(new Set(arrays));
    expect(new Set(entries.map(([, { proto }]) => proto))).toEqual(new Set([undefined, 1, 6, 17, 99]));
    expect(text).toContain('"dst":"127.3.3.40:');
    expect(text).toContain('"dst":"192.0.2.');
    expect(text).toContain('"src":"[fd7a:115c:a1e0::');
  });

  test("physical entries have no protocol and name the peer, not the reporter", () => {
    for (const flow of flows) {
      for (const entry of flow.physicalTraffic ?? []) {
        expect(entry.proto).toBeUndefined();
        expect(flow.srcNode.addresses).not.toContain((entry.src ?? "").replace(/:0$/, ""));
      }
    }
  });

  test("a record describes every peer that its virtual entries name", () => {
    for (const flow of flows) {
      const described = [flow.srcNode, ...(flow.dstNodes ?? [])].flatMap(({ addresses }) => addresses);
      for (const { src, dst } of flow.virtualTraffic ?? []) {
        expect(described).toContain(addressOf(src));
        expect(described).toContain(addressOf(dst));
      }
    }
  });

  test("windows are five seconds long, and nothing is later than the time at which they are settled", () => {
    for (const window of windows) {
      const settledAt = window * windowMs + windowSettledMs;
      for (const { time, event, fields } of traffic(window)) {
        expect(Date.parse(event.end) - Date.parse(event.start)).toBe(windowMs);
        expect(Date.parse(event.start)).toBeGreaterThanOrEqual(window * windowMs);
        expect(Math.max(time * 1000, Date.parse(fields.recorded), Date.parse(event.end))).toBeLessThan(settledAt);
        expect(Date.parse(fields.recorded)).toBeGreaterThan(Date.parse(event.end));
      }
    }
  });
});

describe("conservation", () => {
  test.each(["virtualTraffic", "subnetTraffic"] as const)("both ends report each entry of %s, mirrored", (array) => {
    for (const window of windows) {
      const reports = new Map<string, WireConnection>();
      const records = traffic(window).map(({ event }) => event);
      for (const flow of records) {
        for (const entry of flow[array] ?? []) reports.set(`${entry.proto} ${entry.src} ${entry.dst}`, entry);
      }
      expect(reports.size).toBe(records.reduce((sum, flow) => sum + (flow[array]?.length ?? 0), 0));
      for (const { proto, src, dst, txBytes, rxBytes, txPkts, rxPkts } of reports.values()) {
        const other = reports.get(`${proto} ${dst} ${src}`);
        expect([other?.rxBytes, other?.txBytes, other?.rxPkts, other?.txPkts]).toEqual([
          txBytes,
          rxBytes,
          txPkts,
          rxPkts,
        ]);
      }
    }
  });

  test.each(["virtualTraffic", "subnetTraffic", "physicalTraffic"] as const)("%s receives what it sends", (array) => {
    for (const window of windows) {
      const entries = traffic(window).flatMap(({ event }) => event[array] ?? []);
      expect(totalOf(entries, "txBytes")).toBe(totalOf(entries, "rxBytes"));
      expect(totalOf(entries, "txPkts")).toBe(totalOf(entries, "rxPkts"));
    }
  });

  test("the physical bytes exceed those inside the tunnel", () => {
    const entries = flows.flatMap(entriesOf);
    const inside = entries.filter(([array]) => array === "virtualTraffic" || array === "subnetTraffic");
    const physical = entries.filter(([array]) => array === "physicalTraffic");
    expect(
      totalOf(
        physical.map(([, entry]) => entry),
        "txBytes",
      ),
    ).toBeGreaterThan(
      totalOf(
        inside.map(([, entry]) => entry),
        "txBytes",
      ),
    );
  });
});

function entriesOf(flow: WireFlow): [array: (typeof arrays)[number], entry: WireConnection][] {
  return arrays.flatMap((array) =>
    (flow[array] ?? []).map((entry): [(typeof arrays)[number], WireConnection] => [array, entry]),
  );
}

function totalOf(entries: readonly WireConnection[], counter: "txBytes" | "rxBytes" | "txPkts" | "rxPkts"): number {
  return entries.reduce((total, entry) => total + (entry[counter] ?? 0), 0);
}

function addressOf(endpoint: string | undefined): string {
  return (endpoint ?? "").replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
