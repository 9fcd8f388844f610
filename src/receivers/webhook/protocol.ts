/** Every answer of the webhook receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import { type AnswerRow, sharedRows } from "../answers.ts";

/** `rejected{reason}` of a delivery that was refused as a whole. */
export type RejectedReason = Exclude<
  NonNullable<AttributesOf<"tailscale.webhook.rejected">["reason"]>,
  "not_found" | "method"
>;

export type WebhookAnswer = AnswerRow<RejectedReason>;

const shared = sharedRows({
  section: "webhook",
  secret: "secret",
  timeout: "30 s",
  retry: "Tailscale retries hourly for a day",
});
const secretRemedy = "Set webhook.secret to the secret that Tailscale showed for this webhook, all of it";
const clockRemedy =
  "Check this machine's clock; to accept Tailscale's retries of old deliveries, set webhook.late_retry_window";

const answers = {
  methodNotAllowed: shared.methodNotAllowed,
  secretUnknown: {
    when: "`webhook.auto_configure` is on, and the secret has not been created yet",
    status: 503,
    text: "The secret is not known yet",
    rejected: "unavailable",
    problem: "webhook.auto_configure has not created the webhook yet, so its secret is unknown",
    remedy: "See the log for why not",
    headers: { "retry-after": "30" },
  },
  crossSite: shared.crossSite,
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
  unsupportedEncoding: {
    when: "a compressed body (`Content-Encoding`), which Tailscale does not send",
    status: 415,
    text: "Compressed bodies are not supported",
    rejected: "invalid_body",
    remedy: "Check whether a proxy compresses requests",
  },
  shuttingDown: shared.shuttingDown,
  busy: shared.busy,
  timeout: shared.timeout,
  bodyTooLarge: {
    when: "the body is over `webhook.max_body_bytes`",
    status: 413,
    text: "Too large",
    rejected: "too_large",
    isDetailed: true,
    remedy: "To accept it, raise webhook.max_body_bytes",
  },
  badSignature: {
    when: "no `v1` belongs to these bytes and `webhook.secret` or `webhook.secret_previous`",
    status: 401,
    text: "Signature does not match",
    rejected: "bad_signature",
    problem: "its signature was not made with webhook.secret or webhook.secret_previous",
    remedy: secretRemedy,
  },
  tooLarge: {
    when: "too many events, or too many members, elements or levels of nesting",
    status: 413,
    text: "Too large",
    rejected: "too_large",
    isDetailed: true,
  },
  invalidBody: {
    when: "signed, but neither a JSON array of events nor one event, or in the format of Slack or Discord",
    status: 400,
    text: "Invalid body",
    rejected: "invalid_body",
    isDetailed: true,
  },
  unavailable: shared.unavailable,
  commitTimeout: shared.commitTimeout,
  internalError: shared.internalError,
  success: { when: "accepted, even if some or all events were known already", status: 200, text: "Success" },
  notFound: shared.notFound,
} as const satisfies Record<string, WebhookAnswer>;

export type WebhookAnswerName = keyof typeof answers;

/** In the order of the steps that a delivery goes through. */
export const webhookAnswers: Readonly<Record<WebhookAnswerName, WebhookAnswer>> = answers;
