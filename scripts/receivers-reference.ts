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

The receiver implements the part of Splunk's HTTP Event Collector (HEC) protocol that log streaming uses. A 200 means that
everything in the request is on disk; a refused request changes nothing. The exception is a large request, with more than
${thousands(maxRowRecords)} records, about ${maxAppendText / 1024 / 1024} MiB of text, or 4 MiB of it as compressed in the journal: it is committed in several transactions. If the journal fails
between them, the answer is 503; when the request is sent again, the records committed so far are recognized as duplicates. Every answer
has a JSON body (\`{"text":…,"code":…}\`), except those of the HTTP parser itself (an empty 400 or 431).

## Routes

| method | path | |
| --- | --- | --- |
| \`POST\` | \`streaming.path\`, with or without a trailing slash | accepts records |
| \`POST\` | ${codeList(ingestPaths(defaultPath))} | with the default path |
| \`GET\`, \`HEAD\` | ${codeList(healthPaths)} | health; needs no token |
| \`OPTIONS\` | any of these | 200 with \`Allow\` |

## Credentials

Use \`Authorization: Splunk TOKEN\`, \`Bearer TOKEN\`, \`Basic base64(user:TOKEN)\`, or the token alone. The token is
\`streaming.token\` or \`streaming.token_previous\`. If both are empty, any program may send, and requests from
browsers are refused. Behind a proxy on the same machine, set \`streaming.public_url\`, so that requests to that host name are not refused as cross-site.

## Bodies

A body is plain, or compressed with gzip or zstd, as given by \`Content-Encoding\` or \`streaming.decompress\`. The text is a sequence of JSON
objects, with or without white space between them, or a JSON array of objects. An object is an envelope
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
  [`requests with more than ${mebibytes(largeWorkedBytes)} of text processed at once`, "1"],
  ["requests being read or waiting", thousands(maxReading)],
  ["window of a zstd frame", mebibytes(maxWindowBytes)],
  ["zstd frames in one body", thousands(maxFrames)],
  ["records in one request", thousands(maxRecords)],
  ["connection entries in one request", thousands(maxEntries)],
  ["connection entries in one record; a record with more is quarantined", thousands(maxEntriesOfRecord)],
  ["size of one JSON value", mebibytes(valueLimits.bytes)],
  ["members and elements in one JSON value", thousands(valueLimits.parts)],
  [
    `distinct member names in one JSON value, beyond its first ${thousands(valueLimits.names)} members`,
    thousands(valueLimits.names),
  ],
  ["escape sequences in one JSON value", thousands(valueLimits.escapes)],
  ["levels of nesting in one JSON value", thousands(valueLimits.depth)],
  ["levels of nesting in `old` and `new` of an audit record; a record with more is quarantined", thousands(maxDepth)],
  ["time to receive a body", ...own("streaming.request_timeout")],
  ["time to send the head of a request, or to start one on a new connection", "12 s"],
  ["idle connection", `${idleTimeoutSeconds} s`],
])}

If a JSON value exceeds a limit, or a body has too many zstd frames, the whole request is refused with 413. A zstd frame with a larger window is
refused with 400. At shutdown, bodies that are still arriving have 5 s more; after that they get 503.

## Connections

At startup, the program raises its limit on open files as far as the system allows. HTTP pipelining is not supported: a client that sends
a request before the previous one is answered is disconnected. Malformed HTTP gets a bare 400 or 431. So does (with 400) a chunked body with a
trailer in the same write, although its records may have been accepted. These are limits of the HTTP
server: such requests, and TLS sent to a plain port, appear neither in counters nor in the log.

A client that closes its side of the connection before it has the answer (for example, nc -N) may be disconnected without one, although its
records were accepted. If it sends them again, they count as duplicates.

Before a refusal is sent, the rest of the request's body is read and discarded, for at most 30 s and no slower than 64 KiB/s, so that the
sender sees the answer instead of a connection reset. A listener does this for at most ${maxDiscarding} requests at once; beyond that, it answers and
closes the connection without reading on. When the limit on requests or bytes in flight is reached, the slowest request of the busiest
client gets 503.

## TLS

With \`streaming.tls.cert_file\` and \`streaming.tls.key_file\`, the receiver accepts only TLS 1.3, and TLS 1.2 with forward secrecy
and authenticated encryption. When the files change, or on SIGHUP, new connections get the new certificate within 5 s, and open
connections are closed after their next answer. If the files do not match, have expired or cannot be read, the previous certificate
stays in use, a warning is logged, and \`tailscale2otel.tls.cert.rejected\` is 1. \`tailscale2otel.tls.cert.not_after\` is the expiry time of the
served certificate.

With \`streaming.tls.tailscale = true\`, the certificate comes from the local tailscaled, which renews it. Until there is one, the listener is
closed, and senders cannot connect. See [Where Tailscale reaches it](reach.md#with-the-certificate-of-tailscaled).
`;
}

