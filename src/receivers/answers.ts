/** What both receivers' answers share: rows of a table, the log line of a refusal, and a deadline for the work. */
import { Unavailable } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";

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

/** What a single answer adds to its row. */
export interface AnswerDetail {
  /** What is wrong with this request. */
  readonly text?: string | undefined;
  readonly valueIndex?: number | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

export function headersOf({ headers }: AnswerRow, { retryAfterSeconds }: AnswerDetail): Record<string, string> {
  return { ...headers, ...(retryAfterSeconds !== undefined && { "retry-after": String(retryAfterSeconds) }) };
}

/** Logs a refusal: one line per kind and minute, so that a sender cannot fill the log. `subject` begins the line. */
export function createRefusalLog(subject: string, { logger, clock }: { logger: Logger; clock: Clock }) {
  const once = createOncePerMinute<AnswerRow>(clock);
  return (row: AnswerRow, { peer }: Exchange, { text, valueIndex }: AnswerDetail): void => {
    const now = once(row);
    if (now === undefined) return;
    const place = valueIndex === undefined ? "" : ` (at value ${valueIndex}, counted from 0)`;
    const problem = `${row.problem ?? text ?? row.text}${row.problem === undefined ? place : ""}`;
    const remedy = row.remedy === undefined ? "" : `. ${row.remedy}`;
    logger.warn(`${subject} from ${peer} refused with ${row.status}: ${problem}${remedy}`, {
      status: row.status,
      reason: row.rejected,
      peer,
      ...(now.suppressed > 0 && { alsoRefused: now.suppressed }),
    });
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
