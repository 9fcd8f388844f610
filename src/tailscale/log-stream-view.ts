/** Tailscale's own view of a log stream against what was taken of it here. */
import { zeroTime } from "../lib/rfc3339.ts";
import type { LogStreamStatus } from "./types.ts";

export interface LogStreamView {
  /** Entries that Tailscale says it has sent since the stream was configured. */
  readonly entriesSent: number;
  readonly requestsFailed: number;
  /**
   * Of the entries that Tailscale has sent since the baseline, those that were not taken here as records of the log: accepted,
   * known already, or quarantined. Never below 0.
   */
  readonly missing: number;
}

export interface LogStreamAccount {
  /** Nothing before the first look. */
  readonly view: LogStreamView | undefined;
  /**
   * Takes a status, with what had been taken here when it was asked for. The first one is the baseline, and so is one that
   * says less than the one before: Tailscale has begun anew.
   */
  look(status: LogStreamStatus, taken: number): void;
  /** The next look is the baseline. */
  beginAnew(): void;
}

export function createLogStreamAccount(): LogStreamAccount {
  let baseline: { readonly sent: number; readonly taken: number } | undefined;
  let view: LogStreamView | undefined;
  return {
    get view() {
      return view;
    },
    look({ entriesSent, failedRequests }, taken) {
      if (baseline === undefined || entriesSent < (view?.entriesSent ?? 0)) baseline = { sent: entriesSent, taken };
      const missing = Math.max(0, entriesSent - baseline.sent - (taken - baseline.taken));
      view = { entriesSent, requestsFailed: failedRequests, missing };
    },
    beginAnew() {
      baseline = undefined;
      view = undefined;
    },
  };
}

/** When Tailscale last published, as it says; nothing where it has not. */
export function activityOf({ lastActivity }: LogStreamStatus): string | undefined {
  return lastActivity === "" || lastActivity === zeroTime ? undefined : lastActivity;
}
