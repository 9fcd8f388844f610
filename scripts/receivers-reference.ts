/** Generates the reference pages of the receivers from the tables that the receivers themselves use. */
import { webhookTypes } from "../src/catalogue/vocabulary.ts";
import { defaultMaxBodyBytes } from "../src/config/index.ts";
import { settings } from "../src/config/schema.ts";
import { idleTimeoutSeconds, maxDiscarding } from "../src/http/exchange.ts";
import { maxEntries, maxRecords } from "../src/pipeline/batch.ts";
import { maxAppendText } from "../src/pipeline/append.ts";
import { maxRowRecords } from "../src/pipeline/parts.ts";
import { exportedMembers, warningTypes } from "../src/processors/index.ts";
import { largeWorkedBytes } from "../src/receivers/hec/body.ts";
import { defaultPath, healthPaths, ingestPaths, maxReading } from "../src/receivers/hec/index.ts";
import { type HecAnswer, hecAnswers } from "../src/receivers/hec/protocol.ts";
import {
  defaultTimeoutMs,
  maxDeliveries,
  maxEvents,
  maxInflightBytes,
  maxParts,
  maxWorking,
} from "../src/receivers/webhook/index.ts";
import { type WebhookAnswer, webhookAnswers } from "../src/receivers/webhook/protocol.ts";
import { maxCandidates } from "../src/receivers/webhook/signature.ts";
import { maxEntriesOfRecord } from "../src/records/flow/columns.ts";
import { valueLimits } from "../src/records/json.ts";
import { maxDepth } from "../src/records/plain.ts";
import { maxFrames, maxWindowBytes } from "../src/runtime/zstd-frames.ts";

/** `docs/hec.md`, as Markdown. */
export function hecPage(): string {
  return `# Stream receiver: the HEC protocol

The receiver speaks the part of Splunk's HTTP Event Collector protocol that log streaming uses. 200 means that
everything in a request is on disk, and a refused request changes nothing. The exception is a request of more than
${thousands(maxRowRecords)} records, about ${maxAppendText / 1024 / 1024} MiB of text or 4 MiB of it compressed, which is committed in several transactions: if the journal fails
between them, the answer is 503, and the records committed so far are recognized as duplicates when the request is sent again. Every answer
has a JSON body (\`{"text":…,"code":…}\`), except what the HTTP parser itself refuses (an empty 400 or 431).

## Routes

| method | path | |
| --- | --- | --- |
| \`POST\` | \`streaming.path\`, with or without a trailing slash | accepts records |
| \`POST\` | ${codeList(ingestPaths(defaultPath))} | with the default path |
| \`GET\`, \`HEAD\` | ${codeList(healthPaths)} | health; needs no token |
| \`OPTIONS\` | any of these | 200 with \`Allow\` |

## Credentials

\`Authorization: Splunk TOKEN\`, \`Bearer TOKEN\`, \`Basic base64(user:TOKEN)\`, or the token alone. The token is
\`streaming.token\`; \`streaming.token_previous\` is accepted too. If both are empty, any program may send, and requests from
browsers are refused; behind a proxy on the same machine, set \`streaming.public_url\`, so that requests to that host name are not refused as cross-site.

## Bodies

Plain, or compressed with gzip or zstd (\`Content-Encoding\`, or as \`streaming.decompress\` says). The text is a sequence of JSON
objects with nothing or white space between them, or one JSON array of objects. An object is an envelope
\`{"time":…,"event":…,"fields":…}\`, a \`{"logs":[…]}\` wrapper, or a bare record.

## Answers

| when | status | body | headers | counted as |
| --- | --- | --- | --- | --- |
${Object.values(hecAnswers).map(hecRow).join("\n")}

## Limits

${limitsTable([
  ["one body, on the wire and after decompression", mebibytes(defaultMaxBodyBytes), "streaming.max_body_bytes"],
  ["all bodies in memory", defaultOf("streaming.max_inflight_bytes"), "streaming.max_inflight_bytes"],
  ["requests parsed and committed at once", ...own("streaming.max_concurrent_requests")],
  [`requests with more than ${mebibytes(largeWorkedBytes)} of text that are worked on at once`, "1"],
  ["requests being read or waiting", thousands(maxReading)],
  ["window of a zstd frame", mebibytes(maxWindowBytes)],
  ["zstd frames in one body", thousands(maxFrames)],
  ["records in one request", thousands(maxRecords)],
  ["connection entries in one request", thousands(maxEntries)],
  ["connection entries in one record; more quarantine it", thousands(maxEntriesOfRecord)],
  ["size of one JSON value", mebibytes(valueLimits.bytes)],
  ["members and elements in one JSON value", thousands(valueLimits.parts)],
  [
    `different member names in one JSON value, beyond its first ${thousands(valueLimits.names)} members`,
    thousands(valueLimits.names),
  ],
  ["escape sequences in one JSON value", thousands(valueLimits.escapes)],
  ["levels of nesting in one JSON value", thousands(valueLimits.depth)],
  ["levels of nesting in `old` and `new` of an audit record; more quarantine it", thousands(maxDepth)],
  ["time to receive a body", ...own("streaming.request_timeout")],
  ["time to send the head of a request, or to begin one on a new connection", "12 s"],
  ["idle connection", `${idleTimeoutSeconds} s`],
])}

If a value exceeds a limit, or a body has more zstd frames, the whole request is refused with 413; a zstd frame with a larger window is
refused with 400. At shutdown, bodies that are still arriving have 5 s more; then they are answered with 503.

## Connections

At startup the program raises its limit on open files as far as the system allows. HTTP pipelining is not supported: a client that sends
a request before the previous one is answered is disconnected. Malformed HTTP is answered with a bare 400 or 431. A chunked body with a
trailer in the same write is answered with a bare 400 too, although its records may have been accepted. These are limits of the HTTP
server: such requests, and TLS sent to a plain port, leave no trace in counters or the log.

A client that closes its side of the connection before it has the answer (nc -N, for example) may be disconnected without one, although its
records were accepted. If it sends them again, they count as duplicates.

Before a refusal is sent, the rest of the request's body is read and discarded, for at most 30 s and no slower than 64 KiB/s, so that the
sender sees the answer instead of a reset. A listener does so for at most ${maxDiscarding} requests at once; to any others it answers and
closes the connection without reading on. When the limit on requests or bytes in flight is reached, the slowest request of the busiest
client is answered with 503.

## TLS

With \`streaming.tls.cert_file\` and \`streaming.tls.key_file\` the receiver accepts only TLS 1.2 and 1.3, 1.2 with forward secrecy
and authenticated encryption. When the files change, or on SIGHUP, new connections get the new certificate within 5 s, and open
connections are closed after their next answer. A pair that does not match, has expired or cannot be read is not used: the previous one is
still served, a warning is logged, and \`tailscale2otel.tls.cert.rejected\` is 1. \`tailscale2otel.tls.cert.not_after\` says when the
served certificate expires.

With \`streaming.tls.tailscale = true\` the certificate comes from the local tailscaled, which renews it; until there is one, the listener is
closed, and senders find nobody. See [Where Tailscale reaches it](reach.md#with-the-certificate-of-tailscaled).
`;
}

