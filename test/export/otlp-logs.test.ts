/** Tests that the protobuf encoder writes the same messages as the SDK's serializer, by the official definitions. */
import { describe, expect, test } from "bun:test";
import { SeverityNumber } from "@opentelemetry/api";
import { ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import fc from "fast-check";
import type { JsonObject } from "../../src/records/types.ts";
import type { AttributeValue, LogEvent } from "../../src/catalogue/log-event.ts";
import { OtlpLogEncoder } from "../../src/export/otlp-logs.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { directoryOf, type ProcessorSettings } from "../../src/processors/index.ts";
import type { FlowColumns } from "../../src/records/flow/columns.ts";
import { decodeOtlp } from "../support/otlp-sink.ts";
import { connectionValue } from "../support/random.ts";
import { privacyWith, settingsWith } from "../processors/given.ts";
import { columnsOf } from "../support/columns.ts";
import { connection, flowValue } from "../support/records.ts";

const resource = { "service.name": "tailscale2otel", "host.name": "höst", empty: "" };
const scope = { name: "tailscale2otel", version: "1.2.3" };
const acceptedAt = Date.parse("2026-11-02T09:16:00.123Z");

/** The SDK's output for the same events, decoded. */
function decodedReference(events: readonly LogEvent[]) {
  const records = events.map((event) => ({
    hrTime: event.time,
    hrTimeObserved: event.observedTime,
    severityNumber: event.severity === "WARN" ? SeverityNumber.WARN : SeverityNumber.INFO,
    severityText: event.severity,
    body: event.body,
    eventName: event.name,
    attributes: event.attributes as Record<string, string>,
    droppedAttributesCount: 0,
    resource: resourceFromAttributes(resource),
    instrumentationScope: scope,
  }));
  return decodeOtlp("logs", "protobuf", ProtobufLogsSerializer.serializeRequest(records) as Uint8Array);
}

/** The log records of all records as plain events, and the encoder's output for them. */
function both(columns: FlowColumns, settings: ProcessorSettings, encoder = new OtlpLogEncoder(resource, scope)) {
  const describer = new FlowDescriber(settings);
  const events: LogEvent[] = [];
  encoder.begin();
  for (let record = 0; record < columns.records; record++) {
    const logRecords = describer.logRecords(columns, record);
    for (let index = 0; index < logRecords; index++) events.push(describer.event(columns, record, index, acceptedAt));
    const middle = logRecords >> 1;
    encoder.addFlows(columns, describer, record, 0, middle, acceptedAt);
    encoder.addFlows(columns, describer, record, middle, logRecords, acceptedAt);
  }
  return { events, decoded: decodeOtlp("logs", "protobuf", encoder.finish()) };
}

const hardEntry: fc.Arbitrary<JsonObject> = fc.record(
  {
    proto: fc.constantFrom(6, 17, 132, 0),
    src: fc.constantFrom("[fe80::1%eth0]:5", "[fd7a:115c:a1e0:1234:5678:9abc:def0:1234]:51234", "100.64.1.1:0"),
    dst: fc.constantFrom("[fd7a:115c:a1e0:1234:5678:9abc:def0:4321]:65535", "192.0.2.1:443", "127.3.3.40:12", "bad"),
    txBytes: fc.constantFrom(0, 9, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 42, Number.MAX_SAFE_INTEGER),
    rxBytes: fc.maxSafeNat(),
    txPkts: fc.maxSafeNat(),
    rxPkts: fc.constantFrom(-1, 0, 2 ** 28, 2 ** 35, 2 ** 49),
  },
  { requiredKeys: [] },
);

const node = fc.record(
  {
    nodeId: fc.constantFrom("nONECNTRL", "nTWOCNTRL"),
    name: fc.oneof(fc.constantFrom("web-1.tail1234.ts.net", ""), fc.string({ unit: "grapheme", maxLength: 80 })),
    addresses: fc.subarray(["100.64.1.1", "100.64.1.2", "fd7a:115c:a1e0:1234:5678:9abc:def0:1234"]),
    user: fc.oneof(fc.string({ unit: "binary", maxLength: 20 }), fc.constant("ü".repeat(3000))),
    tags: fc.subarray(["tag:web", "tag:db"]),
  },
  { requiredKeys: [] },
);

const time = fc.constantFrom(
  "2026-11-02T09:15:00Z",
  "2026-11-02T09:15:00.000000001Z",
  "2026-11-02T09:15:00.120Z",
  "1970-01-01T00:00:00Z",
  "2261-12-31T23:59:59.999999999Z",
  "0001-01-01T00:00:00Z",
  "",
);

const flowRecord: fc.Arbitrary<JsonObject> = fc.record(
  {
    nodeId: fc.constantFrom("nONECNTRL", "nÜCNTRL"),
    start: time,
    logged: time,
    srcNode: node,
    dstNodes: fc.array(node, { maxLength: 3 }),
    virtualTraffic: fc.array(fc.oneof(connectionValue, hardEntry), { maxLength: 5 }),
    // One valid entry, so that the record is not quarantined because of the others.
    exitTraffic: fc.array(connectionValue, { minLength: 1, maxLength: 2 }),
    physicalTraffic: fc.array(fc.oneof(connectionValue, hardEntry), { maxLength: 4 }),
  },
  { requiredKeys: ["nodeId", "exitTraffic"] },
);

const device = {
  nodeId: "nTWOCNTRL",
  label: "db-1",
  addresses: ["100.64.1.2", "fe80::1%eth0"],
  os: "linux",
  user: "",
  tags: ["tag:a", "tag:b"],
};

const settings: fc.Arbitrary<ProcessorSettings> = fc
  .record({
    collapseExternal: fc.boolean(),
    tailnet: fc.constantFrom("", "example.com"),
    flowLogMode: fc.constantFrom("per_connection" as const, "per_connection" as const, "per_record" as const),
    recordUid: fc.constantFrom(undefined, { secret: "00112233445566778899aabbccddeeff", tailnet: 1 }),
    privacy: fc.constantFrom(
      undefined,
      privacyWith({ external_ips: "drop", hostnames: "hash", emails: "drop" }),
      privacyWith({ tailscale_ips: "hash", node_ids: "drop", tailnet_name: "hash" }),
    ),
    hasDirectory: fc.boolean(),
  })
  .map(({ hasDirectory, ...members }) =>
    settingsWith({ ...members, directory: { current: hasDirectory ? directoryOf([device]) : undefined } }),
  );

describe("log records of flows", () => {
  test("decode to the events that the describer returns", () => {
    const encoder = new OtlpLogEncoder(resource, scope);
    fc.assert(
      fc.property(fc.array(flowRecord, { minLength: 1, maxLength: 4 }), settings, (values, chosen) => {
        const { events, decoded } = both(columnsOf(...values), chosen, encoder);
        expect(decoded).toEqual(decodedReference(events));
        expect(events.length).toBeGreaterThan(0);
      }),
      { numRuns: 200, seed: 20_261_126 },
    );
  });

  test("encode lengths that take one byte more or less than usual", () => {
    const long = "é".repeat(2000);
    const claim = { nodeId: "n".repeat(4000), name: "web-1", addresses: ["100.64.1.1"], user: long, os: long };
    const peer = { ...claim, addresses: ["100.64.1.2"], tags: [long] };
    const columns = columnsOf(flowValue({ nodeId: claim.nodeId, srcNode: claim, dstNodes: [peer] }), {
      nodeId: "n",
      exitTraffic: [{}],
    });
    const { events, decoded } = both(columns, settingsWith());
    const [large] = events;
    expect(JSON.stringify(large?.attributes).length).toBeGreaterThan(8192);
    expect(events[1]?.body).toBe("unknown exit ? -> ? tx=0B rx=0B");
    expect(decoded).toEqual(decodedReference(events));
  });

  test("leave out the entries that the record leaves out, and keep their numbers", () => {
    const recordUid = { secret: "00112233445566778899aabbccddeeff", tailnet: 1 };
    const columns = columnsOf(
      flowValue({ virtualTraffic: [connection(), connection({ dst: "nowhere" }), connection({ proto: 17 })] }),
    );
    const { events, decoded } = both(columns, settingsWith({ recordUid }));
    expect(events.map(({ attributes }) => String(attributes["log.record.uid"]).replace(/^[\da-f]{24}/, "uid"))).toEqual(
      ["uid-0", "uid-2"],
    );
    expect(decoded).toEqual(decodedReference(events));
  });
});

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ maxLength: 300 }),
  fc.constantFrom("", '"', "\\", "\n", "\u0000", "\u007f", "ü", "✓", "😀", "}{", "a".repeat(20_000)),
);
const value: fc.Arbitrary<AttributeValue> = fc.oneof(
  text,
  fc.maxSafeInteger(),
  fc.constantFrom(0, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Number.isInteger(number)),
  fc.boolean(),
  fc.array(text, { maxLength: 4 }),
);
const hrTime: fc.Arbitrary<[number, number]> = fc.tuple(
  fc.integer({ min: 0, max: 9_000_000_000 }),
  fc.nat(999_999_999),
);
const logEvent: fc.Arbitrary<LogEvent> = fc.record({
  name: fc.constantFrom("tailscale.webhook.nodeCreated", "tailscale.config.audit"),
  severity: fc.constantFrom("INFO" as const, "WARN" as const),
  time: hrTime,
  observedTime: hrTime,
  body: text,
  attributes: fc.dictionary(fc.stringMatching(/^[a-z._]{1,20}$/), value, { maxKeys: 6 }),
});

