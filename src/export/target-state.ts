/** What the main thread knows about one destination: the state of each signal, and where its delivery of logs resumes. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { displayUrl } from "../config/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogCursor, Progress, Redelivery, RedeliveryProgress } from "../journal/index.ts";
import type { Signal } from "./answer.ts";
import type { DeliveryKind } from "./requests.ts";
import type { Destinations, Target } from "./destination.ts";
import type { MetricReport } from "./metrics.ts";
import type { DeliveryState } from "./outage.ts";
import { nameOf, type StartOfLogs, type TargetReports } from "./target.ts";

export interface TargetStateDeps {
  readonly clock: Clock;
  /** Must not lead back to the worker. */
  readonly logger: Logger;
  readonly telemetry: Telemetry;
  /** What the journal must commit with its next turn. */
  readonly onProgress: (progress: Progress, destination: string) => void;
  readonly onRedelivered: (progress: RedeliveryProgress, destination: string) => void;
  /** The outcomes of metric points, to be counted in the ledger. */
  readonly onPoints: (points: MetricReport["points"], destination: { readonly destination?: string }) => void;
  /** Newly acknowledged totals, which the next start needs. */
  readonly onAcknowledged: (totals: Uint8Array, destination: string) => void;
}

export class TargetState {
  readonly target: Target;
  /** The state of each delivery of logs. */
  readonly deliveries: Partial<Record<DeliveryKind, DeliveryState>> = {};
  metrics: MetricReport["state"] | undefined;
  readonly lastSuccess: Partial<Record<Signal, number>> = {};
  /** The replay and retry in progress. */
  readonly redeliveries = new Map<Redelivery["name"], Redelivery>();
  /** Handles the worker's reports about it. */
  readonly reports: TargetReports;
  /** The position that was committed, or will be with the next turn. */
  #start: StartOfLogs | undefined;

  constructor(target: Target, deps: TargetStateDeps) {
    this.target = target;
    const { telemetry, clock, logger } = deps;
    const { name } = target;
    const named = nameOf(target) ?? {};
    this.reports = {
      progress: (progress, epoch) => {
        if (epoch !== this.#start?.epoch) return;
        this.#start = { cursor: progress.cursor, epoch };
        deps.onProgress(progress, name);
      },
      deliveryState: (kind, state) => {
        if (kind === "logs" || this.redeliveries.has(kind)) this.deliveries[kind] = state;
      },
      redelivered: (progress) => {
        const known = this.redeliveries.get(progress.name);
        if (known?.id !== progress.id) return;
        this.redeliveries.set(progress.name, { ...known, cursor: progress.cursor });
        if (progress.isOver) this.forget(progress.name);
        deps.onRedelivered(progress, name);
      },
      metricReport: ({ state, points }) => {
        this.metrics = state;
        deps.onPoints(points, named);
      },
      acknowledged: (totals) => {
        target.acknowledged = totals;
        deps.onAcknowledged(totals, name);
      },
      requested: (signal, outcome, seconds, failure) => {
        telemetry.add("tailscale2otel.export.requests", 1, { signal, outcome, ...named });
        const result = { signal, outcome: failure === undefined ? "success" : "failure", ...named } as const;
        telemetry.record("tailscale2otel.export.duration", seconds, result);
        if (failure !== undefined)
          telemetry.add("tailscale2otel.export.failures", 1, { signal, error_type: failure, ...named });
        if (outcome !== "success") return;
        if (this.lastSuccess[signal] === undefined)
          logger.info("first delivery", { signal, to: this.#shownAddress(signal), ...named });
        this.lastSuccess[signal] = clock();
      },
    };
  }

  /** Where a new worker begins. */
  get start(): StartOfLogs | undefined {
    return this.#start;
  }

  /** Delivers logs from `cursor` on. Reports with an earlier epoch are then ignored. */
  moveTo(cursor: LogCursor): StartOfLogs {
    return (this.#start = { cursor, epoch: (this.#start?.epoch ?? -1) + 1 });
  }

  /** Why a redelivery is failing at the moment, if it is. */
  redeliveryTrouble(name: Redelivery["name"]): string | undefined {
    const state = this.deliveries[name];
    return state !== undefined && "why" in state ? state.why : undefined;
  }

  /** Uses the headers and certificates of `given`; addresses do not change. */
  useCredentials(given: Destinations): Destinations {
    const destinations = { ...this.target.destinations };
    for (const known of Object.values(this.target.destinations)) {
      const { headers, tls } = given[known.signal] ?? known;
      destinations[known.signal] = { ...known, headers, tls };
    }
    return (this.target.destinations = destinations);
  }

  forget(name: Redelivery["name"]): void {
    this.redeliveries.delete(name);
    delete this.deliveries[name];
  }

  #shownAddress(signal: Signal): string {
    const destination = this.target.destinations[signal];
    return destination === undefined ? "standard output" : displayUrl(destination.url);
  }
}
