/** How old the records of a batch are: sampled while it is put together, and recorded once it is committed. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import type { AuditRecord, RecordType, Source, WebhookRecord } from "../records/types.ts";
import type { Origin } from "./index.ts";

/** Records of a batch and type whose ages are recorded: each costs 2 µs, and a batch's records are of one age. */
const maxSamples = 16;

/** When the newest event of each source and type happened; never moves back. */
export class LastEvents {
  readonly #at = new Map<string, { readonly source: Source; readonly type: RecordType; seconds: number }>();

  constructor(telemetry: Telemetry) {
    telemetry.observe("tailscale2otel.ingest.last_event_timestamp", () =>
      Array.from(this.#at.values(), ({ source, type, seconds }) => ({ value: seconds, attributes: { source, type } })),
    );
  }

  saw(source: Source, type: RecordType, seconds: number): void {
    const key = `${source} ${type}`;
    const known = this.#at.get(key);
    if (known === undefined) this.#at.set(key, { source, type, seconds });
    else known.seconds = Math.max(known.seconds, seconds);
  }
}

interface TypeAges {
  /** Pairs of event time and the log service's time, epoch milliseconds; the latter NaN if it is not known. */
  readonly samples: Float64Array;
  sampled: number;
  seen: number;
  newestMs: number;
}

export class Ages {
  readonly #byType = new Map<RecordType, TypeAges>();
  readonly #delays: { readonly processing: number; readonly deferred: number | undefined }[] = [];

  /** Notes an accepted flow record whose time does not lie ahead of ours. Epoch milliseconds. */
  addFlow(timeMs: number, recordedMs: number | undefined): void {
    this.#note("flow", timeMs, recordedMs);
  }

  /** Notes an accepted audit or webhook record. `receivedAt`: epoch milliseconds. */
  add(record: AuditRecord | WebhookRecord, receivedAt: number): void {
    if (record.time === undefined) return;
    const timeMs = millisOfHrTime(record.time);
    if (record.type === "webhook") return this.#note("webhook", timeMs, undefined);
    this.#note("audit", timeMs, record.recorded === undefined ? undefined : millisOfHrTime(record.recorded));
    const deferredAt = record.deferredAt === "" ? undefined : parseRfc3339(record.deferredAt);
    if (this.#delays.length >= maxSamples * maxSamples) return;
    this.#delays.push({
      processing: secondsBetween(timeMs, receivedAt),
      deferred: deferredAt && secondsBetween(timeMs, millisOfHrTime(deferredAt)),
    });
  }

  /** Records what was noted. */
  report({ source, receivedAt }: Origin, telemetry: Telemetry, lastEvents: LastEvents): void {
    for (const [type, { samples, sampled, newestMs }] of this.#byType) {
      const attributes = { source, type };
      lastEvents.saw(source, type, newestMs / 1000);
      for (let sample = 0; sample < sampled; sample++) {
        const timeMs = samples[sample * 2] as number;
        const recordedMs = samples[sample * 2 + 1] as number;
        telemetry.record("tailscale2otel.ingest.event.age", secondsBetween(timeMs, receivedAt), attributes);
        if (Number.isNaN(recordedMs)) continue;
        telemetry.record("tailscale2otel.ingest.capture.delay", secondsBetween(timeMs, recordedMs), attributes);
      }
    }
    for (const { processing, deferred } of this.#delays) {
      telemetry.record("tailscale.config.audit.processing.delay", processing, {});
      if (deferred !== undefined) telemetry.record("tailscale.config.audit.deferred.delay", deferred, {});
    }
  }

  /** Samples are spread: the first records, and then every second, fourth, eighth … */
  #note(type: RecordType, timeMs: number, recordedMs: number | undefined): void {
    let known = this.#byType.get(type);
    if (known === undefined) {
      known = { samples: new Float64Array(maxSamples * 2), sampled: 0, seen: 0, newestMs: 0 };
      this.#byType.set(type, known);
    }
    if (timeMs > known.newestMs) known.newestMs = timeMs;
    const isSampled = known.sampled < maxSamples && (known.seen & ((1 << (known.sampled >> 1)) - 1)) === 0;
    known.seen++;
    if (!isSampled) return;
    known.samples[known.sampled * 2] = timeMs;
    known.samples[known.sampled * 2 + 1] = recordedMs ?? Number.NaN;
    known.sampled++;
  }
}

/** Never negative: clocks differ. */
function secondsBetween(fromMs: number, toMs: number): number {
  return Math.max(0, (toMs - fromMs) / 1000);
}
