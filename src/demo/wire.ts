/** The wire format of Tailscale's log streaming and webhooks, as far as the simulated tailnet writes it. */
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

/** Members that are zero or empty are omitted. */
export type WireConnection = Readonly<
  Partial<Record<"src" | "dst", string> & Record<"proto" | "txPkts" | "txBytes" | "rxPkts" | "rxBytes", number>>
>;

export const trafficArrays = ["virtualTraffic", "subnetTraffic", "exitTraffic", "physicalTraffic"] as const;

export interface WireFlow extends Readonly<Partial<Record<(typeof trafficArrays)[number], readonly WireConnection[]>>> {
  readonly nodeId: string;
  readonly start: string;
  readonly end: string;
  readonly srcNode: WireNode;
  readonly dstNodes?: readonly WireNode[];
}

/** Streamed audit records have neither `eventTime` nor `type`; the envelope has their time. */
export interface WireAudit {
  readonly eventGroupID: string;
  readonly origin: string;
  readonly actor: Readonly<Record<"id" | "type" | "loginName" | "displayName", string>>;
  readonly target: Readonly<Record<"id" | "name" | "type", string>> & { readonly property?: string };
  readonly action: string;
  readonly actionDetails?: string;
  readonly old?: unknown;
  readonly new?: unknown;
  readonly error?: string;
}

/** One event of a webhook delivery. */
export interface WireEvent extends Readonly<Record<"timestamp" | "type" | "tailnet" | "message", string>> {
  readonly version: 1;
  readonly data: Readonly<Record<string, string>>;
}

/** One value of a stream body. `time`: seconds since the epoch, with millisecond precision. */
export interface Envelope<Event extends WireFlow | WireAudit = WireFlow | WireAudit> {
  readonly time: number;
  readonly event: Event;
  readonly fields: { readonly recorded: string };
}

/** `times`: epoch milliseconds of the envelope and of the recording, and nanoseconds to add to the latter. */
export function envelope<Event extends WireFlow | WireAudit>(
  event: Event,
  [timeMs, recordedMs, nanoseconds]: readonly [number, number, number],
): Envelope<Event> {
  return { time: Math.floor(timeMs) / 1000, event, fields: { recorded: timeText(recordedMs, nanoseconds) } };
}

/** Formats milliseconds, plus nanoseconds below them, as RFC 3339. */
export function timeText(millis: number, nanoseconds: number): string {
  const seconds = Math.floor(millis / 1000);
  return formatRfc3339([seconds, (Math.floor(millis) - seconds * 1000) * 1_000_000 + nanoseconds]);
}

/** A stream body: the JSON values, concatenated without separators. */
export function bodyOf(values: readonly object[]): string {
  return values.map((value) => JSON.stringify(value)).join("");
}

/** The number of connection entries in a flow record. */
export function entriesOf(flow: WireFlow): number {
  return trafficArrays.reduce((sum, array) => sum + (flow[array]?.length ?? 0), 0);
}
