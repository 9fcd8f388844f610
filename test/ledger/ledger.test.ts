/** What readers see of the ledger: committed folds, with start times, names decided, and nothing else. */
import { describe, expect, test } from "bun:test";
import { count, noIncrements } from "../../src/catalogue/increments.ts";
import type { LedgerMetric } from "../../src/catalogue/metrics.ts";
import type { LedgerSnapshot } from "../../src/journal/types.ts";
import { Ledger, type LedgerOptions, type LedgerView } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { flowIncrements, type FlowGain } from "../support/flows.ts";

const options: LedgerOptions = { metricsMode: "both", rollupTopN: 10, metricLimit: 100, idleFolds: 2 };
const noWrite = (): void => {};

function seriesOf(
  { metrics }: LedgerView,
  name: LedgerMetric,
): { attributes: object; value: number; startAt: number }[] {
  return (metrics.find((metric) => metric.name === name)?.series ?? []).map((series) => ({ ...series }));
}

function audits(value: number): ReturnType<typeof noIncrements> {
  const increments = noIncrements();
  count(
    increments,
    "tailscale.config.audit.events",
    { "tailscale.audit.action": "CREATE", "tailscale.audit.origin": "NODE" },
    value,
  );
  return increments;
}

const gain = (txBytes: number, members: Partial<FlowGain> = {}): FlowGain => ({
  source: "a",
  destination: "b",
  sums: { txBytes },
  ...members,
});

describe("a fold", () => {
  test("shows nothing of what was added before it, and all of it after", () => {
    const ledger = new Ledger(options, 1000);
    ledger.add(audits(2));
    expect(ledger.view).toEqual({ at: 1000, metrics: [] });
    ledger.fold(2000, 5, noWrite);
    ledger.add(audits(3));
    expect(seriesOf(ledger.view, "tailscale.config.audit.events")).toEqual([
      { attributes: { "tailscale.audit.action": "CREATE", "tailscale.audit.origin": "NODE" }, value: 2, startAt: 1000 },
    ]);
    expect(ledger.sum("tailscale.config.audit.events")).toBe(5);
    expect(ledger.sum("tailscale.config.audit.events", { "tailscale.audit.origin": "CONTROL" })).toBe(0);
    expect(seriesOf(ledger.fold(3000, 6, noWrite), "tailscale.config.audit.events")).toMatchObject([
      { value: 5, startAt: 1000 },
    ]);
  });

  test("is shown only when its snapshot is written, and loses nothing when that fails", () => {
    const ledger = new Ledger(options, 1000);
    ledger.add(audits(2));
    const before = ledger.fold(2000, 1, noWrite);
    ledger.add(audits(3));
    const fail = (): void => {
      expect(ledger.view).toBe(before);
      throw new Error("disk full");
    };
    expect(() => ledger.fold(3000, 2, fail)).toThrow("disk full");
    expect(ledger.view).toBe(before);
    ledger.add(audits(4));
    expect(seriesOf(ledger.fold(4000, 3, noWrite), "tailscale.config.audit.events")).toMatchObject([
      { value: 9, startAt: 1000 },
    ]);
  });

  test("writes only the metrics that changed, also those of a fold that failed", () => {
    const ledger = new Ledger(options, 1000);
    const written: string[][] = [];
    const write = ({ blobs }: LedgerSnapshot): void => void written.push([...blobs.keys()].toSorted());
    ledger.add(audits(1));
    expect(() =>
      ledger.fold(2000, 1, () => {
        throw new Error("no");
      }),
    ).toThrow("no");
    ledger.fold(3000, 1, write);
    ledger.fold(4000, 1, write);
    ledger.add(flowIncrements([gain(1)]));
    ledger.fold(5000, 1, write);
    expect(written).toEqual([
      ["fold", "tailscale.config.audit.events"],
      ["fold"],
      ["fold", "tailscale.network.flows", "tailscale.network.io", "tailscale.network.io.rollup"],
    ]);
  });

  test("has a time that rises when the clock stands still or goes back", () => {
    const ledger = new Ledger(options, 1000);
    expect([2000, 2000, 500, 2003].map((now) => ledger.fold(now, 0, noWrite).at)).toEqual([2000, 2001, 2002, 2003]);
  });
});