/** `docs/webhook.md`, as Markdown. */
export function webhookPage(): string {
  return `# Webhook receiver

\`POST\` to \`webhook.path\`, with or without a trailing slash: a JSON array of events, or a single event, signed by Tailscale. 200 means
that all events are on disk. Events are judged one by one: an invalid one (no \`type\`, a member of the wrong type) is quarantined, and
the others are accepted. An event that is delivered again, in the same delivery or another, before or after a restart, is counted in
\`tailscale.webhook.duplicates\` and changes nothing else.

## Setting it up

Tailscale has to reach the listener over public HTTPS, by [Funnel or a reverse proxy](reach.md#webhooks); [Getting
started](getting-started.md#webhook) has each step.

In Tailscale's admin console, add a webhook endpoint with that address. Give the receiver the secret that it shows: in \`webhook.secret_file\`, or in the variable \`TS2OTEL_WEBHOOK__SECRET\`.
\`tailscale2otel send webhook --url …\`, with the same configuration, sends a signed test event and prints the answer.

With \`webhook.auto_configure\` the program creates the webhook itself and stores its secret: see [setting up Tailscale](tailnet.md).

**Rotating the secret.** Put the new secret into \`webhook.secret\` and the old one into \`webhook.secret_previous\`, then reload
(SIGHUP; changed \`_file\`s are read again without it). No delivery is refused in between. Later, remove \`webhook.secret_previous\`.

**Late deliveries.** Tailscale retries a delivery that was not answered with 2xx every hour for a day. Tailscale does not document
whether each retry is signed again. If it is not, \`webhook.tolerance\` refuses all retries; \`webhook.late_retry_window = "25h"\` accepts them.
Even then, replayed deliveries are harmless: known events are recognized for \`dedup.webhook_window\`, and late deliveries from before that are refused.

## Signatures

\`Tailscale-Webhook-Signature: t=<seconds>,v1=<hex>[,v1=…]\`: the HMAC-SHA256 of \`<t>.<body>\` keyed with the complete secret, prefix
included. Header and time are checked before the body is read. A header with more than ${maxCandidates} \`v1\` is malformed, unknown elements are ignored, and
each \`v1\` is compared with each secret in constant time. Without \`webhook.secret\` and \`webhook.secret_previous\` no signature is
required, and requests from browsers are refused; with \`webhook.auto_configure\` nothing is accepted until the secret is known.

## Answers

In the order of the checks. Bodies are \`{"text":…}\`. “reason” is the attribute of \`tailscale.webhook.rejected\`.

| when | status | text | headers | reason |
| --- | --- | --- | --- | --- |
${Object.values(webhookAnswers).map(webhookRow).join("\n")}

## Events

Every type is accepted, known or not. Each event becomes one log record named \`tailscale.webhook.<type>\`, or
\`tailscale.webhook.other\` if the type is unknown. Its body is the event's message.
WARN: ${codeList(webhookTypes.filter((type) => warningTypes.has(type)))}. INFO: ${codeList(webhookTypes.filter((type) => !warningTypes.has(type)))}, and all others.

| member of \`data\` | attribute |
| --- | --- |
${exportedMembers.map(([member, attribute]) => `| \`${member}\` | \`${attribute}\` |`).join("\n")}

