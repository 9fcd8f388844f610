/** The wire format of Tailscale's log streaming and webhooks, as far as the simulated tailnet writes it. */
import type { HrTime } from "../lib/clock.ts";
import { formatRfc3339 } from "../lib/rfc3339.ts";

/** A node as flow records describe it: tagged nodes have tags, all others a user. */
export interface WireNode {
  readonly nodeId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user?: string;
  readonly tags?: readonly string[];
}

/** One entry of a traffic array. Zero and empty members are left out. */
export interface WireConnection {
  readonly proto?: number;
  readonly src?: string;
  readonly dst?: string;
  readonly txPkts?: number;
  readonly txBytes?: number;
  readonly rxPkts?: number;
  readonly rxBytes?: number;
}

export interface WireFlow {
  readonly nodeId: string;
  readonly start: string;
  readonly end: string;
  readonly srcNode: WireNode;
  readonly dstNodes?: readonly WireNode[];
  readonly virtualTraffic?: readonly WireConnection[];
  readonly subnetTraffic?: readonly WireConnection[];
  readonly exitTraffic?: readonly WireConnection[];
  readonly physicalTraffic?: readonly WireConnection[];
}

export interface WireActor {
  readonly id: string;
  readonly type: string;
  readonly loginName: string;
  readonly displayName: string;
  readonly tags?: readonly string[];
}

export interface WireTarget {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly property?: string;
  readonly isEphemeral?: boolean;
}

/** Streamed audit records have neither `eventTime` nor `type`; their time is the envelope's. */
export interface WireAudit {
  readonly eventGroupID: string;
  readonly origin: string;
  readonly actor: WireActor;
  readonly target: WireTarget;
  readonly action: string;
  readonly actionDetails?: string;
  readonly old?: unknown;
  readonly new?: unknown;
  readonly error?: string;
}

/** One event of a webhook delivery. */
export interface WireEvent {
  readonly timestamp: string;
  readonly version: 1;
  readonly type: string;
  readonly tailnet: string;
  readonly message: string;
  readonly data: Readonly<Record<string, string>>;
}

/** One value of a stream body. */
export interface Envelope<Event extends WireFlow | WireAudit = WireFlow | WireAudit> {
  /** Seconds since the epoch, to the millisecond. */
  readonly time: number;
  readonly event: Event;
  readonly fields: { readonly recorded: string };
}

/** The counters of one end of a flow, as the other end sees them. */
export interface Counters {
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

export function mirrored(counters: Counters): Counters {
  return {
    txPackets: counters.rxPackets,
    txBytes: counters.rxBytes,
    rxPackets: counters.txPackets,
    rxBytes: counters.txBytes,
  };
}

/** An entry without its zero and empty members. A `proto` of 0 means that there is none. */
export function connection(proto: number, src: string, dst: string, counters: Counters): WireConnection {
  return {
    ...(proto !== 0 && { proto }),
    ...(src !== "" && { src }),
    ...(dst !== "" && { dst }),
    ...(counters.txPackets !== 0 && { txPkts: counters.txPackets }),
    ...(counters.txBytes !== 0 && { txBytes: counters.txBytes }),
    ...(counters.rxPackets !== 0 && { rxPkts: counters.rxPackets }),
    ...(counters.rxBytes !== 0 && { rxBytes: counters.rxBytes }),
  };
}

/** Puts a record into its envelope; `recordedMs` and `timeMs` are epoch milliseconds. */
export function envelope<Event extends WireFlow | WireAudit>(
  event: Event,
  timeMs: number,
  recordedMs: number,
  recordedNanoseconds: number,
): Envelope<Event> {
  return {
    time: Math.floor(timeMs) / 1000,
    event,
    fields: { recorded: timeText(recordedMs, recordedNanoseconds) },
  };
}

/** RFC 3339 with nanoseconds: whole milliseconds, and the nanoseconds below them. */
export function timeText(millis: number, nanoseconds: number): string {
  const whole = Math.floor(millis);
  const seconds = Math.floor(whole / 1000);
  const time: HrTime = [seconds, (whole - seconds * 1000) * 1_000_000 + nanoseconds];
  return formatRfc3339(time);
}

/** A stream body: the envelopes one directly after the other, with nothing between them. */
export function bodyOf(envelopes: readonly Envelope[]): string {
  return envelopes.map((value) => JSON.stringify(value)).join("");
}

/** Connection entries in one flow record. */
export function entriesOf(flow: WireFlow): number {
  return (
    (flow.virtualTraffic?.length ?? 0) +
    (flow.subnetTraffic?.length ?? 0) +
    (flow.exitTraffic?.length ?? 0) +
    (flow.physicalTraffic?.length ?? 0)
  );
}
