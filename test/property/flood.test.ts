/** A flood of distinct pairs: memory stays bounded, totals stay exact, and what folds is counted. */
import { expect, test } from "bun:test";
import { noIncrements } from "../../src/catalogue/increments.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { measure } from "../../src/processors/index.ts";
import type { Connection, Endpoint, FlowRecord } from "../../src/records/types.ts";

const pairs = 1_000_000;
const connectionsOfRecord = 100;
const recordsOfFold = 200;
/**
 * All that the ledger keeps between two folds, as text. What the process holds besides is garbage, and when that goes is the
 * collector's business and the machine's: it is printed, not judged.
 */
const maxSnapshotMiB = 16;

/** Names are addresses, so that every pair is one of its own. */
const options = { collapseExternal: false };

test("1,000,000 distinct pairs in 50 intervals", () => {
  const ledger = new Ledger({ metricsMode: "both", rollupTopN: 500, metricLimit: 10_000, idleFolds: 1_000 }, 0);
  const before = process.memoryUsage.rss();
  let peak = before;
  let snapshotBytes = 0;
  for (let pair = 0, fold = 1; pair < pairs; fold++) {
    for (let record = 0; record < recordsOfFold; record++, pair += connectionsOfRecord) {
      const increments = noIncrements();
      measure(recordOf(pair), options, increments);
      ledger.add(increments);
    }
    ledger.fold(fold, 0, ({ blobs }) => {
      const bytes = [...blobs.values()].reduce((sum, text) => sum + text.length, 0);
      snapshotBytes = Math.max(snapshotBytes, bytes);
    });
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  const snapshotMiB = Math.round(snapshotBytes / 2 ** 20);
  const peakMiB = Math.round((peak - before) / 2 ** 20);
  const overflowed = Object.fromEntries(ledger.takeOverflowed());
  process.stdout.write(
    `flood: ${pairs} pairs, snapshot at most ${snapshotMiB} MiB, ${peakMiB} MiB with garbage, ` +
      `overflowed ${JSON.stringify(overflowed)}\n`,
  );
  for (const suffix of ["", ".rollup"] as const) {
    const sum = (metric: "io" | "packets", direction: string) =>
      ledger.sum(`tailscale.network.${metric}${suffix}`, { "network.io.direction": direction });
    expect(sum("io", "transmit")).toBe(sumOf(({ txBytes }) => txBytes));
    expect(sum("io", "receive")).toBe(sumOf(({ rxBytes }) => rxBytes));
    expect(sum("packets", "transmit")).toBe(pairs * 3);
    expect(sum("packets", "receive")).toBe(pairs * 2);
    expect(overflowed[`tailscale.network.io${suffix}`]).toBeGreaterThan(1000);
  }
  expect(ledger.sum("tailscale.network.flows")).toBe(pairs);
  for (const [, size] of ledger.activeSeries()) expect(size).toBeLessThanOrEqual(10_002);
  expect(snapshotMiB).toBeLessThan(maxSnapshotMiB);
}, 120_000);

function recordOf(first: number): FlowRecord {
  return {
    type: "flow",
    nodeId: `n${first}CNTRL`,
    start: [1_793_610_900, 0],
    end: [1_793_610_905, 0],
    recorded: undefined,
    sourceNode: undefined,
    destinationNodes: [],
    connections: Array.from({ length: connectionsOfRecord }, (_, place) => connectionOf(first + place)),
  };
}

function connectionOf(pair: number): Connection {
  return {
    traffic: "virtual",
    protocol: 6,
    source: endpointOf(pair, 10, 40_000),
    destination: endpointOf(pair, 11, 443),
    txPackets: 3,
    txBytes: 100 + (pair % 7),
    rxPackets: 2,
    rxBytes: 50 + (pair % 11),
  };
}

function endpointOf(pair: number, network: number, port: number): Endpoint {
  const text = `${network}.${(pair >> 16) & 255}.${(pair >> 8) & 255}.${pair & 255}`;
  return { address: { text, family: "ipv4", isOverlay: false }, port, text: `${text}:${port}` };
}

function sumOf(value: (connection: Connection) => number): number {
  let sum = 0;
  for (let pair = 0; pair < pairs; pair++) sum += value(connectionOf(pair));
  return sum;
}
