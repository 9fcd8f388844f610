/** Tests that records are found in every wrapper, and that a stored line is read as the same record. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { classify, envelopeTime, eventOf, recordOfLine } from "../../src/records/envelope.ts";
import { valueLimits } from "../../src/records/json.ts";
import type { JsonObject, RawRecord } from "../../src/records/types.ts";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { auditValue, bytesOf, enveloped, flowValue, textOf, unwrapped } from "../support/records.ts";

const time = [1_793_610_908, 125_000_000];
const recorded = [1_793_610_907, 204_000_111];
const flow = flowValue();
const audit = auditValue();

function expectStored(records: readonly RawRecord[]): void {
  for (const { line, type, ...record } of records) {
    expect(textOf(line)).not.toMatch(/[\r\n]/);
    expect(recordOfLine(line, type)).toEqual({ type, line, ...record });
    expect(JSON.parse(textOf(eventOf(line)))).toEqual(record.value);
  }
}

describe("finds", () => {
  const shapes: [string, unknown, { type: string; time?: unknown; recorded?: unknown }[]][] = [
    ["an envelope", enveloped(flow), [{ type: "flow", time, recorded }]],
    ["an envelope of nothing else", { event: audit }, [{ type: "audit" }]],
    ["an envelope with more members", { ...enveloped(flow), host: "h" }, [{ type: "flow", time, recorded }]],
    ["a bare record", flow, [{ type: "flow" }]],
    ["a list", [flow, enveloped(audit)], [{ type: "flow" }, { type: "audit", time, recorded }]],
    ["logs", { logs: [flow, audit] }, [{ type: "flow" }, { type: "audit" }]],
    ["logs beside other members", { version: "1", tailnetId: "T", logs: [audit] }, [{ type: "audit" }]],
    [
      "an event that is a list",
      { time: 5, event: [flow, audit] },
      [
        { type: "flow", time: [5, 0] },
        { type: "audit", time: [5, 0] },
      ],
    ],
    ["an event that is logs", enveloped({ logs: [flow] }), [{ type: "flow", time, recorded }]],
    [
      "an envelope in an envelope, the inner time winning",
      { time: 5, event: { time: 6, event: flow } },
      [{ type: "flow", time: [6, 0] }],
    ],
    [
      "a time inherited past an unusable one",
      { time: 5, event: { time: "never", event: flow } },
      [{ type: "flow", time: [5, 0] }],
    ],
    [
      "logs in an envelope, which inherit its times",
      { time: 1_793_610_908.125, fields: { recorded: "2026-11-02T09:15:07.204000111Z" }, logs: [flow] },
      [{ type: "flow", time, recorded }],
    ],
    ["an event that is JSON in a string", enveloped(JSON.stringify(flow) as never), [{ type: "flow", time, recorded }]],
    [
      "a list that is JSON in a string",
      { event: ` ${JSON.stringify([flow, audit])}\n` },
      [{ type: "flow" }, { type: "audit" }],
    ],
    ["four lists", [[[[flow]]]], [{ type: "flow" }]],
    ["an empty list", [], []],
    ["empty logs", { logs: [] }, []],
  ];
  test.each(shapes)("%s", (_, value, expected) => {
    const { records, skipped } = unwrapped(value);
    expect(skipped).toEqual([]);
    expect(records.map((record) => ({ type: record.type, time: record.time, recorded: record.recorded }))).toEqual(
      expected.map((members) => ({ time: undefined, recorded: undefined, ...members })) as never,
    );
    expectStored(records);
  });

  test("the text as it was received, including numbers and escapes", () => {
    const event = String.raw`{"nodeId":"n\u00e9","virtualTraffic":[ {"txBytes":1.0e2} ]}`;
    const text = `{"time":1,\n"event":${event},"host":"h"}`;
    const [record] = unwrapped(JSON.parse(text), text).records;
    expect(textOf(record?.line)).toBe(`{"time":1.000000,"event":${event}}`);
    expect(textOf(record && eventOf(record.line))).toBe(event);
  });

  test("the last of two members with the same name, like JSON.parse", () => {
    const text = `{"event":{"nodeId":"no","virtualTraffic":[]},"event":${JSON.stringify(flow)},"x":1}`;
    const { records } = unwrapped(JSON.parse(text), text);
    expect(records[0]?.value).toEqual(flow);
    expectStored(records);
  });
});

describe("skips", () => {
  test.each([
    ["a scalar", 7, "unclassified"],
    ["null", null, "unclassified"],
    ["an object of no known kind", { hello: 1 }, "unclassified"],
    ["an event of no known kind", enveloped({ hello: 1 }), "unclassified"],
    ["an event that is a scalar", { event: "text" }, "unclassified"],
    ["an event that is torn JSON in a string", { event: '{"nodeId":' }, "unclassified"],
    [
      "an event that is JSON in a string in a string",
      { event: JSON.stringify({ event: JSON.stringify(7) }) },
      "unclassified",
    ],
    ["a scalar in a list", [7], "unclassified"],
    ["five lists", [[[[[flow]]]]], "unwrap_drop"],
    ["five envelopes", { event: { event: { event: { event: { event: flow } } } } }, "unwrap_drop"],
    ["logs in lists in envelopes", { event: [{ event: [{ event: flow }] }] }, "unwrap_drop"],
  ])("%s", (_, value, reason) => {
    const { records, skipped } = unwrapped(value);
    expect(records).toEqual([]);
    expect(skipped.map((skip) => skip.reason as string)).toEqual([reason]);
  });

  test("one element but not its neighbours, and keeps its text", () => {
    const { records, skipped } = unwrapped([flow, { hello: 1 }, audit]);
    expect(records.map(({ type }) => type)).toEqual(["flow", "audit"]);
    expect(skipped.map(({ reason, text }) => [reason, textOf(text)])).toEqual([["unclassified", '{"hello":1}']]);
  });
});

test("refuses a string whose JSON exceeds the limits of one value", () => {
  const event = JSON.stringify({ ...flow, x: Array.from({ length: valueLimits.parts }, () => 0) });
  expect(() => unwrapped({ event })).toThrow(expect.objectContaining({ reason: "too_large" }));
});

test.each(["eventGroupID", "eventTime", "target", "origin"])(
  "an action with %s and no actor is an audit record",
  (member) => {
    for (const actor of [undefined, null]) expect(classify({ action: "UPDATE", actor, [member]: "x" })).toBe("audit");
    expect(classify({ action: "UPDATE", actor: null, [member]: null })).toBe("unclassified");
  },
);

describe("an envelope's time", () => {
  test.each([
    [1_793_610_908.125, [1_793_610_908, 125_000_000]],
    ["1793610908.125", [1_793_610_908, 125_000_000]],
    [1_793_610_908_125, [1_793_610_908, 125_000_000]],
    [1_793_610_908_125_250, [1_793_610_908, 125_250_000]],
    ["1793610908125000000", [1_793_610_908, 125_000_000]],
    [1, [1, 0]],
    [0.000_001, [0, 1000]],
    [1.999_999_9, [2, 0]],
    [9_223_372_035, [9_223_372_035, 0]],
  ] satisfies [unknown, [number, number]][])("%p", (value, instant) => {
    expect(envelopeTime(value)).toEqual(instant);
  });

  test.each([
    [0],
    [-1],
    [1e-9],
    ["0"],
    [""],
    [" "],
    ["soon"],
    ["Infinity"],
    [Number.POSITIVE_INFINITY],
    [Number.NaN],
    [null],
    [undefined],
    [true],
    [[1]],
    [{}],
    [9_223_372_037],
    [99_999_999_999],
    [1e300],
  ])("is none in %p", (value) => {
    expect(envelopeTime(value)).toBeUndefined();
  });
});

test("reads a record that was stored without an envelope", () => {
  const line = bytesOf(JSON.stringify(flow));
  expect(recordOfLine(line, "flow")).toEqual({ type: "flow", value: flow, line, time: undefined, recorded: undefined });
  expect(eventOf(line)).toBe(line);
  expect(() => recordOfLine(line, "audit")).toThrow(SyntaxError);
});

test("refuses a line that cannot have been stored", () => {
  for (const line of ["", "{", "7", "{}", '{"event":7}', '{"event":[]}'])
    expect(() => recordOfLine(bytesOf(line), "flow")).toThrow(SyntaxError);
});

const times = fc.oneof(
  fc.double({ min: -1, max: 2 ** 62 }),
  fc.integer({ min: 0, max: 2_000_000_000 }),
  fc.constantFrom("1793610908.5", "x", null, 1e-7),
);
const fields = fc.oneof(
  fc.constantFrom(undefined, 7, {}),
  fc
    .date({ noInvalidDate: true, min: new Date(0), max: new Date("9999-12-31T23:59:59Z") })
    .map((date) => ({ recorded: date.toISOString() })),
);

const shape = fc.oneof(flowRecordValue, auditRecordValue).chain((record) => {
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthIdentifier: "wrapper" },
      fc.constant(record),
      fc.record({ time: times, event: tie("value"), fields }, { requiredKeys: ["event"] }),
      fc.array(tie("value"), { maxLength: 2 }),
      fc.record({ logs: fc.array(tie("value"), { maxLength: 2 }) }),
      fc.record({ event: tie("value"), host: fc.constant("h") }),
    ),
  }));
  return value;
});

test("the stored line is the same record, whatever the original shape and white space", () => {
  let found = 0;
  fc.assert(
    fc.property(shape, fc.constantFrom(undefined, 1, "\t", "\r\n "), (value, indent) => {
      const text = JSON.stringify(value, undefined, indent);
      const { records } = unwrapped(JSON.parse(text) as JsonObject, text);
      expectStored(records);
      found += records.length;
    }),
    seeded(1000),
  );
  expect(found).toBeGreaterThan(500);
});

describe("classifies by shape alone", () => {
  test.each([
    ["a flow record", flowValue(), "flow"],
    ["one traffic array is enough", { nodeId: "n", exitTraffic: [] }, "flow"],
    ["a traffic member of the wrong type is for the decoder", { nodeId: "n", physicalTraffic: "x" }, "flow"],
    ["null arrays are none", { nodeId: "n", virtualTraffic: null, subnetTraffic: null }, "unclassified"],
    ["no traffic", { nodeId: "n" }, "unclassified"],
    ["an empty node id", { nodeId: "", virtualTraffic: [] }, "unclassified"],
    ["a node id of the wrong type", { nodeId: 7, virtualTraffic: [] }, "unclassified"],
    ["unknown traffic", { nodeId: "n", futureTraffic: [{}] }, "unclassified"],
    ["an audit record", auditValue(), "audit"],
    ["an action and one other member of an audit record", { actor: {}, action: "LOGIN" }, "audit"],
    ["an action and a group", { eventGroupID: "g", action: "LOGIN" }, "audit"],
    ["an action and an origin", { origin: "NODE", action: "LOGIN" }, "audit"],
    ["an action alone", { action: "LOGIN" }, "unclassified"],
    ["an empty action", { actor: {}, action: "" }, "unclassified"],
    ["an actor of the wrong type is for the decoder", { actor: "alice", action: "LOGIN" }, "audit"],
    ["null members are none", { actor: null, target: null, action: "LOGIN" }, "unclassified"],
    ["both: traffic says more", { ...auditValue(), ...flowValue() }, "flow"],
    ["nothing", {}, "unclassified"],
  ] satisfies [string, JsonObject, ReturnType<typeof classify>][])("%s", (_, value, kind) => {
    expect(classify(value)).toBe(kind);
  });

  test("a member of the prototype as absent", () => {
    const value = JSON.parse('{"__proto__":{"nodeId":"n","virtualTraffic":[]}}') as JsonObject;
    expect(classify(value)).toBe("unclassified");
  });
});
