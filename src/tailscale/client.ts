/**
 * Sends requests to Tailscale's API: each attempt has a deadline, and all requests share one rate limit and one back-off, so that
 * a 429 or 5xx for one of them delays the others too.
 */
import { setTimeout as waitFor } from "node:timers/promises";
import { apiStatusCodes } from "../catalogue/vocabulary.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/index.ts";
import { backoffMs, parseRetryAfter } from "../lib/backoff.ts";
import type { Clock } from "../lib/clock.ts";
import { connectionError } from "../lib/system-error.ts";
import type { Logger } from "../lib/logger.ts";
import { build } from "../version.ts";
import { BadAnswer, type Call, errorOf, refusalOf, TailscaleError, type TailscaleErrorReason } from "./errors.ts";

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

export interface Credentials {
  readonly kind: "oauth" | "apikey";
  /** The value of the `Authorization` header. @throws {TailscaleError} */
  header(signal: AbortSignal | undefined): Promise<string>;
  /** Called after this value got a 401. Returns true if a new one can be obtained. */
  drop(rejected: string | undefined): boolean;
}

export interface Request<Result> extends Call {
  /** Absent for the token call. */
  readonly credentials?: Credentials;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly text: string };
  /** Texts of the body that must not appear in an error. */
  readonly secrets?: readonly string[];
  readonly signal?: AbortSignal | undefined;
  /** Reads the body of a successful answer. If it throws, the attempt fails. */
  readonly read: (response: Response, deadline: Deadline) => Promise<Result>;
  /** Asked before each retry. Default: yes. */
  readonly mayRetry?: (error: TailscaleError) => boolean;
}

export type Client = ReturnType<typeof createClient>;

/** `maxMs` is also the longest `Retry-After` that is honoured. */
const backoff = { firstMs: 500, maxMs: 10_000 };

/** No answer of the API is older than the API. One that is dated 1970 would begin a poll there. */
const earliestDate = Date.UTC(2020, 0);

/** An error's body is `{"message": …}`. */
const maxErrorBytes = 64 * 1024;

/** Reasons for which a retry may help. */
const retryable: ReadonlySet<string> = new Set(["rate_limited", "unavailable", "timeout"]);

