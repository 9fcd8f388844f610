/** Time as the program sees it, so that a test can hold it. */

/** Epoch milliseconds now. */
export type Clock = () => number;

/** Seconds and nanoseconds since the epoch: OpenTelemetry's own form, exact where a double is not. */
export type HrTime = [seconds: number, nanoseconds: number];

/** The machine's clock. */
export const systemClock: Clock = () => Date.now();

/** Epoch milliseconds, fractions kept to the microsecond, as seconds and nanoseconds. */
export function hrTimeOfMillis(millis: number): HrTime {
  const seconds = Math.floor(millis / 1000);
  return [seconds, Math.round((millis - seconds * 1000) * 1000) * 1000];
}

/** Seconds and nanoseconds as epoch milliseconds; what is finer than a double can hold is lost. */
export function millisOfHrTime([seconds, nanoseconds]: HrTime): number {
  return seconds * 1000 + nanoseconds / 1e6;
}
