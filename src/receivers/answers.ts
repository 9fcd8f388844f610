/** What the answers of both receivers share: rows of their tables, the mapping from errors, and the log line of a refusal. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { type RefusalReason, Refusal, Unavailable } from "../errors.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import type { Pipeline } from "../pipeline/index.ts";

/** What both receivers need. */
export interface ReceiverDeps {
  readonly pipeline: Pipeline;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A row of a receiver's table. */
export interface AnswerRow {
  /** For the reference page. */
  readonly when: string;
  readonly status: number;
  readonly text: string;
  /** How it is counted; absent if nothing was refused. */
  readonly rejected?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The answer's text says which limit, or what is wrong. */
  readonly isDetailed?: true;
  /** For the log: what happened, if the request itself does not say more, and what to do. */
  readonly problem?: string;
  readonly remedy?: string;
}

/** One request's answer: a row, and what this request adds to it. */
export interface Answer<Name extends string> {
  readonly name: Name;
  /** What is wrong with this request. */
  readonly text?: string | undefined;
  readonly valueIndex?: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

export interface SharedWords {
  readonly section: "streaming" | "webhook";
  readonly secret: "token" | "secret";
  /** How long a request may take. */
  readonly timeout: string;
  /** What the sender does about a refusal that is not its fault. */
  readonly retry: string;
}

/** Rows that both tables have. */
export function sharedRows({ section, secret, timeout, retry }: SharedWords) {
  return {
    crossSite: {
      when: `a web page sent it, and no ${secret} is required`,
      status: 403,
      text: `Requests from browsers are refused while ${section}.${secret} is empty`,
      rejected: "cross_site",
      problem: "a web page sent it, or its Host is not this machine's",
      remedy: `Set ${section}.${secret}; behind a proxy on this machine, set ${section}.public_url to the proxy's address`,
    },
    timeout: {
      when: `the body was not complete in ${timeout}, or arrived slower than 1 KiB/s after 10 s; the connection is closed`,
      status: 408,
      text: "The body did not arrive in time",
      rejected: "timeout",
      headers: { connection: "close" },
      remedy: `Check the network between the sender and this machine. ${retry}`,
    },
    busy: {
      when: "too many requests, or too many bytes, in flight",
      status: 503,
      text: "Server is busy",
      rejected: "overloaded",
      headers: { "retry-after": "1" },
      remedy: retry,
    },
    unavailable: {
      when: "the journal is full or failing",
      status: 503,
      text: "Server is busy",
      rejected: "unavailable",
      headers: { "retry-after": "5" },
      remedy: `${retry}; \`tailscale2otel status\` shows the state of the journal`,
    },
    commitTimeout: {
      when: `the request could not be processed and committed in ${timeout}`,
      status: 503,
      text: "Server is busy",
      rejected: "unavailable",
      headers: { "retry-after": "5" },
      remedy: `${retry}; the disk or the machine is too slow for the load`,
    },
    shuttingDown: {
      when: "the program is shutting down",
      status: 503,
      text: "Server is shutting down",
      rejected: "unavailable",
      remedy: retry,
    },
    internalError: {
      when: "a bug in this program; nothing was accepted",
      status: 500,
      text: "Internal server error",
      rejected: "unavailable",
      problem: "a bug in this program (see the error above)",
    },
    notFound: { when: "any other path", status: 404, text: "Not found" },
    methodNotAllowed: { when: "any other method, with `Allow`", status: 405, text: "Method not allowed" },
  } as const satisfies Record<string, AnswerRow>;
}

type SharedName = keyof ReturnType<typeof sharedRows>;

export function rowResponse(row: AnswerRow, answer: Omit<Answer<string>, "name">, members: object = {}): HttpAnswer {
  const { text, retryAfterSeconds } = answer;
  const retryAfter = retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) };
  const body = { text: row.isDetailed ? (text ?? row.text) : row.text, ...members };
  return jsonResponse(row.status, body, { ...row.headers, ...retryAfter });
}

