/** The shapes of Tailscale's records, independent of transport and envelope. */
import type { HrTime } from "../lib/clock.ts";

/** Which log a record belongs to. */
export type RecordType = "flow" | "audit" | "webhook";

/** How a record was received. */
export type Source = "stream" | "webhook" | "poll";

export const recordTypes: readonly RecordType[] = ["flow", "audit", "webhook"];

export function isRecordType(type: string): type is RecordType {
  return (recordTypes as readonly string[]).includes(type);
}

/** A JSON object of unknown members, from `JSON.parse`. */
export type JsonObject = { readonly [member: string]: unknown };

/** A record that has been classified by its shape but not decoded. */
export interface RawRecord {
  readonly type: RecordType;
  /** The record itself, parsed. */
  readonly value: JsonObject;
  /** Its stored form: one line `{"time":…,"event":<text as received>,"fields":{"recorded":…}}`, without absent members. */
  readonly line: Uint8Array;
  /** The envelope's `time`, own or inherited. */
  readonly time: HrTime | undefined;
  /** The envelope's `fields.recorded`, own or inherited. */
  readonly recorded: HrTime | undefined;
}

/** Why a value of a request is skipped. */
export type SkipReason = "unclassified" | "unwrap_drop";

/** A value that is not a record of a known type. */
export interface SkippedValue {
  readonly reason: SkipReason;
  /** As received. */
  readonly text: Uint8Array;
}

export interface AuditRecord {
  readonly type: "audit";
  /** `eventTime`, else the envelope's time, else `fields.recorded`. */
  readonly time: HrTime | undefined;
  /** When the log service recorded it: `logged`, else the envelope's `fields.recorded`. */
  readonly recorded: HrTime | undefined;
  /** The API's own `type` member, such as `CONFIG`; the stream does not carry it. */
  readonly logType: string;
  readonly eventGroupId: string;
  readonly origin: string;
  readonly actor: {
    readonly id: string;
    readonly type: string;
    readonly loginName: string;
    readonly displayName: string;
    readonly tags: readonly string[];
  };
  readonly target: {
    readonly id: string;
    readonly name: string;
    readonly type: string;
    readonly property: string;
    readonly isEphemeral: boolean | undefined;
  };
  readonly action: string;
  readonly actionDetails: string;
  readonly error: string;
  /** As received; empty if it is the zero time, which means not deferred. */
  readonly deferredAt: string;
  /** Any JSON; `undefined` if absent. */
  readonly old: unknown;
  readonly new: unknown;
  /** The same values as received, a string without its quotes; empty if absent. */
  readonly oldText: string;
  readonly newText: string;
}

/** One event of a webhook delivery. */
export interface WebhookRecord {
  readonly type: "webhook";
  /** `timestamp`; undefined if it is absent or not a time. */
  readonly time: HrTime | undefined;
  readonly version: number | undefined;
  /** What happened, such as `nodeCreated`; never empty. */
  readonly eventType: string;
  readonly tailnet: string;
  readonly message: string;
  /** Its members depend on the type of event. */
  readonly data: JsonObject;
  /** The whole event, parsed: its identity. */
  readonly event: JsonObject;
}

/** `decode_error`: a member has the wrong type. All others: the content is invalid. */
export type DefectReason =
  | "decode_error"
  | "negative_counters"
  | "oversized_counters"
  | "inverted_window"
  | "invalid_endpoint"
  | "invalid_protocol"
  | "invalid_entry"
  | "measure_failed";

/** Thrown by decoders if a record must be quarantined; the rest of its batch is unaffected. `message` names the member and its value. */
export class Defect extends Error {
  override readonly name = "Defect";
  constructor(
    readonly reason: DefectReason,
    message: string,
  ) {
    super(message);
  }
}
