/** Every answer of the HEC receiver, in one table: the receiver sends them from here, and the reference page prints it. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import { type AnswerRow, sharedRows } from "../answers.ts";

/** `rejected{reason}` of a request that was refused as a whole. */
export type HecAnswer = AnswerRow<
  Exclude<NonNullable<AttributesOf<"tailscale.stream.rejected">["reason"]>, "not_found" | "method">
>;

const shared = sharedRows({
  section: "streaming",
  secret: "token",
  timeout: "`streaming.request_timeout`",
  retry: "The sender should retry",
});
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
  crossSite: { ...shared.crossSite, code: 4 },
  noData: {
    when: "empty body",
    status: 400,
    text: "No data",
    code: 5,
    rejected: "unparsable",
    problem: "its body is empty",
  },
  invalidBody: {
    when: "not JSON, torn, trailing garbage, damaged compression, invalid UTF-8",
    status: 400,
    text: "Invalid data format",
    code: 6,
    rejected: "unparsable",
    namesValue: true,
    remedy: "Nothing of it was accepted: the body must be a sequence of JSON objects, or an array of them",
  },
  bodyTooLarge: {
    when: "the body is over `streaming.max_body_bytes`, before or after decompression",
    status: 413,
    text: "Too large",
    code: 6,
    rejected: "too_large",
    isDetailed: true,
    remedy:
      "Nothing of it was accepted: send smaller requests, or raise streaming.max_body_bytes, and streaming.max_inflight_bytes to at least as much",
  },
  tooLarge: {
    when: "too many records or connection entries, or a JSON value over one of its limits",
    status: 413,
    text: "Too large",
    code: 6,
    rejected: "too_large",
    isDetailed: true,
    remedy: "Nothing of it was accepted: send smaller requests and records",
  },
  unsupportedEncoding: {
    when: "a `Content-Encoding` other than gzip, zstd or identity, with `streaming.decompress = auto`",
    status: 415,
    text: "Unsupported Content-Encoding: use gzip, zstd or none",
    code: 6,
    rejected: "unparsable",
    remedy: "Use gzip, zstd or none, or set streaming.decompress to what the sender uses",
  },
  timeout: { ...shared.timeout, code: 6 },
  busy: {
    ...shared.busy,
    code: 9,
    remedy:
      "The sender should retry; if this persists, raise streaming.max_inflight_bytes or streaming.max_concurrent_requests",
  },
  unavailable: { ...shared.unavailable, code: 9 },
  commitTimeout: { ...shared.commitTimeout, code: 9 },
  shuttingDown: { ...shared.shuttingDown, code: 23 },
  internalError: { ...shared.internalError, code: 8 },
  healthy: { when: "health: ready to accept requests", status: 200, text: "HEC is healthy", code: 17 },
  queuesFull: {
    when: "health: the journal is full or failing",
    status: 503,
    text: "HEC is unhealthy, queues are full",
    code: 18,
  },
  notFound: shared.notFound,
  methodNotAllowed: shared.methodNotAllowed,
} as const satisfies Record<string, HecAnswer>;

export type HecAnswerName = keyof typeof answers;

export const hecAnswers: Readonly<Record<HecAnswerName, HecAnswer>> = answers;
