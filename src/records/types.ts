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
  /** When the log service recorded it: `logged`, else the envelope's `fields.recorded`. */
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
  /** The same as they were received, a text without its quotes; empty where absent. */
  readonly oldText: string;
  readonly newText: string;
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

/** The closed set of reasons. `decode_error`: a member has the wrong type. The others: the record makes no sense. */
export type DefectReason =
  | "decode_error"
  | "negative_counters"
  | "oversized_counters"
  | "inverted_window"
  | "invalid_endpoint"
  | "invalid_protocol"
  | "invalid_entry"
  | "measure_failed";

/** Why one record of a known kind cannot be taken; the rest of its batch can. Thrown by the decoders. `message` names the member and what was found. */
export class Defect extends Error {
  override readonly name = "Defect";
  constructor(
    readonly reason: DefectReason,
    message: string,
  ) {
    super(message);
  }
}