describe("a series", () => {
  test("begins at the fold before its first value", () => {
    const ledger = new Ledger(options, 1000);
    ledger.fold(2000, 0, noWrite);
    ledger.add(flowIncrements([gain(7)]));
    expect(seriesOf(ledger.fold(3000, 0, noWrite), "tailscale.network.io")).toMatchObject([
      { value: 7, startAt: 2000 },
    ]);
  });

  test("retires when it has been idle, and begins anew when it comes back", () => {
    const ledger = new Ledger(options, 0);
    ledger.add(flowIncrements([gain(7)]));
    const values = [1, 2, 3, 4].map((fold) => {
      if (fold === 4) ledger.add(flowIncrements([gain(5)]));
      return seriesOf(ledger.fold(fold * 1000, 0, noWrite), "tailscale.network.io").map(({ value, startAt }) => [
        value,
        startAt,
      ]);
    });
    expect(values).toEqual([[[7, 0]], [[7, 0]], [], [[5, 3000]]]);
  });

  test("stays for ever where its attribute sets are closed and few", () => {
    const ledger = new Ledger(options, 0);
    ledger.add(audits(1));
    for (let fold = 1; fold < 20; fold++) ledger.fold(fold * 1000, 0, noWrite);
    expect(seriesOf(ledger.view, "tailscale.config.audit.events")).toHaveLength(1);
  });

  test("begins anew instead of passing 2^53-1", () => {
    const ledger = new Ledger(options, 0);
    const most = Number.MAX_SAFE_INTEGER;
    const values = [most - 1, 1, 1, most].map((bytes, fold) => {
      ledger.add(flowIncrements([gain(bytes)]));
      return seriesOf(ledger.fold((fold + 1) * 1000, 0, noWrite), "tailscale.network.io").map(({ value, startAt }) => [
        value,
        startAt,
      ]);
    });
    expect(values).toEqual([[[most - 1, 0]], [[most, 0]], [[1, 2000]], [[most, 3000]]]);
  });

  test("beyond the limit folds into one that says so, by direction, and is counted", () => {
    const ledger = new Ledger({ ...options, metricLimit: 2, metricsMode: "all" }, 0);
    ledger.add(
      flowIncrements(["a", "b", "c", "d"].map((source) => gain(10, { source, sums: { txBytes: 10, rxBytes: 1 } }))),
    );
    expect(
      seriesOf(ledger.fold(1000, 0, noWrite), "tailscale.network.io").map(({ attributes, value }): object => ({
        ...attributes,
        value,
      })),
    ).toEqual([
      { ...flowAttributes("transmit", "a"), value: 10 },
      { ...flowAttributes("receive", "a"), value: 1 },
      { "network.io.direction": "transmit", "otel.metric.overflow": true, value: 30 },
      { "network.io.direction": "receive", "otel.metric.overflow": true, value: 3 },
    ]);
    expect(ledger.takeOverflowed().get("tailscale.network.io")).toBe(6);
    expect(ledger.takeOverflowed().size).toBe(0);
  });
});

describe("flows", () => {
  test("become bytes and packets by direction, without what is absent or zero", () => {
    const ledger = new Ledger({ ...options, metricsMode: "all" }, 0);
    ledger.add(
      flowIncrements([
        { source: "a", derpRegion: "4", transport: "unknown", sums: { entries: 2, txBytes: 5, rxPackets: 3 } },
      ]),
    );
    const view = ledger.fold(1000, 0, noWrite);
    const shared = { "network.transport": "unknown", "tailscale.traffic_type": "physical" };
    const ends = { "tailscale.src.node": "a", "tailscale.path": "derp", "tailscale.derp.region_id": "4" };
    expect(
      view.metrics.map(
        ({ name, series }) =>
          [name, series.map(({ attributes, value }): object => ({ ...attributes, value }))] as const,
      ),
    ).toEqual([
      ["tailscale.network.io", [{ "network.io.direction": "transmit", ...shared, ...ends, value: 5 }]],
      ["tailscale.network.packets", [{ "network.io.direction": "receive", ...shared, ...ends, value: 3 }]],
      ["tailscale.network.flows", [{ ...shared, value: 2 }]],
    ]);
  });

  test.each([
    ["all", ["tailscale.network.io"]],
    ["rollup", ["tailscale.network.io.rollup"]],
    ["both", ["tailscale.network.io", "tailscale.network.io.rollup"]],
  ] as const)("in mode %s", (metricsMode, names) => {
    const ledger = new Ledger({ ...options, metricsMode }, 0);
    ledger.add(flowIncrements([gain(1)]));
    expect(ledger.fold(1000, 0, noWrite).metrics.map(({ name }) => name as string)).toEqual(
      [...names, "tailscale.network.flows"].toSorted(byCatalogue),
    );
  });
});

describe("restored", () => {
  test("it goes on where its snapshot was, with time and idleness", () => {
    const ledger = new Ledger(options, 0);
    let snapshot: LedgerSnapshot = { measuredSeq: 0, blobs: new Map() };
    ledger.add(flowIncrements([gain(7)]));
    ledger.fold(5000, 9, (written) => (snapshot = written));
    const again = new Ledger(options, 1);
    again.restore(snapshot, silentLogger);
    expect(again.view).toEqual(ledger.view);
    expect(snapshot.measuredSeq).toBe(9);
    expect(again.fold(10, 0, noWrite)).toEqual(ledger.fold(10, 0, noWrite));
    expect(again.view.at).toBe(5001);
    expect(seriesOf(again.fold(6000, 0, noWrite), "tailscale.network.io")).toEqual([]);
  });

  test("a metric whose text is none starts anew, the others do not, and it is said", () => {
    const ledger = new Ledger(options, 0);
    let blobs = new Map<string, string>();
    ledger.add(audits(1));
    ledger.add(flowIncrements([gain(7)]));
    ledger.fold(5000, 9, (written) => (blobs = new Map(written.blobs)));
    blobs.set("tailscale.network.io", '{"version":2}');
    const warnings: unknown[] = [];
    const again = new Ledger(options, 0);
    again.restore(
      { measuredSeq: 9, blobs },
      { ...silentLogger, warn: (_, fields) => warnings.push(fields?.["metric"]) },
    );
    expect(warnings).toEqual(["tailscale.network.io"]);
    expect(again.sum("tailscale.config.audit.events")).toBe(1);
    expect(again.sum("tailscale.network.io")).toBe(0);
    expect(again.sum("tailscale.network.io.rollup")).toBe(7);
  });
});

const order = [
  "tailscale.network.io",
  "tailscale.network.packets",
  "tailscale.network.io.rollup",
  "tailscale.network.packets.rollup",
  "tailscale.network.flows",
];
const byCatalogue = (a: string, b: string): number => order.indexOf(a) - order.indexOf(b);

function flowAttributes(direction: string, source: string): object {
  return {
    "network.io.direction": direction,
    "network.transport": "tcp",
    "tailscale.traffic_type": "virtual",
    "tailscale.src.node": source,
    "tailscale.dst.node": "b",
  };
}
