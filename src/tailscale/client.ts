/**
 * One request to Tailscale's API: attempts with a deadline each, and one rate limit and one back-off for all requests, so that
 * a 429 or 5xx that one of them gets holds back the others too.
 */
import { setTimeout as waitFor } from "node:timers/promises";
import { apiStatusCodes } from "../catalogue/metrics.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/index.ts";
import { backoffMs, parseRetryAfter } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { build } from "../version.ts";
import type { Call } from "./calls.ts";
import type { Credentials } from "./credentials.ts";
import { BadAnswer, CallerFailed, causeOf, failureOf, refusalOf, type TailscaleError } from "./errors.ts";

export interface ClientDeps {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly clock: Clock;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  readonly telemetry: Telemetry;
  readonly logger?: Logger;
  /** Rejects when the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export interface Request<Result> {
  readonly call: Call;
  /** The token call has none. */
  readonly credentials?: Credentials;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly text: string };
  /** Texts of the body that must not appear in an error. */
  readonly secrets?: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Reads the body of a success. What it throws is judged, except for the cause of a `CallerFailed`. */
  readonly read: (response: Response, deadline: Deadline) => Promise<Result>;
  /** Asked before each retry. Default: yes. */
  readonly mayRetry?: (error: TailscaleError) => boolean;
}

export interface Client {
  /** By the last answer's `Date`, which has whole seconds: up to a second too little. */
  readonly clockAheadMs: number | undefined;
  /** @throws {TailscaleError} and what `read` has wrapped in `CallerFailed`, unwrapped. */
  send<Result>(request: Request<Result>): Promise<Result>;
}

/** Also the longest `Retry-After` that is honoured. */
const backoff = { firstMs: 500, maxMs: 10_000 };

/** An error's body is `{"message": …}`. */
const maxErrorBytes = 64 * 1024;

const maxRedirects = 5;

interface Failure {
  readonly error: TailscaleError;
  readonly isRetryable: boolean;
  /** The request may have had its effect all the same. */
  readonly mayHaveActed: boolean;
  readonly retryAfterMs?: number | undefined;
}

export function createClient(settings: Pick<Config["tailscale"], "base_url" | "http">, deps: ClientDeps): Client {
  const { timeout, max_attempts: maxAttempts, rate_limit: perSecond } = settings.http;
  const { fetch, clock, random, telemetry } = deps;
  const base = settings.base_url.replace(/\/+$/, "");
  const { host } = new URL(base);
  const sleep = deps.sleep ?? ((ms, signal) => waitFor(ms, undefined, { ...(signal && { signal }) }));
  let clockAheadMs: number | undefined;
  /** When the next request may start: by the rate limit, and after a 429 or 5xx. `performance.now()` milliseconds. */
  let nextSlotAt = 0;
  let pausedUntil = 0;

  /** Waits at least `ownMs`. */
  async function waitForTurn({ call, credentials, signal }: Request<unknown>, ownMs: number): Promise<void> {
    const now = performance.now();
    let waitMs = Math.max(ownMs, pausedUntil - now);
    if (perSecond > 0) {
      const slotAt = Math.max(now, nextSlotAt);
      nextSlotAt = slotAt + 1000 / perSecond;
      waitMs = Math.max(waitMs, slotAt - now);
    }
    try {
      signal?.throwIfAborted();
      if (waitMs > 0) await sleep(waitMs, signal);
    } catch (error) {
      throw signal?.aborted === true ? abortedError(call, credentials) : error;
    }
  }

  async function attempt<Result>(
    request: Request<Result>,
    authorization: string | undefined,
  ): Promise<{ readonly result: Result } | Failure> {
    const { call, credentials, signal } = request;
    const auth = credentials?.kind ?? "oauth";
    const deadline = startDeadline(timeout, signal);
    const secrets = [authorization?.replace(/^\w+\s+/, "") ?? "", ...(request.secrets ?? [])];
    const startedAt = performance.now();
    let status: number | undefined;
    try {
      const url = `${base}${call.path}${request.query ? `?${new URLSearchParams(request.query).toString()}` : ""}`;
      const init = { ...initOf(request, authorization), signal: deadline.signal };
      const response = await fetchSameOrigin(fetch, url, init);
      ({ status } = response);
      const date = Date.parse(response.headers.get("date") ?? "");
      if (!Number.isNaN(date)) clockAheadMs = date - clock();
      if (response.ok) return { result: await request.read(response, deadline) };
      const text = await readText(response, maxErrorBytes).catch((error: unknown) => {
        if (deadline.signal.aborted) throw error;
        return ""; // The status says more than a body that cannot be read.
      });
      const error = refusalOf(call, status, redacted(text, secrets), auth);
      return {
        error,
        isRetryable: error.reason === "rate_limited" || error.reason === "unavailable",
        mayHaveActed: error.reason === "unavailable" && status !== 503,
        retryAfterMs: parseRetryAfter(response.headers.get("retry-after"), clock(), backoff.maxMs),
      };
    } catch (error) {
      if (error instanceof CallerFailed) throw error.cause;
      if (signal?.aborted === true) throw abortedError(call, credentials);
      const { reason, why } = deadline.isOver
        ? ({ reason: "timeout", why: `no complete answer within ${timeout} ms` } as const)
        : causeOf(error, host);
      return {
        error: failureOf(call, reason, redacted(why, secrets), auth, status),
        isRetryable: reason === "timeout" || reason === "unavailable",
        mayHaveActed: true,
      };
    } finally {
      deadline.stop();
      if (signal?.aborted !== true) {
        const attributes = attributesOf(call, status);
        telemetry.add("tailscale2otel.api.requests", 1, attributes);
        telemetry.record("tailscale2otel.api.duration", (performance.now() - startedAt) / 1000, attributes);
      }
    }
  }

  return {
    get clockAheadMs() {
      return clockAheadMs;
    },
    async send(request) {
      const { call, signal, credentials } = request;
      let hasRenewed = false;
      let waitMs = 0;
      for (let attempts = 0; ;) {
        await waitForTurn(request, waitMs);
        const authorization = await credentials?.header(signal);
        const outcome = await attempt(request, authorization);
        if ("result" in outcome) return outcome.result;
        const { error, isRetryable, mayHaveActed, retryAfterMs = 0 } = outcome;
        if (error.reason === "unauthorized" && !hasRenewed && credentials?.drop(authorization) === true) {
          hasRenewed = true;
          continue;
        }
        attempts++;
        waitMs = Math.max(backoffMs(attempts, backoff, random), retryAfterMs);
        if (isRetryable && (error.status ?? 0) >= 400) pausedUntil = Math.max(pausedUntil, performance.now() + waitMs);
        const isSafe = !mayHaveActed || call.isUnsafe !== true;
        if (!isRetryable || !isSafe || attempts >= maxAttempts || request.mayRetry?.(error) === false) throw error;
        const fields = { reason: error.message, attempts, wait_ms: waitMs };
        deps.logger?.debug("retrying a request to Tailscale's API", fields);
        telemetry.add("tailscale2otel.api.retries", 1, attributesOf(call, error.status));
      }
    },
  };
}

