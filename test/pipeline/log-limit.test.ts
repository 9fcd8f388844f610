/** Tests the limit on log records: decided once, at the append, over the accepted records of a batch. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { flowLogRecords } from "../../src/processors/flow.ts";
import type { FlowLogMode } from "../../src/processors/settings.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { FlowColumns } from "../../src/records/flow/columns.ts";
import { decodeLeftOut, FlowRowDecoder } from "../../src/records/flow/rows.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { Restarts, rowsOf, send as sendTo } from "./restarts.ts";

let restarts: Restarts;
afterEach(() => restarts.remove());

function start(limit: number, mode: FlowLogMode = "per_connection"): void {
  restarts?.remove();
  restarts = new Restarts([
    `collectors.flowlogs.max_log_records_per_window=${limit}`,
    `collectors.flowlogs.log_mode=${mode}`,
  ]);
}
beforeEach(() => start(5));

const send = (...values: readonly unknown[]) => sendTo(restarts.store, values);

/** The number of log records of each flow record, according to the rows. */
async function kept(mode: FlowLogMode = "per_connection"): Promise<number[]> {
  return (await rowsOf(restarts.store))
    .filter(({ type }) => type === "flow")
    .flatMap(({ text, leftOut }) => {
      const columns = new FlowColumns();
      new FlowRowDecoder(new ClaimTable()).decode(text, leftOut, columns);
      const limits = leftOut === undefined ? undefined : decodeLeftOut(leftOut).kept;
      return Array.from({ length: columns.records }, (_, record) =>
        Math.min(flowLogRecords(columns, record, mode), limits?.[record] ?? Number.POSITIVE_INFINITY),
      );
    });
}

const record = (nodeId: string, connections: number) =>
  enveloped(
    flowValue({
      nodeId,
      virtualTraffic: Array.from({ length: connections }, (_, place) => connection({ src: `100.64.1.1:${place + 1}` })),
    }),
  );

const dropped = () => restarts.store.ledger.sum("tailscale.network.flow.logs_dropped");

test("log records beyond the limit are left out and counted, but kept in the metrics", async () => {
  await send(record("n1", 3), record("n2", 4), record("n3", 2));
  expect(await kept()).toEqual([3, 2, 0]);
  expect(dropped()).toBe(4);
  await restarts.store.ledger.fold(restarts.now + 1);
  expect(restarts.store.ledger.sum("tailscale.network.flows")).toBe(9);
});

test("each batch has its own limit", async () => {
  start(2);
  await send(record("n1", 3));
  await send(record("n2", 3));
  expect(await kept()).toEqual([2, 2]);
  expect(dropped()).toBe(2);
});

test("a record that turns out to be known uses none of the limit, and does not change any other's share", async () => {
  await send(record("n1", 4), record("n1", 4), record("n2", 3), record("n3", 1));
  expect(await kept()).toEqual([4, 1, 0]);
  await send(record("n1", 4), record("n4", 2), record("n2", 3), record("n5", 4));
  expect((await kept()).slice(3)).toEqual([2, 3]);
  expect(dropped()).toBe(4);
});

test("left-out entries have no log record, and use none of the limit", async () => {
  const bad = connection({ src: "nonsense" });
  await send(
    enveloped(flowValue({ virtualTraffic: [connection(), bad, connection({ proto: 17 }), bad] })),
    record("n2", 4),
  );
  expect(await kept()).toEqual([2, 3]);
  expect(dropped()).toBe(1);
});

test("audit records are not limited", async () => {
  start(1);
  await send(record("n1", 2), enveloped(auditValue()));
  expect(await kept()).toEqual([1]);
  expect(restarts.store.journal.pendingRecords).toBe(2);
});

test("the limit counts log records: a record has one with per_record and none with off", async () => {
  start(1, "per_record");
  await send(record("n1", 3), record("n2", 3));
  expect(await kept("per_record")).toEqual([1, 0]);
  expect(dropped()).toBe(1);
  start(1, "off");
  await send(record("n3", 3));
  expect(dropped()).toBe(0);
});

test("the decision and its count stay the same after a restart", async () => {
  start(4);
  await send(record("n1", 3), record("n2", 3));
  await restarts.restart();
  expect(await kept()).toEqual([3, 1]);
  expect(dropped()).toBe(2);
});
