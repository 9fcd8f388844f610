/** The guard of log volume: decided once, at the append, over the accepted records of a batch. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { journalSource } from "../../src/export/delivery-source.ts";
import type { Journal } from "../../src/journal/index.ts";
import { Ledger } from "../../src/ledger/index.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createPipeline, incrementsOf } from "../../src/pipeline/index.ts";
import { recover } from "../../src/pipeline/recover.ts";
import { describeLine, type FlowLogMode, type ProcessorOptions } from "../../src/processors/index.ts";
import { createState, type TestState } from "../support/journal.ts";
import { auditValue, connection, enveloped, flowValue, unwrapped } from "../support/records.ts";

let state: TestState;
let journal: Journal;
let ledger: Ledger;

const ledgerOptions = { metricsMode: "all", rollupTopN: 1, metricLimit: 1000, idleFolds: 10 } as const;

beforeEach(() => {
  state = createState();
  open();
});
afterEach(() => state.remove());

function open(): void {
  journal = state.open();
  ledger = new Ledger(ledgerOptions, state.now);
  recover(journal, ledger, { collapseExternal: true }, silentLogger);
  journal.onCommitted((committed) => {
    for (const increments of incrementsOf(committed)) ledger.add(increments);
  });
}

function options(flowLogMode: FlowLogMode): ProcessorOptions {
  return { collapseExternal: true, flowLogMode, tailnet: "", uidKey: undefined };
}

async function send(
  maxEvents: number,
  values: readonly unknown[],
  flowLogMode: FlowLogMode = "per_connection",
): Promise<void> {
  const pipeline = createPipeline(journal, options(flowLogMode), {
    comparesFacts: false,
    logLimit: { maxEvents, flowLogMode },
  });
  const draft = pipeline.open({ source: "stream", receivedAt: state.now });
  for (const value of values) draft.add(unwrapped(value).records);
  await draft.commit(1);
}

/** The number of log events of each record, as delivery sees them. */
function delivered(flowLogMode: FlowLogMode = "per_connection"): number[] {
  const reader = journal.openReader();
  const source = journalSource(reader, (line, type, at) => describeLine(line, type, options(flowLogMode), at));
  const counts = source.next({ seq: 1, record: 0, event: 0 }).records.map(({ events }) => events.length);
  reader.close();
  return counts;
}

const record = (nodeId: string, connections: number) =>
  enveloped(
    flowValue({
      nodeId,
      virtualTraffic: Array.from({ length: connections }, (_, place) => connection({ src: `100.64.1.1:${place + 1}` })),
    }),
  );

const dropped = () => ledger.sum("tailscale.network.flow.logs_dropped");

test("what goes over it is left out of the logs, counted, and kept in the metrics", async () => {
  await send(5, [record("n1", 3), record("n2", 4), record("n3", 2)]);
  expect(delivered()).toEqual([3, 2, 0]);
  expect(dropped()).toBe(4);
  ledger.fold(state.now, journal.lastSeq, (snapshot) => journal.writeSnapshot(snapshot));
  expect(ledger.sum("tailscale.network.flows")).toBe(9);
});

test("each batch has its own", async () => {
  await send(2, [record("n1", 3)]);
  await send(2, [record("n2", 3)]);
  expect(delivered()).toEqual([2, 2]);
  expect(dropped()).toBe(2);
});

test("a record that is known already uses none of it", async () => {
  await send(100, [record("n1", 3)]);
  await send(3, [record("n1", 3), record("n2", 3)]);
  expect(delivered()).toEqual([3, 3]);
  expect(dropped()).toBe(0);
});

test("audit records are not limited", async () => {
  await send(1, [record("n1", 2), enveloped(auditValue())]);
  expect(delivered().toSorted()).toEqual([1, 1]);
});

test("it counts log events, of which a record has one with per_record and none with off", async () => {
  await send(1, [record("n1", 3), record("n2", 3)], "per_record");
  expect(delivered("per_record")).toEqual([1, 0]);
  expect(dropped()).toBe(1);
  await send(1, [record("n3", 3)], "off");
  expect(dropped()).toBe(1);
});

test("the decision stays the same after a restart, and so does its count", async () => {
  await send(4, [record("n1", 3), record("n2", 3)]);
  journal.close();
  open();
  expect(delivered()).toEqual([3, 1]);
  expect(dropped()).toBe(2);
});
