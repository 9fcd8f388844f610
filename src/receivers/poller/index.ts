/** The poller: asks the API for each log at its interval, catches up without a wait after a pause, and never skips a window. */
import { setTimeout as wait } from "node:timers/promises";
import type { Telemetry } from "../../catalogue/telemetry.ts";
import { Unavailable } from "../../errors.ts";
import type { Journal } from "../../journal/index.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Pipeline } from "../../pipeline/types.ts";
import { TailscaleError } from "../../tailscale/error.ts";
import type { TailscaleApi } from "../../tailscale/types.ts";
import { LogCollector, logNames } from "./collector.ts";
import type { PollOptions } from "./options.ts";

export interface PollerDeps {
  readonly api: TailscaleApi;
  readonly pipeline: Pipeline;
  readonly journal: Journal;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How one log stands, for the status. */
export interface PollStatus {
  readonly log: (typeof logNames)[keyof typeof logNames];
  /** How far it has been read, RFC 3339; absent before the first window. */
  readonly readUntil?: string;
  /** When the API answered last, RFC 3339; since the start. */
  readonly lastSuccess?: string;
  /** Why the last window was not read; absent when it was. */
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

export function createPoller(options: readonly PollOptions[], deps: PollerDeps): Poller {
  const loops = options.map((ofLog) => new PollLoop(ofLog, deps));
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
  readonly options: PollOptions;
  readonly #deps: PollerDeps;
  readonly #collector: LogCollector;
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;
  #trouble: { readonly why: string; readonly since: number; saidAt: number; failures: number } | undefined;
  lastSuccessAt: number | undefined;

  constructor(options: PollOptions, deps: PollerDeps) {
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

  /** How long to wait before the next step; nothing when there is none. */
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
          this.#deps.logger.info("what was left to poll has been caught up; it is polled no more", {
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
      logger.warn("a log cannot be polled; nothing of it is skipped, and it is tried again", said);
    } else {
      const { since, saidAt, failures } = this.#trouble;
      const isDue = Math.abs(now - saidAt) >= reminderMs;
      if (isDue) logger.warn("a log still cannot be polled", { ...said, failures: failures + 1 });
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
    if (isFirst) logger.info("the log is polled", { log, everySeconds: this.options.intervalMs / 1000 });
    if (this.#trouble === undefined) return;
    const { since, failures } = this.#trouble;
    logger.info("the log is polled again", {
      log,
      failures,
      seconds: Math.round((clock() - since) / 1000),
    });
    this.#trouble = undefined;
  }
}
