/**
 * Unwraps records from envelopes and lists, and defines their stored form: one line
 * `{"time":…,"event":<text as received>,"fields":{"recorded":…}}`, without `time` and `fields` if no envelope had them.
 */
import { Refusal } from "../errors.ts";
import type { HrTime } from "../lib/clock.ts";
import { formatRfc3339, parseRfc3339 } from "../lib/rfc3339.ts";
import { isObject } from "./members.ts";
import type { JsonObject, RawRecord, RecordType, SkippedValue } from "./types.ts";
import { elementTexts, memberText, oneLine, ValueBoundary } from "./json.ts";

/** The records in one top-level value. */
export interface Unwrapped {
  readonly records: RawRecord[];
  readonly skipped: SkippedValue[];
}

/** The times that an envelope gives the records in it. */
export interface EnvelopeTimes {
  readonly time: HrTime | undefined;
  readonly recorded: HrTime | undefined;
}

const noTimes: EnvelopeTimes = { time: undefined, recorded: undefined };

/** Maximum number of records in one request. Checked before their texts are copied, since an empty element costs three bytes. */
export const maxRecords = 500_000;

/** The error message for more. */
export const tooManyRecords = `More than ${maxRecords} records in one request (no setting changes this limit)`;

/**
 * Adds the records in one top-level value, whose JSON is `text`, to `into`. Supported: an envelope, a list, `{"logs":[…]}`, a
 * bare record, and any nesting of these; records inherit the times of the envelopes around them.
 * @throws {Refusal} `too_large` for a list of more than `maxRecords`.
 */
export function unwrap(value: unknown, text: string, into: Unwrapped): void {
  if (isObject(value) && isPlainEnvelope(value)) {
    const event = value["event"] as JsonObject;
    const type = classify(event);
    if (type !== "unclassified") {
      into.records.push({ type, value: event, line: oneLine(text), ...timesOf(value, noTimes) });
      return;
    }
  }
  descend(value, text, noTimes, 0, into);
}

/** The type of a record from the stream or the API by its shape, since nothing on the wire names the log. */
export function classify(value: JsonObject): "flow" | "audit" | "unclassified" {
  if (typeof value["nodeId"] === "string" && value["nodeId"] !== "" && hasAny(value, trafficMembers)) return "flow";
  const { action } = value;
  if (typeof action === "string" && action !== "" && hasAny(value, auditMembers)) return "audit";
  return "unclassified";
}

/**
 * A record from its stored line; a record that the scanner accepted without an envelope is stored as it is.
 * @throws {SyntaxError} if the line is not a stored record.
 */
export function recordOfLine(line: string, type: RecordType): RawRecord {
  const envelope: unknown = JSON.parse(line);
  if (!isObject(envelope)) throw new SyntaxError("not a stored record");
  const { event } = envelope;
  if (isObject(event)) return { type, value: event, line, ...timesOf(envelope, noTimes) };
  if (classify(envelope) !== type) throw new SyntaxError("not a stored record");
  return { type, value: envelope, line, ...noTimes };
}

/** The record's own text, without its envelope. */
export function eventText(line: string): string {
  return memberText(line, "event") ?? line;
}

/**
 * An envelope's time, to the microsecond: a number, quoted or not, in seconds, milliseconds, microseconds or nanoseconds
 * by magnitude. Undefined if it is absent, not positive, not finite or beyond the range of int64 nanoseconds.
 */
export function envelopeTime(time: unknown): HrTime | undefined {
  const number =
    typeof time === "number" ? time : typeof time === "string" && time.trim() !== "" ? Number(time) : Number.NaN;
  if (!Number.isFinite(number) || number <= 0) return undefined;
  const seconds = number < 1e11 ? number : number < 1e14 ? number / 1e3 : number < 1e17 ? number / 1e6 : number / 1e9;
  if (seconds > maxSeconds) return undefined;
  const whole = Math.floor(seconds);
  const micros = Math.round((seconds - whole) * 1e6);
  if (whole === 0 && micros === 0) return undefined;
  return micros === 1e6 ? [whole + 1, 0] : [whole, micros * 1000];
}

