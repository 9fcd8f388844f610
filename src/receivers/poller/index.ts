/** The poller: requests each log from the API at its interval, catches up after an outage without pausing, and warns of gaps. */
import { hasCredentials, isPolled } from "../../config/index.ts";
import type { Config } from "../../config/schema.ts";
import type { Journal, PolledType } from "../../journal/index.ts";
import type { Pipeline } from "../../pipeline/index.ts";
import type { LogName, TailscaleApi } from "../../tailscale/index.ts";
import { createScrape, type Scrape, type ScrapeDeps, type ScrapeStatus } from "../../tailscale/scrape.ts";
import { type CollectorOptions, LogCollector, logNames } from "./collector.ts";

export interface PollerDeps extends ScrapeDeps {
  /** Without it nothing is polled. */
  readonly api: TailscaleApi | undefined;
  readonly pipeline: Pipeline;
  readonly journal: Journal;
}

export interface Poller {
  start(): void;
  /**
   * Aborts the request in flight and waits up to `deadlineMs` for the commit. The cursor stays before an unfinished window. May
   * be called before `start` and more than once.
   */
  stop(deadlineMs: number): Promise<void>;
  readonly status: readonly (ScrapeStatus & { readonly log: LogName })[];
}

/** Polls the logs that are set to be polled; those polled before a change to `stream` only up to the start of the program. */
export function createPoller(config: Config, { api, ...deps }: PollerDeps): Poller {
  const logs = api === undefined ? [] : polledLogsOf(config, deps.journal);
  const polls = api === undefined ? [] : logs.map((log) => createPoll(log, { ...deps, api }));
  return {
    start: () => polls.forEach(({ scrape }) => scrape.start()),
    async stop(deadlineMs) {
      await Promise.all(polls.map(({ scrape }) => scrape.stop(deadlineMs)));
    },
    get status() {
      return polls.map(({ log, scrape }) => ({ log, ...scrape.status }));
    },
  };
}

interface PolledLog extends CollectorOptions {
  /** The collector's name in the settings. */
  readonly name: "flowlogs" | "auditlogs";
  readonly intervalMs: number;
}

function createPoll({ name, intervalMs, ...options }: PolledLog, deps: PollerDeps & { readonly api: TailscaleApi }) {
  const log = logNames[options.type];
  const collector = new LogCollector(options, deps);
  const scrape: Scrape = createScrape(
    {
      collector: name,
      what: `poll the ${log} log (nothing is skipped)`,
      intervalMs,
      readUntil: () => collector.readUntil && collector.readUntil * 1000,
      async read(signal) {
        const step = await collector.step(signal);
        if (step === "over")
          deps.logger.info("polled the log up to the start of the program; streaming delivers the rest", { log });
        else if (scrape.status.lastSuccess === undefined)
          deps.logger.info(`polling the ${log} log`, { interval_s: intervalMs / 1000 });
        return step;
      },
    },
    deps,
  );

  return { log, scrape };
}

/** Each log with its retention at Tailscale in days (see its documentation of network flow logs and configuration audit logs). */
const collectors = [
  ["flow", "flowlogs", 30],
  ["audit", "auditlogs", 90],
] as const satisfies readonly (readonly [PolledType, PolledLog["name"], number])[];

function polledLogsOf(config: Config, journal: Pick<Journal, "pollCursor">): readonly PolledLog[] {
  return collectors.flatMap(([type, name, retentionDays]): readonly PolledLog[] => {
    const { enabled, interval, lag, initial_lookback, max_window, replay_overlap } = config.collectors[name];
    const isUnfinished = enabled && hasCredentials(config) && journal.pollCursor(type) !== undefined;
    if (!isPolled(config, name) && !isUnfinished) return [];
    const policy = {
      lag: wholeSeconds(lag),
      lookback: wholeSeconds(initial_lookback),
      maxWindow: Math.max(1, wholeSeconds(max_window)),
      overlap: wholeSeconds(replay_overlap),
      retention: retentionDays * 86_400,
    };
    return [{ type, name, policy, intervalMs: interval, mode: isPolled(config, name) ? "always" : "once" }];
  });
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000);
}
