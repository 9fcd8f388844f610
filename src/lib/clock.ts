/** The clock, injected so that tests can control it, and times to the nanosecond. */

/** Epoch milliseconds now. */
export type Clock = () => number;

/** Seconds and nanoseconds since the epoch: OpenTelemetry's own format, more precise than a double. */
export type HrTime = [seconds: number, nanoseconds: number];

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** Epoch milliseconds, rounded to the microsecond, as seconds and nanoseconds. */
export function hrTimeOfMillis(millis: number): HrTime {
  const micros = Math.round(millis * 1000);
  const seconds = Math.floor(micros / 1e6);
  return [seconds, (micros - seconds * 1e6) * 1000];
}

/** The time, if OTLP can represent it: int64 nanoseconds since the epoch reach from 1970 to 2262. */
export function representable(time: HrTime | undefined): HrTime | undefined {
  return time !== undefined && time[0] >= 0 && time[0] < 9_223_372_036 ? time : undefined;
}

/** Seconds and nanoseconds as epoch milliseconds, as precise as a double can be. */
export function millisOfHrTime([seconds, nanoseconds]: HrTime): number {
  return seconds * 1000 + nanoseconds / 1e6;
}
