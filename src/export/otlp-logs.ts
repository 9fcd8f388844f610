/**
 * Encodes OTLP logs requests in protobuf (opentelemetry/proto/logs/v1/logs.proto) by hand: what log records share is encoded
 * once and copied, and nothing is allocated per entry. A property test checks it against the official definitions. Measured:
 * 0.7 µs per entry including its description; the official serializer takes 14 µs or more.
 */
import type { InstrumentationScope } from "@opentelemetry/core";
import { type AttributeSet, flowEventName, type LogEvent, severityNumbers } from "../catalogue/log-event.ts";
import type { FlowDescriber } from "../processors/flow.ts";
import type { FlowColumns } from "../records/flow/columns.ts";
import {
  encodedAttributes,
  encodedKey,
  putAsciiAttribute,
  putDecimal,
  putIntAttribute,
  putLength,
  putNanos,
  putShort,
  putString,
  putVarint,
  stringLength,
  varintLength,
} from "./protobuf.ts";

/** Tags: field number and wire type. Those from `time` to `eventName` are fields of a `LogRecord`. */
const tags = {
  resourceLogs: 0x0a,
  resource: 0x0a,
  resourceAttribute: 0x0a,
  scopeLogs: 0x12,
  scope: 0x0a,
  scopeName: 0x0a,
  scopeVersion: 0x12,
  logRecord: 0x12,
  time: 0x09,
  severityNumber: 0x10,
  severityText: 0x1a,
  body: 0x2a,
  attribute: 0x32,
  observedTime: 0x59,
  eventName: 0x62,
  string: 0x0a,
} as const;

const initialBytes = 1 << 20;
/** A buffer that has grown larger than this is not reused for the next request. */
const keptBytes = 16 << 20;
/** Tags and lengths of the messages around the log records. */
const maxFrameBytes = 16;

/** Upper bound for one log record besides its fragments: tags, lengths, integers, times. */
const maxOwnBytes = 512;

/** The length of a flow's log record usually takes two bytes, which is enough for 128 to 16,383. */
const usualRecordLength = 2;

export class OtlpLogEncoder {
  /** `ResourceLogs.resource` and `ScopeLogs.scope` as whole fields. */
  readonly #resource: Uint8Array;
  readonly #scope: Uint8Array;
  /** Where the log records begin; the room before it is for the frame, whose lengths are known only at the end. */
  readonly #start: number;
  #out = Buffer.allocUnsafeSlow(initialBytes);
  #length: number;
  /** What the log records of one flow record share, and the buffer it is written to. */
  #recordBytes: Uint8Array = nothing;
  #recordBuffer = new Uint8Array(4096);

  constructor(resource: Readonly<Record<string, string>>, { name, version = "" }: InstrumentationScope) {
    this.#resource = whole(tags.resource, encodedAttributes(resource, tags.resourceAttribute));
    const scope = [
      stringField(tags.scopeName, name),
      ...(version === "" ? [] : [stringField(tags.scopeVersion, version)]),
    ];
    this.#scope = whole(tags.scope, Buffer.concat(scope));
    this.#start = this.#resource.length + this.#scope.length + maxFrameBytes;
    this.#length = this.#start;
  }

  /** Bytes of the log records so far. */
  get byteLength(): number {
    return this.#length - this.#start;
  }

