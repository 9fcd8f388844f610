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
    this.#at.set(key, { source, type, seconds: Math.max(this.#at.get(key)?.seconds ?? 0, seconds) });
  }
}

export class Ages {
  /** Times are epoch milliseconds: an event's own, and the log service's. */
  readonly #byType = new Map<RecordType, { samples: [number, number | undefined][]; newestMs: number }>();
  readonly #delays: { readonly processing: number; readonly deferred: number | undefined }[] = [];

  /** Notes an accepted record whose time does not lie ahead of ours. */
  add(type: RecordType, timeMs: number, recordedMs: number | undefined): void {
    let known = this.#byType.get(type);
    if (known === undefined) this.#byType.set(type, (known = { samples: [], newestMs: 0 }));
    if (timeMs > known.newestMs) known.newestMs = timeMs;
    if (known.samples.length < maxSamples) known.samples.push([timeMs, recordedMs]);
  }

  addPlain(record: AuditRecord | WebhookRecord, recordedMs: number | undefined, receivedAt: number): void {
    if (record.time === undefined) return;
    const timeMs = millisOfHrTime(record.time);
    this.add(record.type, timeMs, recordedMs);
    if (record.type === "webhook" || this.#delays.length >= maxSamples) return;
    const deferredAt = parseRfc3339(record.deferredAt);
    this.#delays.push({
      processing: secondsBetween(timeMs, receivedAt),
      deferred: deferredAt && secondsBetween(timeMs, millisOfHrTime(deferredAt)),
    });
  }

  /** Records what was noted. */
  report({ source, receivedAt }: Origin, telemetry: Telemetry, lastEvents: LastEvents): void {
    for (const [type, { samples, newestMs }] of this.#byType) {
      const attributes = { source, type };
      lastEvents.saw(source, type, newestMs / 1000);
      for (const [timeMs, recordedMs] of samples) {
        telemetry.record("tailscale2otel.ingest.event.age", secondsBetween(timeMs, receivedAt), attributes);
        if (recordedMs === undefined) continue;
        telemetry.record("tailscale2otel.ingest.capture.delay", secondsBetween(timeMs, recordedMs), attributes);
      }
    }
    for (const { processing, deferred } of this.#delays) {
      telemetry.record("tailscale.config.audit.processing.delay", processing, {});
      if (deferred !== undefined) telemetry.record("tailscale.config.audit.deferred.delay", deferred, {});
    }
  }
}

/** Never negative: clocks differ. */
function secondsBetween(fromMs: number, toMs: number): number {
  return Math.max(0, (toMs - fromMs) / 1000);
}
