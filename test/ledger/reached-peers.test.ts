/** Distinct peers and ports of an interval: exact within a bound, and nobody who was not seen. */
import { expect, test } from "bun:test";
import { type Increments, noIncrements, reachedFrom } from "../../src/catalogue/increments.ts";
import { Ledger, type LedgerView } from "../../src/ledger/index.ts";
import { ReachedPeers } from "../../src/ledger/reached-peers.ts";

function reaching(source: string | undefined, peers: readonly string[], ports: readonly number[] = []): Increments {
  const increments = noIncrements();
  const reached = reachedFrom(increments, source);
  for (const peer of peers) reached.peers.add(peer);
  for (const port of ports) reached.ports.add(port);
  return increments;
}

function ledgerOf(metricLimit = 100): { fold: (...increments: Increments[]) => object; ledger: Ledger } {
  const ledger = new Ledger({ metricsMode: "all", rollupTopN: 1, metricLimit, idleFolds: 10 }, 0);
  let now = 0;
  return {
    ledger,
    fold(...increments) {
      for (const one of increments) ledger.add(one);
      return gauges(ledger.fold((now += 1000), 0, () => {}));
    },
  };
}

function gauges({ metrics }: LedgerView): Record<string, number> {
  return Object.fromEntries(
    metrics
      .filter(({ name }) => name.startsWith("tailscale.network.unique."))
      .flatMap(({ name, series }) =>
        series.map(({ attributes, value }) => [`${name.slice(-5)} ${attributes["tailscale.src.node"] ?? "-"}`, value]),
      ),
  );
}

test("the same member counts once, in whichever batch of the interval it comes", () => {
  const { fold } = ledgerOf();
  expect(fold(reaching("a", ["x", "y"], [22]), reaching("a", ["y", "z"], [22, 443]), reaching("b", ["x"]))).toEqual({
    "peers a": 3,
    "ports a": 2,
    "peers b": 1,
  });
});

test("an interval begins anew, and who is not seen in it is not there", () => {
  const { fold } = ledgerOf();
  fold(reaching("a", ["x", "y"]), reaching("b", ["x"]));
  expect(fold(reaching("a", ["z"]))).toEqual({ "peers a": 1 });
  expect(fold()).toEqual({});
});

test("nodes that are not told apart are one", () => {
  expect(ledgerOf().fold(reaching(undefined, ["x", "y"]))).toEqual({ "peers -": 2 });
});

test("there are as many series as the limit says", () => {
  const { fold } = ledgerOf(3);
  const shown = fold(...Array.from({ length: 10 }, (_, n) => reaching(`node-${n}`, ["x"])));
  expect(Object.keys(shown)).toHaveLength(3);
});

test("memory is bounded, and what finds no room is counted", () => {
  const reached = new ReachedPeers();
  const ports = new Set<number>();
  for (let n = 0; n < 300; n++) {
    reached.add(`node-${n}`, { peers: new Set(Array.from({ length: 1000 }, (_, m) => `peer-${m}`)), ports });
  }
  const total = reached.series("peers", 1000, 0).reduce((sum, { value }) => sum + value, 0);
  expect(total).toBe(262_144);
  expect(reached.missed).toBeGreaterThan(0);
  const { ledger, fold } = ledgerOf();
  fold(...Array.from({ length: 8_001 }, (_, n) => reaching(`node-${n}`, ["x"])));
  expect(ledger.takeOverflowed().get("tailscale.network.unique.dst_peers")).toBe(1);
});
