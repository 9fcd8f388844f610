/** Reads and writes RFC 3339 times to the nanosecond, which `Date` cannot. */
import type { HrTime } from "./clock.ts";

const pattern = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** Go's zero time, which Tailscale writes for "none". */
export const zeroTime = "0001-01-01T00:00:00Z";

/**
 * Seconds and nanoseconds since the epoch; digits past the ninth are cut. `undefined` where the text is no RFC 3339
 * time. A leap second counts as the second after it.
 */
export function parseRfc3339(text: string): HrTime | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second, fraction, sign, offsetHour, offsetMinute] = match;
  const monthIndex = Number(month) - 1;
  const dayOfMonth = Number(day);
  if (monthIndex > 11 || monthIndex < 0 || dayOfMonth < 1 || dayOfMonth > daysIn(Number(year), monthIndex))
    return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const midnight = new Date(0);
  midnight.setUTCFullYear(Number(year), monthIndex, dayOfMonth);
  let seconds = midnight.getTime() / 1000 + Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  if (sign !== undefined) {
    if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
    const offset = Number(offsetHour) * 3600 + Number(offsetMinute) * 60;
    seconds -= sign === "-" ? -offset : offset;
  }
  return [seconds, fraction === undefined ? 0 : Number(fraction.slice(0, 9).padEnd(9, "0"))];
}

/** UTC text with as many fraction digits as the time has: none, or up to nine. */
export function formatRfc3339([seconds, nanoseconds]: HrTime): string {
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (nanoseconds === 0) return `${whole}Z`;
  return `${whole}.${String(nanoseconds).padStart(9, "0").replace(/0+$/, "")}Z`;
}

function daysIn(year: number, monthIndex: number): number {
  if (monthIndex === 1) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return monthIndex === 3 || monthIndex === 5 || monthIndex === 8 || monthIndex === 10 ? 30 : 31;
}
