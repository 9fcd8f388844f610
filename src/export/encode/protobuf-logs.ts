/**
 * Writes OTLP/protobuf log requests (opentelemetry/proto/logs/v1/logs.proto). Decodes to the same message as the SDK's
 * serializer, which a property test compares; measured on flow records: 1.2 µs an event instead of 8.8.
 */
import type { AttributeValue, LogAttributes, LogEvent } from "../../catalogue/log-event.ts";
import { ByteWriter } from "./byte-writer.ts";
import { Fragments } from "./fragments.ts";
import type { LogWriter } from "./log-writer.ts";
import type { ProtobufFrame } from "./protobuf-frame.ts";
import { double, fixed64Nanos, varint, varintBytes } from "./protobuf-wire.ts";

/** `frame` gives resource and scope as the SDK writes them. */
export function createProtobufLogWriter(frame: ProtobufFrame): LogWriter {
  const writer = new ByteWriter();
  const fragments = new Fragments();
  const keys = new Map<string, Uint8Array>();
  const roomForFrame = frame.resource.length + frame.scope.length + maxFrameTags;

  function attributes(set: LogAttributes): void {
    for (const key in set) {
      const value = set[key];
      if (value !== undefined) attribute(keyOf(key), value);
    }
  }

  /** The key field of a KeyValue and the tag of its value. */
  function keyOf(key: string): Uint8Array {
    let prepared = keys.get(key);
    if (prepared === undefined) {
      const name = Buffer.from(key);
      keys.set(key, (prepared = Buffer.from([tags.key, name.length, ...name, tags.value])));
    }
    return prepared;
  }

  function attribute(key: Uint8Array, value: AttributeValue): void {
    const valueBytes = anyValueBytes(value);
    writer.reserve(key.length + valueBytes + 12);
    writer.bytes[writer.length++] = tags.attribute;
    varint(writer, key.length + varintBytes(valueBytes) + valueBytes);
    writer.raw(key);
    varint(writer, valueBytes);
    anyValue(value);
  }

  function anyValue(value: AttributeValue): void {
    if (typeof value === "string") {
      writer.reserve(8);
      writer.bytes[writer.length++] = tags.string;
      varint(writer, utf8Bytes(value));
      writer.utf8(value);
    } else if (typeof value === "boolean") {
      writer.reserve(2);
      writer.bytes[writer.length++] = tags.bool;
      writer.bytes[writer.length++] = value ? 1 : 0;
    } else if (typeof value === "number") {
      writer.reserve(11);
      writer.bytes[writer.length++] = Number.isSafeInteger(value) ? tags.int : tags.double;
      if (Number.isSafeInteger(value)) varint(writer, value);
      else double(writer, value);
    } else {
      writer.reserve(16);
      writer.bytes[writer.length++] = tags.array;
      varint(writer, arrayBytes(value));
      for (const item of value) {
        writer.reserve(8);
        writer.bytes[writer.length++] = tags.item;
        varint(writer, anyValueBytes(item));
        anyValue(item);
      }
    }
  }

  function head({ time, observedTime, severity, name }: LogEvent): void {
    writer.reserve(64);
    writer.bytes[writer.length++] = tags.time;
    fixed64Nanos(writer, time);
    writer.bytes[writer.length++] = tags.observedTime;
    fixed64Nanos(writer, observedTime);
    writer.bytes[writer.length++] = tags.severityNumber;
    writer.bytes[writer.length++] = severity === "WARN" ? 13 : 9;
    text(tags.severityText, severity);
    text(tags.eventName, name);
  }

  function text(tag: number, content: string): void {
    writer.reserve(8);
    writer.bytes[writer.length++] = tag;
    varint(writer, utf8Bytes(content));
    writer.utf8(content);
  }

  function record(event: LogEvent): void {
    writer.reserve(8);
    writer.bytes[writer.length++] = tags.logRecord;
    const lengthAt = writer.length;
    writer.length += usualLengthBytes;
    const start = writer.length;
    fragments.head(event, writer, head);
    const bodyBytes = anyValueBytes(event.body);
    writer.reserve(bodyBytes + 16);
    writer.bytes[writer.length++] = tags.body;
    varint(writer, bodyBytes);
    anyValue(event.body);
    for (const set of event.shared) fragments.shared(set, writer, attributes);
    attributes(event.attributes);
    setLength(lengthAt, start);
  }

  /** Room for the length is left for a record of 128 to 16,383 bytes; others are moved into place. */
  function setLength(lengthAt: number, start: number): void {
    const length = writer.length - start;
    const lengthBytes = varintBytes(length);
    if (lengthBytes > usualLengthBytes) {
      writer.shift(start, lengthBytes - usualLengthBytes);
      fragments.forgetFrom(start);
    } else if (lengthBytes < usualLengthBytes) {
      writer.bytes.copyWithin(lengthAt + lengthBytes, start, writer.length);
      writer.length -= usualLengthBytes - lengthBytes;
      fragments.forgetFrom(start);
    }
    const end = writer.length;
    writer.length = lengthAt;
    varint(writer, length);
    writer.length = end;
  }

  return {
    write(events) {
      writer.clear();
      fragments.clear();
      writer.reserve(roomForFrame);
      writer.length = roomForFrame;
      for (const event of events) record(event);
      const opening = openingOf(frame, writer.length - roomForFrame);
      const start = roomForFrame - opening.length;
      writer.bytes.set(opening, start);
      return writer.view(start);
    },
  };
}

