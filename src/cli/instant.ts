/** Moments on the command line: how long ago, or an RFC 3339 time. */
import { millisOfHrTime } from "../lib/clock.ts";
import { parseDuration } from "../lib/units.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { UsageError } from "./flags.ts";

/** Epoch milliseconds of `8h` (so long before `now`) or `2026-11-02T09:15:00Z`. @throws {UsageError} which names the flag. */
export function instantOf(text: string, now: number, flag: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Math.max(0, now - ago);
  const time = parseRfc3339(text);
  if (time === undefined || time[0] < 0)
    throw new UsageError(
      `${flag} takes a duration such as 8h, or a time such as 2026-11-02T09:15:00Z, not ${JSON.stringify(text)}`,
    );
  return Math.floor(millisOfHrTime(time));
}
