/** Why a request to Tailscale's API failed: a closed set of reasons, each with its remedy. */
import type { ApiEndpoint } from "../catalogue/vocabulary.ts";
import { messageOf } from "../lib/system-error.ts";

/** An API call, with the scope and the feature that it needs. */
export interface Call {
  readonly endpoint: ApiEndpoint;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Appended to the base address. */
  readonly path: string;
  /** The scope that an OAuth client needs; the token call needs none. */
  readonly scope?: string;
  /** What to do if the tailnet does not have the feature. */
  readonly enabling?: string;
}

/** A call with the kind of its credentials; the token call has none. */
interface SentCall extends Call {
  readonly credentials?: { readonly kind: "oauth" | "apikey" };
}

/** What to do about each reason. */
const remedies = {
  /** The key or the OAuth client is wrong, expired or revoked. */
  unauthorized: ({ credentials }: SentCall) =>
    credentials?.kind === "apikey"
      ? "Check tailscale.auth.apikey: API keys expire after at most 90 days; an OAuth client does not expire."
      : "Check tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret: the client may be revoked, or belong to another tailnet.",
  /** The credentials are valid but may not do this. */
  missing_scope({ scope, credentials }: SentCall) {
    if (scope === undefined)
      return "Give the OAuth client every scope in tailscale.auth.oauth.scopes, or list fewer scopes there.";
    if (credentials?.kind === "apikey")
      return `Use the key of a user who may do this (scope ${scope}), or an OAuth client with that scope.`;
    const remedy = `Give the OAuth client the scope ${scope} (and add it to tailscale.auth.oauth.scopes, if set).`;
    if (scope !== "log_streaming") return remedy;
    return `${remedy} For an address inside the tailnet, do the same with device_invites and policy_file.`;
  },
  /** The tailnet's plan or settings do not include it: flow logs, log streaming. */
  not_enabled: ({ enabling }: SentCall) => enabling ?? "The tailnet's plan or settings do not include it.",
  /** No such tailnet, webhook or stream. */
  not_found({ endpoint, path }: SentCall) {
    if (endpoint === "log_stream") return "That log has no stream, or tailscale.tailnet names another tailnet.";
    return path.includes("/tailnet/")
      ? 'Check tailscale.tailnet: "-" is the tailnet of the credentials.'
      : "It may have been deleted: see `tailscale2otel tailnet webhook list`.";
  },
  /** The API rejects the request itself. */
  rejected: () => "Correct the value that Tailscale's message names.",
  rate_limited: () => "Set tailscale.http.rate_limit, or poll less often (collectors.*.interval).",
  /** No connection, or an answer of 500 and above. */
  unavailable: () =>
    "Check tailscale.base_url, the network and any proxy on the way, and https://status.tailscale.com.",
  timeout: () => "Raise tailscale.http.timeout if the connection is slow.",
  /** The answer is larger than the caller's limit. */
  too_large: ({ endpoint }: SentCall) =>
    endpoint.endsWith("_logs")
      ? "Lower collectors.*.max_window."
      : "Check tailscale.base_url: something other than Tailscale's API answers there.",
  /** The answer is truncated, or does not have the API's shape. */
  malformed: () =>
    "Check tailscale.base_url: something other than Tailscale's API answers there, or a proxy changes answers.",
  /** The answer is a redirect. */
  redirected: () =>
    "Set tailscale.base_url to the final address: redirects are not followed, so that credentials go nowhere else.",
  /** The caller gave up. */
  aborted: () => "Nothing to do.",
} satisfies Readonly<Record<string, (call: SentCall) => string>>;

export type TailscaleErrorReason = keyof typeof remedies;

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
    /** What the answer's `Retry-After` asks for. */
    readonly retryAfterMs = 0,
    /** The scope that the OAuth client lacks. An API key has the rights of its user. */
    readonly missingScope?: string,
  ) {
    super(message);
  }
}

/** What could not be read or set up in the tailnet at the last attempt. */
export interface TailnetTrouble {
  readonly task: "network log stream" | "configuration log stream" | "webhook" | "device list";
  readonly trouble: string;
  /** What to do about it, if the API's answer says so. */
  readonly remedy?: string;
}

/** Why the last attempt failed. */
export type Failure = Omit<TailnetTrouble, "task">;

/** Tracks whether the last attempt at something failed, and why. */
export function createAttempts() {
  let failure: Failure | undefined;
  return {
    /** Absent before the first attempt, and after one that succeeded. */
    get failure(): Failure | undefined {
      return failure;
    },
    noting:
      <Result>(attempt: () => Promise<Result>) =>
      async (): Promise<Result> => {
        try {
          const result = await attempt();
          failure = undefined;
          return result;
        } catch (error) {
          const { missingScope, remedy } = error instanceof TailscaleError ? error : {};
          const trouble = missingScope === undefined ? messageOf(error) : `the scope ${missingScope} is missing`;
          failure = remedy === undefined ? { trouble } : { trouble, remedy };
          throw error;
        }
      },
  };
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

/** `why` is the second half of a sentence. */
export function errorOf(
  call: SentCall,
  reason: TailscaleErrorReason,
  why: string,
  status?: number,
  retryAfterMs?: number,
): TailscaleError {
  return new TailscaleError(
    reason,
    `${call.method} ${call.path}: ${why}`,
    remedies[reason](call),
    status,
    retryAfterMs,
    reason === "missing_scope" && call.credentials?.kind === "oauth" ? call.scope : undefined,
  );
}

/** The error for a status of 400 and above. `body` is ignored for the token call, since it may repeat what was sent. */
export function refusalOf(call: SentCall, status: number, body: string, retryAfterMs?: number): TailscaleError {
  const words = call.endpoint === "oauth_token" ? "" : messageIn(body);
  const why = `HTTP ${status}${words === "" ? "" : `: ${words}`}`;
  return errorOf(call, reasonOf(call, status, words), why, status, retryAfterMs);
}

/** True if the requested thing does not exist, although its tailnet does. */
export function isMissing(error: unknown): boolean {
  return error instanceof TailscaleError && error.reason === "not_found" && !/tailnet not found/i.test(error.message);
}

/** The API's messages are truncated to this many characters. */
const maxMessageCharacters = 300;

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
  return call.endpoint === "oauth_token" ? "unauthorized" : "rejected";
}

/** The API answers 403 both for a missing scope and for a missing feature; only its message differs. */
function isNotEnabled({ enabling }: Call, words: string): boolean {
  if (enabling === undefined || /permission|scope|\baccess\b/i.test(words)) return false;
  return /enabl|disabl|turned o|not available|plan\b|upgrade|feature|billing/i.test(words);
}
