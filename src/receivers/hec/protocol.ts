/** Every answer of the HEC receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { RefusalReason } from "../../errors.ts";
import { type HttpAnswer, jsonResponse } from "../../http/exchange.ts";
import { type AnswerDetail, type AnswerRow, headersOf } from "../answers.ts";

export interface HecAnswer extends AnswerRow {
  /** `rejected{reason}` of a request that was refused as a whole. */
  readonly rejected?: Exclude<RefusalReason, "unsupported_encoding">;
  /** Splunk's code, where the protocol has one. */
  readonly code?: number;
  /** The answer names the damaged value, counted from 0, as `invalid-event-number`. */
  readonly namesValue?: true;
}

const tokenRemedy = "Set the token of Tailscale's log-stream destination to the text of streaming.token";

const answers = {
  success: {
    when: "accepted, even if some records were skipped, duplicates or quarantined",
    status: 200,
    text: "Success",
    code: 0,
  },
  tokenRequired: {
    when: "no credential",
    status: 401,
    text: "Token is required",
    code: 2,
    rejected: "auth",
    problem: "it carries no token",
    remedy: tokenRemedy,
  },
  invalidAuthorization: {
    when: "malformed credential, or an unknown scheme",
    status: 401,
    text: "Invalid authorization",
    code: 3,
    rejected: "auth",
    problem: "its Authorization header is malformed, or of an unknown scheme",
    remedy: tokenRemedy,
  },
  invalidToken: {
    when: "wrong token",
    status: 403,
    text: "Invalid token",
    code: 4,
    rejected: "auth",
    problem: "its token is neither streaming.token nor streaming.token_previous",
    remedy: tokenRemedy,
  },
  crossSite: {
    when: "a web page sent it, and no token is required",
    status: 403,
    text: "Requests from browsers are refused while streaming.token is empty",
    code: 4,
    rejected: "cross_site",
    problem: "a web page sent it, or its Host is not this machine's",
    remedy: "Set streaming.token; behind a proxy on this machine, set streaming.public_url to the proxy's address",
  },
  noData: {
    when: "empty body",
    status: 400,
    text: "No data",
    code: 5,
    rejected: "unparsable",
    problem: "its body is empty",
  },
  invalidDataFormat: {
    when: "not JSON, torn, trailing garbage, damaged compression, invalid UTF-8",
    status: 400,
    text: "Invalid data format",
    code: 6,
    rejected: "unparsable",
    namesValue: true,
    remedy: "Nothing of it was accepted: the body must be a sequence of JSON objects, or an array of them",
  },
  tooLarge: {
    when: "the body is over a limit, before or after decompression, or holds too many records or connection entries",
    status: 413,
    text: "Too large",
    code: 6,
    rejected: "too_large",
    isDetailed: true,
    remedy: "Nothing of it was accepted: send smaller requests, or raise the limit",
  },
  unsupportedEncoding: {
    when: "a `Content-Encoding` other than gzip, zstd or identity, with `streaming.decompress = auto`",
    status: 415,
    text: "Unsupported Content-Encoding: use gzip, zstd or none",
    code: 6,
    rejected: "unparsable",
    remedy: "Use gzip, zstd or none, or set streaming.decompress to what the sender uses",
  },
  timeout: {
    when: "the body was not complete in `streaming.request_timeout`, or came slower than 1 KiB/s after 10 s; the connection is closed",
    status: 408,
    text: "The body did not arrive in time",
    code: 6,
    rejected: "timeout",
    headers: { connection: "close" },
    remedy: "If the sender is on a slow link, raise streaming.request_timeout",
  },
  busy: {
    when: "too many requests, or too many bytes, in flight",
    status: 503,
    text: "Server is busy",
    code: 9,
    rejected: "overloaded",
    headers: { "retry-after": "1" },
    remedy:
      "The sender should retry; if this persists, raise streaming.max_inflight_bytes or streaming.max_concurrent_requests",
  },
  unavailable: {
    when: "the journal is full or failing",
    status: 503,
    text: "Server is busy",
    code: 9,
    rejected: "unavailable",
    headers: { "retry-after": "5" },
    remedy: "The sender should retry; see `tailscale2otel status` for the state of the journal",
  },
  commitTimeout: {
    when: "the request could not be processed and committed in `streaming.request_timeout`",
    status: 503,
    text: "Server is busy",
    code: 9,
    rejected: "unavailable",
    headers: { "retry-after": "5" },
    remedy: "The disk or the machine is too slow for this load: lower streaming.max_concurrent_requests",
  },
  shuttingDown: {
    when: "the program is shutting down",
    status: 503,
    text: "Server is shutting down",
    code: 23,
    rejected: "unavailable",
  },
  internalError: {
    when: "a bug in this program; nothing was accepted",
    status: 500,
    text: "Internal server error",
    code: 8,
    rejected: "unavailable",
    problem: "a bug in this program (see the error above)",
  },
  healthy: { when: "health: ready to accept requests", status: 200, text: "HEC is healthy", code: 17 },
  queuesFull: {
    when: "health: the journal is full or failing",
    status: 503,
    text: "HEC is unhealthy, queues are full",
    code: 18,
  },
  notFound: { when: "any other path", status: 404, text: "Not found" },
  methodNotAllowed: { when: "any other method, with `Allow`", status: 405, text: "Method not allowed" },
} as const satisfies Record<string, HecAnswer>;

export type HecAnswerName = keyof typeof answers;

export const hecAnswers: Readonly<Record<HecAnswerName, HecAnswer>> = answers;

/** The response of a row. */
export function hecResponse(name: HecAnswerName, detail: AnswerDetail = {}): HttpAnswer {
  const row = hecAnswers[name];
  const body = {
    text: row.isDetailed ? (detail.text ?? row.text) : row.text,
    code: row.code,
    ...(row.namesValue && { "invalid-event-number": detail.valueIndex ?? 0 }),
  };
  return jsonResponse(row.status, body, headersOf(row, detail));
}

/** The row for a request that was refused on its way. */
export const answerToRefusal: Readonly<Record<RefusalReason, HecAnswerName>> = {
  auth: "invalidToken",
  cross_site: "crossSite",
  overloaded: "busy",
  timeout: "timeout",
  too_large: "tooLarge",
  unavailable: "unavailable",
  unparsable: "invalidDataFormat",
  unsupported_encoding: "unsupportedEncoding",
};