export function createClient(settings: Pick<Config["tailscale"], "base_url" | "http">, deps: ClientDeps) {
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
  async function waitToSend(request: Request<unknown>, ownMs: number): Promise<void> {
    const { signal } = request;
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
      throw signal?.aborted === true ? abortedError(request) : error;
    }
  }

  /** @throws {TailscaleError} */
  async function attempt<Result>(request: Request<Result>, authorization: string | undefined): Promise<Result> {
    const { signal } = request;
    const deadline = startDeadline(timeout, signal);
    const secrets = [authorization?.replace(/^\w+\s+/, "") ?? "", ...(request.secrets ?? [])];
    const startedAt = performance.now();
    let status: number | undefined;
    try {
      const query = request.query && `?${new URLSearchParams(request.query).toString()}`;
      const init = { ...initOf(request, authorization), signal: deadline.signal };
      const response = await fetch(`${base}${request.path}${query ?? ""}`, init);
      ({ status } = response);
      const date = Date.parse(response.headers.get("date") ?? "");
      if (date >= earliestDate) clockAheadMs = date - clock();
      if (response.ok) return await request.read(response, deadline);
      const text = await readText(response, maxErrorBytes).catch((error: unknown) => {
        if (deadline.signal.aborted) throw error;
        return ""; // The status says more than a body that cannot be read.
      });
      // Redirects are not followed, so that credentials go to no other address.
      if (status < 400)
        throw new BadAnswer("redirected", `redirected to ${response.headers.get("location") ?? "nowhere"}`);
      const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"), clock(), backoff.maxMs);
      throw refusalOf(request, status, redacted(text, secrets), retryAfterMs);
    } catch (error) {
      if (error instanceof TailscaleError) throw error;
      if (signal?.aborted === true) throw abortedError(request);
      const failed = (reason: TailscaleErrorReason, why: string) =>
        errorOf(request, reason, redacted(why, secrets), status);
      if (deadline.isOver) throw failed("timeout", `no complete answer within ${timeout} ms`);
      if (!(error instanceof BadAnswer)) throw failed("unavailable", connectionError(error, host));
      const { reason, message } = error;
      throw failed(reason, reason === "malformed" ? `not an answer of the API: ${message}` : message);
    } finally {
      deadline.stop();
      if (signal?.aborted !== true) {
        const attributes = attributesOf(request, status);
        telemetry.add("tailscale2otel.api.requests", 1, attributes);
        telemetry.record("tailscale2otel.api.duration", (performance.now() - startedAt) / 1000, attributes);
      }
    }
  }

  return {
    /** From the last answer's `Date`, in whole seconds, so up to a second too low. */
    get clockAheadMs() {
      return clockAheadMs;
    },
    /** @throws {TailscaleError} also if `read` throws */
    async send<Result>(request: Request<Result>): Promise<Result> {
      const { credentials, mayRetry = () => true } = request;
      let hasRenewed = false;
      let waitMs = 0;
      for (let attempts = 0; ;) {
        await waitToSend(request, waitMs);
        const authorization = await credentials?.header(request.signal);
        try {
          return await attempt(request, authorization);
        } catch (error) {
          if (!(error instanceof TailscaleError)) throw error;
          const { reason, message, status = 0, retryAfterMs } = error;
          if (reason === "unauthorized" && !hasRenewed && credentials?.drop(authorization) === true) {
            hasRenewed = true;
            waitMs = 0;
            continue;
          }
          attempts++;
          waitMs = Math.max(backoffMs(attempts, backoff, random), retryAfterMs);
          if (!retryable.has(reason)) throw error;
          if (status >= 400) pausedUntil = Math.max(pausedUntil, performance.now() + waitMs);
          if (attempts >= maxAttempts || !mayRetry(error)) throw error;
          deps.logger?.debug("retrying a request to Tailscale's API", { reason: message, attempts, wait_ms: waitMs });
          telemetry.add("tailscale2otel.api.retries", 1, attributesOf(request, error.status));
        }
      }
    },
  };
}

export function abortedError(call: Call): TailscaleError {
  return errorOf(call, "aborted", "cancelled by the program");
}

/**
 * Reads the whole body as text.
 * @throws {BadAnswer} if it exceeds `maxBytes` after decompression, or is not UTF-8
 */
export async function readText(response: Response, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new BadAnswer("too_large", `the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return decodeText(Buffer.concat(chunks));
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** @throws {BadAnswer} if it is not UTF-8 */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new BadAnswer("malformed", "it is not UTF-8");
  }
}

/** A time limit for the other side: stopped while the program processes what it received, and then restarted. */
export type Deadline = ReturnType<typeof startDeadline>;

/** Starts at once and must be stopped in the end. `signal` aborts at the limit or with the outer signal. */
export function startDeadline(limitMs: number, outer: AbortSignal | undefined) {
  const limit = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const start = (): void => {
    timer = setTimeout(() => limit.abort(), limitMs);
  };
  start();
  return {
    signal: outer === undefined ? limit.signal : AbortSignal.any([limit.signal, outer]),
    get isOver() {
      return limit.signal.aborted;
    },
    start,
    stop: () => clearTimeout(timer),
  };
}

function initOf({ method, body }: Request<unknown>, authorization: string | undefined): RequestInit {
  const headers = {
    accept: "application/json",
    "user-agent": `tailscale2otel/${build.version}`,
    ...(authorization !== undefined && { authorization }),
    ...(body && { "content-type": body.type }),
  };
  return { method, headers, redirect: "manual", ...(body && { body: body.text }) };
}

const knownStatuses: ReadonlySet<string> = new Set(apiStatusCodes);

function attributesOf({ endpoint }: Call, status: number | undefined) {
  const word = String(status ?? "none");
  return { endpoint, "http.response.status_code": status === undefined || knownStatuses.has(word) ? word : "other" };
}

/** Removes secrets: an answer or `fetch` may repeat the credential that was rejected, and errors end up in logs. */
function redacted(text: string, secrets: readonly string[]): string {
  return secrets.filter((secret) => secret.length >= 4).reduce((out, one) => out.replaceAll(one, "[redacted]"), text);
}
