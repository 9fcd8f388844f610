/**
 * Request handling shared by both receivers: headers → admission → body → semaphore → commit → answer. Refusals are counted and
 * logged, and long requests share the event loop.
 */
import { setImmediate } from "node:timers";
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Body, Exchange, HttpAnswer } from "../http/exchange.ts";
import { type Admission, createLimiter, type Limits } from "../http/limiter.ts";
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import type { Pipeline } from "../pipeline/index.ts";
import { freeBuffer } from "../runtime/process.ts";
import { type Answer, type AnswerRow, answerToError, CommitTimeout, type ErrorName, responseOf } from "./answers.ts";

/** Dependencies of both receivers. */
export interface ReceiverDeps {
  readonly pipeline: Pipeline;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A request whose body has been read and that may be processed. */
export interface Job<Claim> {
  /** What its headers say. */
  readonly claim: Claim;
  readonly body: Body;
  /** Epoch milliseconds at which its headers were read. */
  readonly receivedAt: number;
  readonly admission: Admission;
  readonly turns: Turns;
}

export interface IntakeOptions<Name extends string, Reason extends string, Claim extends object> {
  readonly signal: "stream" | "webhook";
  /** What a log line calls a refused request. */
  readonly subject: string;
  readonly rows: Readonly<Record<Name | ErrorName, AnswerRow<Reason>>>;
  readonly limits: Limits;
  /** Size limit of one body on the wire, and the message for a larger one. */
  readonly maxBytes: number;
  readonly tooLarge: string;
  /** Time limit for receiving a body and waiting for the semaphore, and again for committing it. */
  readonly timeoutMs: number;
  /** Checks the headers before the body is read. Returns the claim, or the answer. @throws {Refusal} */
  readonly check: (exchange: Exchange, receivedAt: number) => Claim | Name;
  /** @throws {Refusal | Unavailable} */
  readonly commit: (job: Job<Claim>) => Promise<Name>;
  readonly rejected: (reason: Reason, exchange: Exchange) => void;
  /** The tailnet of a request, if known. Absent if there is only one tailnet. */
  readonly tailnetOf?: (exchange: Exchange) => Pick<ReceiverDeps, "telemetry" | "logger"> | undefined;
}

/** The handler of a receiver. It never rejects. */
export function createIntake<Name extends string, Reason extends string, Claim extends object>(
  options: IntakeOptions<Name, Reason, Claim>,
  { telemetry, logger, clock }: ReceiverDeps,
): (exchange: Exchange) => Promise<HttpAnswer> {
  const { signal, subject, rows, maxBytes, tooLarge, timeoutMs, check, commit, tailnetOf = () => undefined } = options;
  const limiter = createLimiter(options.limits, (change) => telemetry.add(`tailscale.${signal}.inflight`, change, {}));
  const once = createOncePerMinute<string>(clock);
  const queue = createTurnQueue();

  async function answerTo(exchange: Exchange): Promise<Answer<Name | ErrorName>> {
    const receivedAt = clock();
    const beganMs = performance.now();
    const claim = check(exchange, receivedAt);
    if (typeof claim === "string") return { name: claim };
    if (exchange.isStopping) return { name: "shuttingDown" };
    const admission = limiter.enter(exchange.peer);
    let body: Body | undefined;
    const leave = (): void => {
      body?.chunks.forEach(freeBuffer);
      admission.leave();
    };
    let working: Promise<Name> | undefined;
    try {
      body = await exchange.readBody({ maxBytes, tooLarge, timeoutMs, admission });
      await admission.work(timeoutMs - (performance.now() - beganMs));
      working = commit({ claim, body, receivedAt, admission, turns: queue.open(timeoutMs, exchange.peer) }).finally(
        leave,
      );
      return { name: await withinDeadline(timeoutMs, working) };
    } finally {
      if (working === undefined) leave();
    }
  }

  function logRefusal({ name, text, valueIndex }: Answer<Name | ErrorName>, exchange: Exchange): void {
    const { peer } = exchange;
    const row = rows[name];
    const now = once(name);
    if (now === undefined) return;
    const place = valueIndex === undefined ? "" : ` (value ${valueIndex + 1})`;
    const problem = row.problem ?? `${text ?? row.text}${place}`.replace(/\.$/, "");
    const remedy = row.remedy === undefined ? "" : `. ${row.remedy}`;
    (tailnetOf(exchange)?.logger ?? logger).warn(
      `${subject} from ${peer} refused with ${row.status}: ${problem}${remedy}`,
      {
        status: row.status,
        reason: row.rejected,
        peer,
        ...(now.suppressed > 0 && { alsoRefused: now.suppressed }),
      },
    );
  }

  function logFailure(error: unknown): void {
    const now = once("failure");
    if (now === undefined) return;
    const { suppressed: alsoFailed } = now;
    const stack = error instanceof Error ? error.stack : String(error);
    logger.error(`a ${subject} failed inside this program; nothing of it was accepted`, { error: stack, alsoFailed });
  }

  return async (exchange) => {
    const beganMs = performance.now();
    const answer = await answerTo(exchange).catch((error: unknown) => {
      const failure = answerToError(error);
      if (failure.name === "internalError") logFailure(error);
      return failure;
    });
    const row = rows[answer.name];
    if (row.rejected !== undefined) {
      options.rejected(row.rejected, exchange);
      logRefusal(answer, exchange);
    }
    const measured = tailnetOf(exchange)?.telemetry ?? telemetry;
    measured.record(`tailscale.${signal}.request.duration`, (performance.now() - beganMs) / 1000, {});
    return responseOf(row, answer);
  };
}

/**
 * The result of the work. Late work runs on to its next check and may still commit, which is harmless: the sender's retry is then
 * a duplicate.
 * @throws {CommitTimeout} if it takes longer.
 */
async function withinDeadline<Result>(timeoutMs: number, work: Promise<Result>): Promise<Result> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new CommitTimeout(timeoutMs)), timeoutMs);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** How long one request may hold the event loop before others run. */
const stepMs = 4;

