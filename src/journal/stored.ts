/** The named values of a journal, which every engine stores as the same JSON so that a journal can be moved between engines. */
import { randomBytes, randomUUID } from "node:crypto";
import type { PollCursor, PolledType } from "./batch.ts";
import type {
  DestinationRule,
  Horizon,
  JournalIdentity,
  KeyClass,
  LogCursor,
  Loss,
  MinuteGap,
  Redelivery,
} from "./journal.ts";

/** Values stored as JSON. */
export type StoredValues = {
  readonly identity: JournalIdentity;
  readonly cursor: LogCursor;
  readonly loss: StoredLoss;
  /** The clock by which rows and keys age, epoch milliseconds. */
  readonly age: number;
  /** The row up to which the minutes are complete, and the gap in them, if any. */
  readonly minutes: { readonly measuredSeq: number; readonly gap?: MinuteGap | undefined };
} & Readonly<
  Record<`poll.${PolledType}`, PollCursor> &
    Record<`horizon.${KeyClass}`, Horizon> &
    Record<`redelivery.${string}`, Redelivery> &
    Record<`destination.${string}`, StoredDestination>
>;

/** A further destination as stored. */
export interface StoredDestination extends Omit<DestinationRule, "name"> {
  readonly since: number;
  readonly cursor: LogCursor;
  readonly evicted: number;
  /** Records of its types accepted up to a row. Absent after damage: what is still stored is counted instead. */
  readonly accepted?: { readonly seq: number; readonly records: number } | undefined;
}

/** `isOpen`: the counters have not been compared with what is stored since the last damage. */
export interface StoredLoss extends Loss {
  readonly isOpen: boolean;
}

export const polledTypes: readonly PolledType[] = ["flow", "audit"];

export const noLoss: StoredLoss = { rows: 0, records: 0, uncounted: 0, isOpen: false };

/** Prefixes of the names of the snapshot's blobs, and of the values of `writeState`. */
export const blobPrefix = "ledger/";
export const keptPrefix = "kept/";

export const destinationPrefix = "destination.";

/** Maximum size of a value of `writeState`. */
export const maxStateBytes = 8 * 1024 * 1024;

/**
 * What the minutes lack when a journal is opened, because a snapshot may have been written without them: everything measured
 * (from 1) if the existing minutes cannot be relied on, or all are gone.
 */
export function gapAtStart(
  last: StoredValues["minutes"] | undefined,
  measuredSeq: number,
  areThere: boolean,
): MinuteGap | undefined {
  const known = measuredSeq > 0 && last?.gap === undefined && !areThere ? undefined : last;
  if (known?.measuredSeq === measuredSeq || (known === undefined && measuredSeq === 0)) return undefined;
  const isBehind = known !== undefined && known.measuredSeq < measuredSeq && known.gap === undefined;
  const from = isBehind ? known.measuredSeq + 1 : 1;
  return { from, until: measuredSeq, since: 0, before: Number.MAX_SAFE_INTEGER };
}

/** The identity of a new journal. */
export function newIdentity(now: number): JournalIdentity {
  const secret = (): string => randomBytes(32).toString("hex");
  return {
    instanceId: randomUUID(),
    identitySecret: secret(),
    privacySalt: secret(),
    tailnet: 1,
    createdAt: now,
  };
}
