/** Why a call of Tailscale's API failed: a closed set of reasons, each with what to do about it. */
import { connectionError } from "../lib/connection-error.ts";
import type { Call } from "./calls.ts";

export type TailscaleErrorReason =
  /** The key or the OAuth client is wrong, expired or revoked. */
  | "unauthorized"
  /** The credentials are valid but may not do this. */
  | "missing_scope"
  /** The tailnet's plan or settings do not include it: flow logs, log streaming. */
  | "not_enabled"
  /** No such tailnet, webhook or stream. */
  | "not_found"
  /** The API rejects the request itself. */
  | "rejected"
  | "rate_limited"
  /** No connection, or an answer of 500 and above. */
  | "unavailable"
  | "timeout"
  /** The answer is larger than the caller's limit. */
  | "too_large"
  /** The answer is torn, or has another shape than the API's. */
  | "malformed"
  /** The answer is a redirect to another origin, where credentials must not go. */
  | "redirected"
  /** The caller gave up. */
  | "aborted";

/** `message` is one line for an operator, without credentials and without anything that the token endpoint answered. */
export class TailscaleError extends Error {
  override readonly name = "TailscaleError";
  constructor(
    readonly reason: TailscaleErrorReason,
    message: string,
    /** One sentence: what to do about it. */
    readonly remedy: string,
    /** HTTP status, if there was an answer. */
    readonly status?: number,
  ) {
    super(message);
  }
}

/** Why the body of an answer cannot be used; `message` is the second half of a sentence. */
export class BadAnswer extends Error {
  constructor(
    readonly reason: "malformed" | "too_large" | "redirected",
    message: string,
  ) {
    super(message);
  }
}

/** Wraps what the caller threw while it was handed records: neither judged nor retried. */
export class CallerFailed extends Error {}

/** How the program authenticates. */
export type AuthKind = "oauth" | "apikey";

/** The API's own words are cut after this many characters. */
const maxMessageCharacters = 300;

/** The error for a status of 300 and above. `body` is ignored for the token call, since it may repeat what was sent. */
export function refusalOf(call: Call, status: number, body: string, auth: AuthKind): TailscaleError {
  const words = call.endpoint === "oauth_token" ? "" : messageIn(body);
  const why = `HTTP ${status}${words === "" ? "" : `: ${words}`}`;
  return failureOf(call, reasonOf(call, status, words), why, auth, status);
}

/** `why` is the second half of a sentence. */
export function failureOf(
  call: Call,
  reason: TailscaleErrorReason,
  why: string,
  auth: AuthKind,
  status?: number,
): TailscaleError {
  const message = `${call.method} ${call.path}: ${why}`;
  return new TailscaleError(reason, message, remedyOf(call, reason, auth), status);
}

/** The reason and words for what `fetch` or the reading of a body threw. `host`: name and port of the other side. */
export function causeOf(error: unknown, host: string): { readonly reason: TailscaleErrorReason; readonly why: string } {
  if (!(error instanceof BadAnswer)) return { reason: "unavailable", why: connectionError(error, host) };
  const { reason, message } = error;
  return { reason, why: reason === "malformed" ? `not an answer of the API: ${message}` : message };
}

/** Whether what was asked for does not exist, in a tailnet that does. */
export function isMissing(error: unknown): boolean {
  return error instanceof TailscaleError && error.reason === "not_found" && !/tailnet not found/i.test(error.message);
}

/** The text of `{"message": …}` on one line. Anything else, such as a proxy's page, is not worth repeating. */
function messageIn(body: string): string {
  let message: unknown;
  try {
    ({ message } = JSON.parse(body) as { message?: unknown });
  } catch {
    return "";
  }
  if (typeof message !== "string") return "";
  const line = message.replaceAll(/[\s\p{Cc}]+/gu, " ").trim();
  return line.length > maxMessageCharacters ? `${line.slice(0, maxMessageCharacters)}…` : line;
}

function reasonOf(call: Call, status: number, words: string): TailscaleErrorReason {
  if (status === 401) return "unauthorized";
  if (status === 403) return isNotEnabled(call, words) ? "not_enabled" : "missing_scope";
  if (status === 404) return "not_found";
  if (status === 408) return "timeout";
  if (status === 429) return "rate_limited";
  if (status >= 500) return "unavailable";
  if (status < 400) return "redirected";
  return call.endpoint === "oauth_token" ? "unauthorized" : "rejected";
}

/** The API answers 403 both for a missing scope and for a missing feature; only its words differ. */
function isNotEnabled({ enabling }: Call, words: string): boolean {
  if (enabling === undefined || /permission|scope|\baccess\b/i.test(words)) return false;
  return /enabl|disabl|turned o|not available|plan\b|upgrade|feature|billing/i.test(words);
}

const remedies = {
  rejected: "Compare the setting in question with the API's message.",
  rate_limited: "Set tailscale.http.rate_limit, or poll less often (collectors.*.interval).",
  unavailable: "Check tailscale.base_url, the network and any proxy on the way, and https://status.tailscale.com.",
  timeout: "Raise tailscale.http.timeout if the connection is slow.",
  too_large: "Lower collectors.*.max_window.",
  malformed:
    "Check tailscale.base_url: something other than Tailscale's API answers there, or a proxy changes answers.",
  redirected: "Set tailscale.base_url to the final address: credentials are never sent to another origin.",
  aborted: "Nothing to do.",
} as const;

function remedyOf(call: Call, reason: TailscaleErrorReason, auth: AuthKind): string {
  switch (reason) {
    case "unauthorized":
      return auth === "oauth"
        ? "Check tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret: the client may be revoked, or belong to another tailnet."
        : "Check tailscale.auth.apikey: API keys expire after at most 90 days; an OAuth client does not expire.";
    case "missing_scope":
      return missingScopeRemedy(call, auth);
    case "not_enabled":
      return call.enabling ?? "The tailnet's plan or settings do not include it.";
    case "not_found":
      if (call.endpoint === "log_stream") return "That log has no stream, or tailscale.tailnet names another tailnet.";
      return call.path.includes("/tailnet/")
        ? 'Check tailscale.tailnet: "-" is the tailnet of the credentials.'
        : "It may have been deleted: see `tailscale2otel tailnet webhook list`.";
    default:
      return remedies[reason];
  }
}

function missingScopeRemedy({ scope }: Call, auth: AuthKind): string {
  if (scope === undefined)
    return "Grant the OAuth client every scope in tailscale.auth.oauth.scopes, or list fewer scopes there.";
  if (auth === "apikey")
    return `Use the key of a user who may do this (scope ${scope}), or an OAuth client with that scope.`;
  const more = scope === "log_streaming" ? " (for a private endpoint also device_invites and policy_file)" : "";
  return `Grant the OAuth client the scope ${scope}${more}, and list it in tailscale.auth.oauth.scopes if that is set.`;
}