/** Tags: field number and wire type, from the published definitions. */
const tags = {
  resourceLogs: 0x0a,
  scopeLogs: 0x12,
  logRecord: 0x12,
  time: 0x09,
  severityNumber: 0x10,
  severityText: 0x1a,
  body: 0x2a,
  attribute: 0x32,
  observedTime: 0x59,
  eventName: 0x62,
  key: 0x0a,
  value: 0x12,
  string: 0x0a,
  bool: 0x10,
  int: 0x18,
  double: 0x21,
  array: 0x2a,
  item: 0x0a,
} as const;

const usualLengthBytes = 2;
const maxFrameTags = 12;

/** Everything before the first record: the messages around it, whose lengths are known only at the end. */
function openingOf({ resource, scope }: ProtobufFrame, recordsBytes: number): Uint8Array {
  const scopeLogsBytes = scope.length + recordsBytes;
  const resourceLogsBytes = resource.length + 1 + varintBytes(scopeLogsBytes) + scopeLogsBytes;
  const opening = new ByteWriter(resource.length + scope.length + maxFrameTags);
  opening.bytes[opening.length++] = tags.resourceLogs;
  varint(opening, resourceLogsBytes);
  opening.raw(resource);
  opening.bytes[opening.length++] = tags.scopeLogs;
  varint(opening, scopeLogsBytes);
  opening.raw(scope);
  return opening.view(0);
}

function anyValueBytes(value: AttributeValue): number {
  if (typeof value === "string") {
    const bytes = utf8Bytes(value);
    return 1 + varintBytes(bytes) + bytes;
  }
  if (typeof value === "boolean") return 2;
  if (typeof value === "number") return Number.isSafeInteger(value) ? 1 + varintBytes(value) : 9;
  const bytes = arrayBytes(value);
  return 1 + varintBytes(bytes) + bytes;
}

function arrayBytes(items: readonly string[]): number {
  let bytes = 0;
  for (const item of items) {
    const itemBytes = anyValueBytes(item);
    bytes += 1 + varintBytes(itemBytes) + itemBytes;
  }
  return bytes;
}

function utf8Bytes(content: string): number {
  for (let i = 0; i < content.length; i++) if (content.charCodeAt(i) > 0x7f) return Buffer.byteLength(content);
  return content.length;
}