export interface AnsweringOptions<Name extends string> {
  /** What is refused, as a log line begins. */
  readonly subject: string;
  readonly rows: Readonly<Record<Name, AnswerRow>>;
  /** The rows of refusals that are not shared. */
  readonly refusals: Readonly<
    Record<Exclude<RefusalReason, "cross_site" | "overloaded" | "timeout" | "unavailable">, Name>
  >;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * Turns what `work` throws into an answer, and logs refusals, each row once a minute, so that a sender cannot fill the log.
 * Never rejects.
 */
export function createAnswering<Name extends string>(options: AnsweringOptions<Name | SharedName>) {
  const { subject, rows, refusals, logger, clock } = options;
  const once = createOncePerMinute<string>(clock);

  function answerToError(error: unknown): Answer<Name | SharedName> {
    if (error instanceof Refusal)
      return { name: nameOf(error.reason), text: error.message, valueIndex: error.valueIndex };
    if (error instanceof Unavailable) {
      const { message: text, retryAfterSeconds } = error;
      return { name: error instanceof CommitTimeout ? "commitTimeout" : "unavailable", text, retryAfterSeconds };
    }
    const now = once("failure");
    if (now !== undefined)
      logger.error(`a ${subject} failed inside this program; nothing of it was accepted`, {
        error: error instanceof Error ? error.stack : String(error),
        alsoFailed: now.suppressed,
      });
    return { name: "internalError" };
  }

  function nameOf(reason: RefusalReason): Name | SharedName {
    switch (reason) {
      case "cross_site":
        return "crossSite";
      case "overloaded":
        return "busy";
      case "timeout":
      case "unavailable":
        return reason;
      default:
        return refusals[reason];
    }
  }

  function logRefusal({ name, text, valueIndex }: Answer<Name | SharedName>, peer: string): void {
    const row = rows[name];
    const now = once(name);
    if (now === undefined) return;
    const place = valueIndex === undefined ? "" : ` (at value ${valueIndex}, counted from 0)`;
    const problem = row.problem ?? `${text ?? row.text}${place}`;
    const remedy = row.remedy === undefined ? "" : `. ${row.remedy}`;
    logger.warn(`${subject} from ${peer} refused with ${row.status}: ${problem}${remedy}`, {
      status: row.status,
      reason: row.rejected,
      peer,
      ...(now.suppressed > 0 && { alsoRefused: now.suppressed }),
    });
  }

  return async ({ peer }: Exchange, work: Promise<Answer<Name | SharedName>>): Promise<Answer<Name | SharedName>> => {
    const answer = await work.catch(answerToError);
    if (rows[answer.name].rejected !== undefined) logRefusal(answer, peer);
    return answer;
  };
}

/** The work took longer than the sender waits; it may still be committed. */
export class CommitTimeout extends Unavailable {
  constructor(timeoutMs: number) {
    super(`not committed within ${timeoutMs} ms`);
  }
}

/**
 * The work's result. Late work goes on to its next check: it may still commit, which does no harm, since the sender's retry
 * is then a duplicate.
 * @throws {CommitTimeout} if it takes longer.
 */
export async function withinDeadline<Result>(
  timeoutMs: number,
  work: (checkDeadline: () => void) => Promise<Result>,
): Promise<Result> {
  let isLate = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new CommitTimeout(timeoutMs));
    }, timeoutMs);
  });
  const working = work(() => {
    if (isLate) throw new CommitTimeout(timeoutMs);
  });
  try {
    return await Promise.race([working, late]);
  } finally {
    clearTimeout(timer);
    if (isLate) working.catch(() => {});
  }
}

/** A path with and without a slash at its end. */
export function withTrailingSlash(path: string): readonly string[] {
  const bare = path.replace(/\/+$/, "");
  return bare === "" ? ["/"] : [bare, `${bare}/`];
}
