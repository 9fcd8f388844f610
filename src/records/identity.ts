/**
 * The identity of a record: 64 bits by which it is known again, whichever way and however often it comes. A keyed digest,
 * or a node could forge a record that collides with another's.
 */
import { hash } from "node:crypto";
import type { HrTime } from "../lib/clock.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { canonicalJson } from "./canonical-json.ts";
import type { Fact } from "./fact.ts";
import type { AuditRecord, Connection, FlowRecord, TailscaleRecord } from "./types.ts";

/**
 * `high` and the upper 8 bits of `low` say the flow's window (tailnet, node, start, end), the lower 24 bits of `low` its
 * entries, so that "same window, other entries" is seen without a second key. `check` says the counters.
 * For other records `high` and `low` are one digest and `check` is 0. All are unsigned 32-bit integers.
 */
export interface SeenKey {
  readonly high: number;
  readonly low: number;
  readonly check: number;
  /** From when on it grows old, epoch milliseconds: never before its receipt, nor before the log service's time. */
  readonly at: number;
}

/** What identities are keyed with: kept in the journal, so that they stay the same for its whole life. */
export interface IdentityKey {
  /** Hexadecimal, at least 128 bits. */
  readonly secret: string;
  /** The tailnet's number in the journal; naming the tailnet later changes no identity. */
  readonly tailnet: number;
}

/** The identity of a decoded record, which grows old from `at` on (epoch milliseconds). */
export function identify(record: TailscaleRecord, key: IdentityKey, at: number): SeenKey {
  switch (record.type) {
    case "flow":
      return flowKey(record, key, at);
    case "audit":
      return auditKey(record, key, at);
    case "webhook":
      return keyOf(digestOf(key, "webhook", canonicalJson(record.event)), at);
  }
}

/** The identity of a fact. Its `low` counts milliseconds from a place of its own, so that near times are near keys. */
export function identifyFact({ kind, name, time }: Fact, key: IdentityKey, at: number): SeenKey {
  const { high, low } = keyOf(digestOf(key, "fact", `${kind}\n${name}`), at);
  return { high, low: (low + Math.floor(millisOfHrTime(time))) >>> 0, check: 0, at };
}

/** The identity of a text that was set aside, so that it is not set aside twice. */
export function identifyText(text: string, key: IdentityKey, at: number): SeenKey {
  return keyOf(digestOf(key, "text", text), at);
}

function flowKey(record: FlowRecord, key: IdentityKey, at: number): SeenKey {
  const { connections } = record;
  const entries: string[] = [];
  for (const connection of connections) entries.push(entryText(connection));
  const order = entries.length > 1 ? sortedOrder(entries) : entries.keys();
  let text = "";
  let previous: string | undefined;
  let position = 0;
  let check = 0;
  for (const index of order) {
    const entry = entries[index] as string;
    if (entry !== previous) {
      text += entry;
      position++;
      previous = entry;
    }
    check = (check + counterMix(connections[index] as Connection, position)) >>> 0;
  }
  const window = digestOf(key, "flow", `${record.nodeId}\n${instant(record.start)}\n${instant(record.end)}`);
  const set = digestOf(key, "entries", text);
  return {
    high: window.readUInt32LE(0),
    low: (((window[4] as number) << 24) | set.readUIntLE(0, 3)) >>> 0,
    check,
    at,
  };
}

/** The time is no part of it, since stream and API differ in precision; without a group it is, to the millisecond. */
function auditKey(record: AuditRecord, key: IdentityKey, at: number): SeenKey {
  const { actor, target } = record;
  const time = record.eventGroupId === "" && record.time !== undefined ? Math.floor(millisOfHrTime(record.time)) : "";
  const text = JSON.stringify([
    record.eventGroupId,
    time,
    record.action,
    actor.id,
    target.type,
    target.id,
    target.property,
    canonicalJson(record.old),
    canonicalJson(record.new),
  ]);
  return keyOf(digestOf(key, "audit", text), at);
}

function keyOf(digest: Buffer, at: number): SeenKey {
  return { high: digest.readUInt32LE(0), low: digest.readUInt32LE(4), check: 0, at };
}

/** Inserting costs the square of it. */
const maxInserted = 32;

function digestOf(key: IdentityKey, purpose: string, text: string): Buffer {
  return hash("sha256", `${key.secret}\n${purpose}\n${key.tailnet}\n${text}`, "buffer");
}

function entryText({ traffic, protocol, source, destination }: Connection): string {
  return `${traffic} ${protocol} ${source?.text ?? "-"} ${destination?.text ?? "-"}\n`;
}

function instant(time: HrTime | undefined): string {
  return time === undefined ? "-" : `${time[0]}.${time[1]}`;
}

/** Places of the texts in their order. Most records have some ten entries, for which inserting is twice as fast as `sort`. */
function sortedOrder(texts: readonly string[]): number[] {
  const order: number[] = [];
  if (texts.length > maxInserted) {
    for (let place = 0; place < texts.length; place++) order.push(place);
    return order.sort((a, b) => ((texts[a] as string) < (texts[b] as string) ? -1 : texts[a] === texts[b] ? 0 : 1));
  }
  for (let place = 0; place < texts.length; place++) {
    const text = texts[place] as string;
    let at = place;
    for (; at > 0 && (texts[order[at - 1] as number] as string) > text; at--) order[at] = order[at - 1] as number;
    order[at] = place;
  }
  return order;
}

/** Mixes one entry's counters with its place in the sorted set; entries with one identity add up in any order. */
function counterMix(connection: Connection, position: number): number {
  let mixed = Math.imul(position, 0x9e3779b1);
  mixed = mix(mixed, connection.txPackets);
  mixed = mix(mixed, connection.txBytes);
  mixed = mix(mixed, connection.rxPackets);
  return mix(mixed, connection.rxBytes);
}

function mix(state: number, counter: number): number {
  let mixed = Math.imul(state ^ (counter >>> 0), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13) ^ Math.floor(counter / 0x1_0000_0000), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
