/** Every answer of the webhook receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import type { RefusalReason } from "../../errors.ts";
import { type HttpAnswer, jsonResponse } from "../../http/exchange.ts";
import { type AnswerDetail, type AnswerRow, headersOf } from "../answers.ts";

/** `rejected{reason}` of a delivery that was refused as a whole. */
export type RejectedReason = Exclude<
  NonNullable<AttributesOf<"tailscale.webhook.rejected">["reason"]>,
  "not_found" | "method" | "tls"
>;

export interface WebhookAnswer extends AnswerRow {
  readonly rejected?: RejectedReason;
}

const secretRemedy = "Set webhook.secret to the secret that Tailscale showed for this webhook, all of it";
const clockRemedy =
  "Check this machine's clock; to accept Tailscale's retries of old deliveries, set webhook.late_retry_window";

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
    remedy: "Tailscale retries hourly for a day",
    headers: { "retry-after": "1" },
  },
  secretUnknown: {
    when: "`webhook.auto_configure` is on, and the secret has not been created yet",
    status: 503,
    text: "The secret is not known yet",
    rejected: "unavailable",
    problem: "webhook.auto_configure has not created the webhook yet, so its secret is unknown",
    remedy: "See the log for why not",
    headers: { "retry-after": "30" },
  },
  crossSite: {
    when: "a web page sent it, and no secret is required",
    status: 403,
    text: "Requests from browsers are refused while webhook.secret is empty",
    rejected: "cross_site",
    problem: "a web page sent it, or its Host is not this machine's",
    remedy: "Set webhook.secret; behind a proxy on this machine, set webhook.public_url to the proxy's address",
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
    problem: "it is not signed",
    remedy: "Only Tailscale should post to this address; for a test use `tailscale2otel send webhook`",
  },
  malformedSignature: {
    when: "a signature header without one time and at least one `v1` of 64 hexadecimal digits",
    status: 401,
    text: "Signature is malformed",
    rejected: "malformed_signature",
    problem: "its Tailscale-Webhook-Signature header is malformed",
    remedy: "Check whether a proxy changes it",
  },
  staleTimestamp: {
    when: "signed longer ago than `webhook.tolerance`, and not within `webhook.late_retry_window` beyond it",
    status: 401,
    text: "Signature is too old",
    rejected: "stale_timestamp",
    problem: "it was signed longer ago than webhook.tolerance",
    remedy: clockRemedy,
  },
  futureTimestamp: {
    when: "signed further in the future than `webhook.tolerance`",
    status: 401,
    text: "Signature is from the future",
    rejected: "future_timestamp",
    problem: "it was signed further in the future than webhook.tolerance",
    remedy: "Check this machine's clock",
  },
  badSignature: {
    when: "no `v1` belongs to these bytes and `webhook.secret` or `webhook.secret_previous`",
    status: 401,
    text: "Signature does not match",
    rejected: "bad_signature",
    problem: "its signature was not made with webhook.secret or webhook.secret_previous",
    remedy: secretRemedy,
  },
  invalidBody: {
    when: "signed, but neither a JSON array of events nor one event, or in the format of Slack or Discord",
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
    remedy: "Tailscale retries hourly for a day; see `tailscale2otel status` for the state of the journal",
  },
  commitTimeout: {
    when: "the delivery could not be committed in 30 s",
    status: 503,
    text: "Server is busy",
    rejected: "unavailable",
    headers: { "retry-after": "5" },
    remedy: "Tailscale retries hourly for a day; the disk or the machine is too slow for the load",
  },
  internalError: {
    when: "a bug in this program; nothing was accepted",
    status: 500,
    text: "Internal server error",
    rejected: "unavailable",
    problem: "a bug in this program (see the error above)",
  },
  success: { when: "accepted, even if some or all events were known already", status: 200, text: "Success" },
  notFound: { when: "any other path", status: 404, text: "Not found" },
} as const satisfies Record<string, WebhookAnswer>;

export type WebhookAnswerName = keyof typeof answers;

/** In the order of the steps that a delivery goes through. */
export const webhookAnswers: Readonly<Record<WebhookAnswerName, WebhookAnswer>> = answers;

/** The response of a row. */
export function webhookResponse(name: WebhookAnswerName, detail: AnswerDetail = {}): HttpAnswer {
  const row = webhookAnswers[name];
  return jsonResponse(
    row.status,
    { text: row.isDetailed ? (detail.text ?? row.text) : row.text },
    headersOf(row, detail),
  );
}

/** The row for a delivery that was refused while its body was read or parsed. */
export const answerToRefusal: Readonly<Record<RefusalReason, WebhookAnswerName>> = {
  auth: "badSignature",
  cross_site: "crossSite",
  overloaded: "busy",
  timeout: "timeout",
  too_large: "tooLarge",
  unavailable: "unavailable",
  unparsable: "invalidBody",
  unsupported_encoding: "invalidBody",
};