/** One request's share of the event loop. */
export interface Turns {
  /** Runs work that yields wherever it may pause. @throws what the work and `checkDeadline` throw. */
  run(work: Iterable<void>): Promise<void>;
  /** @throws {CommitTimeout} if the sender no longer waits for the answer. */
  checkDeadline(): void;
}

/** Shares the event loop between requests, step by step: round robin over peers, and over the requests of each peer. */
export function createTurnQueue(steady: Clock = () => performance.now()): {
  open(timeoutMs: number, peer: string): Turns;
} {
  /** Resolvers of paused requests by peer, in the order in which the peers run next. */
  const paused = new Map<string, (() => void)[]>();

  function resumeNext(): void {
    for (const [peer, [resume, ...others]] of paused) {
      paused.delete(peer);
      if (others.length > 0) paused.set(peer, others);
      if (paused.size > 0) setImmediate(resumeNext);
      return resume?.();
    }
  }

  return {
    open(timeoutMs, peer) {
      let beganMs = steady();
      const deadlineMs = beganMs + timeoutMs;

      function checkDeadline(): void {
        if (steady() >= deadlineMs) throw new CommitTimeout(timeoutMs);
      }

      async function pauseIfDue(): Promise<void> {
        if (steady() - beganMs <= stepMs) return;
        if (paused.size === 0) setImmediate(resumeNext);
        await new Promise<void>((resume) => paused.set(peer, [...(paused.get(peer) ?? []), resume]));
        beganMs = steady();
      }

      return {
        checkDeadline,
        async run(work) {
          await pauseIfDue();
          checkDeadline();
          for (const _ of work) {
            if (steady() - beganMs <= stepMs) continue;
            await pauseIfDue();
            checkDeadline();
          }
        },
      };
    },
  };
}
