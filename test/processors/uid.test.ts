/** Tests the identities by which a backend recognizes repeated log records. */
import { expect, test } from "bun:test";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { describe, type ProcessorSettings } from "../../src/processors/index.ts";
import { columnsOf } from "../support/columns.ts";
import { auditValue, connection, enveloped, flowValue } from "../support/records.ts";
import { auditOf, settingsWith, webhookOf } from "./given.ts";

const settings = settingsWith({ recordUid: { secret: "00112233445566778899aabbccddeeff", tailnet: 1 } });

function flowUids(value: unknown, acceptedAt = 1, chosen: ProcessorSettings = settings): unknown[] {
  const columns = columnsOf(value);
  const describer = new FlowDescriber(chosen);
  return Array.from(
    { length: describer.logRecords(columns, 0) },
    (_, index) => describer.event(columns, 0, index, acceptedAt).attributes["log.record.uid"],
  );
}

const flow = flowValue({ virtualTraffic: [connection(), connection({ proto: 17 })] });

test("a flow's identity consists of the record's identity and the entry's number, the same at every delivery and from every source", () => {
  const uids = flowUids(flow);
  expect(uids).toEqual([expect.stringMatching(/^[0-9a-f]{24}-0$/), expect.stringMatching(/^[0-9a-f]{24}-1$/)]);
  expect(flowUids(flow, 99)).toEqual(uids);
  expect(flowUids(enveloped(flow))).toEqual(uids);
  expect(flowUids({ ...flow, nodeId: "nTWOCNTRL" })).not.toEqual(uids);
});

test("a left-out entry keeps its number", () => {
  const { virtualTraffic } = flow as { virtualTraffic: readonly object[] };
  const uids = flowUids({ ...flow, virtualTraffic: [{ src: "nowhere" }, ...virtualTraffic] });
  expect(uids.map((uid) => String(uid).split("-")[1])).toEqual(["1", "2"]);
});

test("audit records and webhook events have one each", () => {
  const uidOf = (record: Parameters<typeof describe>[0]) => describe(record, settings, 1).attributes["log.record.uid"];
  expect(uidOf(auditOf(auditValue()))).toMatch(/^[0-9a-f]{24}-0$/);
  expect(uidOf(auditOf(auditValue()))).not.toBe(uidOf(auditOf(auditValue({ old: "c" }))) as string);
  expect(uidOf(webhookOf({ type: "test" }))).toMatch(/^[0-9a-f]{24}-0$/);
});

test("log records have no identity unless it is enabled", () => {
  expect(flowUids(flow, 1, settingsWith())).toEqual([undefined, undefined]);
  expect(describe(auditOf(auditValue()), settingsWith(), 1).attributes).not.toHaveProperty("log.record.uid");
});
