/** What is wrong with a configuration, where, and how to fix it; and each value with where it comes from. */
import { type Config, settings, valueOf } from "./schema.ts";
import { displayValue, redacted } from "./values.ts";

/** Where a value comes from. `secretFile`: the file that its text was read from, named at this place. */
export type Origin = (
  | { readonly from: "default" }
  | { readonly from: "file"; readonly file: string; readonly line: number }
  | { readonly from: "environment"; readonly variable: string }
  | { readonly from: "flag"; readonly key: string }
) & { readonly secretFile?: string };

/** A mistake: nothing starts with it. */
export interface Problem {
  readonly origin: Origin;
  readonly key: string;
  /** What is wrong, without a full stop. */
  readonly message: string;
  /** What to do: a sentence. */
  readonly remedy: string;
  /** The setting that a mistyped key probably meant. */
  readonly meant?: string;
  /** A running program is not affected: a listener keeps the certificate that it has. */
  readonly onlyAtStart?: true;
}

/** Something that works and is probably not intended. */
export interface Warning {
  /** A setting, or the name of a variable. */
  readonly key: string;
  /** Without a full stop. */
  readonly message: string;
  /** What to do: a sentence. */
  readonly remedy: string;
}

export const defaultOrigin: Origin = { from: "default" };

/** `tailscale2otel.toml:12`, `TS2OTEL_OTLP__ENDPOINT`, `--set otlp.endpoint`, `default`. */
export function describeOrigin(origin: Origin): string {
  const place = placeOf(origin);
  return origin.secretFile === undefined ? place : `${place} (${origin.secretFile})`;
}

/** One complete line for a person. */
export function describeProblem({ origin, key, message, remedy }: Problem): string {
  const place = origin.from === "default" ? key : placeOf(origin);
  const isNamed =
    origin.from === "default" ||
    (origin.from === "flag" && origin.key === key) ||
    (origin.from === "file" && origin.file === key) ||
    (origin.from === "environment" && origin.variable === key);
  return `${place}: ${isNamed ? "" : `${key}: `}${message}. ${remedy}`;
}

/** One complete line for a person. */
export function describeWarning({ key, message, remedy }: Warning): string {
  return `${key}: ${message}. ${remedy}`;
}

/** The file's problems from top to bottom, then those of variables and flags. */
export function inReadingOrder(problems: readonly Problem[]): readonly Problem[] {
  const ranks = { file: 0, environment: 1, flag: 2, default: 3 };
  const line = ({ origin }: Problem): number => (origin.from === "file" ? origin.line : 0);
  return problems.toSorted(
    (left, right) => ranks[left.origin.from] - ranks[right.origin.from] || line(left) - line(right),
  );
}

/**
 * How a value (as TOML) would be written at the same place: `timeout = "30s"`, `TS2OTEL_OTLP__TIMEOUT=30s`,
 * `--set otlp.timeout=30s`. `name` is the last part of the key.
 */
export function assignment(origin: Origin, name: string, toml: string): string {
  // A list becomes its items with commas between them, as in variables and flags.
  const bare = /^["[]/.test(toml) ? String(JSON.parse(toml)) : toml;
  switch (origin.from) {
    case "environment":
      return `${origin.variable}=${bare}`;
    case "flag":
      return `--set ${origin.key}=${bare}`;
    case "file":
    case "default":
      return `${/^[\w-]+$/.test(name) ? name : JSON.stringify(name)} = ${toml}`;
  }
}

function placeOf(origin: Origin): string {
  switch (origin.from) {
    case "default":
      return "default";
    case "file":
      return origin.line === 0 ? origin.file : `${origin.file}:${origin.line}`;
    case "environment":
      return origin.variable;
    case "flag":
      return `--set ${origin.key === "" ? '""' : origin.key}`;
  }
}

/** One line of the effective configuration. */
export interface EffectiveRow {
  readonly key: string;
  /** As it would be written in TOML; `[redacted]` for a secret. */
  readonly value: string;
  /** `default`, `file:line`, a variable, or a flag. */
  readonly origin: string;
  readonly isDefault: boolean;
}

/** One row per setting in the order of the schema; a map has a row for each entry. `broken` settings have no valid value. */
export function effectiveRows({
  config,
  origins,
  broken,
}: {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly broken: ReadonlySet<string>;
}): readonly EffectiveRow[] {
  const row = (key: string, value: string): EffectiveRow => {
    const origin = origins.get(key) ?? defaultOrigin;
    return { key, value, origin: describeOrigin(origin), isDefault: origin.from === "default" };
  };
  return settings.flatMap((setting) => {
    if (broken.has(setting.key))
      return [{ key: setting.key, value: "(invalid)", origin: "see below", isDefault: false }];
    const value = valueOf(config, setting);
    const entries = setting.kind === "map" ? Object.entries(value as Record<string, string>) : [];
    if (setting.kind === "map" && entries.length === 0) return [row(setting.key, "{}")];
    if (setting.kind !== "map") return [row(setting.key, displayValue(setting, value))];
    return entries.map(([name, text]) =>
      row(`${setting.key}.${name}`, setting.isSecret ? redacted : JSON.stringify(text)),
    );
  });
}
