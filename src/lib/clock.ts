/** Time as the program sees it, so that a test can hold it. */

/** Epoch milliseconds now. */
export type Clock = () => number;

/** Seconds and nanoseconds since the epoch: OpenTelemetry's own form, exact where a double is not. */
export type HrTime = [seconds: number, nanoseconds: number];

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** Epoch milliseconds, fractions kept to the microsecond, as seconds and nanoseconds. */
export function hrTimeOfMillis(millis: number): HrTime {
  const micros = Math.round(millis * 1000);
  const seconds = Math.floor(micros / 1e6);
  return [seconds, (micros - seconds * 1e6) * 1000];
}

/** Whether nanoseconds since the epoch, as OTLP writes them, can say the instant: from 1970 to 2262, where int64 ends. */
export function isSayable([seconds]: HrTime): boolean {
  return seconds >= 0 && seconds < 9_223_372_036;
}

/** Seconds and nanoseconds as epoch milliseconds; what is finer than a double can hold is lost. */
export function millisOfHrTime([seconds, nanoseconds]: HrTime): number {
  return seconds * 1000 + nanoseconds / 1e6;
}