/** Maximum number of wrappers around a record. */
const maxWrappers = 4;

/** The end of the range of int64 nanoseconds, in seconds. */
const maxSeconds = 9_223_372_036;

const trafficMembers = ["virtualTraffic", "physicalTraffic", "subnetTraffic", "exitTraffic"] as const;

/** An action and any of these make an audit record. */
const auditMembers = ["actor", "eventGroupID", "eventTime", "target", "origin"] as const;

function descend(value: unknown, text: string, times: EnvelopeTimes, wrappers: number, into: Unwrapped): void {
  if (wrappers > maxWrappers) {
    into.skipped.push({ reason: "unwrap_drop", text });
    return;
  }
  if (Array.isArray(value)) {
    if (into.records.length + into.skipped.length + value.length > maxRecords)
      throw new Refusal("too_large", tooManyRecords);
    const texts = elementTexts(text);
    value.forEach((element, index) => descend(element, texts[index] ?? "", times, wrappers + 1, into));
    return;
  }
  if (!isObject(value)) {
    into.skipped.push({ reason: "unclassified", text });
    return;
  }
  if (Object.hasOwn(value, "event")) {
    const event = value["event"];
    const inner = timesOf(value, times);
    if (typeof event === "string") descendText(event, memberText(text, "event") ?? "", inner, wrappers + 1, into);
    else descend(event, memberText(text, "event") ?? "", inner, wrappers + 1, into);
    return;
  }
  if (Array.isArray(value["logs"])) {
    descend(value["logs"], memberText(text, "logs") ?? "", timesOf(value, times), wrappers, into);
    return;
  }
  const type = classify(value);
  if (type === "unclassified") into.skipped.push({ reason: "unclassified", text });
  else into.records.push({ type, value, line: storedLine(text, times), ...times });
}

/**
 * Some relays send the event as JSON in a string, which is parsed once; any other string is not a record. `valueLimits` apply
 * to it anew, since the members inside a string have not been counted yet.
 */
function descendText(event: string, text: string, times: EnvelopeTimes, wrappers: number, into: Unwrapped): void {
  const inner = event.trim();
  const value = inner.startsWith("{") || inner.startsWith("[") ? parsed(inner) : undefined;
  if (value === undefined) into.skipped.push({ reason: "unclassified", text });
  else descend(value, inner, times, wrappers, into);
}

function parsed(text: string): unknown {
  const bytes = Buffer.from(text);
  if (new ValueBoundary().endOf(bytes, 0, bytes.length) !== bytes.length) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The stored form of a record's own text. */
function storedLine(event: string, { time, recorded }: EnvelopeTimes): string {
  const timeMember = time === undefined ? "" : `"time":${time[0]}.${String(time[1] / 1000).padStart(6, "0")},`;
  const fields = recorded === undefined ? "" : `,"fields":{"recorded":"${formatRfc3339(recorded)}"}`;
  return oneLine(`{${timeMember}"event":${event}${fields}}`);
}

/** Whether it is an envelope as Tailscale sends it, directly around a record: its text can be stored as received. */
function isPlainEnvelope(value: JsonObject): boolean {
  if (!isObject(value["event"])) return false;
  // Not `for in`, which takes 150 ms for 50,000 members.
  if (Object.keys(value).some((member) => member !== "event" && member !== "time" && member !== "fields")) return false;
  return !Object.hasOwn(value["event"], "event") && !Array.isArray(value["event"]["logs"]);
}

function timesOf(envelope: JsonObject, inherited: EnvelopeTimes): EnvelopeTimes {
  const { fields } = envelope;
  const recorded =
    isObject(fields) && typeof fields["recorded"] === "string" ? parseRfc3339(fields["recorded"]) : undefined;
  return { time: envelopeTime(envelope["time"]) ?? inherited.time, recorded: recorded ?? inherited.recorded };
}

function hasAny(value: JsonObject, members: readonly string[]): boolean {
  return members.some((member) => value[member] !== undefined && value[member] !== null);
}
