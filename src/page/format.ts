/** Formats numbers, times and names for people; times are local. */
import { bytes, count } from "../screen/event-text.ts";

export { bytes, count };

/** A number with its noun, such as `1 record` and `2 records`. */
export function counted(amount: number, noun: string): string {
  return `${count(amount)} ${noun}${amount === 1 ? "" : "s"}`;
}

/** Bytes per second. */
export function rate(bytesPerSecond: number): string {
  return `${bytes(rounded(bytesPerSecond))}/s`;
}

/** A rate per second; small numbers keep a digit. */
export function frequency(perSecond: number): string {
  return `${perSecond > 0 && perSecond < 10 ? perSecond.toPrecision(2) : count(perSecond)}/s`;
}

/** A part of a whole in percent; a dash if there is no whole. */
export function share(part: number, whole: number): string {
  if (!(whole > 0)) return "–";
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return "<0.1%";
  if (percent < 100 && percent > 99.9) return ">99.9%";
  return `${percent < 10 || percent > 99 ? Number(percent.toFixed(1)) : Math.round(percent)}%`;
}

const units = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
] as const;

/** A duration in its two largest units, such as `2 h 5 min`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const first = units.findIndex(([size]) => seconds >= size);
  if (first < 0) return "0 s";
  let left = seconds;
  return units
    .slice(first, first + 2)
    .flatMap(([size, name]) => {
      const amount = Math.floor(left / size);
      left -= amount * size;
      return amount === 0 ? [] : [`${amount} ${name}`];
    })
    .join(" ");
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** The time of day with seconds, and the date if it is not today. Takes RFC 3339 or epoch milliseconds. */
export function time(at: string | number, now = Date.now()): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "–";
  return (date.toDateString() === new Date(now).toDateString() ? clock : dated).format(date);
}

/** The time of day with seconds, for use under a heading with the day. */
export function clockTime(at: string | number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : clock.format(date);
}

/** The time of day without seconds, for the axis of a chart. */
export function timeOfDay(at: number): string {
  return minute.format(at);
}

/** The day and month, for the axis of a chart. */
export function day(at: number): string {
  return dayFormat.format(at);
}

/** The full date and time. */
export function dateTime(at: string | number): string {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : dated.format(date);
}

/** A sentence of the program with its RFC 3339 times converted to local ones. */
export function inLocalTime(sentence: string): string {
  return sentence.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (at) => time(at));
}

/** Fractions of a byte are noise. */
function rounded(amount: number): number {
  return amount < 100 ? Number(amount.toPrecision(2)) : Math.round(amount);
}
