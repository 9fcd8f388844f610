/** The poller: asks the API for each log at its interval, catches up without a wait after a pause, and never skips a window. */
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { hasCredentials, isPolled } from "../../config/index.ts";
import type { Config } from "../../config/schema.ts";
import { Unavailable } from "../../errors.ts";
import { pause, waitAtMost } from "../../lib/backoff.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Journal, PolledType } from "../../journal/index.ts";
import type { Pipeline } from "../../pipeline/index.ts";
import { type TailscaleApi, TailscaleError } from "../../tailscale/index.ts";
import { type CollectorOptions, LogCollector, logNames } from "./collector.ts";

export interface PollerDeps {
  /** Without it nothing is polled. */
  readonly api: TailscaleApi | undefined;
  readonly pipeline: Pipeline;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How polling of one log goes, for `status`. */
export interface PollStatus {
  readonly log: (typeof logNames)[keyof typeof logNames];
  /** How far the log has been read, RFC 3339; absent before the first window. */
  readonly readUntil?: string;
  /** When the API last answered since the start, RFC 3339; absent if it never has. */
  readonly lastSuccess?: string;
  /** Why the last poll failed; absent if it succeeded. */
  readonly trouble?: string;
}

export interface Poller {
  start(): void;
  /**
   * Aborts the request in flight and waits for what is being committed, at most `deadlineMs`. The position stays before an
   * unfinished window. Safe before `start`, and twice.
   */
  stop(deadlineMs: number): Promise<void>;
  readonly status: readonly PollStatus[];
}

/** The longest wait after a failure; the client has retried several times by then. */
const maxRetryMs = 60_000;

/** A failure that lasts is logged again after this time. */
const reminderMs = 300_000;

/** Polls what the settings ask for; also what was polled before they changed to `stream`, up to the start of the program. */
export function createPoller(config: Config, { api, ...deps }: PollerDeps): Poller {
  const { telemetry, clock } = deps;
  const logs = api === undefined ? [] : polledLogsOf(config, deps.journal);
  const loops = api === undefined ? [] : logs.map((log) => new PollLoop(log, { ...deps, api }));
  const gauge = (read: (loop: PollLoop) => number | undefined) => () =>
    loops.flatMap((loop) => {
      const value = read(loop);
      return value === undefined ? [] : [{ value, attributes: { "tailscale.collector": loop.polled.name } }];
    });
  telemetry.observe(
    "tailscale2otel.scrape.success",
    gauge(({ failure, lastSuccessAt }) => (failure ? 0 : lastSuccessAt && 1)),
  );
  telemetry.observe(
    "tailscale2otel.scrape.last_timestamp",
    gauge(({ lastSuccessAt }) => lastSuccessAt && lastSuccessAt / 1000),
  );
  telemetry.observe(
    "tailscale2otel.scrape.lag",
    gauge(({ collector: { readUntil } }) => readUntil && Math.max(0, clock() / 1000 - readUntil)),
  );
  return {
    start: () => loops.forEach((loop) => loop.start()),
    async stop(deadlineMs) {
      await Promise.all(loops.map((loop) => loop.stop(deadlineMs)));
    },
    get status() {
      return loops.map((loop) => loop.status);
    },
  };
}

class PollLoop {
  readonly polled: PolledLog;
  readonly collector: LogCollector;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #log: PollStatus["log"];
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  lastSuccessAt: number | undefined;
  failure:
    { readonly why: string; readonly since: number; readonly loggedAt: number; readonly count: number } | undefined;

  constructor(polled: PolledLog, deps: PollerDeps & { readonly api: TailscaleApi }) {
    this.polled = polled;
    this.collector = new LogCollector(polled, deps);
    this.#logger = deps.logger;
    this.#clock = deps.clock;
    this.#log = logNames[polled.type];
  }

  get status(): PollStatus {
    const { readUntil } = this.collector;
    return {
      log: this.#log,
      ...(readUntil !== undefined && { readUntil: new Date(readUntil * 1000).toISOString() }),
      ...(this.lastSuccessAt !== undefined && { lastSuccess: new Date(this.lastSuccessAt).toISOString() }),
      ...(this.failure !== undefined && { trouble: this.failure.why }),
    };
  }

  start(): void {
    this.#running ??= this.#run(this.#ending.signal);
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#ending.abort();
    if (this.#running !== undefined) await waitAtMost(this.#running, deadlineMs);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let waitMs = this.polled.intervalMs;
      try {
        const step = await this.collector.step(signal);
        this.#succeed();
        if (step === "over") {
          const fields = { log: this.#log };
          return this.#logger.info(
            "polled the log up to the start of the program; streaming delivers the rest",
            fields,
          );
        }
        if (step === "behind") waitMs = 0;
      } catch (error) {
        if (signal.aborted) return;
        waitMs = this.#fail(error);
      }
      if (waitMs > 0) await pause(waitMs, signal);
    }
  }

  /** Returns milliseconds to wait before the next poll. */
  #fail(error: unknown): number {
    const why = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof TailscaleError ? error.remedy : undefined;
    const now = this.#clock();
    const { since = now, loggedAt = -Infinity, count = 0 } = this.failure ?? {};
    const isDue = Math.abs(now - loggedAt) >= reminderMs;
    this.failure = { why, since, loggedAt: isDue ? now : loggedAt, count: count + 1 };
    const never = this.lastSuccessAt === undefined && count > 0 ? "; it has not succeeded since the start" : "";
    const fields = { reason: why, remedy, failures: count + 1 };
    if (isDue) this.#logger.warn(`cannot poll the ${this.#log} log; retrying, nothing is skipped${never}`, fields);
    if (error instanceof Unavailable) return error.retryAfterSeconds * 1000;
    return this.collector.canHalve ? 0 : Math.min(this.polled.intervalMs, maxRetryMs);
  }

  #succeed(): void {
    const now = this.#clock();
    if (this.lastSuccessAt === undefined)
      this.#logger.info(`polling the ${this.#log} log`, { interval_s: this.polled.intervalMs / 1000 });
    this.lastSuccessAt = now;
    if (this.failure === undefined) return;
    const { since, count } = this.failure;
    this.failure = undefined;
    this.#logger.info(`polling the ${this.#log} log works again`, {
      failures: count,
      seconds: Math.round((now - since) / 1000),
    });
  }
}

interface PolledLog extends CollectorOptions {
  /** The collector's name in the settings. */
  readonly name: "flowlogs" | "auditlogs";
  readonly intervalMs: number;
}

/** With the days that Tailscale keeps each log (its documentation of network flow logs and of configuration audit logs). */
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
