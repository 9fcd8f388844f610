/**
 * Describes flow records as log records: attribute sets and pre-encoded texts that the encoder copies, without allocations per
 * entry. Plain events are created only for JSON, the status page and `tail`.
 */
import type { AttributesOfLog } from "../catalogue/logs.ts";
import { hrTimeOfMillis } from "../lib/clock.ts";
import { formatRfc3339 } from "../lib/rfc3339.ts";
import {
  type AttributeSet,
  attributeSet,
  flowEventName,
  type LogAttributes,
  type LogEvent,
} from "../catalogue/log-event.ts";
import type { NodeClaim } from "../records/flow/claims.ts";
import { addressAbsent, type FlowColumns, noTime, timeAt, windowTimeOf } from "../records/flow/columns.ts";
import { Identifier } from "../records/identity.ts";
import { boundedAttributes, boundedText, droppedText, maxBodyBytes, privacyOf } from "./outgoing.ts";
import { classCode, type ClassText, classTextOf } from "./classes.ts";
import { EndBook } from "./ends.ts";
import { consistencyOf } from "./flow-metrics.ts";
import type { FlowLogMode, ProcessorSettings } from "./settings.ts";
import { reporterName } from "./names.ts";
import { hashOf, hashOfText } from "./tables.ts";

type Attributes = AttributesOfLog<typeof flowEventName>;

/** Number of log records for a flow record: one per valid entry, one, or none. */
export function flowLogRecords(columns: FlowColumns, record: number, mode: FlowLogMode): number {
  if (mode === "off" || columns.defects.has(record)) return 0;
  if (mode === "per_record") return 1;
  const { leftOut, firstEntry } = columns;
  const first = firstEntry[record] as number;
  const end = firstEntry[record + 1] as number;
  let records = end - first;
  for (let entry = first; entry < end; entry++) if (leftOut[entry] !== 0) records--;
  return records;
}

/** Size of the class cache and of the reporter cache, a power of two. */
const remembered = 4096;
/** Reporters with a longer node id are not cached. */
const maxReporterText = 512;

const encoder = new TextEncoder();
const unknownText = encoder.encode("?");

export class FlowDescriber {
  readonly mode: FlowLogMode;
  readonly #settings: ProcessorSettings;
  readonly #ends: EndBook;
  readonly #identifier: Identifier | undefined;
  /** Direct-mapped caches by hash. */
  readonly #classes: { readonly code: number; readonly text: ClassText }[] = [];
  #reporters: Reporter[] = [];
  #directory: ProcessorSettings["directory"]["current"];

  // Set by `record`.
  seconds = 0;
  nanos = 0;
  observedSeconds = 0;
  observedNanos = 0;
  /** The reporting node. */
  reporterSet: AttributeSet = attributeSet({});
  /** The window as RFC 3339 (ASCII); empty if absent. */
  windowStart = "";
  windowEnd = "";
  /** `log.record.uid` up to the entry number; undefined if disabled. */
  uidPrefix: string | undefined;

  // Set by `entry`.
  classText: ClassText = { set: attributeSet({}), opening: unknownText, relay: undefined };
  /** Attributes of the endpoints; undefined for an absent endpoint or a relay. */
  sourceSet: AttributeSet | undefined;
  destinationSet: AttributeSet | undefined;
  /** The endpoints in the body: up to the port if there is an attribute set, otherwise complete. */
  sourceText: Uint8Array = unknownText;
  destinationText: Uint8Array = unknownText;

  constructor(settings: ProcessorSettings, ends = new EndBook(settings)) {
    const { recordUid } = settings;
    this.mode = settings.flowLogMode;
    this.#settings = settings;
    this.#ends = ends;
    this.#identifier = recordUid === undefined ? undefined : new Identifier(recordUid.secret, recordUid.tailnet);
    this.#directory = settings.directory.current;
  }

  /** Number of times since the last call that the cache of endpoints was cleared because it was full. */
  takeResets(): number {
    return this.#ends.takeResets();
  }

  /** Number of log records for a record. */
  logRecords(columns: FlowColumns, record: number): number {
    return flowLogRecords(columns, record, this.mode);
  }