/** `docs/webhook.md`, as Markdown. */
export function webhookPage(): string {
  return `# Webhook receiver

The receiver accepts \`POST\` to \`webhook.path\`, with or without a trailing slash. The body is a JSON array of events, or a single event, signed by
Tailscale. A 200 means that all events are on disk. Events are checked one by one: an invalid one (no \`type\`, or a member of the wrong type) is
quarantined, and the others are accepted. An event that is delivered again, in the same delivery or another, before or after a restart, is counted
in \`tailscale.webhook.duplicates\` and changes nothing else.

## Setting it up

Tailscale must be able to reach the listener over public HTTPS, through [Funnel or a reverse proxy](reach.md#webhooks). For each step, see
[Getting started](getting-started.md#webhook).

In Tailscale's admin console, add a webhook endpoint with that address. Set the secret that it shows in \`webhook.secret_file\` or in the variable
\`TS2OTEL_WEBHOOK__SECRET\`. To test it, run \`tailscale2otel send webhook --url …\` with the same configuration: it sends a signed test event and
prints the answer.

With \`webhook.auto_configure\`, the program creates the webhook itself and stores its secret: see [Setting up Tailscale](tailnet.md).

**Rotating the secret.** Put the new secret into \`webhook.secret\` and the old one into \`webhook.secret_previous\`, then reload
with SIGHUP (changed \`_file\`s are read again automatically). No delivery is refused in between. Later, remove \`webhook.secret_previous\`.

**Late deliveries.** Tailscale retries a delivery that did not get a 2xx every hour for a day. Tailscale does not document
whether each retry is signed again. If it is not, \`webhook.tolerance\` refuses all retries; \`webhook.late_retry_window = "25h"\` accepts them.
Even then, replayed deliveries are harmless: known events are recognized for \`dedup.webhook_window\`, and older late deliveries are refused.

## Signatures

\`Tailscale-Webhook-Signature: t=<seconds>,v1=<hex>[,v1=…]\` is the HMAC-SHA256 of \`<t>.<body>\`, keyed with the complete secret, prefix
included. The header and time are checked before the body is read. A header with more than ${maxCandidates} \`v1\` is malformed, and unknown elements are ignored.
Each \`v1\` is compared with each secret in constant time. Without \`webhook.secret\` and \`webhook.secret_previous\`, no signature is
required, and requests from browsers are refused. With \`webhook.auto_configure\`, nothing is accepted until the secret is known.

## Answers

Answers are listed in the order of the checks. Bodies are \`{"text":…}\`. “reason” is the attribute of \`tailscale.webhook.rejected\`.

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

Strings and lists of strings are exported, truncated to 4 KiB. \`oldPolicy\`, \`newPolicy\` and unlisted members are never exported.

## Limits

${limitsTable([
  ["one body, uncompressed", ...own("webhook.max_body_bytes")],
  ["events in one delivery", thousands(maxEvents)],
  ["members and elements in one delivery", thousands(maxParts)],
  [
    `distinct member names in one delivery, beyond its first ${thousands(valueLimits.names)} members`,
    thousands(valueLimits.names),
  ],
  ["escape sequences in one delivery", thousands(valueLimits.escapes)],
  ["levels of nesting in one delivery", thousands(valueLimits.depth)],
  ["levels of nesting in one event; an event with more is quarantined", thousands(maxDepth)],
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
