/** Durations as people write them: `500ms`, `30s`, `5m`, `24h`, `7d`, `1h30m`. */

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof unitMs;

const whole = /^(?:\d{1,15}(?:ms|s|m|h|d))+$/;
const part = /(\d+)(ms|s|m|h|d)/g;

/** The pattern behind `parseDuration`, for a JSON schema. */
export const durationPattern = "^(0|([0-9]{1,15}(ms|s|m|h|d))+)$";

/** Milliseconds, or `undefined` where the text is no duration. A bare `0` is one; any other number needs its unit. */
export function parseDuration(text: string): number | undefined {
  const written = text.trim();
  if (written === "0") return 0;
  if (!whole.test(written)) return undefined;
  let sumMs = 0;
  for (const [, count, unit] of written.matchAll(part)) sumMs += Number(count) * unitMs[unit as Unit];
  return Number.isSafeInteger(sumMs) ? sumMs : undefined;
}

/** The shortest exact text of whole milliseconds with one unit. Days only from a week on: people say 48h, and 7d. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms >= 7 * unitMs.d && ms % unitMs.d === 0) return `${ms / unitMs.d}d`;
  for (const unit of ["h", "m", "s"] as const) {
    if (ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  }
  return `${ms}ms`;
}