  /** Switches to a record. `acceptedAt`: epoch milliseconds, the observed time if the record has no `logged`. */
  record(columns: FlowColumns, record: number, acceptedAt: number): void {
    this.#ends.begin(columns, record);
    this.#setTimes(columns, record, acceptedAt);
    this.reporterSet = this.#reporter(columns, record);
    this.windowStart = timeText(columns.startSeconds, columns.startNanos, record);
    this.windowEnd = timeText(columns.endSeconds, columns.endNanos, record);
    this.uidPrefix = this.#identifier === undefined ? undefined : `${this.#identifier.uid(columns, record)}-`;
  }

  /** Switches to an entry of that record. */
  entry(columns: FlowColumns, entry: number): void {
    const ends = this.#ends;
    const tags = columns.ends[entry] as number;
    const sourceTag = tags & 3;
    const destinationTag = tags >> 2;
    const protocolName = columns.protocolNames.size === 0 ? undefined : columns.protocolNames.get(entry);
    const code = classCode(columns, entry);
    const classText = protocolName === undefined ? this.#classText(code) : classTextOf(code, protocolName);
    this.classText = classText;
    if (sourceTag === addressAbsent) {
      this.sourceSet = undefined;
      this.sourceText = unknownText;
    } else {
      const source = ends.of(sourceTag, columns.source[entry] as number);
      this.sourceSet = source.source ?? ends.sourceSet(source);
      this.sourceText = source.bodyText ?? ends.bodyText(source);
    }
    if (destinationTag === addressAbsent || classText.relay !== undefined) {
      this.destinationSet = undefined;
      this.destinationText = classText.relay ?? unknownText;
      return;
    }
    const destination = ends.of(destinationTag, columns.destination[entry] as number);
    this.destinationText = destination.bodyText ?? ends.bodyText(destination);
    this.destinationSet =
      this.sourceSet === undefined
        ? ends.loneDestinationSet(destination)
        : (destination.destination ?? ends.destinationSet(destination));
  }

  /** Log record number `index` (below `logRecords`) of a record, as a plain event. */
  event(columns: FlowColumns, record: number, index: number, acceptedAt: number): LogEvent {
    return this.events(columns, record, index, index + 1, acceptedAt)[0] as LogEvent;
  }

  /** Log records `from` up to `to` (exclusive) of a record, as plain events. */
  events(columns: FlowColumns, record: number, from: number, to: number, acceptedAt: number): LogEvent[] {
    this.record(columns, record, acceptedAt);
    if (this.mode === "per_record") return from < to ? [this.#recordEvent(columns, record)] : [];
    const events: LogEvent[] = [];
    const end = columns.firstEntry[record + 1] as number;
    let index = 0;
    for (let entry = columns.firstEntry[record] as number; entry < end && index < to; entry++) {
      if (columns.leftOut[entry] !== 0 || index++ < from) continue;
      events.push(this.#entryEvent(columns, record, entry));
    }
    return events;
  }

  #entryEvent(columns: FlowColumns, record: number, entry: number): LogEvent {
    this.entry(columns, entry);
    const tx = columns.txBytes[entry] as number;
    const rx = columns.rxBytes[entry] as number;
    const fromPort = columns.sourcePort[entry] as number;
    const toPort = columns.destinationPort[entry] as number;
    const from = `${decoded(this.sourceText)}${this.sourceSet === undefined ? "" : fromPort}`;
    const to = `${decoded(this.destinationText)}${this.destinationSet === undefined ? "" : toPort}`;
    const attributes: Attributes = {
      ...this.reporterSet.attributes,
      ...this.classText.set.attributes,
      ...this.sourceSet?.attributes,
      ...this.destinationSet?.attributes,
      "tailscale.tx.bytes": tx,
      "tailscale.rx.bytes": rx,
      "tailscale.tx.packets": columns.txPackets[entry] as number,
      "tailscale.rx.packets": columns.rxPackets[entry] as number,
    };
    if (this.sourceSet !== undefined && fromPort !== 0) attributes["source.port"] = fromPort;
    if (this.destinationSet !== undefined && toPort !== 0) attributes["destination.port"] = toPort;
    if (this.uidPrefix !== undefined)
      attributes["log.record.uid"] = this.uidPrefix + String(entry - (columns.firstEntry[record] as number));
    return this.#event(`${decoded(this.classText.opening)}${from} -> ${to} tx=${tx}B rx=${rx}B`, attributes);
  }

  #recordEvent(columns: FlowColumns, record: number): LogEvent {
    const { leftOut, txBytes, rxBytes, txPackets, rxPackets, firstEntry } = columns;
    let [entries, tx, rx, txs, rxs] = [0, 0, 0, 0, 0];
    for (let entry = firstEntry[record] as number; entry < (firstEntry[record + 1] as number); entry++) {
      if (leftOut[entry] !== 0) continue;
      entries++;
      tx += txBytes[entry] as number;
      rx += rxBytes[entry] as number;
      txs += txPackets[entry] as number;
      rxs += rxPackets[entry] as number;
    }
    const own: Attributes = {
      ...this.reporterSet.attributes,
      "tailscale.connections": entries,
      "tailscale.tx.bytes": tx,
      "tailscale.rx.bytes": rx,
      "tailscale.tx.packets": txs,
      "tailscale.rx.packets": rxs,
    };
    if (this.uidPrefix !== undefined) own["log.record.uid"] = `${this.uidPrefix}0`;
    const node = privacyOf(this.#settings.privacy).value("node_ids", columns.nodeId[record] as string);
    const body = `node ${node ?? droppedText}: ${entries} connections tx=${tx}B rx=${rx}B`;
    return this.#event(boundedText(body, maxBodyBytes), own);
  }

  /** Adds the window to `attributes`, which become part of the event. */
  #event(body: string, attributes: Attributes): LogEvent {
    if (this.windowStart !== "") attributes["tailscale.flow.window.start"] = this.windowStart;
    if (this.windowEnd !== "") attributes["tailscale.flow.window.end"] = this.windowEnd;
    return {
      name: flowEventName,
      severity: "INFO",
      time: [this.seconds, this.nanos],
      observedTime: [this.observedSeconds, this.observedNanos],
      body,
      attributes: attributes as LogAttributes,
    };
  }