export function abortedError(call: Call, credentials: Pick<Credentials, "kind"> | undefined): TailscaleError {
  return failureOf(call, "aborted", "given up by the program", credentials?.kind ?? "oauth");
}

/**
 * The whole body as text.
 * @throws {BadAnswer} past `maxBytes` after decompression, or if it is not UTF-8
 */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BadAnswer("too_large", `the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new BadAnswer("malformed", "it is not UTF-8");
  }
}

/** A time limit for the other side: it is paused while the program works on what it was given. */
export interface Deadline {
  /** Aborted at the limit, and by the outer signal. */
  readonly signal: AbortSignal;
  readonly isOver: boolean;
  pause(): void;
  resume(): void;
  /** Must be called in the end. */
  stop(): void;
}

/** Starts at once. */
export function startDeadline(limitMs: number, outer: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  let leftMs = limitMs;
  let resumedAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const pause = (): void => {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    leftMs = Math.max(0, leftMs - (performance.now() - resumedAt));
  };
  const resume = (): void => {
    if (timer !== undefined || controller.signal.aborted) return;
    resumedAt = performance.now();
    timer = setTimeout(() => controller.abort(), leftMs);
  };
  resume();
  return {
    signal: outer === undefined ? controller.signal : AbortSignal.any([controller.signal, outer]),
    get isOver() {
      return controller.signal.aborted;
    },
    pause,
    resume,
    stop: pause,
  };
}

/** Follows up to five redirects inside the origin. @throws {BadAnswer} instead of leaving it: credentials go nowhere else. */
async function fetchSameOrigin(fetch: ClientDeps["fetch"], url: string, init: RequestInit): Promise<Response> {
  let address = url;
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(address, { ...init, redirect: "manual" });
    const { status, headers } = response;
    const location = headers.get("location");
    if (![301, 302, 303, 307, 308].includes(status) || location === null) return response;
    await response.body?.cancel();
    const { origin } = new URL(address);
    const target = URL.canParse(location, address) ? new URL(location, address) : undefined;
    if (redirects === maxRedirects) throw new BadAnswer("redirected", `redirected more than ${maxRedirects} times`);
    if (target?.origin !== origin)
      throw new BadAnswer("redirected", `redirected from ${origin} to ${target?.origin ?? "an invalid address"}`);
    // These statuses turn a POST into a GET.
    if (init.method !== "GET" && status < 307) throw new BadAnswer("redirected", `redirected with HTTP ${status}`);
    address = target.href;
  }
}

function initOf({ call, body }: Request<unknown>, authorization: string | undefined): RequestInit {
  const headers = {
    accept: "application/json",
    "user-agent": `tailscale2otel/${build.version}`,
    ...(authorization !== undefined && { authorization }),
    ...(body && { "content-type": body.type }),
  };
  return { method: call.method, headers, ...(body && { body: body.text }) };
}

const knownStatuses: ReadonlySet<string> = new Set(apiStatusCodes);

function attributesOf({ endpoint }: Call, status: number | undefined) {
  const word = String(status ?? "none");
  return { endpoint, "http.response.status_code": status === undefined || knownStatuses.has(word) ? word : "other" };
}

/** An answer may repeat the credential that it rejects, and so may `fetch`; errors end up in logs. */
function redacted(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret.length >= 4).reduce((out, one) => out.replaceAll(one, "[redacted]"), text);
}
