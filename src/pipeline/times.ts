/** Evaluates the times of a batch's records: when their keys begin to age, which times are counted, and how old they are. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { type HrTime, millisOfHrTime, representable } from "../lib/clock.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import { type Append, type Journal, partFlags } from "../journal/index.ts";
import type { RecordType } from "../records/types.ts";

/** A record's time may be this far ahead of this clock before it is flagged, because either clock may be wrong. */
const maxAheadMs = 5 * 60_000;

/** The log service's clock may be this far ahead of this one; a sender that claims more gains nothing by it. */
const maxClockLeadMs = 24 * 3_600_000;

/** Records per batch and type whose ages are recorded: each costs 2 µs, and a batch's records have similar ages. */
const maxSamples = 16;

/** Where a batch comes from, and when its request was received: epoch milliseconds. */
export type Origin = Pick<Append, "source" | "receivedAt">;

/** When the newest event of each source and type happened, in seconds; never moves back. */
export type LastEvents = Map<
  string,
  { readonly value: number; readonly attributes: Pick<Origin, "source"> & { readonly signal: RecordType } }
>;

/** Epoch milliseconds: an event's own time, and the log service's. */
interface Sample {
  readonly timeMs: number;
  readonly recordedMs: number | undefined;
  readonly deferredAt: string | undefined;
}

export class BatchTimes {
  readonly #origin: Origin;
  readonly #journal: Pick<Journal, "horizon">;
  readonly #byType = new Map<RecordType, { readonly samples: Sample[]; newestMs: number }>();

  constructor(origin: Origin, journal: Pick<Journal, "horizon">) {
    this.#origin = origin;
    this.#journal = journal;
  }

  /**
   * When a key begins to age, epoch milliseconds: at the later of receipt and the log service's time, so that it is kept long
   * enough by either clock.
   */
  agingFrom(recordedMs: number | undefined): number {
    const { receivedAt } = this.#origin;
    return Math.max(receivedAt, Math.ceil(Math.min(recordedMs ?? receivedAt, receivedAt + maxClockLeadMs)));
  }

  /** Bits of `partFlags` for a record that is accepted. `time`: its own, if it has one; `deferredAt`: an audit record's. */
  accept(type: RecordType, time: HrTime | undefined, recordedMs: number | undefined, deferredAt?: string): number {
    const { source, receivedAt } = this.#origin;
    // A poll does not ask for records older than the keys, unless no other source can have delivered them.
    const isOfStream = recordedMs !== undefined && source === "stream";
    const flags = isOfStream && recordedMs <= this.#journal.horizon(type).until ? partFlags.unproven : 0;
    const eventTime = representable(time);
    if (eventTime === undefined) return flags | partFlags.replacedTime;
    const timeMs = millisOfHrTime(eventTime);
    if (timeMs > receivedAt + maxAheadMs) return flags | partFlags.ahead;
    let known = this.#byType.get(type);
    if (known === undefined) this.#byType.set(type, (known = { samples: [], newestMs: 0 }));
    known.newestMs = Math.max(known.newestMs, timeMs);
    if (known.samples.length < maxSamples) known.samples.push({ timeMs, recordedMs, deferredAt });
    return flags;
  }

  /** Records ages and delays, once the batch is committed. */
  report(telemetry: Telemetry, lastEvents: LastEvents): void {
    const { source, receivedAt } = this.#origin;
    for (const [type, { samples, newestMs }] of this.#byType) {
      const attributes = { source, signal: type };
      const key = `${source} ${type}`;
      lastEvents.set(key, { attributes, value: Math.max(lastEvents.get(key)?.value ?? 0, newestMs / 1000) });
      for (const { timeMs, recordedMs, deferredAt } of samples) {
        const age = (receivedAt - timeMs) / 1000;
        // Clocks differ. A negative age or delay is not recorded, because as 0 it would look like the best one.
        if (age >= 0) telemetry.record("tailscale2otel.ingest.event.age", age, attributes);
        if (recordedMs !== undefined && recordedMs >= timeMs)
          telemetry.record("tailscale2otel.ingest.capture.delay", (recordedMs - timeMs) / 1000, attributes);
        if (type !== "audit") continue;
        if (age >= 0) telemetry.record("tailscale.config.audit.processing.delay", age, {});
        const deferred = parseRfc3339(deferredAt ?? "");
        const delay = deferred === undefined ? -1 : (millisOfHrTime(deferred) - timeMs) / 1000;
        if (delay >= 0) telemetry.record("tailscale.config.audit.deferred.delay", delay, {});
      }
    }
  }
}
