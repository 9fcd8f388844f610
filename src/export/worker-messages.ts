/** What main thread and export worker say to each other. All of it is plain data. */
import type { Redelivery, RedeliveryName, RedeliveryProgress } from "../journal/redelivery.ts";
import type { LogCursor, QuarantineItem } from "../journal/types.ts";
import type { LogFields, LogLevel } from "../lib/logger.ts";
import type { Directory } from "../processors/directory.ts";
import type { ProcessorOptions } from "../processors/index.ts";
import type { Answer, Encoding } from "./answer.ts";
import type { DeliveryState } from "./delivery-state.ts";
import type { LogDeliveryOptions } from "./logs.ts";
import type { ResourceAttributes } from "./resource.ts";
import type { Credentials, Destination, RequestOutcome } from "./sender.ts";

/** How the signals are sent: over HTTP, or as lines on standard output. */
export type Wire =
  | { readonly kind: "http"; readonly encoding: Encoding; readonly isSet: boolean; readonly destination: Destination }
  | { readonly kind: "stdout" };

export interface WorkerOptions {
  readonly databasePath: string;
  readonly wire: Wire;
  readonly delivery: LogDeliveryOptions;
  readonly processors: ProcessorOptions;
  readonly resource: ResourceAttributes;
  readonly version: string;
}

export type ToWorker =
  | {
      readonly kind: "start";
      readonly options: WorkerOptions;
      readonly cursor: LogCursor;
      readonly committedSeq: number;
    }
  | { readonly kind: "committed"; readonly seq: number }
  | { readonly kind: "directory"; readonly directory: Directory | undefined }
  /** Of requests from now on. */
  | { readonly kind: "credentials"; readonly credentials: Credentials }
  /** What is to be sent once more; without it, nothing of that name. */
  | { readonly kind: "redeliver"; readonly name: RedeliveryName; readonly redelivery: Redelivery | undefined }
  /** A line of the main thread for standard output, which has one writer only. */
  | { readonly kind: "write"; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: "stop"; readonly deadlineMs: number };

export type FromWorker =
  | { readonly kind: "progress"; readonly cursor: LogCursor; readonly setAside: readonly QuarantineItem[] }
  | { readonly kind: "state"; readonly state: DeliveryState }
  | { readonly kind: "redelivered"; readonly progress: RedeliveryProgress }
  | { readonly kind: "redelivery_state"; readonly name: RedeliveryName; readonly state: DeliveryState }
  | { readonly kind: "request"; readonly outcome: RequestOutcome; readonly seconds: number }
  | { readonly kind: "log"; readonly level: LogLevel; readonly message: string; readonly fields: LogFields | undefined }
  | { readonly kind: "written"; readonly id: number; readonly answer: Answer }
  | { readonly kind: "stdout_closed" }
  /** The database cannot be read, and not for want of a disk. */
  | { readonly kind: "damaged"; readonly reason: string }
  | { readonly kind: "stopped" };
