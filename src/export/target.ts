/** Runs one destination inside the worker: its delivery of logs, replay and retry, and its metrics. */
import type { InstrumentationScope } from "@opentelemetry/core";
import { namedLogger } from "../lib/logger.ts";
import {
  type LogCursor,
  primaryDestination,
  type Progress,
  type Redelivery,
  type RedeliveryProgress,
} from "../journal/index.ts";
import type { Signal } from "./answer.ts";
import { Delivery } from "./delivery.ts";
import type { DeliveryDeps, DeliveryKind } from "./requests.ts";
import type { ExportSetup, Target } from "./destination.ts";
import { MetricExport, type MetricReport } from "./metrics.ts";
import type { DeliveryState } from "./outage.ts";
import { Redelivering, shareChannel } from "./redelivery.ts";
import { createChannel } from "./requests.ts";
import type { FailureType, RequestOutcome, Sender, SenderDeps } from "./sender.ts";
import type { SharedRows } from "./shared-rows.ts";

/** Where the delivery of fresh logs resumes. Each new position from the main thread has a higher epoch. */
export interface StartOfLogs {
  readonly cursor: LogCursor;
  readonly epoch: number;
}

/** What a destination reports to the main thread. */
export interface TargetReports {
  /** How far fresh logs have come. */
  progress(progress: Progress, epoch: number): void;
  redelivered(progress: RedeliveryProgress): void;
  deliveryState(kind: DeliveryKind, state: DeliveryState): void;
  metricReport(report: MetricReport): void;
  /** For the temporality `delta`: the totals that it has acknowledged. */
  acknowledged(totals: Uint8Array): void;
  requested(signal: Signal, outcome: RequestOutcome, seconds: number, failure?: FailureType): void;
}

/** A call as it is posted to another thread: its name and arguments. */
export type Call<Calls> = { [Name in keyof Calls]: [Name, ...Args<Calls, Name>] }[keyof Calls];
export type Args<Calls, Name extends keyof Calls> = Calls[Name] extends (...given: infer Given) => void ? Given : never;

/** Executes a call from the other thread. */
export function answerCall<Calls>(calls: Calls, [name, ...given]: Call<Calls>): void {
  (calls[name] as (...all: unknown[]) => void)(...given);
}

export interface TargetDeps extends Pick<DeliveryDeps, "clock" | "random" | "timer" | "logger"> {
  readonly setup: Pick<ExportSetup, "resources" | "common">;
  readonly scope: InstrumentationScope;
  /** Undefined if no destination gets logs. */
  readonly rows: SharedRows | undefined;
  readonly senderOf: (target: Target, signal: Signal, onAnswer: SenderDeps["onAnswer"]) => Sender;
  readonly report: (...report: Call<TargetReports>) => void;
}

/** Starts exporting to a destination. */
export function startTarget(target: Target, start: StartOfLogs, unnamed: TargetDeps) {
  const { setup, rows, senderOf, report } = unnamed;
  const deps = { ...unnamed, logger: namedLogger(unnamed.logger, nameOf(target) ?? {}) };
  const logs = target.logs && rows && startLogs(target, target.logs, rows, start, deps);
  const metrics = target.exportsMetrics
    ? new MetricExport({
        ...deps,
        encoding: target.encoding,
        send: senderOf(target, "metrics", (...given) => report("requested", ...given)),
        resource: setup.resources.metrics,
        common: setup.common,
        acknowledged: target.acknowledged,
        onReport: (metricReport) => report("metricReport", metricReport),
        onAcknowledged: (totals) => report("acknowledged", totals),
      })
    : undefined;
  return { logs, metrics };
}

/** Starts delivering logs: fresh ones from a position on and, behind them, replay and retry. */
function startLogs(
  target: Target,
  limits: NonNullable<Target["logs"]>,
  rows: SharedRows,
  start: StartOfLogs,
  { setup, scope, senderOf, report, ...shared }: TargetDeps,
) {
  const { encoding, types } = target;
  const { describer } = rows;
  const send = senderOf(target, "logs", (...given) => report("requested", ...given));
  const channel = createChannel(limits, { send, encoding, describer, resource: setup.resources.logs, scope });
  const shares = shareChannel(channel, limits.concurrency, shared.timer);
  const source = rows.freshOf(types);
  const freshFrom = ({ cursor, epoch }: StartOfLogs): Delivery => {
    const delivery = new Delivery("logs", cursor, {
      ...shared,
      source,
      channel: shares.fresh,
      concurrency: limits.concurrency,
      onProgress: (progress) => report("progress", progress, epoch),
      onState(state) {
        if (delivery !== fresh) return;
        shares.freshIs(state);
        report("deliveryState", "logs", state);
      },
    });
    return delivery;
  };
  let fresh = freshFrom(start);
  const redelivering = new Redelivering({
    ...shared,
    channel: shares.behind,
    open: (redelivery) => rows.open(types, redelivery),
    onProgress: (progress) => report("redelivered", { ...progress, ...nameOf(target) }),
    onState: (kind, state) => report("deliveryState", kind, state),
  });
  fresh.start();
  return {
    wake: (): void => fresh.wake(),
    /** Continues at another position. */
    move(to: StartOfLogs): void {
      const before = fresh;
      fresh = freshFrom(to);
      void before.stop(0);
      fresh.start();
    },
    redeliver: (name: Redelivery["name"], redelivery: Redelivery | undefined): void =>
      redelivering.use(name, redelivery),
    /** Delivers one last time, until the deadline. Safe to call twice. */
    async stop(deadlineMs: number): Promise<void> {
      await Promise.all([redelivering.stop(deadlineMs), fresh.stop(deadlineMs)]);
    },
  };
}

/** The primary destination is not named in log lines, metrics and stored data. */
export function nameOf({ name }: Pick<Target, "name">): { readonly destination: string } | undefined {
  return name === primaryDestination ? undefined : { destination: name };
}