Texts and lists of texts are exported, cut at 4 KiB. \`oldPolicy\`, \`newPolicy\` and members that are not listed are never exported.

## Limits

${limitsTable([
  ["one body, uncompressed", ...own("webhook.max_body_bytes")],
  ["events in one delivery", thousands(maxEvents)],
  ["members and elements in one delivery", thousands(maxParts)],
  [
    `different member names in one delivery, beyond its first ${thousands(valueLimits.names)} members`,
    thousands(valueLimits.names),
  ],
  ["escape sequences in one delivery", thousands(valueLimits.escapes)],
  ["levels of nesting in one delivery", thousands(valueLimits.depth)],
  ["levels of nesting in one event; more quarantine it", thousands(maxDepth)],
  ["`v1` in one signature header", thousands(maxCandidates)],
  ["time to receive a body, and again to commit it", `${defaultTimeoutMs / 1000} s`],
  ["deliveries in flight", thousands(maxDeliveries)],
  ["deliveries parsed and committed at once", thousands(maxWorking)],
  ["bodies in flight", `${mebibytes(maxInflightBytes)}, or one body`],
])}
`;
}

type Limit = readonly [what: string, limit: string, setting?: string];

function limitsTable(limits: readonly Limit[]): string {
  const rows = limits.map(
    ([what, limit, setting]) => `| ${what} | ${limit} | ${setting === undefined ? "–" : `\`${setting}\``} |`,
  );
  return ["| what | limit | setting |", "| --- | --- | --- |", ...rows].join("\n");
}

/** Default and name of a setting. */
function own(key: string): [limit: string, setting: string] {
  return [defaultOf(key), key];
}

/** A setting's default, with a space before its unit. */
function defaultOf(key: string): string {
  const setting = settings.find((candidate) => candidate.key === key);
  if (setting === undefined) throw new TypeError(`no setting ${key}`);
  return setting.written.replaceAll('"', "").replace(/(?<=\d)(?=[a-zA-Z])/, " ");
}

function mebibytes(bytes: number): string {
  return `${bytes / 1024 / 1024} MiB`;
}

function hecRow({ text, code, namesValue, isDetailed, ...answer }: HecAnswer): string {
  const body = { text: isDetailed ? "…" : text, code, ...(namesValue && { "invalid-event-number": 0 }) };
  return answerRow(answer, `\`${JSON.stringify(body)}\``);
}

function webhookRow({ text, isDetailed, ...answer }: WebhookAnswer): string {
  return answerRow(answer, isDetailed ? "says which limit, or what is wrong" : `\`${text}\``);
}

function answerRow(
  { when, status, rejected, headers }: Pick<HecAnswer | WebhookAnswer, "when" | "status" | "rejected" | "headers">,
  body: string,
): string {
  const lines = Object.entries(headers ?? {}).map(([name, value]) => `${name}: ${value}`);
  return `| ${[when, status, body, codeList(lines), rejected === undefined ? "" : `\`${rejected}\``].join(" | ")} |`;
}

function codeList(words: readonly string[]): string {
  return words.map((word) => `\`${word}\``).join(", ");
}

function thousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
