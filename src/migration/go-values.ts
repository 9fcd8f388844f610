/** Reads values as the Go program does: it decodes files and variables leniently, so text can stand for any type. */

/** A value from YAML or a variable; a map has texts by name. */
export type GoValue =
  string | number | bigint | boolean | null | readonly unknown[] | { readonly [name: string]: unknown };

/** Reads text as `strconv.ParseBool` does, and empty text as false; numbers are true unless they are 0. */
export function goBoolean(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  if (typeof value === "number" || typeof value === "bigint") return Number(value) !== 0;
  if (typeof value !== "string") return undefined;
  if (/^(?:1|t|T|true|True|TRUE)$/.test(value)) return true;
  return /^(?:0|f|F|false|False|FALSE|)$/.test(value) ? false : undefined;
}

/** A whole number. */
export function goInteger(value: unknown): number | undefined {
  const text = typeof value === "bigint" || typeof value === "number" ? String(value) : value;
  if (text === "") return 0;
  if (typeof text !== "string" || !/^[+-]?\d[\d_]*$/.test(text)) return undefined;
  const number = Number(text.replaceAll("_", ""));
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Milliseconds of `1h30m`, `1.5h` or `100us`, as `time.ParseDuration` reads it; less than one millisecond becomes one. */
export function goDuration(value: unknown): number | undefined {
  if (value === 0 || value === 0n || value === "0" || value === "") return 0;
  if (typeof value !== "string" || !/^\+?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(value))
    return undefined;
  let sumMs = 0;
  for (const [, count, unit = ""] of value.matchAll(/([\d.]+)(ns|us|µs|μs|ms|s|m|h)/g)) {
    sumMs += Number(count) * (unitMs[unit] ?? 0.001);
  }
  return sumMs > 0 && sumMs < 1 ? 1 : Math.round(sumMs);
}

const unitMs: Readonly<Record<string, number>> = { ns: 1e-6, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Text; a boolean becomes `1` or `0`. */
export function goText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "1" : "0";
  return typeof value === "number" || typeof value === "bigint" ? String(value) : undefined;
}

/** A list of texts; text is split at commas. */
export function goList(value: unknown): readonly string[] | undefined {
  if (Array.isArray(value)) {
    const items = value.map(goText);
    return items.every((item) => item !== undefined) ? items : undefined;
  }
  const text = goText(value);
  return text?.split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()]));
}

/** Texts by name. */
export function goMap(value: unknown): Readonly<Record<string, string>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const entries = Object.entries(value).map(([name, one]) => [name, goText(one)] as const);
  return entries.every(([, one]) => one !== undefined)
    ? (Object.fromEntries(entries) as Record<string, string>)
    : undefined;
}
