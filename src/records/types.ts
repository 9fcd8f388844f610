/** What Tailscale's records are once transport and envelope are gone: the shapes that everything downstream reads. */
import type { HrTime } from "../lib/clock.ts";

/** Which log a record belongs to. */
export type RecordType = "flow" | "audit" | "webhook";

/** Which way a record came in. */
export type Source = "stream" | "webhook" | "poll";

export const recordTypes: readonly RecordType[] = ["flow", "audit", "webhook"];

/** A JSON object of unknown members, as `JSON.parse` gives it. */
export type JsonObject = { readonly [member: string]: unknown };

/** A record that has been told apart by its shape, and not yet looked into. */
export interface RawRecord {
  readonly type: RecordType;
  /** The record itself, parsed. */
  readonly value: JsonObject;
  /** Its stored form: one line `{"time":…,"event":<text as received>,"fields":{"recorded":…}}`, absent members left out. */
  readonly line: string;
  /** The envelope's `time`, own or inherited. */
  readonly time: HrTime | undefined;
  /** The envelope's `fields.recorded`, own or inherited. */
  readonly recorded: HrTime | undefined;
}

/** Why a value of a request is passed over without being a record. */
export type SkipReason = "unclassified" | "unwrap_drop";

/** A value that is no record of a known kind. */
export interface SkippedValue {
  readonly reason: SkipReason;
  readonly text: string;
}

/** The traffic classes of a flow record, in the order of the wire format. */
export type TrafficType = "virtual" | "subnet" | "exit" | "physical";

/** An IP address; the same object for the same text while it is remembered. */
export interface Address {
  /** Canonical text: RFC 5952 for IPv6, a mapped IPv4 address as IPv4. */
  readonly text: string;
  readonly family: "ipv4" | "ipv6";
  /** From the ranges that Tailscale gives to nodes: 100.64.0.0/10 and fd7a:115c:a1e0::/48. */
  readonly isOverlay: boolean;
}

/** One end of a connection. */
export interface Endpoint {
  readonly address: Address;
  /** 0: no port. Behind a DERP relay's address, the region. */
  readonly port: number;
  /** Canonical text: `a.b.c.d:port` or `[v6]:port`. */
  readonly text: string;
}

/** One entry of a traffic array. Counters are those of the reporting node. */
export interface Connection {
  readonly traffic: TrafficType;
  /** IANA protocol number; 0 where the wire has none. */
  readonly protocol: number;
  readonly source: Endpoint | undefined;
  readonly destination: Endpoint | undefined;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

/** What a flow record claims about a node. Only the record's own `nodeId` is verified by Tailscale. */
export interface NodeClaim {
  readonly nodeId: string;
  /** The first DNS label of its name, which is what people call it; may be empty. */
  readonly label: string;
  /** Canonical text. */
  readonly addresses: readonly string[];
  readonly os: string;
  readonly user: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

export interface FlowRecord {
  readonly type: "flow";
  readonly nodeId: string;
  /** The window, about 5 s. */
  readonly start: HrTime | undefined;
  readonly end: HrTime | undefined;
  /** When the log service took it: `logged`, else the envelope's `fields.recorded`. */
  readonly recorded: HrTime | undefined;
  readonly sourceNode: NodeClaim | undefined;
  readonly destinationNodes: readonly NodeClaim[];
  readonly connections: readonly Connection[];
}

export interface AuditActor {
  readonly id: string;
  readonly type: string;
  readonly loginName: string;
  readonly displayName: string;
  readonly tags: readonly string[];
}

export interface AuditTarget {
  readonly id: string;
  readonly name: string;
  readonly type: string;
  readonly property: string;
  readonly isEphemeral: boolean | undefined;
}

export interface AuditRecord {
  readonly type: "audit";
  /** `eventTime`, else the envelope's time, else `fields.recorded`. */
  readonly time: HrTime | undefined;
  /** The envelope's `fields.recorded`. */
  readonly recorded: HrTime | undefined;
  /** The API's own `type` member, such as `CONFIG`; the stream does not carry it. */
  readonly logType: string;
  readonly eventGroupId: string;
  readonly origin: string;
  readonly actor: AuditActor;
  readonly target: AuditTarget;
  readonly action: string;
  readonly actionDetails: string;
  readonly error: string;
  /** As received; empty where the record says the zero time: not deferred. */
  readonly deferredAt: string;
  /** Any JSON; `undefined` where absent. */
  readonly old: unknown;
  readonly new: unknown;
}

/** One event of a webhook delivery. */
export interface WebhookRecord {
  readonly type: "webhook";
  /** `timestamp`; nothing where it is absent or no time. */
  readonly time: HrTime | undefined;
  readonly version: number | undefined;
  /** What happened, such as `nodeCreated`; never empty. */
  readonly eventType: string;
  readonly tailnet: string;
  readonly message: string;
  /** Any members, by type of event. */
  readonly data: JsonObject;
  /** All of the event, parsed: what it is known by. */
  readonly event: JsonObject;
}

/** Every decoded record. */
export type TailscaleRecord = FlowRecord | AuditRecord | WebhookRecord;
