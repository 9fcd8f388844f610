/** How long and how many seen keys are held, by class. */
import { hasCredentials } from "../config/index.ts";
import type { Config } from "../config/schema.ts";
import type { PollCursor, PolledType } from "./batch.ts";
import type { KeyClass } from "./journal.ts";

/** The settings that limit the keys. */
export type KeySettings = Pick<Config, "dedup" | "collectors" | "tailscale">;

export interface KeyLimits {
  readonly windowMs: number;
  readonly maxKeys: number;
  /** Set if the type is polled: how far before its cursor polls read again. No key of that span is removed by age. */
  readonly pollOverlapMs?: number;
}

/** Maximum seen keys of classes without a setting: far more than a tailnet produces in their windows. */
const maxOtherKeys = 250_000;

/** Quarantined texts are recognized for as long as the longest retry of a sender. */
const quarantinedWindowMs = 48 * 3_600_000;

export function keyLimitsOf(config: KeySettings): Readonly<Record<KeyClass, KeyLimits>> {
  const { dedup, collectors } = config;
  const isPolling = hasCredentials(config);
  /** Keys of records that will be polled again must not be forgotten before. */
  const polled = (log: "flowlogs" | "auditlogs") =>
    collectors[log].enabled && isPolling ? { pollOverlapMs: collectors[log].replay_overlap } : {};
  return {
    flow: { windowMs: dedup.flow_window, maxKeys: dedup.max_keys, ...polled("flowlogs") },
    audit: { windowMs: dedup.audit_window, maxKeys: maxOtherKeys, ...polled("auditlogs") },
    webhook: { windowMs: dedup.webhook_window, maxKeys: maxOtherKeys },
    quarantined: { windowMs: quarantinedWindowMs, maxKeys: maxOtherKeys },
  };
}

/** Keys that age from before this time may be removed, epoch milliseconds. `now` is the clock by which they age. */
export function oldestKept(
  keyClass: KeyClass,
  { windowMs, pollOverlapMs }: KeyLimits,
  now: number,
  stored: { get(name: `poll.${PolledType}`): PollCursor | undefined },
): number {
  const polled = keyClass === "flow" || keyClass === "audit" ? stored.get(`poll.${keyClass}`) : undefined;
  const readAgainFrom =
    polled === undefined || pollOverlapMs === undefined
      ? Number.POSITIVE_INFINITY
      : polled.readUntil * 1000 - pollOverlapMs;
  return Math.min(now - windowMs, readAgainFrom);
}
