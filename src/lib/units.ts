/** Sizes and durations as people write them: `64MiB`, `500kB`; `500ms`, `30s`, `1h30m`, `7d`. */

const unitBytes: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** The pattern behind `parseBytes`, for a JSON schema. */
export const bytesPattern = "^-?[0-9]{1,16} *([kKmMgGtT][iI]?[bB]|[bB])?$";

/** Bytes, or `undefined` if the text is not a size. A bare `M` is not one: it could mean MB or MiB. */
export function parseBytes(text: string): number | undefined {
  const match = /^(-?\d{1,16})\s*([kmgt]i?b|b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const [, count, unit = "b"] = match;
  const bytes = Number(count) * (unitBytes[unit.toLowerCase()] ?? NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact text: a binary unit if it divides, otherwise plain bytes. */
export function formatBytes(bytes: number): string {
  if (bytes === 0) return "0";
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const size = unitBytes[unit.toLowerCase()] ?? 1;
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** The pattern behind `parseDuration`, for a JSON schema. */
export const durationPattern = "^(0|([0-9]{1,15}(ms|s|m|h|d))+)$";

/** Milliseconds, or `undefined` if the text is not a duration. `0` needs no unit; any other number does. */
export function parseDuration(text: string): number | undefined {
  const written = text.trim();
  if (written === "0") return 0;
  if (!/^(?:\d{1,15}(?:ms|s|m|h|d))+$/.test(written)) return undefined;
  let sumMs = 0;
  for (const [, count, unit] of written.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    sumMs += Number(count) * unitMs[unit as keyof typeof unitMs];
  }
  return Number.isSafeInteger(sumMs) ? sumMs : undefined;
}

/** The shortest exact text of whole milliseconds in one unit. Days only from a week on: people say 48h, but 7d. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms >= 7 * unitMs.d && ms % unitMs.d === 0) return `${ms / unitMs.d}d`;
  for (const unit of ["h", "m", "s"] as const) {
    if (ms % unitMs[unit] === 0) return `${ms / unitMs[unit]}${unit}`;
  }
  return `${ms}ms`;
}
