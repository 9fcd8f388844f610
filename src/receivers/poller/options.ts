/** From the settings to what is polled, and how. */
import { hasCredentials, isPolled } from "../../config/api-use.ts";
import type { Config } from "../../config/schema.ts";
import type { Journal } from "../../journal/index.ts";
import type { PolledType } from "../../journal/types.ts";
import type { CollectorOptions } from "./collector.ts";

export interface PollOptions extends CollectorOptions {
  /** The collector's name in the settings. */
  readonly name: "flowlogs" | "auditlogs";
  readonly intervalMs: number;
}

const daySeconds = 86_400;

/** How long Tailscale keeps each log (Tailscale's documentation of network flow logs and of configuration audit logs). */
const retentionSeconds = { flow: 30 * daySeconds, audit: 90 * daySeconds } as const;

const collectors = [
  ["flow", "flowlogs"],
  ["audit", "auditlogs"],
] as const satisfies readonly (readonly [PolledType, PollOptions["name"]])[];

/** What is to be polled; also what was polled before the settings changed to `stream`, to its end. */
export function pollOptionsOf(config: Config, journal: Pick<Journal, "pollCursor">): readonly PollOptions[] {
  return collectors.flatMap(([type, name]): readonly PollOptions[] => {
    const { enabled, interval, lag, initial_lookback, max_window, replay_overlap } = config.collectors[name];
    const isLeftOver = enabled && hasCredentials(config) && journal.pollCursor(type) !== undefined;
    if (!isPolled(config, name) && !isLeftOver) return [];
    const policy = {
      lag: wholeSeconds(lag),
      lookback: wholeSeconds(initial_lookback),
      maxWindow: Math.max(1, wholeSeconds(max_window)),
      overlap: wholeSeconds(replay_overlap),
      retention: retentionSeconds[type],
    };
    return [{ type, name, policy, intervalMs: interval, mode: isPolled(config, name) ? "always" : "once" }];
  });
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000);
}
