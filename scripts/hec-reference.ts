/** The reference page of the stream receiver, made from the tables that the receiver itself works by. */
import { type Config, settings } from "../src/config/schema.ts";
import { idleTimeoutSeconds } from "../src/http/exchange.ts";
import { maxEntries, maxRecords } from "../src/pipeline/batch.ts";
import { maxRowRecords } from "../src/pipeline/parts.ts";
import { maxEntriesOfRecord } from "../src/records/flow/columns.ts";
import { valueLimits } from "../src/records/json.ts";
import { defaultMaxBodyBytes } from "../src/config/index.ts";
import { defaultPath, healthPaths, ingestPaths, maxReading } from "../src/receivers/hec/index.ts";
import { type HecAnswer, hecAnswers } from "../src/receivers/hec/protocol.ts";

/** Markdown. */
export function renderHecReference(): string {
  return `# Stream receiver: the HEC protocol

The receiver speaks the part of Splunk's HTTP Event Collector protocol that log streaming uses. A request is accepted as a
whole or not at all, but for one of more than ${thousands(maxRowRecords)} records or some 4 MiB of compressed text, which is committed in several
transactions: if the journal fails between them, the answer is 503, and the records that were committed are recognized as duplicates when
the request is sent again. 200 means that everything in it is on disk. Every answer has a JSON body (\`{"text":…,"code":…}\`), but for
what the HTTP parser itself refuses (an empty 400 or 431).

## Routes

| method | path | |
| --- | --- | --- |
| \`POST\` | \`streaming.path\`, with or without a trailing slash | accepts records |
| \`POST\` | ${codeList(ingestPaths(defaultPath))} | with the default path |
| \`GET\`, \`HEAD\` | ${codeList(healthPaths)} | health; asks for no token |
| \`OPTIONS\` | any of these | 200 with \`Allow\` |

## Credentials

\`Authorization: Splunk TOKEN\`, \`Bearer TOKEN\`, \`Basic base64(user:TOKEN)\`, or the token alone. The token is
\`streaming.token\`; \`streaming.token_previous\` is accepted too. With both empty every program may send, and requests of
browsers are refused. Behind a proxy on the same machine, set \`streaming.public_url\`: its host is accepted as ours.

## Bodies

Plain, or compressed with gzip or zstd (\`Content-Encoding\`, or as \`streaming.decompress\` says). The text is a row of JSON
objects with nothing or white space between them, or one JSON array of them. An object is an envelope
\`{"time":…,"event":…,"fields":…}\`, a \`{"logs":[…]}\` wrapper, or a record itself.

## Answers

| when | status | body | headers | counted as |
| --- | --- | --- | --- | --- |
${Object.values(hecAnswers).map(answerRow).join("\n")}

## Limits

| what | limit | setting |
| --- | --- | --- |
| a body on the wire, and after decompression | ${defaultMaxBodyBytes / 1024 / 1024} MiB | \`streaming.max_body_bytes\` |
| all bodies being read or worked on | ${defaultOf("max_inflight_bytes")} | \`streaming.max_inflight_bytes\` |
| requests parsed and committed at once | ${defaultOf("max_concurrent_requests")} | \`streaming.max_concurrent_requests\` |
| requests being read, or waiting for their turn | ${maxReading} | – |
| records in one request | ${thousands(maxRecords)} | – |
| size of one JSON value | ${valueLimits.bytes / 1024 / 1024} MiB | – |
| members and elements in one JSON value | ${thousands(valueLimits.parts)} | – |
| escape sequences in one JSON value | ${thousands(valueLimits.escapes)} | – |
| connection entries in one request | ${thousands(maxEntries)} | – |
| connection entries in one record | ${thousands(maxEntriesOfRecord)} | – |
| time to receive a body | ${defaultOf("request_timeout")} | \`streaming.request_timeout\` |
| time to send the head of a request, or to begin one on a new connection | 12 s | – |
| a connection without a request | ${idleTimeoutSeconds} s | – |

## Connections

The program raises its limit of open files as far as it may. A client must wait for each answer before it sends the next request: one
that sends ahead (HTTP pipelining) is disconnected. Trailers of chunked bodies are not supported. Malformed HTTP is answered with a bare
400 or 431.

Before a refusal is sent, the rest of the request's body is read and discarded, for at most 30 s and no slower than 64 KiB/s, so that the sender
sees the answer instead of a reset. At the limits on requests and bytes in flight, the peer that holds most gives way: its slowest
request is answered 503.

## TLS

With \`streaming.tls.cert_file\` and \`streaming.tls.key_file\` the receiver speaks TLS 1.2 and 1.3 only, 1.2 with forward secrecy
and authenticated encryption. When the files change, on SIGHUP or by themselves, the new certificate is served within 5 s to
new connections; open ones end with their next answer. A pair that does not belong together, has expired or cannot be read is not used: the one
before it stays, with a warning in the log and
\`tailscale2otel.tls.cert.rejected\` at 1. \`tailscale2otel.tls.cert.not_after\` says when the served one ends.
`;
}

/** As it is written in the settings. */
function defaultOf(name: keyof Config["streaming"]): string {
  const setting = settings.find(({ key }) => key === `streaming.${name}`);
  return (setting?.written ?? "").replaceAll('"', "");
}

function answerRow({ when, status, text, code, rejected, headers, namesValue, isDetailed }: HecAnswer): string {
  const body = JSON.stringify({
    text: isDetailed ? "…" : text,
    code,
    ...(namesValue && { "invalid-event-number": 0 }),
  });
  const headerList = Object.entries(headers ?? {}).map(([name, value]) => `\`${name}: ${value}\``);
  return `| ${when} | ${status} | \`${body}\` | ${headerList.join(", ")} | ${rejected === undefined ? "" : `\`${rejected}\``} |`;
}

function codeList(paths: readonly string[]): string {
  return paths.map((path) => `\`${path}\``).join(", ");
}

function thousands(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}
