/** The writers of log requests against the SDK's serializers: the same message, whatever the events hold. */
import { describe, expect, test } from "bun:test";
import { SeverityNumber } from "@opentelemetry/api";
import { JsonLogsSerializer, ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import fc from "fast-check";
import { attributesOf, type AttributeValue, type LogEvent } from "../../src/catalogue/log-event.ts";
import { createLogEncoder } from "../../src/export/log-encoder.ts";
import { resourceOf, scopeOf } from "../../src/export/resource.ts";
import { decodeOtlp } from "../support/otlp-sink.ts";

const resource = resourceOf({ "service.name": "tailscale2otel", "host.name": "höst", empty: "" });
const scope = scopeOf("1.2.3");
const serializers = { json: JsonLogsSerializer, protobuf: ProtobufLogsSerializer };

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
const attributes = fc.dictionary(fc.stringMatching(/^[a-z._]{1,20}$/), value, { maxKeys: 6 });
const time: fc.Arbitrary<[number, number]> = fc.tuple(fc.integer({ min: 0, max: 9_000_000_000 }), fc.nat(999_999_999));

/** Sets of one prefix, so that no name stands in two of them. */
const prefixed = (prefix: string) =>
  attributes.map((set) => Object.fromEntries(Object.entries(set).map(([name, held]) => [`${prefix}.${name}`, held])));

const events: fc.Arbitrary<LogEvent[]> = fc
  .record({ times: fc.array(time, { minLength: 1, maxLength: 3 }), first: prefixed("a"), second: prefixed("b") })
  .chain(({ times, first, second }) =>
    fc.array(
      fc.record({
        name: fc.constantFrom("tailscale.network.flow", "tailscale.config.audit"),
        severity: fc.constantFrom("INFO" as const, "WARN" as const),
        time: fc.constantFrom(...times),
        observedTime: fc.constantFrom(...times),
        body: text,
        shared: fc.constantFrom([], [first], [first, second], [second]),
        attributes: prefixed("c"),
      }),
      { maxLength: 12 },
    ),
  );

/** What the SDK writes for the same events. */
function reference(encoding: "json" | "protobuf", logged: readonly LogEvent[]): Uint8Array {
  const records = logged.map((event) => ({
    hrTime: event.time,
    hrTimeObserved: event.observedTime,
    severityNumber: event.severity === "WARN" ? SeverityNumber.WARN : SeverityNumber.INFO,
    severityText: event.severity,
    body: event.body,
    eventName: event.name,
    attributes: attributesOf(event) as Record<string, string>,
    droppedAttributesCount: 0,
    resource,
    instrumentationScope: scope,
  }));
  return serializers[encoding].serializeRequest(records) as Uint8Array;
}

describe.each(["json", "protobuf"] as const)("a log request in %s", (encoding) => {
  test("decodes to what the SDK writes", () => {
    const encode = createLogEncoder(resource, scope);
    fc.assert(
      fc.property(
        events.filter((logged) => logged.length > 0),
        (logged) => {
          const written = encode(logged, encoding);
          expect(decodeOtlp("logs", encoding, written)).toEqual(
            decodeOtlp("logs", encoding, reference(encoding, logged)),
          );
        },
      ),
      { numRuns: 400, seed: 7 },
    );
  });

  test("is whole again after one that was far larger", () => {
    const encode = createLogEncoder(resource, scope);
    const event = (body: string): LogEvent => ({
      name: "tailscale.network.flow",
      severity: "INFO",
      time: [1, 2],
      observedTime: [3, 4],
      body,
      shared: [],
      attributes: {},
    });
    const small = [event("small")];
    encode([event("x".repeat(20_000_000))], encoding);
    expect(decodeOtlp("logs", encoding, encode(small, encoding))).toEqual(
      decodeOtlp("logs", encoding, reference(encoding, small)),
    );
  });
});
