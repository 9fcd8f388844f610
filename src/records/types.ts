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
  readonly time?: HrTime;
  /** The envelope's `fields.recorded` (RFC 3339), own or inherited. */
  readonly recorded?: string;
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

/** One end of a connection. */
export interface Endpoint {
  /** Canonical text of the address: RFC 5952 for IPv6, a mapped IPv4 address as IPv4. */
  readonly address: string;
  /** Absent where the wire says port 0: "no port". For a DERP relay, the region. */
  readonly port?: number;
  readonly family: "ipv4" | "ipv6";
}

/** One entry of a traffic array. Counters are those of the reporting node. */
export interface Connection {
  readonly traffic: TrafficType;
  /** IANA protocol number; 0 where the wire has none. */
  readonly protocol: number;
  readonly source?: Endpoint;
  readonly destination?: Endpoint;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly rxPackets: number;
  readonly rxBytes: number;
}

/** What a flow record claims about a node. Only the record's own `nodeId` is verified by Tailscale. */
export interface NodeClaim {
  readonly nodeId: string;
  readonly name: string;
  readonly addresses: readonly string[];
  readonly os?: string;
  readonly user?: string;
  /** Trimmed, unique, sorted. */
  readonly tags: readonly string[];
}

export interface FlowRecord {
  readonly type: "flow";
  readonly nodeId: string;
  readonly start?: HrTime;
  readonly end?: HrTime;
  /** Window bounds as received. */
  readonly startText?: string;
  readonly endText?: string;
  readonly logged?: HrTime;
  /** When the log service took it: `logged`, else `fields.recorded`. */
  readonly recorded?: HrTime;
  readonly sourceNode?: NodeClaim;
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
  readonly isEphemeral?: boolean;
}

export interface AuditRecord {
  readonly type: "audit";
  /** `eventTime`, else the envelope's time, else `fields.recorded`. */
  readonly time?: HrTime;
  /** `fields.recorded`. */
  readonly recorded?: HrTime;
  /** The API's own `type` member, such as `CONFIG`; the stream does not carry it. */
  readonly logType: string;
  readonly eventGroupId: string;
  readonly origin: string;
  readonly actor: AuditActor;
  readonly target: AuditTarget;
  readonly action: string;
  readonly actionDetails: string;
  readonly error: string;
  /** Absent where the record says the zero time: not deferred. */
  readonly deferredAt?: string;
  /** Any JSON; `undefined` where absent. */
  readonly old?: unknown;
  readonly new?: unknown;
}

/** Every decoded record. */
export type TailscaleRecord = FlowRecord | AuditRecord;
