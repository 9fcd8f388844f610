/** What the main thread and the export worker say to each other. All of it is plain data. */
import type { Config } from "../config/schema.ts";
import type { LogFields, LogLevel } from "../lib/logger.ts";
import type { LogCursor, Progress, Redelivery, RedeliveryProgress, Row } from "../journal/index.ts";
import type { Directory, ProcessorSettings } from "../processors/index.ts";
import type { Encoding, Signal } from "./answer.ts";
import type { DeliveryState } from "./outage.ts";
import type { Destination } from "./destination.ts";
import type { FoldMessage } from "./fold-points.ts";
import type { MetricReport } from "./metrics.ts";
import type { ResourceAttributes } from "./destination.ts";
import type { RequestOutcome } from "./sender.ts";

export type Destinations = Readonly<Partial<Record<Signal, Destination>>>;

/** What the worker needs for its whole life. */
export interface WorkerSetup {
  /** The journal's. */
  readonly location: string;
  readonly encoding: Encoding;
  /** Where each signal goes that leaves over HTTP. */
  destinations: Destinations;
  /** Everything goes to standard output instead. */
  readonly isStdout: boolean;
  /** Requests of logs; nothing if they do not leave. */
  readonly logs: Config["otlp"]["logs"] | undefined;
  readonly exportsMetrics: boolean;
  readonly exportsOwnLines: boolean;
  readonly settings: ProcessorSettings;
  readonly resources: Readonly<Record<Signal, ResourceAttributes>>;
  /** Attributes of every metric point. */
  readonly common: ResourceAttributes;
  readonly version: string;
}

export type ToWorker =
  | { readonly kind: "start"; readonly setup: WorkerSetup; readonly cursor: LogCursor }
  /** More rows are committed. Some are handed over, in the order of `seq`, so that they need not be read. */
  | { readonly kind: "committed"; readonly rows: readonly Row[] }
  | { readonly kind: "fold"; readonly fold: FoldMessage }
  | { readonly kind: "directory"; readonly directory: Directory | undefined }
  /** Requests from now on carry their headers and certificates. */
  | { readonly kind: "credentials"; readonly destinations: Destinations }
  /** Begins that replay or retry, or goes on with it; without one, ends what runs under the name. */
  | { readonly kind: "redeliver"; readonly name: Redelivery["name"]; readonly redelivery: Redelivery | undefined }
  /** A log line of the program itself. */
  | {
      readonly kind: "line";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields | undefined;
    }
  /** One last delivery of logs; answered with `logs_stopped`. */
  | { readonly kind: "stop_logs"; readonly deadlineMs: number }
  /** One last export of everything; answered with `stopped`. */
  | { readonly kind: "stop"; readonly deadlineMs: number };

export type FromWorker =
  /** It has opened the journal and is at work. */
  | { readonly kind: "running" }
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "state"; readonly state: DeliveryState }
  | { readonly kind: "redelivered"; readonly progress: RedeliveryProgress }
  | { readonly kind: "redelivery_state"; readonly name: Redelivery["name"]; readonly state: DeliveryState }
  | { readonly kind: "metrics"; readonly report: MetricReport }
  | {
      readonly kind: "request";
      readonly signal: Signal;
      readonly outcome: RequestOutcome;
      readonly seconds: number;
    }
  /** Texts that were cut to their bound since the last such message. */
  | { readonly kind: "truncated"; readonly texts: number }
  | { readonly kind: "log"; readonly level: LogLevel; readonly message: string; readonly fields: LogFields | undefined }
  | { readonly kind: "stdout_closed" }
  /** The journal cannot be read, and not for want of a disk. */
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "logs_stopped" }
  | { readonly kind: "stopped" };
