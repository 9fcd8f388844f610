/** How the export of metrics fares: what health and the page show of it, what is counted, and one log line per period about each trouble. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";

export type MetricState =
  /** `leftOut`: series that the backend refuses; a metric of which too many are refused counts as one. */
  | { readonly kind: "ok"; readonly leftOut: number }
  /** `since`: epoch milliseconds. */
  | { readonly kind: "failing"; readonly why: string; readonly since: number };

export type PointOutcome = "delivered" | "left_out" | "rejected";

/** Plain data, for the main thread. */
export interface MetricReport {
  readonly state: MetricState;
  /** Points by what became of them, since the last report. */
  readonly points: Readonly<Record<PointOutcome, number>>;
}

/** Between two lines about the same thing. */
const periodMs = 300_000;

/** No more of a backend's words, or of a series' name, is logged. */
const maxShown = 300;

const noPoints: MetricReport["points"] = { delivered: 0, left_out: 0, rejected: 0 };

export class MetricHealth {
  readonly #logger: Logger;
  readonly #clock: Clock;
  #trouble: { readonly why: string; readonly since: number } | undefined;
  #failures = 0;
  #saidAt = 0;
  #points = { ...noPoints };
  readonly #losses = { series: { count: 0, saidAt: -Infinity }, points: { count: 0, saidAt: -Infinity } };

  constructor({ logger, clock }: { readonly logger: Logger; readonly clock: Clock }) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** What there is to report since the last call. */
  report(leftOut: number): MetricReport {
    const points = this.#points;
    this.#points = { ...noPoints };
    return {
      state: this.#trouble === undefined ? { kind: "ok", leftOut } : { kind: "failing", ...this.#trouble },
      points,
    };
  }

  count(outcome: PointOutcome, points: number): void {
    this.#points[outcome] += points;
  }

  fail(why: string): void {
    const now = this.#clock();
    const isFirst = this.#trouble === undefined;
    this.#failures++;
    this.#trouble = { why, since: this.#trouble?.since ?? now };
    if (!isFirst && now - this.#saidAt < periodMs) return;
    this.#saidAt = now;
    if (isFirst) this.#logger.warn("metric export failing; retrying", { why });
    else
      this.#logger.warn("metric export still failing", { why, failures: this.#failures, seconds: this.#seconds(now) });
  }

  recover(): void {
    if (this.#trouble === undefined) return;
    const seconds = this.#seconds(this.#clock());
    this.#logger.info("metric export recovered", { failures: this.#failures, seconds });
    this.#trouble = undefined;
    this.#failures = 0;
  }

  /** A series is left out from now on. */
  leftOut(series: string, message: string): void {
    const count = this.#due("series", 1);
    if (count === 0) return;
    const example = series.slice(0, maxShown);
    const fields = { series: count, example, message: message.slice(0, maxShown) };
    this.#logger.warn("backend rejected metric series; leaving them out", fields);
  }

  /** The backend took a request but not all of its points. */
  rejected(points: number, message: string): void {
    this.count("rejected", points);
    const count = this.#due("points", points);
    if (count === 0) return;
    this.#logger.warn("backend rejected metric points", { points: count, message: message.slice(0, maxShown) });
  }

  /** How many to name in a line now; 0 if one was written a short while ago. */
  #due(loss: "series" | "points", more: number): number {
    const now = this.#clock();
    const noted = this.#losses[loss];
    noted.count += more;
    if (now - noted.saidAt < periodMs) return 0;
    const { count } = noted;
    noted.saidAt = now;
    noted.count = 0;
    return count;
  }

  #seconds(now: number): number {
    return Math.round((now - (this.#trouble?.since ?? now)) / 1000);
  }
}
