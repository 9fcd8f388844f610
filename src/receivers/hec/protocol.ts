/** Every answer of the HEC receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { RefusalReason } from "../../errors.ts";
import { jsonResponse } from "../../http/response.ts";

/** `rejected{reason}` of a request that was refused as a whole. */
export type RejectedReason = Exclude<RefusalReason, "unsupported_encoding">;

export interface HecAnswer {
  /** For the reference page. */
  readonly when: string;
  readonly status: number;
  readonly text: string;
  /** Splunk's code, where the protocol has one. */
  readonly code?: number;
  /** How it is counted; absent where nothing was refused, or nothing was sent to be taken. */
  readonly rejected?: RejectedReason;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer names the damaged value, counted from 0, as `invalid-event-number`. */
  readonly namesValue?: true;
  /** The text says more in each case: which limit, which setting. */
  readonly isDetailed?: true;
}

const answers = {
  success: {
    when: "taken, even if some records were skipped, duplicates or quarantined",
    status: 200,
    text: "Success",
    code: 0,
  },
  tokenRequired: { when: "no credential", status: 401, text: "Token is required", code: 2, rejected: "auth" },
  invalidAuthorization: {
    when: "malformed credential, or an unknown scheme",
    status: 401,
    text: "Invalid authorization",
    code: 3,
    rejected: "auth",
  },
  invalidToken: { when: "wrong token", status: 403, text: "Invalid token", code: 4, rejected: "auth" },
  crossSite: {
    when: "a web page sent it, and no token is asked for",
    status: 403,
    text: "Requests from browsers are refused while streaming.token is empty",
    code: 4,
    rejected: "cross_site",
  },
  noData: { when: "empty body", status: 400, text: "No data", code: 5, rejected: "unparsable" },
  invalidDataFormat: {
    when: "not JSON, torn, trailing garbage, damaged compression, invalid UTF-8",
    status: 400,
    text: "Invalid data format",
    code: 6,
    rejected: "unparsable",
    namesValue: true,
  },
  tooLarge: {
    when: "the body is over a limit, before or after decompression, or holds too many records or connection entries",
    status: 413,
    text: "Too large",
    code: 6,
    rejected: "too_large",
    isDetailed: true,
  },
  unsupportedEncoding: {
    when: "a `Content-Encoding` other than gzip, zstd or identity, with `streaming.decompress = auto`",
    status: 415,
    text: "Unsupported Content-Encoding: use gzip, zstd or none",
    code: 6,
    rejected: "unparsable",
  },
  timeout: {
    when: "the body was not complete in `streaming.request_timeout`, or came slower than 1 KiB/s after 10 s; the connection is closed",
    status: 408,
    text: "The body did not arrive in time",
    code: 6,
    rejected: "timeout",
    headers: { connection: "close" },
  },
  busy: {
    when: "too many requests, or too many bytes, in flight",
    status: 503,
    text: "Server is busy",
    code: 9,
    rejected: "overloaded",
    headers: { "retry-after": "1" },
  },
  unavailable: {
    when: "the journal is full or failing",
    status: 503,
    text: "Server is busy",
    code: 9,
    rejected: "unavailable",
    headers: { "retry-after": "5" },
  },
  shuttingDown: {
    when: "the program is shutting down",
    status: 503,
    text: "Server is shutting down",
    code: 23,
    rejected: "unavailable",
  },
  internalError: {
    when: "a mistake in this program; nothing was taken",
    status: 500,
    text: "Internal server error",
    code: 8,
    rejected: "unavailable",
  },
  healthy: { when: "health: ready to take requests", status: 200, text: "HEC is healthy", code: 17 },
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

/** What a single answer adds to its row of the table. */
export interface AnswerDetail {
  readonly text?: string | undefined;
  readonly valueIndex?: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** The response of a row. */
export function hecResponse(name: HecAnswerName, detail: AnswerDetail = {}): Response {
  const { status, text, code, headers, namesValue, isDetailed } = hecAnswers[name];
  const body = {
    text: isDetailed ? (detail.text ?? text) : text,
    code,
    ...(namesValue && { "invalid-event-number": detail.valueIndex ?? 0 }),
  };
  const retryAfter =
    detail.retryAfterSeconds === undefined ? undefined : { "retry-after": String(detail.retryAfterSeconds) };
  return jsonResponse(status, body, { ...headers, ...retryAfter });
}

/** The row for a request that was refused on its way. */
export function answerToRefusal(reason: RefusalReason): HecAnswerName {
  switch (reason) {
    case "auth":
      return "invalidToken";
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
      return "invalidDataFormat";
    case "unsupported_encoding":
      return "unsupportedEncoding";
  }
}
