/** Parses and formats RFC 3339 times to the nanosecond, which `Date` cannot. */
import type { HrTime } from "./clock.ts";

/** Go's zero time, which Tailscale writes for "none". */
export const zeroTime = "0001-01-01T00:00:00Z";

const pattern = /^(\d{4}-\d\d-(\d\d))([Tt ])(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))?$/;

/**
 * Seconds and nanoseconds since the epoch; digits past the ninth are dropped. `undefined` if the text is not an RFC 3339 time.
 * The database format, `YYYY-MM-DD hh:mm:ss[.f]`, is read as UTC. A leap second counts as the second after it.
 */
export function parseRfc3339(text: string): HrTime | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, date, day, separator, hour, minute, second, fraction = "", sign, offsetHours, offsetMinutes] = match;
  const midnight = new Date(`${date}T00:00:00Z`);
  if (midnight.getUTCDate() !== Number(day)) return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const isUtc = sign === undefined;
  if (isUtc && separator !== " " && !/[Zz]$/.test(text)) return undefined;
  if (!isUtc && (Number(offsetHours) > 23 || Number(offsetMinutes) > 59)) return undefined;
  const offset = isUtc ? 0 : Number(`${sign}1`) * (Number(offsetHours) * 3600 + Number(offsetMinutes) * 60);
  const seconds = midnight.getTime() / 1000 + Number(hour) * 3600 + Number(minute) * 60 + Number(second) - offset;
  return seconds < firstSecond || seconds > lastSecond
    ? undefined
    : [seconds, Number(fraction.slice(0, 9).padEnd(9, "0"))];
}

/** Epoch milliseconds as UTC text with three fraction digits. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
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

/** The most recently formatted seconds, by their low bits: consecutive records begin and end in the same few. */
const wholes = Array.from({ length: 64 }, () => ({ seconds: Number.NaN, text: "" }));

function wholeSeconds(seconds: number): string {
  const whole = wholes[seconds & 63] as (typeof wholes)[number];
  if (whole.seconds !== seconds) {
    whole.text = new Date(seconds * 1000).toISOString().slice(0, 19);
    whole.seconds = seconds;
  }
  return whole.text;
}

/** The years 0000 to 9999 in UTC, the range of the format. An offset could lead out of it. */
const firstSecond = -62_167_219_200;
const lastSecond = 253_402_300_799;
