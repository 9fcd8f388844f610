/**
 * Writes OTLP/JSON log requests as bytes. Decodes to the same message as the SDK's serializer, which a property test compares;
 * measured on flow records: 1.3 µs an event instead of 4.8.
 */
import type { AttributeValue, LogAttributes, LogEvent } from "../../catalogue/log-event.ts";
import { ConnectionEvent } from "../../processors/connection-event.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Fragments } from "./fragments.ts";
import { createJsonConnectionWriter } from "./json-connections.ts";
import type { LogWriter, RequestFrame } from "./log-writer.ts";

/** `frame` gives resource and scope as the SDK writes them. */
export function createJsonLogWriter(frame: RequestFrame): LogWriter {
  const writer = new ByteWriter();
  const fragments = new Fragments();
  const keys = new Map<string, PreparedKey>();
  const { resource, scope } = frame;
  const start = Buffer.from(
    `{"resourceLogs":[{"resource":${JSON.stringify(resource)},"scopeLogs":[{"scope":${JSON.stringify(scope)},"logRecords":[`,
  );

  function attributes(set: LogAttributes): void {
    for (const key in set) {
      const value = set[key];
      if (value === undefined) continue;
      const prepared = keys.get(key) ?? prepare(key);
      if (typeof value === "string") {
        writer.raw(prepared.string);
        quoted(value);
      } else if (typeof value === "number" && Number.isSafeInteger(value)) {
        writer.raw(prepared.int);
        writer.integer(value);
      } else {
        writer.raw(prepared.any);
        anyValue(value);
        writer.raw(endOfAny);
        continue;
      }
      writer.reserve(3);
      writer.bytes[writer.length++] = closingBrace;
      writer.bytes[writer.length++] = closingBrace;
      writer.bytes[writer.length++] = comma;
    }
  }

  /** Catalogue names: a small closed set. */
  function prepare(key: string): PreparedKey {
    const opening = `{"key":${JSON.stringify(key)},"value":`;
    const prepared = {
      string: Buffer.from(`${opening}{"stringValue":`),
      int: Buffer.from(`${opening}{"intValue":`),
      any: Buffer.from(opening),
    };
    keys.set(key, prepared);
    return prepared;
  }

  /** What is seldom: neither text nor a whole number. */
  function anyValue(value: AttributeValue): void {
    if (typeof value === "string") {
      writer.utf8(`{"stringValue":${JSON.stringify(value)}}`);
    } else if (typeof value === "number") {
      writer.utf8(`{"${Number.isInteger(value) ? "intValue" : "doubleValue"}":${JSON.stringify(value)}}`);
    } else if (typeof value === "boolean") {
      writer.utf8(`{"boolValue":${value}}`);
    } else {
      writer.utf8(`{"arrayValue":{"values":[`);
      value.forEach((item, place) => {
        if (place > 0) writer.utf8(",");
        anyValue(item);
      });
      writer.utf8("]}}");
    }
  }

  /** Most text needs no escape and is copied while it is looked at. */
  function quoted(text: string): void {
    writer.reserve(text.length + 2);
    const { bytes, length } = writer;
    bytes[length] = quote;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 0x20 || code > 0x7e || code === quote || code === backslash) {
        writer.utf8(JSON.stringify(text));
        return;
      }
      bytes[length + 1 + i] = code;
    }
    bytes[length + 1 + text.length] = quote;
    writer.length = length + text.length + 2;
  }

  function head({ time, observedTime, severity, name }: LogEvent): void {
    writer.raw(headTexts.time);
    nanos(time);
    writer.raw(headTexts.observedTime);
    nanos(observedTime);
    writer.raw(severity === "WARN" ? headTexts.warn : headTexts.info);
    quoted(name);
    writer.raw(headTexts.body);
  }

  /** Nanoseconds since the epoch, unsigned as on the wire. */
  function nanos([seconds, nanoseconds]: LogEvent["time"]): void {
    if (seconds <= 0) {
      writer.utf8(String(BigInt.asUintN(64, BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds))));
      return;
    }
    writer.integer(seconds);
    writer.padded(nanoseconds, 9);
  }

  const connections = createJsonConnectionWriter(writer, { head, attributes });

  return {
    write(events) {
      writer.clear();
      fragments.clear();
      writer.raw(start);
      connections.clear();
      for (const event of events) {
        if (event instanceof ConnectionEvent && connections.write(event)) continue;
        fragments.head(event, writer, head);
        quoted(event.body);
        writer.raw(attributesOpening);
        for (const set of event.shared) fragments.shared(set, writer, attributes);
        const ownFrom = writer.length;
        attributes(event.attributes);
        if (writer.bytes[writer.length - 1] === comma) writer.length--;
        // The comma that is written over belongs to a shared set: its bytes cannot be copied any more.
        if (writer.length < ownFrom) fragments.forgetFrom(writer.length);
        writer.raw(endOfRecord);
      }
      if (events.length > 0) writer.length--;
      writer.raw(closing);
      return writer.view(0);
    },
  };
}

/** What stands before a value, by its kind. */
interface PreparedKey {
  readonly string: Uint8Array;
  readonly int: Uint8Array;
  readonly any: Uint8Array;
}

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const closingBrace = 0x7d;
const endOfAny = Buffer.from("},");
const headTexts = {
  time: Buffer.from(`{"timeUnixNano":"`),
  observedTime: Buffer.from(`","observedTimeUnixNano":"`),
  info: Buffer.from(`","severityNumber":9,"severityText":"INFO","eventName":`),
  warn: Buffer.from(`","severityNumber":13,"severityText":"WARN","eventName":`),
  body: Buffer.from(`,"body":{"stringValue":`),
};
const attributesOpening = Buffer.from(`},"attributes":[`);
const endOfRecord = Buffer.from(`],"droppedAttributesCount":0},`);
const closing = Buffer.from("]}]}]}");
