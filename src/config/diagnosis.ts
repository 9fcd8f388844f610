/** Findings about a configuration: what is wrong, where, and how to fix it. */
import type { Config } from "./schema.ts";

/** Where a value comes from. `secretFile`: the file its text was read from, which is named at this place. */
export type Origin = (
  | { readonly from: "default" }
  | { readonly from: "file"; readonly file: string; readonly line: number }
  | { readonly from: "environment"; readonly variable: string }
  | { readonly from: "flag"; readonly key: string }
) & { readonly secretFile?: string };

/** An error prevents a start; a warning is about something that works but is probably unintended. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** The place of the problem, unless `key` says it. */
  readonly origin?: Origin | undefined;
  /** A setting, the name of a variable, or a place in a file. */
  readonly key: string;
  /** What is wrong, without a full stop. */
  readonly message: string;
  /** What to do: a sentence. */
  readonly remedy: string;
  /** The setting that a mistyped key probably meant. */
  readonly meant?: string | undefined;
  /** True if a running program is not affected, because a listener keeps its certificate. */
  readonly onlyAtStart?: boolean;
}

/** A configuration with its problems; it is valid if there are none. */
export interface Inspection {
  readonly config: Config;
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Where each value comes from, by key; for entries of a map by key and entry (`otlp.headers.x-scope`). */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Settings with a problem of their own, so rules ignore their values. */
  readonly broken: ReadonlySet<string>;
  /** The file that was read, by the name given, and its permission bits. */
  readonly configFile: string | undefined;
  readonly mode: number | undefined;
  /** True if there is a file that could not be read, so that its settings are unknown. */
  readonly isUnread: boolean;
}

/** A rule evaluated for one configuration. */
export interface Rule {
  readonly severity: Finding["severity"];
  /** The settings it concerns. An error is reported at the first of them that is set. */
  readonly keys: readonly string[];
  /** True if the rule is violated. */
  readonly when: boolean;
  readonly message: string;
  readonly remedy: string;
}

export const defaultOrigin: Origin = { from: "default" };

/** Where a setting was set; `undefined` if it has its default. A map counts as set at its first entry. */
export function givenAt(origins: ReadonlyMap<string, Origin>, key: string): Origin | undefined {
  const origin = origins.get(key) ?? [...origins].find(([entry]) => entry.startsWith(`${key}.`))?.[1];
  return origin?.from === "default" ? undefined : origin;
}

/** `tailscale2otel.toml:12`, `TS2OTEL_OTLP__ENDPOINT`, `--set otlp.endpoint`, `default`. */
export function describeOrigin(origin: Origin): string {
  const place = placeOf(origin);
  return origin.secretFile === undefined ? place : `${place} (${origin.secretFile})`;
}

/** One complete line for the user. */
export function describeFinding({ origin = defaultOrigin, key, message, remedy }: Finding): string {
  const place = origin.from === "default" ? key : placeOf(origin);
  const isNamed = place === key || (origin.from === "flag" && origin.key === key);
  return `${place}: ${isNamed ? "" : `${key}: `}${message}. ${remedy}`;
}

/** Findings in the file from top to bottom, then those in variables and flags. */
export function inReadingOrder(findings: readonly Finding[]): readonly Finding[] {
  const ranks = { file: 0, environment: 1, flag: 2, default: 3 };
  const rank = ({ origin = defaultOrigin }: Finding): number => ranks[origin.from];
  const line = ({ origin }: Finding): number => (origin?.from === "file" ? origin.line : 0);
  return findings.toSorted((left, right) => rank(left) - rank(right) || line(left) - line(right));
}

/**
 * How a value (as TOML) is written at the same place: `timeout = "30s"`, `TS2OTEL_OTLP__TIMEOUT=30s`, `--set otlp.timeout=30s`.
 * `name` is the last part of the key.
 */
export function assignment(origin: Origin, name: string, toml: string): string {
  if (origin.from === "file" || origin.from === "default")
    return `${/^[\w-]+$/.test(name) ? name : JSON.stringify(name)} = ${toml}`;
  // A list is written as its items, separated by commas.
  const value = /^["[]/.test(toml) ? String(JSON.parse(toml)) : toml;
  return `${placeOf(origin)}=${/[\s"{}]/.test(value) ? `'${value}'` : value}`;
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
