/** How old the records of a batch are: sampled while it is put together, and told once it is committed. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { HrTime } from "../lib/clock.ts";
import { millisOfHrTime } from "../lib/clock.ts";
import { parseRfc3339 } from "../lib/rfc3339.ts";
import type { RecordType, Source, TailscaleRecord } from "../records/types.ts";
import type { Origin } from "./types.ts";

/** Records of a batch and type whose ages are told: each costs 2 µs, and a batch's records are of one age. */
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
  readonly times: HrTime[];
  readonly recorded: (HrTime | undefined)[];
  newest: number;
}

export class Ages {
  readonly #byType = new Map<RecordType, TypeAges>();
  readonly #delays: { readonly processing: number; readonly deferred: number | undefined }[] = [];

  /** Takes note of an accepted record whose time does not lie ahead of ours. */
  add(record: TailscaleRecord, receivedAt: number): void {
    const time = record.type === "flow" ? (record.start ?? record.end) : record.time;
    if (time === undefined) return;
    let known = this.#byType.get(record.type);
    if (known === undefined) this.#byType.set(record.type, (known = { times: [], recorded: [], newest: 0 }));
    known.times.push(time);
    known.recorded.push(record.type === "webhook" ? undefined : record.recorded);
    known.newest = Math.max(known.newest, time[0] + time[1] / 1e9);
    if (record.type !== "audit") return;
    const deferredAt = record.deferredAt === "" ? undefined : parseRfc3339(record.deferredAt);
    this.#delays.push({
      processing: secondsBetween(time, receivedAt),
      deferred: deferredAt && secondsBetween(time, millisOfHrTime(deferredAt)),
    });
  }

  /** Tells what was noted. */
  tell({ source, receivedAt }: Origin, telemetry: Telemetry, lastEvents: LastEvents): void {
    for (const [type, { times, recorded, newest }] of this.#byType) {
      const attributes = { source, type };
      lastEvents.saw(source, type, newest);
      const step = Math.max(1, Math.ceil(times.length / maxSamples));
      for (let place = 0; place < times.length; place += step) {
        const time = times[place] as HrTime;
        telemetry.record("tailscale2otel.ingest.event.age", secondsBetween(time, receivedAt), attributes);
        const at = recorded[place];
        if (at === undefined) continue;
        telemetry.record("tailscale2otel.ingest.capture.delay", secondsBetween(time, millisOfHrTime(at)), attributes);
      }
    }
    for (const { processing, deferred } of this.#delays) {
      telemetry.record("tailscale.config.audit.processing.delay", processing, {});
      if (deferred !== undefined) telemetry.record("tailscale.config.audit.deferred.delay", deferred, {});
    }
  }
}

/** Never negative: clocks differ. */
function secondsBetween(from: HrTime, toMs: number): number {
  return Math.max(0, (toMs - millisOfHrTime(from)) / 1000);
}
