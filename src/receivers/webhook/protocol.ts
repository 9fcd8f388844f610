/** Every answer of the webhook receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import type { RefusalReason } from "../../errors.ts";
import { jsonResponse } from "../../http/response.ts";

/** `rejected{reason}` of a delivery that was refused as a whole. */
export type RejectedReason = NonNullable<AttributesOf<"tailscale.webhook.rejected">["reason"]>;

export interface WebhookAnswer {
  /** For the reference page, and for the log. */
  readonly when: string;
  readonly status: number;
  readonly text: string;
  /** How it is counted; absent where nothing was refused, or nothing was sent to be taken. */
  readonly rejected?: RejectedReason;
  readonly headers?: Readonly<Record<string, string>>;
  /** The text says more in each case: which limit, which setting. */
  readonly isDetailed?: true;
}

const answers = {
  methodNotAllowed: { when: "any method but `POST`, with `Allow`", status: 405, text: "Method not allowed" },
  shuttingDown: {
    when: "the program is shutting down",
    status: 503,
    text: "Server is shutting down",
    rejected: "unavailable",
    headers: { "retry-after": "5" },
  },
  busy: {
    when: "too many deliveries, or too many bytes, in flight",
    status: 503,
    text: "Server is busy",
    rejected: "overloaded",
    headers: { "retry-after": "1" },
  },
  secretUnknown: {
    when: "`webhook.auto_configure` is on, and Tailscale has not told the secret yet",
    status: 503,
    text: "The secret is not known yet",
    rejected: "unavailable",
    headers: { "retry-after": "30" },
  },
  crossSite: {
    when: "a web page sent it, and no secret is asked for",
    status: 403,
    text: "Requests from browsers are refused while webhook.secret is empty",
    rejected: "cross_site",
  },
  timeout: {
    when: "the body was not complete in 30 s, or came slower than 1 KiB/s after 10 s; the connection is closed",
    status: 408,
    text: "The body did not arrive in time",
    rejected: "timeout",
    headers: { connection: "close" },
  },
  tooLarge: {
    when: "the body is over `webhook.max_body_bytes`, or holds too many events",
    status: 413,
    text: "Too large",
    rejected: "too_large",
    isDetailed: true,
  },
  missingSignature: {
    when: "no `Tailscale-Webhook-Signature`",
    status: 401,
    text: "Signature is required",
    rejected: "missing_signature",
  },
  malformedSignature: {
    when: "a signature header without one time and at least one `v1` of 64 hexadecimal digits",
    status: 401,
    text: "Signature is malformed",
    rejected: "malformed_signature",
  },
  staleTimestamp: {
    when: "signed longer ago than `webhook.tolerance`, and not within `webhook.late_retry_window` beyond it",
    status: 401,
    text: "Signature is too old",
    rejected: "stale_timestamp",
  },
  futureTimestamp: {
    when: "signed further in the future than `webhook.tolerance`",
    status: 401,
    text: "Signature is from the future",
    rejected: "future_timestamp",
  },
  badSignature: {
    when: "no `v1` belongs to these bytes and `webhook.secret` or `webhook.secret_previous`",
    status: 401,
    text: "Signature does not match",
    rejected: "bad_signature",
  },
  invalidBody: {
    when: "signed, but not a JSON array of events",
    status: 400,
    text: "Invalid body",
    rejected: "invalid_body",
    isDetailed: true,
  },
  unavailable: {
    when: "the journal is full or failing",
    status: 503,
    text: "Server is busy",
    rejected: "unavailable",
    headers: { "retry-after": "5" },
  },
  internalError: {
    when: "a mistake in this program; nothing was taken",
    status: 500,
    text: "Internal server error",
    rejected: "unavailable",
  },
  success: { when: "taken, even if some or all events were known already", status: 200, text: "Success" },
  notFound: { when: "any other path", status: 404, text: "Not found" },
} as const satisfies Record<string, WebhookAnswer>;

export type WebhookAnswerName = keyof typeof answers;

/** In the order of the steps that a delivery goes through. */
export const webhookAnswers: Readonly<Record<WebhookAnswerName, WebhookAnswer>> = answers;

/** What a single answer adds to its row of the table. */
export interface AnswerDetail {
  readonly text?: string | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** The response of a row. */
export function webhookResponse(name: WebhookAnswerName, detail: AnswerDetail = {}): Response {
  const { status, text, headers, isDetailed } = webhookAnswers[name];
  const retryAfter =
    detail.retryAfterSeconds === undefined ? undefined : { "retry-after": String(detail.retryAfterSeconds) };
  return jsonResponse(status, { text: isDetailed ? (detail.text ?? text) : text }, { ...headers, ...retryAfter });
}

/** The row for a delivery that was refused while its body was read or looked into. */
export function answerToRefusal(reason: RefusalReason): WebhookAnswerName {
  switch (reason) {
    case "auth":
      return "badSignature";
    case "cross_site":
      return "crossSite";
    case "overloaded":
      return "busy";
    case "timeout":
      return "timeout";
    case "too_large":
      return "tooLarge";
    case "unavailable":
      return "unavailable";
    case "unparsable":
    case "unsupported_encoding":
      return "invalidBody";
  }
}
