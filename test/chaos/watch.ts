/** Checks exported counters fold by fold: no series decreases or restarts, and totals stay between answered and sent. */
import { metrics } from "../../src/catalogue/metrics.ts";
import type { SunkPoint } from "../support/otlp-sink.ts";
import type { Account } from "./account.ts";
import { noTotals, totalNames, type Totals } from "./traffic.ts";

interface Series {
  readonly point: SunkPoint;
  readonly startTime: string;
  readonly resource: string;
  at: bigint;
  value: number;
}

export class CounterWatch {
  readonly #account: Account;
  readonly #series = new Map<string, Series>();
  readonly #isLate: boolean;
  #newestAt = 0n;
  /** Points checked, folds seen, and folds whose totals were compared with what was answered. */
  points = 0;
  folds = 0;
  wholeFolds = 0;

  /** `commits are told later`: a fold may lack what another instance has just answered. */
  constructor(
    account: Account,
    lag: "commits are told at once" | "commits are told later" = "commits are told at once",
  ) {
    this.#account = account;
    this.#isLate = lag === "commits are told later";
  }

  /** Checks all points of one request. Requests can overtake each other, so each point is judged by its own time. */
  exported(points: readonly SunkPoint[]): void {
    let newestAt = this.#newestAt;
    for (const point of points) {
      if (!isLedgerCounter(point)) continue;
      this.points++;
      this.#judge(point);
      const at = BigInt(point.timeUnixNano ?? 0);
      if (at > newestAt) newestAt = at;
    }
    if (newestAt === this.#newestAt) return;
    this.#newestAt = newestAt;
    this.folds++;
    this.#judgeTotals(newestAt);
  }

  /** The latest totals of everything the account tracks. */
  totals(): Totals {
    const sums = noTotals();
    for (const { point, value } of this.#series.values()) {
      const name = totalOf(point);
      if (name !== undefined) sums[name] += value;
    }
    return sums;
  }

  /** The latest sum of a metric over the series with these attributes. */
  sum(metric: string, attributes: Readonly<Record<string, string>>): number {
    let sum = 0;
    for (const { point, value } of this.#series.values()) {
      const isMeant = Object.entries(attributes).every(([name, wanted]) => point.attributes[name] === wanted);
      if (point.metric === metric && isMeant) sum += value;
    }
    return sum;
  }

  #judge(point: SunkPoint): void {
    const key = `${point.metric} ${JSON.stringify(Object.entries(point.attributes).toSorted())}`;
    const { startTimeUnixNano: startTime = "", value = Number.NaN } = point;
    const at = BigInt(point.timeUnixNano ?? 0);
    const resource = JSON.stringify(point.resource);
    const known = this.#series.get(key);
    if (known === undefined) {
      const isBeginning = value === 0 && BigInt(startTime) === at;
      if (BigInt(startTime) >= at && !isBeginning) this.#complain(`${key} is ${value} at its start, ${startTime}`);
      this.#series.set(key, { point, startTime, resource, at, value });
      return;
    }
    if (known.startTime !== startTime) this.#complain(`${key} began anew: ${known.startTime}, then ${startTime}`);
    if (known.resource !== resource) this.#complain(`${key} has another resource: ${resource}`);
    const isBack = at > known.at ? value < known.value : at === known.at ? value !== known.value : value > known.value;
    if (isBack) this.#complain(`${key} was ${known.value} at ${known.at} and ${value} at ${at}`);
    if (at < known.at) return;
    known.at = at;
    known.value = value;
  }

  /**
   * No total exceeds what was sent. A fold contains everything answered before it, but after a rejection it arrives in pieces,
   * without the offending series. So the lower bound applies only to folds whose series have all arrived.
   */
  #judgeTotals(newestAt: bigint): void {
    const totals = this.totals();
    const most = this.#account.sentSums;
    for (const name of totalNames)
      if (totals[name] > most[name]) this.#complain(`${name} is ${totals[name]}, and ${most[name]} were sent`);
    if (this.#isLate) return;
    for (const { point, at } of this.#series.values()) if (totalOf(point) !== undefined && at !== newestAt) return;
    this.wholeFolds++;
    const least = this.#account.answeredBefore(Number(newestAt / 1_000_000n));
    for (const name of totalNames)
      if (totals[name] < least[name]) this.#complain(`${name} is ${totals[name]}, and ${least[name]} were answered`);
  }

  #complain(complaint: string): void {
    this.#account.violations.push(`counters: ${complaint}`);
  }
}

const ledgerNames = new Set<string>(
  Object.entries(metrics).flatMap(([name, { origin }]) => (origin === "ledger" ? [name] : [])),
);

function isLedgerCounter({ metric, isMonotonic }: SunkPoint): boolean {
  return isMonotonic === true && ledgerNames.has(metric);
}

const countOf = { flow: "flows", audit: "audits", webhook: "webhooks" } as const;

function totalOf({ metric, attributes }: SunkPoint): keyof Totals | undefined {
  const isTransmit = attributes["network.io.direction"] === "transmit";
  switch (metric) {
    case "tailscale.network.io.rollup":
      return isTransmit ? "txBytes" : "rxBytes";
    case "tailscale.network.packets.rollup":
      return isTransmit ? "txPackets" : "rxPackets";
    case "tailscale.network.flows":
      return "entries";
    case "tailscale2otel.ingest.records":
      if (attributes["outcome"] !== "accepted") return undefined;
      return countOf[attributes["signal"] as keyof typeof countOf];
    default:
      return undefined;
  }
}
