/** Polls one log, one window at a time: its records go through the pipeline like any other, and the position is committed with them. */
import { Refusal, Unavailable } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import { collectGarbage } from "../../runtime/process.ts";
import { TailscaleError } from "../../tailscale/error.ts";
import type { Journal, PollCursor, PolledType } from "../../journal/index.ts";
import type { Batch, Pipeline } from "../../pipeline/index.ts";
import type { LogName, TailscaleApi } from "../../tailscale/types.ts";
import { firstPosition, hasPassed, type NextWindow, nextWindow, type WindowPolicy } from "./windows.ts";

export interface CollectorOptions {
  readonly type: PolledType;
  readonly policy: WindowPolicy;
  /** `once`: reads on from an earlier poll's position up to the start of the program, and then drops the position. */
  readonly mode: "always" | "once";
}

export interface CollectorDeps {
  readonly api: Pick<TailscaleApi, "authenticate" | "readLogs" | "clockAheadMs">;
  readonly pipeline: Pipeline;
  readonly journal: Pick<Journal, "space" | "horizon" | "pollCursor" | "movePollCursor" | "dropPollCursor">;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** `behind`: there is more to read at once. `current`: all that is there has been read. `over`: nothing will be read again. */
export type Step = "behind" | "current" | "over";

/** A larger answer is asked for in halves. It is read in pieces of about a MiB, never held whole. */
const maxAnswerBytes = 256 * 1024 * 1024;

/** The collector would let what so much text of an answer leaves behind grow: 200,000 records peak at 242 MB instead of 348. */
const charactersPerCollection = 2 * 1024 * 1024;

export class LogCollector {
  readonly #options: CollectorOptions;
  readonly #deps: CollectorDeps;
  readonly #startedAt: number;
  #span: number;
  #resumeAt: number | undefined;
  #canHalve = false;

  constructor(options: CollectorOptions, deps: CollectorDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#span = options.policy.maxWindow;
    this.#startedAt = Math.floor(deps.clock() / 1000);
  }

  /** How far the log has been read, whole seconds. */
  get readUntil(): number | undefined {
    return this.#deps.journal.pollCursor(this.#options.type)?.readUntil;
  }

  /** Whether the last answer was too large or too slow, and half of its window can be asked for at once. */
  get canHalve(): boolean {
    return this.#canHalve;
  }

  /**
   * Reads the next window and commits it. After an error, the next step asks for the same window, or for half of it if that
   * was too much.
   * @throws {TailscaleError} if the API does not answer it. @throws {Refusal} if it holds too many records.
   * @throws {Unavailable} if the journal cannot accept it.
   */
  async step(signal: AbortSignal): Promise<Step> {
    const { type, mode } = this.#options;
    const { api, journal, pipeline, clock } = this.#deps;
    this.#canHalve = false;
    if (mode === "once" && (this.readUntil ?? this.#startedAt) >= this.#startedAt) {
      journal.dropPollCursor(type);
      return "over";
    }
    const { refusal } = journal.space;
    if (refusal !== undefined) throw new Unavailable(refusal);
    if (journal.pollCursor(type) === undefined) this.#begin();
    if (api.clockAheadMs === undefined) await api.authenticate();
    const next = this.#next();
    if (next === undefined) {
      this.#resumeAt = undefined;
      return "current";
    }
    const batch = pipeline.open({ source: "poll", receivedAt: clock() });
    try {
      const bytes = await this.#read(next, batch, signal);
      if (hasPassed(journal.horizon(type), next)) {
        this.#halve(next);
        return "behind";
      }
      if (next.unverifiableSeconds > 0) this.#warnOfGap(next);
      await this.#commit(next, batch, bytes);
    } finally {
      batch.drop();
    }
    this.#span = Math.min(this.#options.policy.maxWindow, this.#span * 2);
    this.#resumeAt = next.isLast ? undefined : next.window?.end;
    return next.isLast ? "current" : "behind";
  }

  /** The first answer may take long, even over restarts: where reading begins is committed before it. */
  #begin(): void {
    const { type, policy } = this.#options;
    const { journal, clock } = this.#deps;
    journal.movePollCursor({ type, readUntil: firstPosition(clock() / 1000, policy), isOurClock: true });
  }

