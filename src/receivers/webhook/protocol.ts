/** The table of all answers of the webhook receiver, used by the receiver and by the reference page. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import { type AnswerRow, row, sharedRows } from "../answers.ts";

/** `rejected{reason}` of a delivery refused as a whole. */
export type RejectedReason = Exclude<
  NonNullable<AttributesOf<"tailscale.webhook.rejected">["reason"]>,
  "not_found" | "method"
>;

export type WebhookAnswer = AnswerRow<RejectedReason>;

const shared = sharedRows("webhook");
const tooLarge = { rejected: "too_large", isDetailed: true } as const;

const answers = {
  methodNotAllowed: shared.methodNotAllowed,
  secretUnknown: row(
    503,
    "The secret is not known yet",
    "`webhook.auto_configure` is on, and the secret has not been created yet",
    {
      rejected: "unavailable",
      problem: "webhook.auto_configure has not created the webhook yet, so its secret is unknown",
      remedy: "The log says why",
      headers: { "retry-after": "30" },
    },
  ),
  crossSite: shared.crossSite,
  missingSignature: row(401, "Signature is required", "no `Tailscale-Webhook-Signature`", {
    rejected: "missing_signature",
    problem: "it is not signed",
    remedy: "Only Tailscale should post to this address; for a test use `tailscale2otel send webhook`",
  }),
  malformedSignature: row(
    401,
    "Signature is malformed",
    "a signature header without exactly one time and 1 to 16 `v1` of 64 hexadecimal digits",
    {
      rejected: "malformed_signature",
      problem: "its Tailscale-Webhook-Signature header is malformed",
      remedy: "Check whether a proxy changes it",
    },
  ),
  staleTimestamp: row(
    401,
    "Signature is too old",
    "signed longer ago than `webhook.tolerance`, and not within `webhook.late_retry_window` beyond it",
    {
      rejected: "stale_timestamp",
      problem: "it was signed longer ago than webhook.tolerance",
      remedy:
        "Check this machine's clock; to accept Tailscale's retries of old deliveries, set webhook.late_retry_window",
    },
  ),
  futureTimestamp: row(401, "Signature is from the future", "signed further in the future than `webhook.tolerance`", {
    rejected: "future_timestamp",
    problem: "it was signed further in the future than webhook.tolerance",
    remedy: "Check this machine's clock",
  }),
  unsupportedEncoding: row(
    415,
    "Compressed bodies are not supported",
    "a compressed body (`Content-Encoding`), which Tailscale does not send",
    { rejected: "invalid_body", remedy: "Check whether a proxy compresses requests" },
  ),
  shuttingDown: shared.shuttingDown,
  busy: shared.busy,
  timeout: shared.timeout,
  bodyTooLarge: row(413, "Too large", "the body exceeds `webhook.max_body_bytes`", {
    ...tooLarge,
    remedy: "To accept it, raise webhook.max_body_bytes",
  }),
  badSignature: row(
    401,
    "Signature does not match",
    "no `v1` matches the body with `webhook.secret` or `webhook.secret_previous`",
    {
      rejected: "bad_signature",
      problem: "its signature was not made with webhook.secret or webhook.secret_previous",
      remedy: "Set webhook.secret to the complete secret that Tailscale showed for this webhook, including its prefix",
    },
  ),
  tooLarge: row(413, "Too large", "too many events, or a delivery that exceeds another limit below", tooLarge),
  invalidBody: row(
    400,
    "Invalid body",
    "signed, but neither a JSON array of events nor a single event, or in Slack or Discord format",
    { rejected: "invalid_body", isDetailed: true },
  ),
  unavailable: shared.unavailable,
  commitTimeout: shared.commitTimeout,
  internalError: shared.internalError,
  success: row(200, "Success", "accepted, even if some or all events were duplicates", {}),
  notFound: shared.notFound,
} as const satisfies Record<string, WebhookAnswer>;

export type WebhookAnswerName = keyof typeof answers;

/** In the order in which a delivery is checked. */
export const webhookAnswers: Readonly<Record<WebhookAnswerName, WebhookAnswer>> = answers;
