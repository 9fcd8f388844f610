/** Log events can carry a number by which a backend knows them again. */
import { expect, test } from "bun:test";
import { attributesOf } from "../../src/catalogue/log-event.ts";
import { describe, type ProcessorOptions } from "../../src/processors/index.ts";
import { auditOf, auditValue, connection, flowOf, flowValue } from "../support/records.ts";

const options: ProcessorOptions = {
  collapseExternal: true,
  flowLogMode: "per_connection",
  tailnet: "",
  uidKey: { secret: "00112233445566778899aabbccddeeff", tailnet: 1 },
};

function uidsOf(
  record: Parameters<typeof describe>[0],
  acceptedAt = 1,
  members: Partial<ProcessorOptions> = {},
): unknown[] {
  return describe(record, { ...options, ...members }, acceptedAt).map((event) => attributesOf(event)["log.record.uid"]);
}

const flow = flowOf(flowValue({ virtualTraffic: [connection(), connection({ proto: 17 })] }));

test("the record's identity and the place of the event, the same at every delivery", () => {
  const uids = uidsOf(flow);
  expect(uids).toEqual([expect.stringMatching(/^[0-9a-f]{16}-0$/), expect.stringMatching(/^[0-9a-f]{16}-1$/)]);
  expect(uidsOf(flow, 99)).toEqual(uids);
  expect(uidsOf(auditOf(auditValue()))).toEqual([expect.stringMatching(/^[0-9a-f]{16}-0$/)]);
  expect(uidsOf(auditOf(auditValue()))).not.toEqual(uidsOf(auditOf(auditValue({ old: "c" }))));
});

test("none where it is not asked for", () => {
  expect(uidsOf(flow, 1, { uidKey: undefined })).toEqual([undefined, undefined]);
});
