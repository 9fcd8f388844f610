/** Polls one log, a window at a time: what the API gives goes the way of every record, and the position is committed with it. */
import { Unavailable } from "../../errors.ts";
import type { Journal } from "../../journal/index.ts";
import type { PollCursor, PolledType } from "../../journal/types.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Draft, Pipeline } from "../../pipeline/types.ts";
import { unwrap, type Unwrapped } from "../../records/envelope.ts";
import { TailscaleError } from "../../tailscale/error.ts";
import type { LogName, TailscaleApi } from "../../tailscale/types.ts";
import { firstPosition, hasPassed, type NextWindow, nextWindow, type WindowPolicy } from "./windows.ts";

export interface CollectorOptions {
  readonly type: PolledType;
  readonly policy: WindowPolicy;
  /** `once`: what a poll left behind is caught up to the start of the program, and the position is then forgotten. */
  readonly mode: "always" | "once";
}

export interface CollectorDeps {
  readonly api: Pick<TailscaleApi, "authenticate" | "readLogs" | "clockAheadMs">;
  readonly pipeline: Pipeline;
  readonly journal: Pick<Journal, "space" | "forgotten" | "pollCursor" | "movePollCursor" | "dropPollCursor">;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** `behind`: there is more to read at once. `current`: all that is there has been read. `over`: nothing will be read again. */
export type Step = "behind" | "current" | "over";

/** An answer beyond this is asked for in halves; a hundredth of it is what is held at a time. */
const maxAnswerBytes = 256 * 1024 * 1024;

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

  /** Whether the last answer was too much, and half of its window can be asked for at once. */
  get canHalve(): boolean {
    return this.#canHalve;
  }

  /**
   * Reads the next window and commits it.
   * @throws {TailscaleError} when the API does not give it, {Unavailable} when the journal cannot take it; the next step asks
   * for the same again, or for half of it where that was too much.
   */
  async step(signal: AbortSignal): Promise<Step> {
    const { type, mode } = this.#options;
    const { api, journal, pipeline, clock } = this.#deps;
    this.#canHalve = false;
    if (mode === "once" && (this.readUntil ?? this.#startedAt) >= this.#startedAt) {
      journal.dropPollCursor(type);
      return "over";
    }
    if (journal.space.isFull) throw new Unavailable("the journal is full");
    if (journal.pollCursor(type) === undefined) this.#begin();
    if (api.clockAheadMs === undefined) await api.authenticate();
    const next = this.#next();
    if (next === undefined) {
      this.#resumeAt = undefined;
      return "current";
    }
    const draft = pipeline.open({ source: "poll", receivedAt: clock() });
    const bytes = await this.#read(next, draft, signal);
    if (hasPassed(journal.forgotten(type), next)) {
      this.#halve(next);
      return "behind";
    }
    if (next.unverifiableSeconds > 0) this.#tellGap(next);
    await this.#commit(next, draft, bytes);
    this.#span = Math.min(this.#options.policy.maxWindow, this.#span * 2);
    this.#resumeAt = next.isLast ? undefined : next.window?.end;
    return next.isLast ? "current" : "behind";
  }

  /** A first answer may be long in coming, over restarts too: what is to be read is settled before it. */
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
      forgotten: journal.forgotten(type),
      ...(mode === "once" && { until: this.#startedAt }),
    });
  }

  /** Decompressed bytes of the answer. */
  async #read({ window }: NextWindow, draft: Draft, signal: AbortSignal): Promise<number> {
    if (window === undefined) return 0;
    try {
      const { bytes } = await this.#deps.api.readLogs(logNames[this.#options.type], window, {
        maxBytes: maxAnswerBytes,
        onRecords: (texts) => addTo(draft, texts),
        signal,
      });
      return bytes;
    } catch (error) {
      const isTooMuch = error instanceof TailscaleError && (error.reason === "too_large" || error.reason === "timeout");
      this.#canHalve = isTooMuch && this.#halve({ window });
      throw error;
    }
  }

  /** Whether there is half of a window. */
  #halve({ window }: Pick<NextWindow, "window">): boolean {
    const seconds = window === undefined ? 0 : window.end - window.start;
    this.#span = Math.max(1, Math.floor(seconds / 2));
    return seconds > 1;
  }

  async #commit({ readUntil, unverifiableSeconds }: NextWindow, draft: Draft, bytes: number): Promise<void> {
    const { type } = this.#options;
    if (draft.records === 0 && unverifiableSeconds === 0) this.#deps.journal.movePollCursor({ type, readUntil });
    else await draft.commit(draft.records === 0 ? 0 : bytes, { type, readUntil, unverifiableSeconds });
  }

  /** Seconds, by our clock or the API's, whichever is behind. */
  #now(): number {
    return this.#deps.clock() / 1000 - this.#secondsAhead();
  }

  /** How far our clock is ahead of the API's; 0 where it is behind. */
  #secondsAhead(): number {
    return Math.max(0, -(this.#deps.api.clockAheadMs ?? 0)) / 1000;
  }

  #tellGap({ window, readUntil, unverifiableSeconds }: NextWindow): void {
    const to = window?.start ?? readUntil;
    this.#deps.logger.warn(
      "a span of the log is not polled: what came of it is no longer known, or Tailscale no longer has it",
      {
        log: logNames[this.#options.type],
        from: new Date((to - unverifiableSeconds) * 1000).toISOString(),
        to: new Date(to * 1000).toISOString(),
      },
    );
  }
}

/** The API's own names. */
export const logNames = { flow: "network", audit: "configuration" } as const satisfies Record<PolledType, LogName>;

/** @throws {TailscaleError} `malformed`, when a record's text is no JSON. */
function addTo(draft: Draft, texts: readonly string[]): void {
  const into: Unwrapped = { records: [], skipped: [] };
  for (const text of texts) unwrap(parsed(text), text, into);
  draft.add(into.records);
  draft.skip(into.skipped);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new TailscaleError(
      "malformed",
      "a record of the answer is not JSON",
      "Nothing: the same is asked for again.",
    );
  }
}
