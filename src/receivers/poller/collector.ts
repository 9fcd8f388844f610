/** Polls one log window by window: records go through the pipeline, and the cursor is committed with them. */
import { setImmediate as afterOthers } from "node:timers/promises";
import { Refusal, Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { timeText } from "../../lib/rfc3339.ts";
import { collectGarbage } from "../../runtime/process.ts";
import type { Journal, PollCursor, PolledType } from "../../journal/index.ts";
import type { Batch, Pipeline } from "../../pipeline/index.ts";
import { type LogName, type TailscaleApi, TailscaleError } from "../../tailscale/index.ts";
import type { Step } from "../../tailscale/scrape.ts";
import { firstPosition, hasPassed, type NextWindow, nextWindow, type WindowPolicy } from "./windows.ts";

export interface CollectorOptions {
  readonly type: PolledType;
  readonly policy: WindowPolicy;
  /** `once`: continues from the cursor of an earlier poll up to the start of the program, then deletes the cursor. */
  readonly mode: "always" | "once";
}

export interface CollectorDeps {
  readonly api: Pick<TailscaleApi, "authenticate" | "readLogs" | "clockAheadMs">;
  readonly pipeline: Pipeline;
  readonly journal: Pick<Journal, "space" | "horizon" | "pollCursor" | "setPollCursor">;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** A window whose answer is larger is halved. */
const maxAnswerBytes = 256 * 1024 * 1024;

/** Seconds by which the dates of answers may go backwards. */
const maxDatedBack = 60;

/** Records are committed in batches of this size, so that memory does not grow with the answer. */
const maxBatchBytes = 8 * 1024 * 1024;

/** Records are read for this long before others get a turn, which the garbage collector uses too: shorter steps cost more than they give. */
const stepMs = 25;

export class LogCollector {
  readonly #options: CollectorOptions;
  readonly #deps: CollectorDeps;
  readonly #startedAt: number;
  #span: number;
  #resumeAt: number | undefined;

  constructor(options: CollectorOptions, deps: CollectorDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#span = options.policy.maxWindow;
    this.#startedAt = Math.floor(deps.clock() / 1000);
  }

  /** How far the log has been read, in whole epoch seconds. */
  get readUntil(): number | undefined {
    return this.#deps.journal.pollCursor(this.#options.type)?.readUntil;
  }

  /**
   * Reads the next window and commits its records batch by batch, and the cursor with the last batch. After an error the next
   * step requests the same window, or half of it if the answer was too large; records already committed are then recognized as
   * duplicates.
   * @throws {TailscaleError} if the API does not answer.
   * @throws {Unavailable} if the journal cannot accept the records, or if half of the window is to be requested at once.
   */
  async step(signal: AbortSignal): Promise<Step> {
    const { type, mode, policy } = this.#options;
    const { api, journal, clock } = this.#deps;
    if (mode === "once" && (this.readUntil ?? this.#startedAt) >= this.#startedAt) {
      await journal.setPollCursor(type, undefined);
      return "over";
    }
    const { refusal } = journal.space;
    if (refusal !== undefined) throw new Unavailable(refusal);
    // The first answer may take long, even across restarts, so the first cursor is committed before it.
    if (journal.pollCursor(type) === undefined)
      await journal.setPollCursor(type, { type, readUntil: firstPosition(clock() / 1000, policy), isOurClock: true });
    if (api.clockAheadMs === undefined || this.#isDatedBack()) await api.authenticate(signal);
    if (this.#isDatedBack())
      throw new TailscaleError(
        "malformed",
        `answers of the API are dated ${timeText(clock() + (api.clockAheadMs ?? 0))}, long before what has been read already`,
        "Nothing to do if it passes; otherwise check the clock of a proxy on the way to tailscale.base_url.",
      );
    const next = this.#next();
    if (next === undefined) {
      this.#resumeAt = undefined;
      return "current";
    }
    if ((await this.#readAndCommit(next, signal)) === "keys were dropped") {
      this.#halve(next);
      return "behind";
    }
    this.#span = Math.min(policy.maxWindow, this.#span * 2);
    this.#resumeAt = next.isLast ? undefined : next.window?.end;
    return next.isLast ? "current" : "behind";
  }

  /** How far the local clock is ahead of the API's; 0 if it is behind. */
  get #secondsAhead(): number {
    return Math.max(0, -(this.#deps.api.clockAheadMs ?? 0)) / 1000;
  }

  /**
   * True if the last answer's date is wrong: it is well before the cursor, which earlier dates and the local clock have reached.
   * Trusting it would move the cursor back or stop all requests, so that no later answer could correct it.
   */
  #isDatedBack(): boolean {
    const { journal, clock } = this.#deps;
    const { readUntil, isOurClock = false } = journal.pollCursor(this.#options.type) as PollCursor;
    const present = clock() / 1000 - this.#options.policy.lag;
    return !isOurClock && readUntil <= present && present - this.#secondsAhead < readUntil - maxDatedBack;
  }

  #next(): NextWindow | undefined {
    const { type, policy, mode } = this.#options;
    const { journal, clock } = this.#deps;
    const secondsAhead = this.#secondsAhead;
    const cursor = journal.pollCursor(type) as PollCursor;
    /** Nothing has been read yet: the cursor comes from the local clock, and there is nothing to read again. */
    const isFirst = cursor.isOurClock === true;
    const readUntil = isFirst ? cursor.readUntil - Math.ceil(secondsAhead) : cursor.readUntil;
    return nextWindow(policy, {
      now: clock() / 1000 - secondsAhead,
      readUntil,
      resumeAt: isFirst ? readUntil : this.#resumeAt,
      span: this.#span,
      horizon: journal.horizon(type),
      ...(mode === "once" && { until: this.#startedAt }),
    });
  }

  async #readAndCommit(next: NextWindow, signal: AbortSignal): Promise<"committed" | "keys were dropped"> {
    const { type } = this.#options;
    const { api, journal, pipeline, clock } = this.#deps;
    const { window, readUntil, unverifiableSeconds } = next;
    const open = (): Batch => pipeline.open({ source: "poll", receivedAt: clock() });
    let batch = open();
    let batchBytes = 0;
    let hasDroppedKeys = false;
    const onRecords = async (records: readonly Uint8Array[]): Promise<void> => {
      let endsAt = performance.now() + stepMs;
      for (const record of records) {
        batchBytes += addTo(batch, record);
        if (performance.now() < endsAt) continue;
        await afterOthers();
        endsAt = performance.now() + stepMs;
      }
      if (batchBytes < maxBatchBytes || hasDroppedKeys) return;
      hasDroppedKeys = hasPassed(journal.horizon(type), next);
      const full = batch;
      batch = open();
      if (hasDroppedKeys) full.drop();
      else await full.commit(batchBytes);
      batchBytes = 0;
      collectGarbage();
    };
    try {
      if (window !== undefined) {
        try {
          await api.readLogs(logNames[type], window, { maxBytes: maxAnswerBytes, onRecords, signal });
        } catch (error) {
          if (isTooMuch(error) && this.#halve(next))
            throw new Unavailable(`${error.message}; asking for half of it`, 0);
          throw error;
        }
      }
      if (hasDroppedKeys || hasPassed(journal.horizon(type), next)) return "keys were dropped";
      if (unverifiableSeconds > 0) this.#warnOfGap(next);
      if (batch.records === 0 && unverifiableSeconds === 0) await journal.setPollCursor(type, { type, readUntil });
      else await batch.commit(batchBytes, { poll: { type, readUntil, unverifiableSeconds } });
      return "committed";
    } finally {
      batch.drop();
    }
  }

  /** Returns false if the window is too short to be halved. */
  #halve({ window }: Pick<NextWindow, "window">): boolean {
    const seconds = window === undefined ? 0 : window.end - window.start;
    this.#span = Math.max(1, Math.floor(seconds / 2));
    return seconds > 1;
  }

  #warnOfGap({ window, readUntil, unverifiableSeconds }: NextWindow): void {
    const to = window?.start ?? readUntil;
    this.#deps.logger.warn(
      "skipping a part of the log: its duplicates could not be recognized, or Tailscale no longer has it",
      {
        log: logNames[this.#options.type],
        from: new Date((to - unverifiableSeconds) * 1000).toISOString(),
        to: new Date(to * 1000).toISOString(),
      },
    );
  }
}

/** The API client and the pipeline both limit how much they read at once. */
function isTooMuch(error: unknown): error is Error {
  if (error instanceof Refusal) return error.reason === "too_large";
  return error instanceof TailscaleError && (error.reason === "too_large" || error.reason === "timeout");
}

/** The API's names for the logs. */
export const logNames = { flow: "network", audit: "configuration" } as const satisfies Record<PolledType, LogName>;

/** Returns the record's size. @throws {TailscaleError} `malformed` if it is not JSON. @throws {Refusal} `too_large` */
function addTo(batch: Batch, record: Uint8Array): number {
  if (batch.scan(record, 0, record.length) >= 0) return record.length;
  try {
    for (const _ of batch.add(record, 0, record.length));
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    throw new TailscaleError(
      "malformed",
      "a record in the answer is not JSON",
      "Nothing to do: the window is read again.",
    );
  }
  return record.length;
}
