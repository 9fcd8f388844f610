/**
 * The history by minute of acceptance. It is made from what the open interval sums anyway: when the minute changes, the interval
 * ends or somebody asks, what the interval has gained since the last time is added to the minute. Nothing is done per entry.
 */
import { Growth, auditPlace, minuteMs, type MinuteSums, noMinute, totalsLength, webhookPlace } from "./minute.ts";
import type { FlowSums } from "./talkers.ts";

/** Minutes in memory. */
const maxMinutes = 120;

export class Minutes {
  readonly #interval: () => FlowSums;
  readonly #growth = new Growth();
  readonly #minutes = new Map<number, MinuteSums>();
  /** The totals of all that was counted since the start, as of the last `settle`. */
  readonly counted = new Float64Array(totalsLength);
  /** The minute to which growth belongs, epoch milliseconds. */
  #at: number | undefined;

  constructor(interval: () => FlowSums) {
    this.#interval = interval;
  }

  /** What is counted from here on was received at that time, epoch milliseconds. */
  begin(receivedAt: number): void {
    const at = receivedAt - (receivedAt % minuteMs);
    if (at === this.#at) return;
    this.settle();
    this.#at = at;
  }

  /** Adds records other than flows to the minute that was begun. */
  count(type: "audit" | "webhook", records: number): void {
    const { totals } = this.#minute(this.#at ?? 0);
    const place = type === "audit" ? auditPlace : webhookPlace;
    totals[place] = (totals[place] as number) + records;
  }

  /** Brings the minutes up to date: up to 20 ms if the interval is full. */
  settle(): void {
    if (this.#at !== undefined) this.#growth.addTo(this.#minute(this.#at), this.#interval(), this.counted);
  }

  /** The interval ends: what comes next is counted in a new one. */
  endInterval(): void {
    this.settle();
    this.#growth.forget();
  }

  /** The minutes from one up to, but not including, another, oldest first. */
  *read(since: number, until: number): Generator<readonly [at: number, minute: MinuteSums]> {
    for (const [at, minute] of [...this.#minutes].toSorted(([one], [other]) => one - other))
      if (at >= since && at < until) yield [at, minute];
  }

  #minute(at: number): MinuteSums {
    let minute = this.#minutes.get(at);
    if (minute === undefined) {
      this.#minutes.set(at, (minute = noMinute()));
      if (this.#minutes.size > maxMinutes) this.#minutes.delete(Math.min(...this.#minutes.keys()));
    }
    return minute;
  }
}
