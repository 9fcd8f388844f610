/** Flags shared by several commands, and parsers for their values. */
import { type Config, type TailnetConfig, tailnetConfigs } from "../config/index.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { parseDuration } from "../lib/units.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";

/** The command line is invalid; exit code 64. `command`: the command whose help to mention; if empty, the program's. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  constructor(
    message: string,
    readonly command = "",
  ) {
    super(message);
  }
}

/** A flag with a value. `hint`: its placeholder in the help. */
export const option = (hint: string, description: string) =>
  ({ type: "string", valueHint: hint, description }) as const;

/**
 * A flag with several values, comma-separated or repeated. The command gets them separated by commas. `options` complete a
 * word.
 */
export const list = (hint: string, description: string, options: readonly string[] = []) =>
  ({ ...option(hint, description), isList: true, options }) as const;

/** A flag without a value. */
export const toggle = (description: string) => ({ type: "boolean", description }) as const;

/** Flags that select the configuration. */
export const configFlags = {
  config: option(
    "path",
    "Configuration file. (Default: $TS2OTEL_CONFIG, ./tailscale2otel.toml or /etc/tailscale2otel/config.toml)",
  ),
  set: option("key=value", "One setting; overrides file and environment. Can be repeated."),
} as const;

/** Selects one of several tailnets. */
export const tailnetFlag = {
  tailnet: option("name", "A tailnet of [[tailnet]]. (Default: the only one)"),
} as const;

export const jsonFlag = { json: toggle("Print JSON instead of text.") } as const;

/** Epoch milliseconds of a duration such as `8h` (before `now`) or an RFC 3339 time. @throws {UsageError} */
export function instantOf(text: string, now: number, flag: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Math.max(0, now - ago);
  const time = parseRfc3339(text);
  if (time !== undefined && time[0] >= 0) return Math.floor(millisOfHrTime(time));
  const quoted = JSON.stringify(text);
  throw new UsageError(`${flag} must be a duration such as 8h or a time such as 2026-11-02T09:15:00Z, not ${quoted}`);
}

/** @throws {UsageError} unless the text is a whole number in that range. */
export function wholeNumberOf(text: string, flag: string, [from, to]: readonly [number, number]): number {
  const count = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (count >= from && count <= to) return count;
  throw new UsageError(`${flag} must be a whole number from ${from} to ${to}, not ${JSON.stringify(text)}`);
}

/** @throws {UsageError} unless the text is an http or https URL. */
export function urlOf(text: string): URL {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return new URL(text);
  throw new UsageError(`--url must be an address that begins with http:// or https://, not ${JSON.stringify(text)}`);
}

/** @throws {UsageError} with the names if there are several tailnets and none is given, or if the given one does not exist. */
export function chosenTailnet(config: Config, given: string | undefined): TailnetConfig {
  const all = tailnetConfigs(config);
  const names = config.tailnet.map(({ name }) => name).join(", ");
  if (given === undefined) {
    if (all.length === 1) return all[0];
    throw new UsageError(`there are several tailnets: choose one with --tailnet (${names})`);
  }
  if (names === "") throw new UsageError("there is one tailnet, without a [[tailnet]] section: leave --tailnet out");
  const chosen = all.find(({ name }) => name === given);
  if (chosen !== undefined) return chosen;
  throw new UsageError(`there is no tailnet ${JSON.stringify(given)}; there are: ${names}`);
}
