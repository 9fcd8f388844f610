/** The table of all answers of the HEC receiver, used by the receiver and by the reference page. */
import type { AttributesOf } from "../../catalogue/metrics.ts";
import { type AnswerRow, row, sharedRows } from "../answers.ts";

/** `rejected{reason}` of a request refused as a whole. */
export type RejectedReason = Exclude<
  NonNullable<AttributesOf<"tailscale.stream.rejected">["reason"]>,
  "not_found" | "method"
>;

export type HecAnswer = AnswerRow<RejectedReason>;

const shared = sharedRows("streaming");
const denied = {
  rejected: "auth",
  remedy: "In Tailscale's log streaming settings, enter the value of streaming.token",
} as const;
const invalid = { code: 6, rejected: "unparsable" } as const;
const tooLarge = { code: 6, rejected: "too_large", isDetailed: true } as const;

const answers = {
  success: row(200, "Success", "accepted, even if some records were skipped, duplicates or quarantined", { code: 0 }),
  tokenRequired: row(401, "Token is required", "no credential", { ...denied, code: 2, problem: "it carries no token" }),
  invalidAuthorization: row(401, "Invalid authorization", "malformed credential, or an unknown scheme", {
    ...denied,
    code: 3,
    problem: "its Authorization header is malformed, or of an unknown scheme",
  }),
  invalidToken: row(403, "Invalid token", "wrong token", {
    ...denied,
    code: 4,
    problem: "its token is neither streaming.token nor streaming.token_previous",
    remedy: `${denied.remedy}; after it was changed, set streaming.token_previous to the old one until the sender has the new one`,
  }),
  crossSite: { ...shared.crossSite, code: 4 },
  noData: row(400, "No data", "empty body", { code: 5, rejected: "unparsable", problem: "its body is empty" }),
  invalidBody: row(
    400,
    "Invalid data format",
    "not JSON, truncated, trailing garbage, damaged compression, invalid UTF-8",
    {
      ...invalid,
      namesValue: true,
      remedy: "Nothing of it was accepted: the body must be a sequence of JSON objects, or an array of them",
    },
  ),
  bodyTooLarge: row(413, "Too large", "the body exceeds `streaming.max_body_bytes`, before or after decompression", {
    ...tooLarge,
    remedy:
      "Nothing of it was accepted: send smaller requests, or raise streaming.max_body_bytes, and streaming.max_inflight_bytes to at least as much",
  }),
  tooLarge: row(413, "Too large", "too many records or connection entries, or a JSON value that exceeds its limits", {
    ...tooLarge,
    remedy: "Nothing of it was accepted: send smaller requests and records",
  }),
  unsupportedEncoding: row(
    415,
    "Unsupported Content-Encoding: use gzip, zstd or none",
    "a `Content-Encoding` other than gzip, zstd or identity, with `streaming.decompress = auto`",
    { ...invalid, remedy: "Use gzip, zstd or none, or set streaming.decompress to what the sender uses" },
  ),
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
  healthy: row(200, "HEC is healthy", "health: ready to accept requests", { code: 17 }),
  queuesFull: row(503, "HEC is unhealthy, queues are full", "health: the journal is full or failing", { code: 18 }),
  notFound: shared.notFound,
  methodNotAllowed: shared.methodNotAllowed,
} as const satisfies Record<string, HecAnswer>;

export type HecAnswerName = keyof typeof answers;

export const hecAnswers: Readonly<Record<HecAnswerName, HecAnswer>> = answers;
