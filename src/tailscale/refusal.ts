/** What an answer that is no success means, and what to do about it. */
import type { Call } from "./calls.ts";
import { TailscaleError, type TailscaleErrorReason } from "./error.ts";

/** How the program signs in: with an OAuth client, or a key. */
export type AuthKind = "oauth" | "apikey";

/** More of the API's own words than this is not repeated. */
const maxMessageCharacters = 300;

/**
 * The error of a status of 300 and above. `body` is what came with it; of the token's call it is not looked at, since it may
 * repeat what was sent.
 */
export function refusalOf(call: Call, status: number, body: string, auth: AuthKind): TailscaleError {
  const words = call.endpoint === "oauth_token" ? "" : wordsOf(body);
  const reason = reasonOf(call, status, words);
  return new TailscaleError(
    reason,
    `${nameOf(call)}: HTTP ${status}${words === "" ? "" : `: ${words}`}`,
    remedyOf(call, reason, auth),
    status,
  );
}

/** An error without an answer, or with one that is not what was asked for. `why` is a part of a sentence. */
export function failureOf(
  call: Call,
  reason: TailscaleErrorReason,
  why: string,
  auth: AuthKind,
  status?: number,
): TailscaleError {
  return new TailscaleError(reason, `${nameOf(call)}: ${why}`, remedyOf(call, reason, auth), status);
}

function nameOf({ method, path }: Call): string {
  return `${method} ${path}`;
}

/** `{"message": …}`, on one line. What is no such object, such as a proxy's page, says nothing worth repeating. */
function wordsOf(body: string): string {
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
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return isNotEnabled(call, words) ? "not_enabled" : "missing_scope";
    case 404:
      return "not_found";
    case 429:
      return "rate_limited";
    case 408:
      return "timeout";
  }
  if (status >= 500) return "unavailable";
  if (status < 400) return "redirected";
  return call.endpoint === "oauth_token" ? "unauthorized" : "rejected";
}

/** The API answers 403 both where a scope is missing and where the tailnet does not have the feature; only its words differ. */
function isNotEnabled({ enabling }: Call, words: string): boolean {
  if (enabling === undefined || /permission|scope|\baccess\b/i.test(words)) return false;
  return /enabl|disabl|turned o|not available|plan\b|upgrade|feature|billing/i.test(words);
}

function remedyOf(call: Call, reason: TailscaleErrorReason, auth: AuthKind): string {
  switch (reason) {
    case "unauthorized":
      return auth === "oauth"
        ? "Check tailscale.auth.oauth.client_id and client_secret: the client may be another tailnet's, or revoked."
        : "Check tailscale.auth.apikey: keys end after at most 90 days; an OAuth client does not.";
    case "missing_scope":
      return missingScopeRemedy(call, auth);
    case "not_enabled":
      return call.enabling ?? "The tailnet's plan or settings do not have it.";
    case "not_found":
      return notFoundRemedy(call);
    case "rejected":
      return "Check what is configured for it against the API's own words.";
    case "rate_limited":
      return "Set tailscale.http.rate_limit, or ask less often with longer intervals.";
    case "unavailable":
      return "Check the connection to tailscale.base_url, a proxy between, and Tailscale's status page.";
    case "timeout":
      return "Raise tailscale.http.timeout if the connection is slow.";
    case "too_large":
      return "Ask for less at a time, with a shorter max_window.";
    case "malformed":
      return "Check tailscale.base_url: is there something else than Tailscale's API, or a proxy that changes answers?";
    case "redirected":
      return "Set tailscale.base_url to the address that answers itself: credentials go to no other one.";
    case "aborted":
      return "Nothing is to be done.";
  }
}

function notFoundRemedy({ endpoint, path }: Call): string {
  if (endpoint === "log_stream") return "No stream of that log is set, or tailscale.tailnet names another tailnet.";
  return path.includes("/tailnet/")
    ? 'Check tailscale.tailnet: "-" is the tailnet that the credentials belong to.'
    : "It may have been deleted: list what there is with `tailscale2otel tailnet webhook list`.";
}

function missingScopeRemedy({ scope }: Call, auth: AuthKind): string {
  if (scope === undefined) {
    return "Give the OAuth client all scopes that tailscale.auth.oauth.scopes asks for, or ask for fewer.";
  }
  if (auth === "apikey")
    return `Use a key of somebody who may do this (scope ${scope}), or an OAuth client with that scope.`;
  const privately = scope === "log_streaming" ? " (for a private endpoint also device_invites and policy_file)" : "";
  return `Give the OAuth client the scope ${scope}${privately}, and name it in tailscale.auth.oauth.scopes if that is set.`;
}
