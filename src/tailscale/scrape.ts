/** Reads something from the API at an interval, retries until it works, and reports the outcome: log, gauges, `status`. */
import { observeEach, type Telemetry } from "../catalogue/telemetry.ts";
import { scrapeErrors } from "../catalogue/vocabulary.ts";
import { keepTrying, pause, type RetryDeps, waitAtMost } from "../lib/backoff.ts";
import { timeText } from "../lib/rfc3339.ts";
import { createAttempts, type Failure, TailscaleError } from "./errors.ts";

/** `behind`: there is more to read at once. `current`: everything there is has been read. `over`: nothing will be read again. */
export type Step = "behind" | "current" | "over";

export interface ScrapeOptions {
  /** The collector's name in the settings. */
  readonly collector: "flowlogs" | "auditlogs" | "devices";
  /** For log lines, such as `poll the network log`. */
  readonly what: string;
  readonly intervalMs: number;
  read(signal: AbortSignal): Promise<Step>;
  /** Everything before this has been read, epoch milliseconds. Default: the last success. */
  readUntil?(): number | undefined;
}

export interface ScrapeDeps extends RetryDeps {
  readonly telemetry: Telemetry;
}

/** The state of the scrape, for `status`; `trouble` is absent if the last read succeeded. Times are RFC 3339. */
export interface ScrapeStatus extends Partial<Failure> {
  /** How far everything has been read; absent before the first read. */
  readonly readUntil?: string;
  /** When a read last succeeded since the start; absent if none has. */
  readonly lastSuccess?: string;
}

export type Scrape = ReturnType<typeof createScrape>;

/** Long, because the client has already retried several times. */
const backoff = { firstMs: 5000, maxMs: 60_000 };

export function createScrape(options: ScrapeOptions, { telemetry, ...retry }: ScrapeDeps) {
  const { collector, what, intervalMs } = options;
  const ending = new AbortController();
  const { signal } = ending;
  let running: Promise<void> | undefined;
  let startedAt: number | undefined;
  let lastSuccessAt: number | undefined;
  let lastDurationMs: number | undefined;
  const attempts = createAttempts();

  function countError(errors: 0 | 1, errorType: (typeof scrapeErrors)[number]): void {
    const attributes = { "tailscale.collector": collector, error_type: errorType } as const;
    telemetry.add("tailscale2otel.scrape.errors", errors, attributes);
  }

  function measure(durationMs: number): void {
    lastDurationMs = durationMs;
    const attributes = { "tailscale.collector": collector } as const;
    telemetry.record("tailscale2otel.scrape.duration.histogram", durationMs / 1000, attributes);
  }

  const readOnce = attempts.noting(async (): Promise<Step> => {
    const beganAt = performance.now();
    try {
      const step = await options.read(signal);
      lastSuccessAt = retry.clock();
      return step;
    } catch (error) {
      if (!signal.aborted) countError(1, error instanceof TailscaleError ? error.reason : "other");
      throw error;
    } finally {
      if (!signal.aborted) measure(performance.now() - beganAt);
    }
  });

  async function run(): Promise<void> {
    const { firstMs, maxMs } = backoff;
    const bounded = { firstMs: Math.min(firstMs, intervalMs), maxMs: Math.min(maxMs, intervalMs) };
    for (;;) {
      const step = await keepTrying(what, readOnce, { ...retry, backoff: bounded, signal });
      if (step === undefined || step === "over") return;
      if (step === "current") await pause(intervalMs, signal);
    }
  }

  const readUntil = options.readUntil ?? (() => lastSuccessAt);
  const secondsSince = (ms: number | undefined) => ms && Math.max(0, retry.clock() - ms) / 1000;
  for (const errorType of scrapeErrors) countError(0, errorType);
  observeEach(
    telemetry,
    { "tailscale.collector": collector },
    {
      "tailscale2otel.scrape.success": () => (attempts.failure === undefined ? lastSuccessAt && 1 : 0),
      "tailscale2otel.scrape.last_timestamp": () => lastSuccessAt && lastSuccessAt / 1000,
      "tailscale2otel.scrape.duration": () => lastDurationMs && lastDurationMs / 1000,
      "tailscale2otel.scrape.budget": () => lastDurationMs && lastDurationMs / intervalMs,
      "tailscale2otel.scrape.staleness": () => startedAt && secondsSince(lastSuccessAt ?? startedAt),
      "tailscale2otel.scrape.lag": () => secondsSince(readUntil()),
    },
  );

  return {
    get status(): ScrapeStatus {
      const until = readUntil();
      return {
        ...(until !== undefined && { readUntil: timeText(until) }),
        ...(lastSuccessAt !== undefined && { lastSuccess: timeText(lastSuccessAt) }),
        ...attempts.failure,
      };
    },
    start(): void {
      startedAt ??= retry.clock();
      running ??= run();
    },
    /** Aborts the read in flight and waits for it, at most `deadlineMs`. May be called before `start`, and twice. */
    async stop(deadlineMs: number): Promise<void> {
      ending.abort();
      if (running !== undefined) await waitAtMost(running, deadlineMs);
    },
  };
}
