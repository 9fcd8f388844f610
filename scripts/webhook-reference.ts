/** The reference page of the webhook receiver, made from the tables that the receiver itself works by. */
import { webhookTypes } from "../src/catalogue/vocabulary.ts";
import { exportedMembers, warningTypes } from "../src/processors/index.ts";
import { maxEvents } from "../src/receivers/webhook/index.ts";
import { defaultTimeoutMs, maxDeliveries, maxInflightBytes } from "../src/receivers/webhook/index.ts";
import { type WebhookAnswer, webhookAnswers } from "../src/receivers/webhook/protocol.ts";
import { maxCandidates } from "../src/receivers/webhook/signature.ts";

/** Markdown. */
export function renderWebhookReference(): string {
  return `# Webhook receiver

\`POST\` to \`webhook.path\`, with or without a slash at its end: a JSON array of events, or a single one, signed by Tailscale. 200 means
that all its events are on disk. Events are judged alone: one that makes no sense (no \`type\`, a member of the wrong type) is quarantined, and
the others are accepted. An event that is delivered again, in this delivery or another, before or
after a restart, is counted in \`tailscale.webhook.duplicates\` and changes nothing else.

## Setting it up

In Tailscale's admin console, add a webhook endpoint with the address by which Tailscale reaches this listener, and give the
secret that is shown to the receiver: \`webhook.secret_file\`, or the variable \`TS2OTEL_WEBHOOK__SECRET\`.
\`tailscale2otel send webhook --url …\`, with the same configuration, sends a signed test event and prints the answer.

With \`webhook.auto_configure\` the program makes the webhook itself and keeps its secret: see [Tailscale's side](tailnet.md).

**Rotating the secret.** Put the new secret into \`webhook.secret\` and the one before into \`webhook.secret_previous\`, then reload
(SIGHUP; a \`_file\` is read again by itself). No delivery is refused meanwhile. Later, take \`webhook.secret_previous\` out.

**Late deliveries.** Tailscale tries again, every hour for a day, what was not answered 2xx. Whether it signs each attempt anew is
not documented. If it does not, \`webhook.tolerance\` refuses them all; \`webhook.late_retry_window = "25h"\` accepts them. A replay is
no danger then: events are known for \`dedup.webhook_window\`, and where that memory does not reach, late deliveries are refused.

## Signatures

\`Tailscale-Webhook-Signature: t=<seconds>,v1=<hex>[,v1=…]\`: the HMAC-SHA256 of \`<t>.<body>\`, keyed by the whole text of the secret.
Header and time are checked before the body is read. At most ${maxCandidates} \`v1\` are considered, unknown elements are ignored, and every \`v1\` is compared with every secret in constant time.
Without \`webhook.secret\` and \`webhook.secret_previous\` no signature is required, and requests from browsers are refused; with
\`webhook.auto_configure\` nothing is accepted until the secret is known.

## Answers

In the order of the steps. Bodies are \`{"text":…}\`. The reason is that of \`tailscale.webhook.rejected\`.

| when | status | text | headers | reason |
| --- | --- | --- | --- | --- |
${Object.values(webhookAnswers).map(answerRow).join("\n")}

## Events

Every type is accepted, known or not. Each event becomes one log record named \`tailscale.webhook.<type>\`, or \`tailscale.webhook.other\`
if the type is unknown, with the event's message as its body.
WARN: ${codeList(webhookTypes.filter((type) => warningTypes.has(type)))}. INFO: ${codeList(webhookTypes.filter((type) => !warningTypes.has(type)))}, and all others.

| member of \`data\` | attribute |
| --- | --- |
${exportedMembers.map(([member, attribute]) => `| \`${member}\` | \`${attribute}\` |`).join("\n")}

Texts and lists of texts are exported, cut at 4 KiB; \`oldPolicy\`, \`newPolicy\` and what is not listed never are.

## Limits

| what | limit | setting |
| --- | --- | --- |
| a body | | \`webhook.max_body_bytes\` |
| events in one delivery | ${maxEvents} | – |
| time to receive a body | ${defaultTimeoutMs / 1000} s | – |
| deliveries in flight | ${maxDeliveries} | – |
| bodies in flight | ${maxInflightBytes / 1024 / 1024} MiB, or one body | – |
`;
}

function answerRow({ when, status, text, rejected, headers, isDetailed }: WebhookAnswer): string {
  const headerList = Object.entries(headers ?? {}).map(([name, value]) => `\`${name}: ${value}\``);
  const shownText = isDetailed ? "says which limit, or what is wrong" : `\`${text}\``;
  return `| ${when} | ${status} | ${shownText} | ${headerList.join(", ")} | ${rejected === undefined ? "" : `\`${rejected}\``} |`;
}

function codeList(words: readonly string[]): string {
  return words.map((word) => `\`${word}\``).join(", ");
}