function encoded(encoder: OtlpLogEncoder, events: readonly LogEvent[]) {
  encoder.begin();
  for (const event of events) encoder.addEvent(event);
  return decodeOtlp("logs", "protobuf", encoder.finish());
}

describe("any log event", () => {
  test("decodes to what the SDK writes", () => {
    const encoder = new OtlpLogEncoder(resource, scope);
    fc.assert(
      fc.property(fc.array(logEvent, { minLength: 1, maxLength: 12 }), (events) => {
        expect(encoded(encoder, events)).toEqual(decodedReference(events));
      }),
      { numRuns: 400, seed: 7 },
    );
  });

  test("is complete after a much larger request", () => {
    const encoder = new OtlpLogEncoder(resource, scope);
    const event = (body: string): LogEvent => ({
      name: "tailscale.config.audit",
      severity: "INFO",
      time: [1, 2],
      observedTime: [3, 4],
      body,
      attributes: {},
    });
    encoded(encoder, [event("x".repeat(20_000_000))]);
    expect(encoded(encoder, [event("small")])).toEqual(decodedReference([event("small")]));
  });
});

test("the size grows with each addition, and a request without log records decodes", () => {
  const encoder = new OtlpLogEncoder(resource, scope);
  const describer = new FlowDescriber(settingsWith());
  encoder.begin();
  expect(encoder.byteLength).toBe(0);
  expect(decodeOtlp("logs", "protobuf", encoder.finish()).logs).toEqual([]);
  encoder.begin();
  encoder.addFlows(columnsOf(flowValue()), describer, 0, 0, 1, acceptedAt);
  const one = encoder.byteLength;
  encoder.addFlows(columnsOf(flowValue()), describer, 0, 0, 1, acceptedAt);
  expect(encoder.byteLength).toBe(one * 2);
  expect(encoder.finish().length).toBeGreaterThan(one * 2);
});
