/** The poller: asks the API for each log at its interval, catches up without a wait after a pause, and never skips a window. */
import { setTimeout as wait } from "node:timers/promises";
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { hasCredentials, isPolled } from "../../config/index.ts";
import type { Config } from "../../config/schema.ts";
import { Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { TailscaleError } from "../../tailscale/error.ts";
import type { Journal, PolledType } from "../../journal/index.ts";
import type { Pipeline } from "../../pipeline/index.ts";
import type { TailscaleApi } from "../../tailscale/types.ts";
import { type CollectorOptions, LogCollector, logNames } from "./collector.ts";

export interface PollerDeps {
  readonly api: TailscaleApi;
  readonly pipeline: Pipeline;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How far one log has been polled, for the status. */
export interface PollStatus {
  readonly log: (typeof logNames)[keyof typeof logNames];
  /** How far it has been read, RFC 3339; absent before the first window. */
  readonly readUntil?: string;
  /** The last time that the API answered since the start, RFC 3339. */
  readonly lastSuccess?: string;
  /** Why the last window was not read; absent if it was. */
  readonly trouble?: string;
}

export interface Poller {
  start(): void;
  /** Ends what is under way; nothing of an unfinished window is kept. Safe before `start`, and twice. */
  stop(): Promise<void>;
  readonly status: readonly PollStatus[];
}

/** The longest wait after a failure; the client has tried several times by then. */
const maxRetryMs = 60_000;

/** Between two lines about the same trouble. */
const reminderMs = 300_000;

/** Polls what the settings ask for; also what was polled before they changed to `stream`, up to the start of the program. */
export function createPoller(config: Config, deps: PollerDeps): Poller {
  const loops = collectorsOf(config, deps.journal).map((collector) => new PollLoop(collector, deps));
  const observed = (read: (loop: PollLoop) => number | undefined) => () =>
    loops.flatMap((loop) => {
      const value = read(loop);
      return value === undefined ? [] : [{ value, attributes: { "tailscale.collector": loop.options.name } }];
    });
  const { telemetry, clock } = deps;
  telemetry.observe(
    "tailscale2otel.scrape.success",
    observed(({ isWell }) => (isWell === undefined ? undefined : Number(isWell))),
  );
  telemetry.observe(
    "tailscale2otel.scrape.last_timestamp",
    observed(({ lastSuccessAt }) => lastSuccessAt && lastSuccessAt / 1000),
  );
  telemetry.observe(
    "tailscale2otel.scrape.lag",
    observed(({ readUntil }) => readUntil && Math.max(0, clock() / 1000 - readUntil)),
  );
  return {
    start: () => loops.forEach((loop) => loop.start()),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
    get status() {
      return loops.map((loop) => loop.status);
    },
  };
}

class PollLoop {
  readonly options: PolledLog;
  readonly #deps: PollerDeps;
  readonly #collector: LogCollector;
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  #trouble: { readonly why: string; readonly since: number; saidAt: number; failures: number } | undefined;
  lastSuccessAt: number | undefined;

  constructor(options: PolledLog, deps: PollerDeps) {
    this.options = options;
    this.#deps = deps;
    this.#collector = new LogCollector(options, deps);
  }

  get readUntil(): number | undefined {
    return this.#collector.readUntil;
  }

  /** Nothing before the first answer. */
  get isWell(): boolean | undefined {
    if (this.#trouble !== undefined) return false;
    return this.lastSuccessAt === undefined ? undefined : true;
  }

  get status(): PollStatus {
    const { readUntil, lastSuccessAt } = this;
    return {
      log: logNames[this.options.type],
      ...(readUntil !== undefined && { readUntil: new Date(readUntil * 1000).toISOString() }),
      ...(lastSuccessAt !== undefined && { lastSuccess: new Date(lastSuccessAt).toISOString() }),
      ...(this.#trouble !== undefined && { trouble: this.#trouble.why }),
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const waitMs = await this.#step(signal);
      if (waitMs === undefined) return;
      if (waitMs > 0) await wait(waitMs, undefined, { signal }).catch(() => {});
    }
  }

  /** Milliseconds to wait before the next step; nothing if there is none. */
  async #step(signal: AbortSignal): Promise<number | undefined> {
    try {
      const step = await this.#collector.step(signal);
      this.#recover();
      switch (step) {
        case "behind":
          return 0;
        case "current":
          return this.options.intervalMs;
        case "over":
          this.#deps.logger.info("the log has been polled up to the start of the program; the stream brings the rest", {
            log: logNames[this.options.type],
          });
          return undefined;
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      return this.#fail(error);
    }
  }

  #fail(error: unknown): number {
    const why = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof TailscaleError ? { remedy: error.remedy } : {};
    const { logger, clock } = this.#deps;
    const now = clock();
    const said = { log: logNames[this.options.type], why, ...remedy };
    if (this.#trouble === undefined) {
      this.#trouble = { why, since: now, saidAt: now, failures: 1 };
      logger.warn("polling a log failed; retrying, nothing is skipped", said);
    } else {
      const { since, saidAt, failures } = this.#trouble;
      const isDue = Math.abs(now - saidAt) >= reminderMs;
      if (isDue) logger.warn("polling a log still fails; retrying", { ...said, failures: failures + 1 });
      this.#trouble = { why, since, saidAt: isDue ? now : saidAt, failures: failures + 1 };
    }
    if (error instanceof Unavailable) return error.retryAfterSeconds * 1000;
    return this.#collector.canHalve ? 0 : Math.min(this.options.intervalMs, maxRetryMs);
  }

  #recover(): void {
    const { logger, clock } = this.#deps;
    const log = logNames[this.options.type];
    const isFirst = this.lastSuccessAt === undefined;
    this.lastSuccessAt = clock();
    if (isFirst) logger.info("polling a log", { log, everySeconds: this.options.intervalMs / 1000 });
    if (this.#trouble === undefined) return;
    const { since, failures } = this.#trouble;
    logger.info("polling a log works again", {
      log,
      failures,
      seconds: Math.round((clock() - since) / 1000),
    });
    this.#trouble = undefined;
  }
}

interface PolledLog extends CollectorOptions {
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
] as const satisfies readonly (readonly [PolledType, PolledLog["name"]])[];

function collectorsOf(config: Config, journal: Pick<Journal, "pollCursor">): readonly PolledLog[] {
  return collectors.flatMap(([type, name]): readonly PolledLog[] => {
    const { enabled, interval, lag, initial_lookback, max_window, replay_overlap } = config.collectors[name];
    const isUnfinished = enabled && hasCredentials(config) && journal.pollCursor(type) !== undefined;
    if (!isPolled(config, name) && !isUnfinished) return [];
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
