/** The range of time that *History* shows, as kept in the page's address: up to now, or between two times. */
import type { Route } from "../route.ts";

export const spans = ["1h", "6h", "24h", "all"] as const;
export type Span = (typeof spans)[number];

const hourMs = 3_600_000;
const hours: Readonly<Record<Span, number>> = { "1h": 1, "6h": 6, "24h": 24, all: Number.POSITIVE_INFINITY };

/** Epoch milliseconds. */
export interface TimeSpan {
  readonly since: number;
  readonly until: number;
}

/** In a shorter range, a chart by minute would show next to nothing. */
const shortestMs = 360_000;

/** The range between two times in the address; undefined if there is no valid one. */
export function fixedSpanOf({ more }: Pick<Route, "more">): TimeSpan | undefined {
  const [since, until] = [more["since"], more["until"]].map((text) => Number(text || Number.NaN));
  const isValid = Number.isSafeInteger(since) && Number.isSafeInteger(until) && (since as number) >= 0;
  return isValid && (until as number) > (since as number)
    ? { since: since as number, until: until as number }
    : undefined;
}

/** The length up to now in the address; `all` if there is none. */
export function spanOf({ more }: Pick<Route, "more">): Span {
  return spans.find((name) => name === more["span"]) ?? "all";
}

/** A range up to now in its full length, even if it starts before the first record. */
export function spanUpTo(until: number, name: Span): TimeSpan {
  return { since: Math.max(0, until - hours[name] * hourMs), until };
}

/** The range from the first record up to `until`, so that the data fills a chart, but at least `leastShownMs`. */
export function spanFrom(first: number | undefined, until: number): TimeSpan {
  return { since: Math.min(first ?? until, until - leastShownMs), until };
}

const leastShownMs = 600_000;

/** The address of a range, with times in whole minutes and not after now. */
export function addressOf({ since, until }: TimeSpan, now: number): Record<string, string> {
  const end = Math.min(until, now);
  const begin = Math.max(0, Math.min(since, end - shortestMs));
  return { since: String(minuteOf(begin)), until: String(minuteOf(end + 59_999)) };
}

/** The range moved by half its length, or twice as long around the same middle. */
export function moved({ since, until }: TimeSpan, how: "earlier" | "later" | "wider", now: number): TimeSpan {
  const half = (until - since) / 2;
  if (how === "wider") return { since: since - half, until: Math.min(until + half, now) };
  const by = how === "earlier" ? -half : Math.min(half, Math.max(0, now - until));
  return { since: since + by, until: until + by };
}

/** The value of an `<input type="datetime-local">`, in local time. */
export function inputOf(at: number | undefined): string {
  if (at === undefined) return "";
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Epoch milliseconds of such a value; undefined if it is not a time. */
export function timeOfInput(text: string): number | undefined {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? undefined : at;
}

function minuteOf(at: number): number {
  return Math.floor(at / 60_000) * 60_000;
}
