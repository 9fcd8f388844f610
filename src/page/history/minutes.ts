/** Past minutes as columns of a chart: zero where nothing was received, a gap where that is unknown. */
import type { Traffic } from "../../admin/traffic/index.ts";
import { type Kind, kinds } from "../kinds.ts";
import { sumNames, type Sums } from "../samples.ts";
import type { TimeSpan } from "./span.ts";

export interface History {
  /** Epoch seconds, the middle of each step. */
  readonly at: readonly number[];
  readonly stepSeconds: number;
  /** Per second; `null` in a gap. */
  readonly series: Readonly<Record<Kind, { readonly [Name in keyof Sums]: readonly (number | null)[] }>>;
  /** True if there is a gap after the first minute with data. */
  readonly hasGap: boolean;
  /** The first minute with data, epoch milliseconds. */
  readonly first: number | undefined;
}

const minuteMs = 60_000;

/** Up to this many minutes without a record may be a quiet tailnet; more of them suggest that the program was not running. */
const quietMinutes = 5;

/** No screen can show more points. */
const maxPoints = 1500;

/**
 * `startedAt`: when the program started, epoch milliseconds. It has been running since, so later minutes without records are
 * quiet ones; earlier ones are unknown.
 */
export function historyOf(traffic: Traffic, { since, until }: TimeSpan, startedAt: number): History {
  const begin = Math.floor(since / minuteMs);
  const minutes = Math.max(1, Math.ceil(until / minuteMs) - begin);
  const places = new Map(traffic.at.map((at, place) => [at / minuteMs - begin, place]));
  const known = knownMinutes(places, minutes, startedAt / minuteMs - begin);
  const step = Math.max(1, Math.ceil(minutes / maxPoints));
  const starts = Array.from({ length: Math.ceil(minutes / step) }, (_, index) => index * step);
  const column = (kind: Kind, name: keyof Sums): (number | null)[] =>
    starts.map((from) => {
      const end = Math.min(from + step, minutes);
      let [sum, isKnown] = [0, false];
      for (let minute = from; minute < end; minute++) {
        const place = places.get(minute);
        if (place !== undefined) sum += traffic.series[kind][name][place] ?? 0;
        isKnown ||= known[minute] === 1;
      }
      // The last minute is not over yet.
      const seconds = Math.max(1, Math.min(end * 60, until / 1000 - begin * 60) - from * 60);
      return isKnown ? sum / seconds : null;
    });
  const series = kinds.map((kind) => [kind, Object.fromEntries(sumNames.map((name) => [name, column(kind, name)]))]);
  const first = traffic.at[0];
  const firstMinute = first === undefined ? minutes : first / minuteMs - begin;
  return {
    at: starts.map((from) => begin * 60 + (from + Math.min(from + step, minutes)) * 30),
    stepSeconds: step * 60,
    series: Object.fromEntries(series) as History["series"],
    hasGap: known.subarray(Math.max(0, firstMinute)).includes(0),
    first,
  };
}

function knownMinutes(places: ReadonlyMap<number, number>, minutes: number, started: number): Uint8Array {
  const known = new Uint8Array(minutes);
  let last = Number.NEGATIVE_INFINITY;
  for (let minute = 0; minute < minutes; minute++) {
    if (minute >= started) known[minute] = 1;
    if (!places.has(minute)) continue;
    if (minute - last - 1 < quietMinutes) known.fill(1, Math.max(0, last + 1), minute);
    known[minute] = 1;
    last = minute;
  }
  return known;
}

/** Audit and webhook events in a part of the range. */
export interface EventMark extends TimeSpan {
  readonly audit: number;
  readonly webhook: number;
}

/** Sums events over equal parts of whole minutes, about `most` in the range; parts without events are omitted. */
export function marksOf(
  { at, audit, webhook }: Pick<Traffic, "at" | "audit" | "webhook">,
  span: TimeSpan,
  most: number,
): readonly EventMark[] {
  const partMs = Math.max(1, Math.ceil((span.until - span.since) / most / minuteMs)) * minuteMs;
  const marks = new Map<number, EventMark>();
  at.forEach((minute, place) => {
    const since = Math.floor(minute / partMs) * partMs;
    const old = marks.get(since) ?? { since, until: since + partMs, audit: 0, webhook: 0 };
    const sum = { audit: old.audit + (audit[place] ?? 0), webhook: old.webhook + (webhook[place] ?? 0) };
    if (sum.audit + sum.webhook > 0) marks.set(since, { ...old, ...sum });
  });
  return [...marks.values()];
}
