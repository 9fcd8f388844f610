/** Tests a flood of distinct pairs: memory stays bounded, totals stay exact, and overflow is counted. */
import { expect, test } from "bun:test";
import { FlowColumns, addressIpv4 } from "../../src/records/flow/columns.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { measureFlow } from "../../src/processors/flow-metrics.ts";
import { configOf, ledgerOver, SnapshotJournal } from "../ledger/support.ts";
import { settingsWith } from "../processors/given.ts";

const pairs = 1_000_000;
const entriesOfRecord = 100;
const recordsOfFold = 200;
/**
 * The size of everything the ledger keeps between two folds. The rest of the process's memory is garbage, whose collection
 * depends on the runtime and the machine, so it is printed but not checked.
 */
const maxSnapshotMiB = 16;

/** Names are addresses, so that every pair is distinct. */
const settings = settingsWith({ collapseExternal: false });

test("1,000,000 distinct pairs in 50 intervals keep memory bounded and totals exact", async () => {
  const config = configOf(
    "cardinality.flow.metrics_mode=both",
    "cardinality.flow.rollup_top_n=500",
    "cardinality.metric_limit=10000",
  );
  const journal = new SnapshotJournal();
  const ledger = ledgerOver(journal, config);
  const context = { settings, ends: new EndBook(settings), edges: new EdgeBook(settings) };
  const columns = new FlowColumns();
  const before = process.memoryUsage.rss();
  let peak = before;
  let snapshotBytes = 0;
  for (let pair = 0, fold = 1; pair < pairs; fold++) {
    columns.clear();
    for (let record = 0; record < recordsOfFold; record++, pair += entriesOfRecord) addRecord(columns, pair);
    measureFlow(columns, 0, columns.records, context);
    ledger.addFlows(columns, undefined, context.edges);
    await ledger.fold(fold * 60_000);
    snapshotBytes = Math.max(
      snapshotBytes,
      [...journal.blobs.values()].reduce((sum, blob) => sum + blob.length, 0),
    );
    peak = Math.max(peak, process.memoryUsage.rss());
  }
  const snapshotMiB = Math.round(snapshotBytes / 2 ** 20);
  const peakMiB = Math.round((peak - before) / 2 ** 20);
  const overflowed = Object.fromEntries(
    [...ledger.tables].flatMap(([name, { overflowed: sets }]) => (sets > 0 ? [[name, sets]] : [])),
  );
  process.stdout.write(
    `flood: ${pairs} pairs, snapshot at most ${snapshotMiB} MiB, ${peakMiB} MiB with garbage, ` +
      `overflowed ${JSON.stringify(overflowed)}\n`,
  );
  for (const suffix of ["", ".rollup"] as const) {
    const sum = (metric: "io" | "packets", direction: string) =>
      ledger.sum(`tailscale.network.${metric}${suffix}`, { "network.io.direction": direction });
    expect(sum("io", "transmit")).toBe(sumOf(txBytesOf));
    expect(sum("io", "receive")).toBe(sumOf(rxBytesOf));
    expect(sum("packets", "transmit")).toBe(pairs * 3);
    expect(sum("packets", "receive")).toBe(pairs * 2);
    expect(overflowed[`tailscale.network.io${suffix}`]).toBeGreaterThan(1000);
  }
  expect(ledger.sum("tailscale.network.flows")).toBe(pairs);
  for (const [name, { size }] of ledger.tables) if (!name.includes("unique")) expect(size).toBeLessThanOrEqual(10_002);
  expect(snapshotMiB).toBeLessThan(maxSnapshotMiB);
}, 480_000);

function addRecord(columns: FlowColumns, first: number): void {
  columns.beginRecord();
  columns.nodeId[columns.records] = `n${first}CNTRL`;
  for (let pair = first; pair < first + entriesOfRecord; pair++) {
    columns.beginEntry(0);
    const entry = columns.entries;
    columns.protocol[entry] = 6;
    columns.ends[entry] = addressIpv4 | (addressIpv4 << 2);
    columns.source[entry] = 0x0a00_0000 + pair;
    columns.destination[entry] = 0x0b00_0000 + pair;
    columns.sourcePort[entry] = 40_000;
    columns.destinationPort[entry] = 443;
    columns.txPackets[entry] = 3;
    columns.txBytes[entry] = txBytesOf(pair);
    columns.rxPackets[entry] = 2;
    columns.rxBytes[entry] = rxBytesOf(pair);
    columns.entries++;
  }
  columns.endRecord();
}

const txBytesOf = (pair: number): number => 100 + (pair % 7);
const rxBytesOf = (pair: number): number => 50 + (pair % 11);

function sumOf(value: (pair: number) => number): number {
  let sum = 0;
  for (let pair = 0; pair < pairs; pair++) sum += value(pair);
  return sum;
}
