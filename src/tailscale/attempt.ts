/** Makes one attempt of a call: sends it, reads its answer within the limit, and says what it came to. */
import { apiStatusCodes } from "../catalogue/metrics.ts";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Clock } from "../lib/clock.ts";
import { parseRetryAfter } from "../lib/backoff.ts";
import { build } from "../version.ts";
import { maxDelayMs } from "./back-off.ts";
import { readText } from "./body.ts";
import type { Call } from "./calls.ts";
import { type Deadline, startDeadline } from "./deadline.ts";
import type { TailscaleError, TailscaleErrorReason } from "./error.ts";
import { followingFetch, Redirected } from "./redirect.ts";
import { type AuthKind, failureOf, refusalOf } from "./refusal.ts";
import { AnswerTooLarge, CallerFailed, MalformedAnswer } from "./unusable.ts";

/** `fetch`, as far as it is used. */
export type ApiFetch = (url: string, init: RequestInit) => Promise<Response>;

/** Who signs the requests. */
export interface Authorization {
  /** The value of the header. @throws {TailscaleError} */
  header(signal: AbortSignal | undefined): Promise<string>;
  /** Told that a value was refused. Whether another may be had. */
  drop(refused: string): boolean;
}

export interface Exchange<Result> {
  readonly call: Call;
  readonly authorization?: Authorization;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly text: string };
  /** Texts of the body that must not come back in an error. */
  readonly secrets?: readonly string[];
  readonly signal?: AbortSignal;
  /** Reads the body of a success. What it throws is judged, the cause of a `CallerFailed` excepted. */
  readonly read: (response: Response, deadline: Deadline) => Promise<Result>;
  /** Asked before an attempt is repeated; always where it is not given. */
  readonly mayRepeat?: (error: TailscaleError) => boolean;
}

/** What an attempt that failed came to. */
export interface Failure {
  readonly error: TailscaleError;
  /** Whether another attempt may do better. */
  readonly isPassing: boolean;
  /** Whether the request may have had its effect all the same. */
  readonly mayHaveActed: boolean;
  readonly retryAfterMs?: number;
}

export interface Attempts {
  /** By the last answer's `Date`, which has whole seconds and was on its way: up to that much too little. */
  readonly clockAheadMs: number | undefined;
  /** @throws {TailscaleError} `aborted`; and what `read` has wrapped in `CallerFailed`, unwrapped. */
  make<Result>(exchange: Exchange<Result>, header: string | undefined): Promise<{ readonly result: Result } | Failure>;
}

/** An error's body is `{"message": …}`. */
const maxErrorBytes = 64 * 1024;

export function createAttempts(
  { baseUrl, auth, timeoutMs }: { readonly baseUrl: string; readonly auth: AuthKind; readonly timeoutMs: number },
  deps: { readonly fetch: ApiFetch; readonly clock: Clock; readonly telemetry: Telemetry },
): Attempts {
  const base = baseUrl.replace(/\/+$/, "");
  const fetch = followingFetch(deps.fetch);
  let clockAheadMs: number | undefined;

  function refusedBy(response: Response, call: Call, text: string): Failure {
    const error = refusalOf(call, response.status, text, auth);
    const waitMs = parseRetryAfter(response.headers.get("retry-after"), deps.clock(), maxDelayMs);
    return {
      error,
      isPassing: error.reason === "rate_limited" || error.reason === "unavailable",
      mayHaveActed: error.reason === "unavailable" && response.status !== 503,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    };
  }

  return {
    get clockAheadMs() {
      return clockAheadMs;
    },
    async make(exchange, header) {
      const { call, signal } = exchange;
      const deadline = startDeadline(timeoutMs, signal);
      const clean = (text: string): string => withoutSecrets(text, [tokenOf(header), ...(exchange.secrets ?? [])]);
      const beganAt = performance.now();
      let status: number | undefined;
      try {
        const response = await fetch(addressOf(base, exchange), {
          ...requestOf(exchange, header),
          signal: deadline.signal,
        });
        status = response.status;
        const date = Date.parse(response.headers.get("date") ?? "");
        if (!Number.isNaN(date)) clockAheadMs = date - deps.clock();
        if (response.ok) return { result: await exchange.read(response, deadline) };
        return refusedBy(response, call, clean(await errorText(response, deadline)));
      } catch (error) {
        if (error instanceof CallerFailed) throw error.cause;
        if (signal?.aborted === true) throw abortedError(call, auth);
        const { reason, why } = deadline.isOver
          ? ({ reason: "timeout", why: `no whole answer within ${timeoutMs} ms` } as const)
          : troubleOf(error);
        return {
          error: failureOf(call, reason, clean(why), auth, status),
          isPassing: reason === "timeout" || reason === "unavailable",
          mayHaveActed: true,
        };
      } finally {
        deadline.stop();
        if (signal?.aborted !== true) {
          const attributes = { endpoint: call.endpoint, "http.response.status_code": statusWord(status) };
          deps.telemetry.add("tailscale2otel.api.requests", 1, attributes);
          deps.telemetry.record("tailscale2otel.api.duration", (performance.now() - beganAt) / 1000, attributes);
        }
      }
    },
  };
}

/** The error of a call that its caller has given up. */
export function abortedError(call: Call, auth: AuthKind): TailscaleError {
  return failureOf(call, "aborted", "given up by the program", auth);
}

const knownStatuses: ReadonlySet<string> = new Set(apiStatusCodes);

/** A status as metrics name it. */
export function statusWord(status: number | undefined): string {
  if (status === undefined) return "none";
  return knownStatuses.has(String(status)) ? String(status) : "other";
}

function addressOf(base: string, { call, query }: Pick<Exchange<unknown>, "call" | "query">): string {
  const text = new URLSearchParams(query).toString();
  return `${base}${call.path}${text === "" ? "" : `?${text}`}`;
}

function requestOf({ call, body }: Pick<Exchange<unknown>, "call" | "body">, header: string | undefined): RequestInit {
  const headers: Record<string, string> = {
    accept: "application/json",
    "user-agent": `tailscale2otel/${build.version}`,
  };
  if (header !== undefined) headers["authorization"] = header;
  if (body === undefined) return { method: call.method, headers };
  return { method: call.method, headers: { ...headers, "content-type": body.type }, body: body.text };
}

/** What came with a refusal; nothing where it cannot be read, since the status says more. */
async function errorText(response: Response, { signal }: Deadline): Promise<string> {
  try {
    return await readText(response, maxErrorBytes);
  } catch (error) {
    if (signal.aborted) throw error;
    return "";
  }
}

function troubleOf(error: unknown): { readonly reason: TailscaleErrorReason; readonly why: string } {
  if (error instanceof MalformedAnswer) return { reason: "malformed", why: `not the API's answer: ${error.message}` };
  if (error instanceof AnswerTooLarge) return { reason: "too_large", why: error.message };
  if (error instanceof Redirected) return { reason: "redirected", why: error.message };
  if (!(error instanceof Error)) return { reason: "unavailable", why: "the request failed" };
  // Errors of `fetch` hold the useful word in `code`.
  const { code } = error as { code?: unknown };
  const hasCode = typeof code === "string" && !error.message.includes(code);
  return { reason: "unavailable", why: hasCode ? `${code}: ${error.message}` : error.message };
}

/** The credential in an `Authorization` header. */
function tokenOf(header: string | undefined): string {
  return header?.replace(/^\w+\s+/, "") ?? "";
}

/** An answer may repeat what it refuses, and so may `fetch`; errors end up in logs. */
function withoutSecrets(text: string, secrets: readonly string[]): string {
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, "[redacted]");
  return text;
}
