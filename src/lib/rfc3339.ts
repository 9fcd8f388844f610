/** Reads and writes RFC 3339 times to the nanosecond, which `Date` cannot. */
import type { HrTime } from "./clock.ts";

/** Go's zero time, which Tailscale writes for "none". */
export const zeroTime = "0001-01-01T00:00:00Z";

/**
 * Seconds and nanoseconds since the epoch; digits past the ninth are cut. `undefined` if the text is no RFC 3339 time. The form
 * of databases, `YYYY-MM-DD hh:mm:ss[.f]`, is read as UTC. A leap second counts as the second after it. By hand, since every record has four of them: 0.15 µs, a pattern 0.6 µs.
 */
export function parseRfc3339(text: string): HrTime | undefined {
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 2);
  const day = digits(text, 8, 2);
  const hour = digits(text, 11, 2);
  const minute = digits(text, 14, 2);
  const second = digits(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return undefined;
  if (!hasSeparators(text)) return undefined;
  let at = 19;
  let nanoseconds = 0;
  if (text.charCodeAt(at) === dot) {
    let scale = 100_000_000;
    at++;
    const fractionAt = at;
    for (let digit = digitAt(text, at); digit >= 0; digit = digitAt(text, ++at)) {
      if (at - fractionAt >= 9) continue;
      nanoseconds += digit * scale;
      scale /= 10;
    }
    if (at === fractionAt) return undefined;
  }
  const isWithoutZone = at === text.length && text.charAt(10) === " ";
  const offsetSeconds = isWithoutZone ? 0 : offsetAt(text, at);
  if (offsetSeconds === undefined) return undefined;
  const seconds = daysSinceEpoch(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offsetSeconds;
  return seconds < firstSecond || seconds > lastSecond ? undefined : [seconds, nanoseconds];
}

/** UTC text with as many fraction digits as the time has: none, or up to nine. 0.1 µs if the second is cached. */
export function formatRfc3339([seconds, nanoseconds]: HrTime): string {
  const whole = wholeSeconds(seconds);
  if (nanoseconds === 0) return `${whole}Z`;
  let fraction = nanoseconds;
  let width = 9;
  for (; fraction % 10 === 0; fraction /= 10) width--;
  return `${whole}.${String(fraction).padStart(width, "0")}Z`;
}

/** Seconds that were formatted last, by their place: records that follow each other begin and end in the same few. */
const wholes = Array.from({ length: 64 }, () => ({ seconds: Number.NaN, text: "" }));

function wholeSeconds(seconds: number): string {
  const whole = wholes[seconds & 63] as (typeof wholes)[number];
  if (whole.seconds !== seconds) {
    whole.text = new Date(seconds * 1000).toISOString().slice(0, 19);
    whole.seconds = seconds;
  }
  return whole.text;
}

/** The years 0000 to 9999 in UTC: what the format can say. An offset could lead out of them. */
const firstSecond = -62_167_219_200;
const lastSecond = 253_402_300_799;

const dot = 0x2e;

function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - 0x30;
  return digit >= 0 && digit <= 9 ? digit : -1;
}

/** The number of that many digits, or -1. */
function digits(text: string, from: number, length: number): number {
  let number = 0;
  for (let at = from; at < from + length; at++) {
    const digit = digitAt(text, at);
    if (digit < 0) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function hasSeparators(text: string): boolean {
  const between = text.charAt(10);
  return (
    text.charAt(4) === "-" &&
    text.charAt(7) === "-" &&
    (between === "T" || between === "t" || between === " ") &&
    text.charAt(13) === ":" &&
    text.charAt(16) === ":"
  );
}

/** `Z` or `±hh:mm` up to the end of the text, in seconds. */
function offsetAt(text: string, at: number): number | undefined {
  const sign = text.charAt(at);
  if (sign === "Z" || sign === "z") return text.length === at + 1 ? 0 : undefined;
  if ((sign !== "+" && sign !== "-") || text.length !== at + 6 || text.charAt(at + 3) !== ":") return undefined;
  const hours = digits(text, at + 1, 2);
  const minutes = digits(text, at + 4, 2);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return undefined;
  return (sign === "-" ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/** Days in the proleptic Gregorian calendar, counted in years that begin in March so that the leap day comes last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const marchYear = month > 2 ? year : year - 1;
  const marchMonth = (month + 9) % 12;
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + Math.floor((marchMonth * 153 + 2) / 5) + day - 719_469;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