  /** Observed time: `logged`, else `acceptedAt`. Time: start of the window, else its end, else the observed time. */
  #setTimes(columns: FlowColumns, record: number, acceptedAt: number): void {
    const observed = timeAt(columns.recordedSeconds, columns.recordedNanos, record) ?? hrTimeOfMillis(acceptedAt);
    const time = windowTimeOf(columns, record) ?? observed;
    [this.seconds, this.nanos] = time;
    [this.observedSeconds, this.observedNanos] = observed;
  }

  #reporter(columns: FlowColumns, record: number): AttributeSet {
    if (this.#directory !== this.#settings.directory.current) {
      this.#directory = this.#settings.directory.current;
      this.#reporters = [];
    }
    const nodeId = columns.nodeId[record] as string;
    const claim = columns.sourceNode[record];
    const slot = hashOfText(nodeId) & (remembered - 1);
    const known = this.#reporters[slot];
    if (known?.nodeId === nodeId && known.claim === claim) return known.set;
    const set = attributeSet(this.#reporterAttributes(columns, record));
    if (nodeId.length <= maxReporterText) this.#reporters[slot] = { nodeId, claim, set };
    return set;
  }

  #reporterAttributes(columns: FlowColumns, record: number): LogAttributes {
    const { tailnet, privacy } = this.#settings;
    const attributes: Attributes = { "tailscale.node.id": columns.nodeId[record] as string };
    if (tailnet !== "") attributes["tailscale.tailnet"] = tailnet;
    const hostname = reporterName(columns, record, this.#settings);
    if (hostname !== undefined) attributes["tailscale.node.hostname"] = hostname;
    attributes["tailscale.reporter.consistency"] = consistencyOf(columns, record);
    return boundedAttributes(privacyOf(privacy).attributes(attributes as LogAttributes));
  }

  #classText(code: number): ClassText {
    const slot = hashOf(code, 0) & (remembered - 1);
    const known = this.#classes[slot];
    if (known?.code === code) return known.text;
    const text = classTextOf(code);
    this.#classes[slot] = { code, text };
    return text;
  }
}

/** Cached attributes of a reporting node. */
interface Reporter {
  readonly nodeId: string;
  readonly claim: NodeClaim | undefined;
  readonly set: AttributeSet;
}

function timeText(seconds: Float64Array, nanos: Int32Array, record: number): string {
  if (nanos[record] === noTime) return "";
  return formatRfc3339([seconds[record] as number, nanos[record] as number]);
}

function decoded(text: Uint8Array): string {
  let string = strings.get(text);
  if (string === undefined)
    strings.set(text, (string = Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString()));
  return string;
}

/** Decoded texts of endpoints and classes, which recur: saves 0.75 µs per entry. */
const strings = new WeakMap<Uint8Array, string>();
