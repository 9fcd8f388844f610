/**
 * Finds records in envelopes and lists, and defines their stored form: one line
 * `{"time":…,"event":<text as received>,"fields":{"recorded":…}}`, without `time` and `fields` if no envelope had them.
 */
import { type HrTime, representable } from "../lib/clock.ts";
import { formatRfc3339, parseRfc3339 } from "../lib/rfc3339.ts";
import { isObject } from "./members.ts";
import { elementsOf, memberOf, oneLine, ValueBoundary } from "./json.ts";
import type { JsonObject, RawRecord, RecordType, SkippedValue } from "./types.ts";

/** The times that an envelope gives the records in it. */
type EnvelopeTimes = Pick<RawRecord, "time" | "recorded">;

const noTimes: EnvelopeTimes = { time: undefined, recorded: undefined };

/**
 * The records in one top-level value, whose JSON is `text`, and what is not a record. Supported: an envelope, a list,
 * `{"logs":[…]}`, a bare record, and any nesting of these; records inherit the times of the envelopes around them.
 */
export function* unwrap(value: unknown, text: Uint8Array): Generator<RawRecord | SkippedValue> {
  const event = isObject(value) && isPlainEnvelope(value) ? (value["event"] as JsonObject) : {};
  const type = classify(event);
  if (type === "unclassified") yield* descend(value, text, noTimes, 0);
  else yield { type, value: event, line: oneLine(text), ...timesOf(value as JsonObject, noTimes) };
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
export function recordOfLine(line: Uint8Array, type: RecordType): RawRecord {
  const envelope: unknown = JSON.parse(decoder.decode(line));
  if (!isObject(envelope)) throw new SyntaxError("not a stored record");
  const { event } = envelope;
  if (isObject(event)) return { type, value: event, line, ...timesOf(envelope, noTimes) };
  if (classify(envelope) !== type) throw new SyntaxError("not a stored record");
  return { type, value: envelope, line, ...noTimes };
}

/** The record's own text, without its envelope. */
export function eventOf(line: Uint8Array): Uint8Array {
  return memberOf(line, "event") ?? line;
}

/** The stored form of a record's own text. */
export function storedLine(event: Uint8Array, { time, recorded }: EnvelopeTimes = noTimes): Uint8Array {
  const timeMember = time === undefined ? "" : `"time":${time[0]}.${String(time[1] / 1000).padStart(6, "0")},`;
  const fields = recorded === undefined ? "" : `,"fields":{"recorded":"${formatRfc3339(recorded)}"}`;
  return oneLine(Buffer.concat([Buffer.from(`{${timeMember}"event":`), event, Buffer.from(`${fields}}`)]));
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
  const whole = Math.floor(seconds);
  const micros = Math.round((seconds - whole) * 1e6);
  if (whole === 0 && micros === 0) return undefined;
  return representable(micros === 1e6 ? [whole + 1, 0] : [whole, micros * 1000]);
}

/** Maximum number of wrappers around a record. */
const maxWrappers = 4;

const trafficMembers = ["virtualTraffic", "physicalTraffic", "subnetTraffic", "exitTraffic"] as const;

/** An action and any of these make an audit record. */
const auditMembers = ["actor", "eventGroupID", "eventTime", "target", "origin"] as const;

const nothing = new Uint8Array();
const decoder = new TextDecoder();

function* descend(
  value: unknown,
  text: Uint8Array,
  times: EnvelopeTimes,
  wrappers: number,
): Generator<RawRecord | SkippedValue> {
  if (wrappers > maxWrappers) yield { reason: "unwrap_drop", text };
  else if (Array.isArray(value)) {
    const texts = elementsOf(text);
    for (const element of value) yield* descend(element, texts.next().value ?? nothing, times, wrappers + 1);
  } else if (isObject(value) && Object.hasOwn(value, "event")) {
    const { event } = value;
    const eventText = memberOf(text, "event") ?? nothing;
    const inner = timesOf(value, times);
    if (typeof event === "string") yield* descendString(event, eventText, inner, wrappers + 1);
    else yield* descend(event, eventText, inner, wrappers + 1);
  } else if (isObject(value) && Array.isArray(value["logs"]))
    yield* descend(value["logs"], memberOf(text, "logs") ?? nothing, timesOf(value, times), wrappers);
  else {
    const type = isObject(value) ? classify(value) : "unclassified";
    if (type === "unclassified") yield { reason: type, text };
    else yield { type, value: value as JsonObject, line: storedLine(text, times), ...times };
  }
}

/**
 * Some relays send the event as JSON in a string, which is parsed once; any other string is not a record. `valueLimits` apply to
 * it again, because the members inside a string have not been counted yet.
 */
function* descendString(
  event: string,
  text: Uint8Array,
  times: EnvelopeTimes,
  wrappers: number,
): Generator<RawRecord | SkippedValue> {
  const inner = Buffer.from(event.trim());
  const value = /^\s*[[{]/.test(event) ? parsed(inner) : undefined;
  if (value === undefined) yield { reason: "unclassified", text };
  else yield* descend(value, inner, times, wrappers);
}

function parsed(json: Buffer): unknown {
  if (new ValueBoundary().endOf(json, 0, json.length) !== json.length) return undefined;
  try {
    return JSON.parse(json.toString());
  } catch {
    return undefined;
  }
}

/** True for an envelope in Tailscale's own form directly around a record, so that its text can be stored as received. */
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
