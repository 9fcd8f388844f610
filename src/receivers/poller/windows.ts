/**
 * Computes which span of the log to request next. All times are whole seconds on the log service's clock. Windows include both
 * ends, so consecutive windows share the second at which they meet.
 */
import type { Horizon } from "../../journal/index.ts";
import type { LogWindow } from "../../tailscale/index.ts";

/** Seconds between the newest dropped key and the start of a window, because more keys may be dropped while it is read. */
const horizonMargin = 60;

/** Lengths, in seconds. */
export interface WindowPolicy {
  /** Age below which the log may still be incomplete. */
  readonly lag: number;
  readonly lookback: number;
  readonly maxWindow: number;
  /** How much is read again to catch records logged late: at most half a window, or polling would never advance. */
  readonly overlap: number;
  /** How long Tailscale keeps the log. */
  readonly retention: number;
}

/** How far the log has been read, and what limits the next window. */
export interface PollState {
  /** The current time by the local clock or the API's, whichever is behind. */
  readonly now: number;
  /** How far the log has been read and committed. */
  readonly readUntil: number;
  /** End of the previous window while catching up, when nothing is read again. */
  readonly resumeAt: number | undefined;
  /** The longest span to request: `maxWindow`, or less after answers that were too large. */
  readonly span: number;
  /** For the dedup keys of this log. */
  readonly horizon: Horizon;
  /** Nothing after this is read. */
  readonly until?: number;
}

export interface NextWindow {
  /** `undefined` if the whole span has to be skipped. */
  readonly window: LogWindow | undefined;
  /** How far the log has been read after this window. */
  readonly readUntil: number;
  /** Seconds before the window that are skipped and never read. */
  readonly unverifiableSeconds: number;
  /** True if it rereads part of the log. */
  readonly isOverlapping: boolean;
  /** True if there is nothing more to read for now. */
  readonly isLast: boolean;
}

/** Start of the very first window. */
export function firstPosition(now: number, { lag, lookback }: WindowPolicy): number {
  return Math.floor(now) - lag - lookback;
}

/** The next window, or `undefined` if there is nothing new. */
export function nextWindow(policy: WindowPolicy, state: PollState): NextWindow | undefined {
  const { now, readUntil: committed, resumeAt, span, horizon, until = Number.POSITIVE_INFINITY } = state;
  const present = Math.floor(now) - policy.lag;
  const to = Math.min(present, until);
  if (to === committed) return undefined;
  /** A position in the future was written by a wrong clock. */
  const readUntil = Math.min(committed, to);
  const overlap = Math.min(policy.overlap, Math.floor(policy.maxWindow / 2));
  const start = Math.max(
    resumeAt === undefined ? readUntil - overlap : Math.min(resumeAt, to),
    Math.min(committed, secondAfter(horizon.until) + horizonMargin),
    secondAfter(horizon.streamed) + horizonMargin,
    Math.floor(now) - policy.retention,
  );
  if (start > to) {
    if (readUntil === to) return undefined;
    return {
      window: undefined,
      readUntil: to,
      unverifiableSeconds: to - readUntil,
      isOverlapping: false,
      isLast: true,
    };
  }
  const end = Math.min(to, start + Math.max(1, span));
  return {
    window: { start, end },
    readUntil: Math.max(readUntil, end),
    unverifiableSeconds: Math.max(0, start - readUntil),
    isOverlapping: start < committed,
    isLast: end === to,
  };
}

/** True if dedup keys of the window's records may have been dropped while it was read, so that duplicates would go unnoticed. */
export function hasPassed({ until, streamed }: Horizon, { window, isOverlapping }: NextWindow): boolean {
  return window !== undefined && secondAfter(isOverlapping ? until : streamed) > window.start;
}

/** The first whole second after a time in epoch milliseconds; −∞ for 0 (none). */
function secondAfter(millis: number): number {
  return millis === 0 ? Number.NEGATIVE_INFINITY : Math.floor(millis / 1000) + 1;
}
