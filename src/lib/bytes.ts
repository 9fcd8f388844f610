/** Sizes as people write them: `64MiB`, `1GiB`, `500kB`, or a plain number of bytes. */

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

const written = /^(-?\d{1,16})\s*([kmgt]i?b|b)?$/i;

/** The pattern behind `parseBytes`, for a JSON schema. */
export const bytesPattern = "^-?[0-9]{1,16} *([kKmMgGtT][iI]?[bB]|[bB])?$";

/** Bytes, or `undefined` where the text is no size. `M` alone is none: it could mean either million. */
export function parseBytes(text: string): number | undefined {
  const match = written.exec(text.trim());
  if (match === null) return undefined;
  const [, count, unit = "b"] = match;
  const bytes = Number(count) * (unitBytes[unit.toLowerCase()] ?? NaN);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest exact text: a binary unit where it divides, else plain bytes. */
export function formatBytes(bytes: number): string {
  if (bytes === 0) return "0";
  for (const unit of ["TiB", "GiB", "MiB", "KiB"]) {
    const size = unitBytes[unit.toLowerCase()] ?? 1;
    if (bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return String(bytes);
}
