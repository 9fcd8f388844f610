/** Tests the distinct peers and ports of an interval: exact up to a limit, without sources that were not seen. */
import { describe, expect, test } from "bun:test";
import type { Fold } from "../../src/ledger/index.ts";
import { memberKinds, Reached } from "../../src/ledger/interval.ts";
import { configOf, type Entry, Flows, ledgerOver, shown, SnapshotJournal } from "./support.ts";

function ledgerOf(...settings: string[]) {
  const journal = new SnapshotJournal();
  const config = configOf("cardinality.flow.rollup_top_n=1", ...settings);
  const ledger = ledgerOver(journal, config);
  const flows = new Flows(config, journal);
  let now = 1000;
  return {
    ledger,
    async fold(...batches: (readonly Entry[])[]) {
      for (const entries of batches) flows.add(ledger, ...entries);
      return gauges(await ledger.fold((now += 1000)));
    },
  };
}

function gauges(fold: Fold): Record<string, number> {
  return Object.fromEntries(
    ["peers", "ports"].flatMap((kind) =>
      shown(fold, `tailscale.network.unique.dst_${kind}`).map(({ attributes, value }) => [
        `${kind} ${(attributes as Record<string, string>)["tailscale.src.node"] ?? "-"}`,
        value,
      ]),
    ),
  );
}

const to = (from: string, ...ends: string[]): Entry[] => ends.map((end) => ({ from, to: end }));

describe("a source node", () => {
  test("counts the same member once, in any batch of the interval", async () => {
    const { fold } = ledgerOf();
    expect(await fold(to("a", "x:22", "y:22"), to("a", "y:22", "z:443"), to("b", "x:0"))).toEqual({
      "peers a": 3,
      "peers b": 1,
      "ports a": 2,
    });
  });

  test("counts each address that shares a name with others, in both families", async () => {
    const { fold } = ledgerOf();
    const addresses = [
      "192.0.2.1:1",
      "192.0.2.2:1",
      "192.0.2.1:1",
      "[2001:db8::1]:1",
      "[2001:db8::2]:1",
      "[2001:db8::1]:1",
    ];
    expect(await fold(to("a", ...addresses))).toEqual({ "peers a": 4, "ports a": 1 });
  });

  test("starts over with each interval, and is absent if it is not seen", async () => {
    const { fold } = ledgerOf();
    await fold(to("a", "x", "y"), to("b", "x"));
    expect(await fold(to("a", "z:0"))).toEqual({ "peers a": 1 });
    expect(await fold()).toEqual({});
  });

  test("reaches no relay", async () => {
    const { fold } = ledgerOf();
    expect(await fold([{ from: "a", to: "127.3.3.40:4", traffic: "physical" }])).toEqual({});
  });

  test("is not reported if nodes are not told apart", async () => {
    const { fold } = ledgerOf("cardinality.flow.node_dims=false");
    expect(await fold(to("a", "x:1"), to("b", "y:1"))).toEqual({});
  });

  test("beyond the series limit is not reported, but counted", async () => {
    const { fold, ledger } = ledgerOf("cardinality.metric_limit=3");
    const sources = [..."abcdefghij"].map((source) => to(source, "x:0"));
    expect(await fold(...sources)).toEqual({ "peers a": 1, "peers b": 1, "peers c": 1 });
    expect(ledger.tables.get("tailscale.network.unique.dst_peers")?.overflowed).toBe(7);
    expect(await fold(to("j", "x:0"))).toEqual({ "peers j": 1 });
  });
});

describe("memory", () => {
  test("is limited in members: those beyond the limit are counted", () => {
    const reached = new Reached();
    for (let source = 0; source < 300; source++) {
      reached.addSource(source, `node-${source}`);
      for (let member = 0; member < 1000; member++) reached.reach(source, memberKinds.ipv4, member, 0);
    }
    const total = [...reached.all()].reduce((sum, { peers }) => sum + peers, 0);
    expect(total + reached.missed).toBe(300_000);
    expect(total).toBeLessThanOrEqual(262_144);
    expect(total).toBeGreaterThan(262_000);
  });

  test("is limited in sources: 8,000 are distinguished", () => {
    const reached = new Reached();
    for (let round = 0; round < 2; round++) {
      for (let source = 0; source < 8_002; source++) {
        reached.addSource(source, `node-${source}`);
        reached.reach(source, memberKinds.port, 443);
      }
    }
    const sources = [...reached.all()];
    expect([sources.length, sources.at(-1)]).toEqual([8_000, { name: "node-7999", peers: 0, ports: 1 }]);
    expect(reached.missed).toBe(2);
  });

  test("distinguishes members that differ in one word or in their kind", () => {
    const reached = new Reached();
    reached.addSource(7, "a");
    for (let round = 0; round < 2; round++) {
      reached.reach(7, memberKinds.ipv4, 1, 0);
      reached.reach(7, memberKinds.name, 1, 0);
      reached.reach(7, memberKinds.port, 1, 0);
      reached.reachText(7, "fe80::1%eth0");
      reached.reachText(7, "fe80::1%eth1");
      reached.reachIpv6(7, Uint32Array.of(1, 2, 3, 4, 1, 2, 3, 5), 0);
      reached.reachIpv6(7, Uint32Array.of(1, 2, 3, 4, 1, 2, 3, 5), 4);
    }
    expect([...reached.all()]).toEqual([{ name: "a", peers: 6, ports: 1 }]);
  });
});
