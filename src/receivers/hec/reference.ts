/** The reference page of the stream receiver, made from the tables that the receiver itself works by. */
import { type Config, settings } from "../../config/schema.ts";
import { idleTimeoutSeconds } from "../../http/exchange.ts";
import { maxEntries } from "../../pipeline/batch.ts";
import { maxRecords } from "../../records/envelope.ts";
import { maxEntriesOfRecord } from "../../records/flow/columns.ts";
import { valueLimits } from "../../records/json.ts";
import { defaultMaxBodyBytes, maxReading } from "./limits.ts";
import { defaultPath, healthPaths, ingestPaths } from "./paths.ts";
import { type HecAnswer, hecAnswers } from "./protocol.ts";

/** Markdown. */
export function renderHecReference(): string {
  return `# Stream receiver: the HEC protocol

The receiver speaks the part of Splunk's HTTP Event Collector protocol that log streaming uses. A request is taken whole
or not at all; 200 means that everything in it is on disk. Every answer has a JSON body (\`{"text":…,"code":…}\`), but for
what the HTTP parser itself refuses (an empty 400 or 431).

## Routes

| method | path | |
| --- | --- | --- |
| \`POST\` | \`streaming.path\`, with or without a trailing slash | takes records |
| \`POST\` | ${codeList(ingestPaths(defaultPath))} | with the default path |
| \`GET\`, \`HEAD\` | ${codeList(healthPaths)} | health; asks for no token |
| \`OPTIONS\` | any of these | 200 with \`Allow\` |

## Credentials

\`Authorization: Splunk TOKEN\`, \`Bearer TOKEN\`, \`Basic base64(user:TOKEN)\`, or the token alone. The token is
\`streaming.token\`; \`streaming.token_previous\` is accepted too. With both empty every program may send, and requests of
browsers are refused.

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
| connection entries in one request | ${thousands(maxEntries)} | – |
| connection entries in one record | ${thousands(maxEntriesOfRecord)} | – |
| time to receive a body | ${defaultOf("request_timeout")} | \`streaming.request_timeout\` |
| time to send the head of a request | about 12 s | – |
| a connection on which nothing moves | ${idleTimeoutSeconds} s | – |

## Connections

There are as many connections as the system lets the process have open files; the program raises its own limit as far as it may
go. An idle one costs less than 2 KB. When the limit is reached, further ones wait until others end, and senders that are connected
are served as before. Requests on one connection are answered one after the other; a sender that does not wait for an
answer before its next request (HTTP pipelining) may lose the connection.

## TLS

With \`streaming.tls.cert_file\` and \`streaming.tls.key_file\` the receiver speaks TLS 1.2 and 1.3 only, 1.2 with forward secrecy
and authenticated encryption. When the files change, on SIGHUP or by themselves, the new certificate is served within 5 s:
connections end with their next answer and come back to the new one. A pair that does not belong together, has
expired or cannot be read is not taken: the one before it stays, with a warning in the log and
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
