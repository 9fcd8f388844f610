/** What clocks and the journal's keys say about the records of a batch, before any of them is committed. */
import { type HrTime, isSayable, millisOfHrTime } from "../lib/clock.ts";
import type { RecordType } from "../records/types.ts";
import { type Committed, type Journal, type KnownKeys, partFlags } from "../journal/index.ts";
import type { Origin, Outcome } from "./index.ts";

/** A record's time may be this far ahead of ours before it is counted: whose clock is wrong is not known. */
const maxAheadMs = 5 * 60_000;

/** The log service's clock may be this far ahead of ours; a sender that claims more gains nothing by it. */
const maxClockLeadMs = 24 * 3_600_000;

export class Judge {
  readonly #origin: Origin;
  readonly #journal: Pick<Journal, "knows" | "horizon">;
  readonly #known = new Map<RecordType, { keys: number[]; keysAt: number }>();

  constructor(origin: Origin, journal: Pick<Journal, "knows" | "horizon">) {
    this.#origin = origin;
    this.#journal = journal;
  }

  /** Whether the journal has the key, which is then noted as seen again. */
  isKnown(type: RecordType, key: Uint32Array, keysAt: number): boolean {
    if (!this.#journal.knows(type, key, 0)) return false;
    let known = this.#known.get(type);
    if (known === undefined) this.#known.set(type, (known = { keys: [], keysAt: 0 }));
    known.keys.push(...key);
    known.keysAt = Math.max(known.keysAt, keysAt);
    return true;
  }

  /** The keys that were seen again. */
  known(): KnownKeys[] {
    return Array.from(this.#known, ([type, { keys, keysAt }]) => ({ type, keys: Uint32Array.from(keys), keysAt }));
  }

  /**
   * When a key begins to grow old: at the later of receipt and the log service's time, so that it is there for whoever comes
   * by either clock. Epoch milliseconds.
   */
  agingFrom(recordedMs: number | undefined): number {
    const { receivedAt } = this.#origin;
    return Math.max(receivedAt, Math.ceil(Math.min(recordedMs ?? receivedAt, receivedAt + maxClockLeadMs)));
  }

  /** Bits of `partFlags`: what is counted of a record besides what it holds. `time`: its own, if it says one. */
  flagsOf(type: RecordType, time: HrTime | undefined, recordedMs: number | undefined): number {
    const { source, receivedAt } = this.#origin;
    // A poll does not ask for what is older than the keys, unless nobody else can have brought it.
    const isOfStream = recordedMs !== undefined && source === "stream";
    const flags = isOfStream && recordedMs <= this.#journal.horizon(type).until ? partFlags.unproven : 0;
    if (time === undefined || !isSayable(time)) return flags | partFlags.replacedTime;
    return millisOfHrTime(time) > receivedAt + maxAheadMs ? flags | partFlags.ahead : flags;
  }
}

/** What became of a batch's records. */
export function outcomeOf({ parts, tally }: Committed): Outcome {
  const sumOf = (counts: readonly (number | undefined)[]) => counts.reduce<number>((all, one) => all + (one ?? 0), 0);
  return {
    accepted: sumOf(parts.map(({ accepted }) => accepted)),
    duplicate: sumOf(Object.values(tally.duplicates ?? {})),
    skipped: sumOf(Object.values(tally.skipped ?? {})),
    quarantined: sumOf((tally.quarantined ?? []).map(({ records }) => records)),
  };
}