  #next(): NextWindow | undefined {
    const { type, policy, mode } = this.#options;
    const { journal } = this.#deps;
    const { readUntil, isOurClock } = journal.pollCursor(type) as PollCursor;
    return nextWindow(policy, {
      now: this.#now(),
      readUntil: isOurClock === true ? readUntil - Math.ceil(this.#secondsAhead()) : readUntil,
      resumeAt: this.#resumeAt,
      span: this.#span,
      horizon: journal.horizon(type),
      ...(mode === "once" && { until: this.#startedAt }),
    });
  }

  /** Decompressed bytes of the answer. */
  async #read({ window }: NextWindow, batch: Batch, signal: AbortSignal): Promise<number> {
    if (window === undefined) return 0;
    let uncollected = 0;
    try {
      const { bytes } = await this.#deps.api.readLogs(logNames[this.#options.type], window, {
        maxBytes: maxAnswerBytes,
        onRecords(texts) {
          addTo(batch, texts);
          for (const { length } of texts) uncollected += length;
          if (uncollected < charactersPerCollection) return;
          collectGarbage();
          uncollected = 0;
        },
        signal,
      });
      return bytes;
    } catch (error) {
      this.#canHalve = isTooMuch(error) && this.#halve({ window });
      throw error;
    }
  }

  /** Returns whether the window can be halved. */
  #halve({ window }: Pick<NextWindow, "window">): boolean {
    const seconds = window === undefined ? 0 : window.end - window.start;
    this.#span = Math.max(1, Math.floor(seconds / 2));
    return seconds > 1;
  }

  async #commit({ readUntil, unverifiableSeconds }: NextWindow, batch: Batch, bytes: number): Promise<void> {
    const { type } = this.#options;
    if (batch.records === 0 && unverifiableSeconds === 0) this.#deps.journal.movePollCursor({ type, readUntil });
    else await batch.commit(batch.records === 0 ? 0 : bytes, { poll: { type, readUntil, unverifiableSeconds } });
  }

  /** Seconds, by our clock or the API's, whichever is behind. */
  #now(): number {
    return this.#deps.clock() / 1000 - this.#secondsAhead();
  }

  /** How far our clock is ahead of the API's; 0 if it is behind. */
  #secondsAhead(): number {
    return Math.max(0, -(this.#deps.api.clockAheadMs ?? 0)) / 1000;
  }

  #warnOfGap({ window, readUntil, unverifiableSeconds }: NextWindow): void {
    const to = window?.start ?? readUntil;
    this.#deps.logger.warn(
      "skipping a span of the log: duplicates in it would not be recognised, or Tailscale no longer has it",
      {
        log: logNames[this.#options.type],
        from: new Date((to - unverifiableSeconds) * 1000).toISOString(),
        to: new Date(to * 1000).toISOString(),
      },
    );
  }
}

/** Of the API, or of the pipeline: both bound what they take at once. */
function isTooMuch(error: unknown): boolean {
  if (error instanceof Refusal) return error.reason === "too_large";
  return error instanceof TailscaleError && (error.reason === "too_large" || error.reason === "timeout");
}

/** The API's own names. */
export const logNames = { flow: "network", audit: "configuration" } as const satisfies Record<PolledType, LogName>;

/** @throws {TailscaleError} `malformed`, if a record's text is not JSON. */
function addTo(batch: Batch, texts: readonly string[]): void {
  for (const text of texts) {
    const bytes = Buffer.from(text);
    if (batch.scan(bytes, 0, bytes.length) < 0) batch.addValue(parsed(text), text);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TailscaleError(
      "malformed",
      "a record in the answer is not JSON",
      "None is needed: it is asked for again.",
    );
  }
}
