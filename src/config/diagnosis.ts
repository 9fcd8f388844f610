/** What is wrong with a configuration, where, and how to fix it; and where each value comes from. */

/** Where a value comes from. `secretFile`: its text was read from that file, which this place names. */
export type Origin = (
  | { readonly from: "default" }
  | { readonly from: "file"; readonly file: string; readonly line: number }
  | { readonly from: "environment"; readonly variable: string }
  | { readonly from: "flag"; readonly key: string }
) & { readonly secretFile?: string };

/** A mistake: with it, nothing starts. */
export interface Problem {
  readonly origin: Origin;
  readonly key: string;
  /** What is wrong, without a full stop. */
  readonly message: string;
  /** What may stand there, where that can be said. */
  readonly allowed?: string;
  /** What to do: a sentence. */
  readonly remedy: string;
}

/** Something that works, and is probably not what was meant. */
export interface Warning {
  /** A setting, or the name of a variable. */
  readonly key: string;
  /** What is the matter, without a full stop. */
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
export function describeProblem(problem: Problem): string {
  const allowed = problem.allowed === undefined ? "" : ` Allowed: ${problem.allowed}.`;
  const { origin, key } = problem;
  const isNamed =
    origin.from === "default" ||
    (origin.from === "flag" && origin.key === key) ||
    (origin.from === "file" && origin.file === key);
  const place = origin.from === "default" ? key : placeOf(origin);
  return `${place}: ${isNamed ? "" : `${key}: `}${problem.message}.${allowed} ${problem.remedy}`;
}

/** One complete line for a person. */
export function describeWarning(warning: Warning): string {
  return `${warning.key}: ${warning.message}. ${warning.remedy}`;
}

/** The file's problems first, from top to bottom, then the environment's and the flags'. */
export function inReadingOrder(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted((left, right) => rank(left.origin) - rank(right.origin));
}

/**
 * How a value (as TOML) would be written at the same place: `timeout = "30s"`, `TS2OTEL_OTLP__TIMEOUT=30s`,
 * `--set otlp.timeout=30s`. `name` is the last part of the key.
 */
export function assignment(origin: Origin, name: string, toml: string): string {
  // A list becomes its items with commas between them, which is how variables and flags hold one.
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
      return `--set ${origin.key}`;
  }
}

function rank(origin: Origin): number {
  switch (origin.from) {
    case "file":
      return origin.line;
    case "environment":
      return Number.MAX_SAFE_INTEGER - 2;
    case "flag":
      return Number.MAX_SAFE_INTEGER - 1;
    case "default":
      return Number.MAX_SAFE_INTEGER;
  }
}
