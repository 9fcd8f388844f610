/** What leaves, as the rest of the program sees it: options, health, and the exporter itself. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Redelivery, RedeliveryName, RedeliveryProgress } from "../journal/redelivery.ts";
import type { LogCursor } from "../journal/types.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { ProcessorOptions } from "../processors/index.ts";
import type { Signal } from "./answer.ts";
import type { Random, Trouble } from "./backoff.ts";
import type { Fetch } from "./connection.ts";
import type { EndpointOptions } from "./destination.ts";
import type { ReadLedger } from "./ledger-producer.ts";
import type { LogDeliveryOptions } from "./logs.ts";
import type { ResourceOptions } from "./resource.ts";
import type { Advance } from "./window.ts";
import type { WorkerState } from "./worker-client.ts";

export type Protocol = "http/json" | "http/protobuf" | "stdout";

export interface ExportOptions extends EndpointOptions {
  readonly protocol: Protocol;
  /** The operator has chosen the protocol: it is never switched. */
  readonly protocolIsSet: boolean;
  /** Deliver the journal's logs, with which limits. */
  readonly delivery: LogDeliveryOptions & { readonly enabled: boolean };
  readonly metricsEnabled: boolean;
  /** The process's own metrics and log lines. */
  readonly selfMetrics: boolean;
  readonly selfLogs: boolean;
  /** Metrics can be asked for, wherever else they go. */
  readonly isScraped?: boolean;
  readonly processors: ProcessorOptions;
  readonly resource: ResourceOptions;
  readonly version: string;
}

export interface ExportDeps {
  /** The module that calls `startExportWorker` in a worker thread. */
  readonly entry: URL;
  readonly databasePath: string;
  readonly ledger: ReadLedger;
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly random: Random;
  /** Must not lead back to `selfLog`. */
  readonly logger: Logger;
  readonly onProgress: (advance: Advance) => void;
  /** What is sent once more has come that far. */
  readonly onRedelivered?: (progress: RedeliveryProgress) => void;
  /** The worker has met damage in the database. */
  readonly onDamage?: (reason: string) => void;
  readonly onStdoutClosed: () => void;
}

/** How each signal fares; absent where it is not exported. */
export interface ExportHealth {
  readonly logs: WorkerState | undefined;
  readonly metrics: { readonly kind: "well" } | ({ readonly kind: "waiting" } & Trouble) | undefined;
}

export interface Exporter {
  /** Whether logs leave: if not, records count as delivered to the local store. */
  readonly deliversLogs: boolean;
  readonly telemetry: Telemetry;
  /** Own log lines, exported when asked for; else silent. */
  readonly selfLog: Logger;
  readonly health: ExportHealth;
  /** When the backend took each signal last, epoch milliseconds; since the start. */
  readonly lastSuccess: Readonly<Partial<Record<Signal, number>>>;
  start(from: { readonly cursor: LogCursor; readonly committedSeq: number }): void;
  /** Rows up to that one are committed. */
  committed(seq: number): void;
  /** The metrics of now in Prometheus' text form; only with `isScraped`. */
  scrape(): Promise<string>;
  /** Requests from now on carry the headers and certificates of these options. Nothing else of them is taken over. */
  useCredentials(options: EndpointOptions): void;
  /** There is a newer directory of devices, in the options of the processors: the export worker must have it too. */
  directoryChanged(): void;
  /** Sends that once more from its position on, behind fresh logs; without it, nothing of that name. */
  redeliver(name: RedeliveryName, redelivery: Redelivery | undefined): void;
  /** Why it is not getting through at the moment, if so. */
  redeliveryTrouble(name: RedeliveryName): string | undefined;
  /** A fold is committed: resolves when its export is taken or given up. */
  folded(): Promise<void>;
  /** One last delivery of logs; then the worker ends. The cursor reported by then is the last. */
  stopLogs(deadlineMs: number): Promise<void>;
  /** One last delivery of everything; all ends by the deadline. Metrics are those of the last committed fold. */
  stop(deadlineMs: number): Promise<void>;
}