  /** Begins a request. */
  begin(): void {
    if (this.#out.length > keptBytes) this.#out = Buffer.allocUnsafeSlow(initialBytes);
    this.#length = this.#start;
    this.#reserve(0);
  }

  /** The request, as one ExportLogsServiceRequest. The bytes are valid until the next `begin`. */
  finish(): Uint8Array {
    const scopeLogs = this.#scope.length + this.byteLength;
    const resourceLogs = this.#resource.length + 1 + varintLength(scopeLogs) + scopeLogs;
    const frame = 2 + varintLength(resourceLogs) + varintLength(scopeLogs);
    const out = this.#out;
    const start = this.#start - this.#resource.length - this.#scope.length - frame;
    let at = start;
    out[at++] = tags.resourceLogs;
    at = putVarint(out, at, resourceLogs);
    out.set(this.#resource, at);
    at += this.#resource.length;
    out[at++] = tags.scopeLogs;
    at = putVarint(out, at, scopeLogs);
    out.set(this.#scope, at);
    return out.subarray(start, this.#length);
  }

  /** Adds a record's log records from number `from` up to `to`. `acceptedAt`: epoch milliseconds. */
  addFlows(
    columns: FlowColumns,
    describer: FlowDescriber,
    record: number,
    from: number,
    to: number,
    acceptedAt: number,
  ): void {
    if (from >= to) return;
    if (describer.mode === "per_record") {
      this.addEvent(describer.event(columns, record, 0, acceptedAt));
      return;
    }
    describer.record(columns, record, acceptedAt);
    this.#prepareRecord(describer);
    const first = columns.firstEntry[record] as number;
    const end = columns.firstEntry[record + 1] as number;
    const { leftOut } = columns;
    let index = 0;
    for (let entry = first; entry < end && index < to; entry++) {
      if (leftOut[entry] !== 0) continue;
      if (index++ < from) continue;
      describer.entry(columns, entry);
      this.#addEntry(columns, entry, describer, entry - first);
    }
  }

  /** Adds any log event. */
  addEvent({ name, severity, time, observedTime, body, attributes }: LogEvent): void {
    const set = encodedAttributes(attributes, tags.attribute);
    const bodyBytes = stringLength(body);
    this.#reserve(bodyBytes + stringLength(severity) + stringLength(name) + set.length);
    const out = this.#out;
    const start = this.#length;
    out[start] = tags.logRecord;
    const from = start + 1 + usualRecordLength;
    let at = putTimes(out, from, time[0], time[1], observedTime[0], observedTime[1]);
    out[at++] = tags.severityNumber;
    out[at++] = severityNumbers[severity];
    at = putString(out, at, tags.severityText, severity);
    at = putString(out, at, tags.eventName, name);
    out[at++] = tags.body;
    at = putString(out, putVarint(out, at, bodyBytes), tags.string, body);
    out.set(set, at);
    this.#length = putLength(out, start + 1, usualRecordLength, at + set.length);
  }

  /** Encodes times, severity, name, and the attributes of reporter and window, which are copied into each entry. */
  #prepareRecord(describer: FlowDescriber): void {
    const reporter = fragment(describer.reporterSet);
    const { seconds, nanos, observedSeconds, observedNanos, windowStart, windowEnd } = describer;
    const most = flowHead.length + reporter.length + maxOwnBytes;
    if (this.#recordBuffer.length < most) this.#recordBuffer = new Uint8Array(most);
    const bytes = this.#recordBuffer;
    let at = putTimes(bytes, 0, seconds, nanos, observedSeconds, observedNanos);
    at = putShort(bytes, at, flowHead);
    bytes.set(reporter, at);
    at += reporter.length;
    if (windowStart !== "") at = putAsciiAttribute(bytes, at, tags.attribute, keys.windowStart, windowStart);
    if (windowEnd !== "") at = putAsciiAttribute(bytes, at, tags.attribute, keys.windowEnd, windowEnd);
    this.#recordBytes = bytes.subarray(0, at);
  }

  /** Lengths are written after what they count; for a usual entry, exactly the room that they need was left. */
  #addEntry(columns: FlowColumns, entry: number, describer: FlowDescriber, number: number): void {
    const { classText, sourceSet, destinationSet, sourceText, destinationText, uidPrefix } = describer;
    const record = this.#recordBytes;
    const classBytes = classText.set.protobuf ?? fragment(classText.set);
    const sourceBytes = sourceSet === undefined ? nothing : (sourceSet.protobuf ?? fragment(sourceSet));
    const destinationBytes =
      destinationSet === undefined ? nothing : (destinationSet.protobuf ?? fragment(destinationSet));
    const txBytes = columns.txBytes[entry] as number;
    const rxBytes = columns.rxBytes[entry] as number;
    const sourcePort = sourceSet === undefined ? noPort : (columns.sourcePort[entry] as number);
    const destinationPort = destinationSet === undefined ? noPort : (columns.destinationPort[entry] as number);
    const fragments = record.length + classBytes.length + sourceBytes.length + destinationBytes.length;
    this.#reserve(fragments + sourceText.length + destinationText.length);
    const out = this.#out;
    const start = this.#length;
    out[start] = tags.logRecord;
    let at = start + 1 + usualRecordLength;
    out.set(record, at);
    at += record.length;
    out.set(classBytes, at);
    at += classBytes.length;
    out.set(sourceBytes, at);
    at += sourceBytes.length;
    out.set(destinationBytes, at);
    at += destinationBytes.length;
    at = putIntAttribute(out, at, tags.attribute, keys.txBytes, txBytes);
    at = putIntAttribute(out, at, tags.attribute, keys.rxBytes, rxBytes);
    at = putIntAttribute(out, at, tags.attribute, keys.txPackets, columns.txPackets[entry] as number);
    at = putIntAttribute(out, at, tags.attribute, keys.rxPackets, columns.rxPackets[entry] as number);
    if (sourcePort > 0) at = putIntAttribute(out, at, tags.attribute, keys.sourcePort, sourcePort);
    if (destinationPort > 0) at = putIntAttribute(out, at, tags.attribute, keys.destinationPort, destinationPort);
    if (uidPrefix !== undefined) at = putAsciiAttribute(out, at, tags.attribute, keys.uid, uidPrefix + String(number));

    out[at] = tags.body;
    out[at + 2] = tags.string;
    const text = at + 4;
    at = putShort(out, text, classText.opening);
    at = putShort(out, at, sourceText);
    if (sourcePort !== noPort) at = putDecimal(out, at, sourcePort);
    at = putShort(out, at, arrowText);
    at = putShort(out, at, destinationText);
    if (destinationPort !== noPort) at = putDecimal(out, at, destinationPort);
    at = putShort(out, at, txText);
    at = putDecimal(out, at, txBytes);
    at = putShort(out, at, rxText);
    at = putDecimal(out, at, rxBytes);
    out[at++] = endOfBody;
    at = putLength(out, text - 1, 1, at);
    at = putLength(out, text - 3, 1, at);
    this.#length = putLength(out, start + 1, usualRecordLength, at);
  }

  /** Makes room for a log record of this length. */
  #reserve(length: number): void {
    const needed = this.#length + length + maxOwnBytes;
    if (needed <= this.#out.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#out.length * 2));
    this.#out.copy(grown, 0, 0, this.#length);
    this.#out = grown;
  }
}

const nothing = new Uint8Array(0);
/** The end is absent or a relay, so its body text has no port. A port of 0 is shown only in the body. */
const noPort = -1;

const encoder = new TextEncoder();
const arrowText = encoder.encode(" -> ");
const txText = encoder.encode(" tx=");
const rxText = encoder.encode("B rx=");
const endOfBody = 0x42;

function stringField(tag: number, text: string): Uint8Array {
  const field = Buffer.alloc(stringLength(text));
  putString(field, 0, tag, text);
  return field;
}

/** Severity and event name of flows. */
const flowHead = Uint8Array.from([
  tags.severityNumber,
  severityNumbers.INFO,
  ...stringField(tags.severityText, "INFO"),
  ...stringField(tags.eventName, flowEventName),
]);

/** `KeyValue.key` and the tag of the value, for attributes that are not in sets. */
const keys = {
  txBytes: encodedKey("tailscale.tx.bytes"),
  rxBytes: encodedKey("tailscale.rx.bytes"),
  txPackets: encodedKey("tailscale.tx.packets"),
  rxPackets: encodedKey("tailscale.rx.packets"),
  sourcePort: encodedKey("source.port"),
  destinationPort: encodedKey("destination.port"),
  windowStart: encodedKey("tailscale.flow.window.start"),
  windowEnd: encodedKey("tailscale.flow.window.end"),
  uid: encodedKey("log.record.uid"),
} as const;

function putTimes(
  out: Uint8Array,
  at: number,
  seconds: number,
  nanos: number,
  observedSeconds: number,
  observedNanos: number,
): number {
  out[at] = tags.time;
  const next = putNanos(out, at + 1, seconds, nanos);
  out[next] = tags.observedTime;
  return putNanos(out, next + 1, observedSeconds, observedNanos);
}

/** The set's attributes as fields of a log record, encoded once. */
function fragment(set: AttributeSet): Uint8Array {
  return (set.protobuf ??= encodedAttributes(set.attributes, tags.attribute));
}

/** A field that holds a message. */
function whole(tag: number, message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(1 + varintLength(message.length));
  head[0] = tag;
  putVarint(head, 1, message.length);
  return Buffer.concat([head, message]);
}
