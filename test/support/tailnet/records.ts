/** The two logs of the stand-in: each record as a poll returns it, and as a stream delivers it. */
import type { Clock } from "../../../src/lib/clock.ts";
import { formatRfc3339, parseRfc3339 } from "../../../src/lib/rfc3339.ts";
import type { JsonObject } from "../../../src/records/types.ts";
import type { LogName } from "../../../src/tailscale/index.ts";
import { type ApiAnswer, ApiRefusal, type ApiRequest, onlyQuery } from "./answer.ts";

/** One record of a log. */
export interface TailnetRecord {
  readonly log: LogName;
  /** When the log service received it, RFC 3339. */
  readonly logged: string;
  /** As `GET …/logging/…` returns it: with `logged` on flows, `eventTime` and `type` on audits. */
  readonly polled: JsonObject;
  /** The envelope that streaming sends, without any of those three members. */
  readonly streamed: JsonObject;
}

export interface Records {
  readonly all: readonly TailnetRecord[];
  add(log: LogName, value: JsonObject, loggedAt?: string): TailnetRecord;
  /** Serves a log's windows from record texts instead, so that huge responses need not be held in memory. */
  serve(log: LogName, source: ((startSeconds: number, endSeconds: number) => Iterable<string>) | undefined): void;
  /** `GET /api/v2/tailnet/{t}/logging/{log}`. */
  read(log: LogName, request: ApiRequest): ApiAnswer;
}

/** Retention of each log. */
const retentionDays: Record<LogName, number> = { network: 30, configuration: 90 };

export function createRecords(clock: Clock): Records {
  const all: TailnetRecord[] = [];
  /** For each record: its second for window comparison, and its text in a poll. */
  const kept: { readonly log: LogName; readonly second: number; readonly text: string }[] = [];
  const sources: Partial<Record<LogName, (startSeconds: number, endSeconds: number) => Iterable<string>>> = {};

  function* textsIn(log: LogName, start: number, end: number): Generator<string> {
    const now = clock() / 1000;
    const oldest = now - retentionDays[log] * 86_400;
    for (const record of kept) {
      const { second } = record;
      if (record.log !== log || second < start || second > end || second < oldest || second > now) continue;
      yield record.text;
    }
  }

  return {
    all,
    add(log, value, loggedAt) {
      const record = recordOf(log, value, loggedAt ?? formatRfc3339([Math.floor(clock() / 1000), 0]));
      all.push(record);
      kept.push({ log, second: secondsOf(record.logged), text: JSON.stringify(record.polled) });
      return record;
    },
    serve(log, source) {
      if (source === undefined) delete sources[log];
      else sources[log] = source;
    },
    read(log, request) {
      onlyQuery(request, ["start", "end"]);
      const start = timeIn(request, "start");
      const end = timeIn(request, "end");
      if (end < start) throw new ApiRefusal(400, "end must not be before start");
      const texts = sources[log]?.(start, end) ?? textsIn(log, start, end);
      return { status: 200, headers: { "content-type": "application/json" }, body: answerOf(log, texts) };
    },
  };
}

/** The configuration log has two more members, and `null` if it has no records. */
function* answerOf(log: LogName, texts: Iterable<string>): Generator<string> {
  yield log === "network" ? '{"logs":' : '{"version":"1.1","tailnetId":"T1CNTRL","logs":';
  let count = 0;
  for (const text of texts) yield (count++ === 0 ? "[" : ",") + text;
  const empty = log === "network" ? "[]" : "null";
  yield `${count === 0 ? empty : "]"}}\n`;
}

/**
 * Both forms of a record. A flow's `logged` defaults to `loggedAt`. An audit record's time is its `eventTime`, and it is logged
 * at `loggedAt`, by default at the same time.
 */
function recordOf(log: LogName, value: JsonObject, loggedAt: string): TailnetRecord {
  if (log === "network") {
    const { logged: own, ...flow } = value;
    const logged = typeof own === "string" ? own : loggedAt;
    const streamed = { time: millisecondsOf(logged), event: flow, fields: { recorded: logged } };
    return { log, logged, polled: { logged, ...flow }, streamed };
  }
  const { eventTime: own, type = "CONFIG", ...event } = value;
  const eventTime = typeof own === "string" ? own : loggedAt;
  const streamed = { time: millisecondsOf(eventTime), event, fields: { recorded: loggedAt } };
  return { log, logged: loggedAt, polled: { eventTime, type, ...event }, streamed };
}

/** Whole seconds, as the API compares them. */
function secondsOf(text: string): number {
  const [seconds] = parseRfc3339(text) ?? [];
  if (seconds === undefined) throw new Error(`not a time: ${text}`);
  return seconds;
}

/** Seconds with millisecond precision, as in an envelope's `time`. */
function millisecondsOf(text: string): number {
  const [seconds, nanoseconds] = parseRfc3339(text) ?? [Number.NaN, 0];
  return (seconds * 1000 + Math.floor(nanoseconds / 1e6)) / 1000;
}

function timeIn({ query }: ApiRequest, name: string): number {
  const text = query.get(name);
  if (text === null) throw new ApiRefusal(400, `the query parameter ${name} is required`);
  const [seconds] = parseRfc3339(text) ?? [];
  if (seconds === undefined) throw new ApiRefusal(400, `${name} is no RFC 3339 time`);
  return seconds;
}
