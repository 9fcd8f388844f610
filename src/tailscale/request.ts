/** Makes a call of the API: as many attempts as it takes and may take, with a wait between them that grows. */
import { setTimeout as waitFor } from "node:timers/promises";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { abortedError, type ApiFetch, createAttempts, type Exchange, statusWord } from "./attempt.ts";
import { retryDelayMs } from "./back-off.ts";
import type { Call } from "./calls.ts";
import { createPacer } from "./pacer.ts";
import type { AuthKind } from "./refusal.ts";

export interface HttpOptions {
  /** Of one attempt, to the last byte of its answer. */
  readonly timeoutMs: number;
  /** At least 1. */
  readonly maxAttempts: number;
  /** Requests a second; 0: no limit. */
  readonly rateLimit: number;
}

export interface RequestDeps {
  readonly fetch: ApiFetch;
  readonly clock: Clock;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  readonly telemetry: Telemetry;
  readonly logger?: Logger;
  /** Rejects when the signal aborts. The machine's timer where it is not given. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export interface Requester {
  readonly clockAheadMs: number | undefined;
  /** @throws {TailscaleError} and what `read` has wrapped in `CallerFailed`, unwrapped. */
  perform<Result>(exchange: Exchange<Result>): Promise<Result>;
}

export function createRequester(
  options: { readonly baseUrl: string; readonly auth: AuthKind; readonly http: HttpOptions },
  deps: RequestDeps,
): Requester {
  const { baseUrl, auth, http } = options;
  const sleep = deps.sleep ?? ((ms, signal) => waitFor(ms, undefined, signal === undefined ? {} : { signal }));
  const pace = createPacer(http.rateLimit, sleep);
  const attempts = createAttempts({ baseUrl, auth, timeoutMs: http.timeoutMs }, deps);

  /** Waits, unless the caller gives up meanwhile. */
  async function unlessAborted(call: Call, signal: AbortSignal | undefined, wait: () => Promise<void>): Promise<void> {
    const hasAborted = (): boolean => signal?.aborted === true;
    if (hasAborted()) throw abortedError(call, auth);
    try {
      await wait();
    } catch (error) {
      throw hasAborted() ? abortedError(call, auth) : error;
    }
  }

  return {
    get clockAheadMs() {
      return attempts.clockAheadMs;
    },
    async perform(exchange) {
      const { call, signal, authorization } = exchange;
      let hasRenewed = false;
      let made = 0;
      for (;;) {
        await unlessAborted(call, signal, () => pace(signal));
        const header = await authorization?.header(signal);
        const outcome = await attempts.make(exchange, header);
        if ("result" in outcome) return outcome.result;
        const { error, isPassing, mayHaveActed } = outcome;
        const isRefused = error.reason === "unauthorized" && header !== undefined && !hasRenewed;
        if (isRefused && authorization?.drop(header) === true) {
          hasRenewed = true;
          continue;
        }
        made++;
        if (!isPassing || made >= http.maxAttempts || (mayHaveActed && !call.isRepeatable)) throw error;
        if (exchange.mayRepeat?.(error) === false) throw error;
        const waitMs = retryDelayMs(made, outcome.retryAfterMs, deps.random);
        deps.logger?.debug("a call of Tailscale's API is made again", { why: error.message, made, wait_ms: waitMs });
        deps.telemetry.add("tailscale2otel.api.retries", 1, {
          endpoint: call.endpoint,
          "http.response.status_code": statusWord(error.status),
        });
        await unlessAborted(call, signal, () => sleep(waitMs, signal));
      }
    },
  };
}
