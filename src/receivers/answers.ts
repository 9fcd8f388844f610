/** Answers shared by both receivers: common table rows, and the row for each error. */
import { type RefusalReason, Refusal, Unavailable } from "../errors.ts";
import { type HttpAnswer, jsonResponse } from "../http/exchange.ts";

/** A row of a receiver's table. */
export interface AnswerRow<Reason extends string = string> {
  /** When it is given, for the reference page. */
  readonly when: string;
  readonly status: number;
  readonly text: string;
  /** Splunk's code, if the protocol has one. */
  readonly code?: number;
  /** `rejected{reason}`; absent if nothing was refused. */
  readonly rejected?: Reason;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer's text names the limit or the problem. */
  readonly isDetailed?: true;
  /** The answer names the damaged value, counted from 0, as `invalid-event-number`. */
  readonly namesValue?: true;
  /** For the log: what happened, instead of the answer's text, and what to do. */
  readonly problem?: string;
  readonly remedy?: string;
}

/** One request's answer: its row, and what this request adds. */
export interface Answer<Name extends string> {
  readonly name: Name;
  /** What is wrong with this request. */
  readonly text?: string | undefined;
  readonly valueIndex?: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

/** What the shared rows call the credential, the timeout, and the sender's retries. */
const words = {
  streaming: { secret: "token", timeout: "`streaming.request_timeout`", retry: "The sender should retry" },
  webhook: { secret: "secret", timeout: "30 s", retry: "Tailscale retries hourly for a day" },
} as const;

/** A row: status and text of the answer, when it is given, and any other fields. */
export function row<const More extends Partial<AnswerRow>>(status: number, text: string, when: string, more: More) {
  return { status, text, when, ...more };
}

/** Rows of both tables. */
export function sharedRows(section: keyof typeof words) {
  const { secret, timeout, retry } = words[section];
  const [soon, later] = [{ "retry-after": "1" }, { "retry-after": "5" }];
  return {
    crossSite: row(
      403,
      `Requests from browsers are refused while ${section}.${secret} is empty`,
      `a web page sent it, and no ${secret} is required`,
      {
        rejected: "cross_site",
        problem: "a web page sent it, or its Host is not this machine's",
        remedy: `Set ${section}.${secret}; behind a proxy on this machine, set ${section}.public_url to the proxy's address`,
      },
    ),
    timeout: row(
      408,
      "The body did not arrive in time",
      `the body was not complete within ${timeout}, or arrived at less than 1 KiB/s after 10 s; the connection is closed`,
      {
        rejected: "timeout",
        headers: { connection: "close" },
        remedy: `Check the network between the sender and this machine. ${retry}`,
      },
    ),
    busy: row(503, "Server is busy", "too many requests, or too many bytes, in flight", {
      rejected: "overloaded",
      headers: soon,
      remedy: retry,
    }),
    unavailable: row(503, "Server is busy", "the journal is full or failing", {
      rejected: "unavailable",
      headers: later,
      remedy: `${retry}; \`tailscale2otel status\` shows the state of the journal`,
    }),
    commitTimeout: row(503, "Server is busy", `the request could not be processed and committed within ${timeout}`, {
      rejected: "unavailable",
      headers: later,
      remedy: `${retry}; the disk or the machine is too slow for the load`,
    }),
    shuttingDown: row(
      503,
      "Server is shutting down",
      "the program is shutting down; a body that is still arriving may take 5 s more",
      { rejected: "unavailable", headers: later, problem: "this program is shutting down", remedy: retry },
    ),
    internalError: row(500, "Internal server error", "a bug in this program; nothing was accepted", {
      rejected: "unavailable",
      problem: "a bug in this program (see the error above)",
    }),
    notFound: row(404, "Not found", "any other path", {}),
    methodNotAllowed: row(405, "Method not allowed", "any other method, with `Allow`", {}),
  };
}

/** The row of each refusal, the same in both tables. */
const refusals = {
  overloaded: "busy",
  shutting_down: "shuttingDown",
  timeout: "timeout",
  body_too_large: "bodyTooLarge",
  too_large: "tooLarge",
  unparsable: "invalidBody",
  unsupported_encoding: "unsupportedEncoding",
} as const satisfies Record<RefusalReason, string>;

/** Answers that an error can lead to, which every table must have. */
export type ErrorName = (typeof refusals)[RefusalReason] | "unavailable" | "commitTimeout" | "internalError";

/** The answer to an error thrown while processing a request. */
export function answerToError(error: unknown): Answer<ErrorName> {
  if (error instanceof Refusal)
    return { name: refusals[error.reason], text: error.message, valueIndex: error.valueIndex };
  if (!(error instanceof Unavailable)) return { name: "internalError" };
  const { message: text, retryAfterSeconds } = error;
  return { name: error instanceof CommitTimeout ? "commitTimeout" : "unavailable", text, retryAfterSeconds };
}

/** Processing took longer than the sender waits; it may still be committed. */
export class CommitTimeout extends Unavailable {
  constructor(timeoutMs: number) {
    super(`not committed within ${timeoutMs} ms`);
  }
}

/** The response for a row. */
export function responseOf(answerRow: AnswerRow, answer: Omit<Answer<string>, "name">): HttpAnswer {
  const { status, code, headers, isDetailed, namesValue } = answerRow;
  const { text = answerRow.text, valueIndex = 0, retryAfterSeconds } = answer;
  const body = {
    text: isDetailed ? text : answerRow.text,
    code,
    ...(namesValue && { "invalid-event-number": valueIndex }),
  };
  const retryAfter = retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) };
  return jsonResponse(status, body, { ...headers, ...retryAfter });
}

/** A path with and without a trailing slash. */
export function withTrailingSlash(path: string): readonly string[] {
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? ["/"] : [bare, `${bare}/`];
}
