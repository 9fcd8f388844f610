/** Tailscale's API as the rest of the program uses it: questions and answers. */
import type { Device } from "../processors/names.ts";

/** Which of the two logs, as the API's paths name it. */
export type LogName = "network" | "configuration";

/** A span of the log, whole seconds since the epoch, both ends included. The API cuts by when it logged a record. */
export interface LogWindow {
  readonly start: number;
  readonly end: number;
}

/** How an answer of the log is to be read. */
export interface ReadLogsOptions {
  /** The largest answer, decompressed; a larger one is a `TailscaleError` of reason `too_large`. */
  readonly maxBytes: number;
  /**
   * Called with the texts of the answer's records, in order, some at a time (about a MiB of text; at least one). Reading goes
   * on when it has returned, so that an answer is never held whole.
   */
  readonly onRecords: (texts: readonly string[]) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** An answer of the log that has ended properly. */
export interface LogsAnswer {
  /** Decompressed. */
  readonly bytes: number;
  readonly records: number;
}

/** Where log streaming sends one of the logs. The API never returns the token. */
export interface LogStream {
  readonly destinationType: string;
  readonly url: string;
  readonly user: string;
  readonly compressionFormat: Compression;
}

export type Compression = "none" | "gzip" | "zstd";

/** What log streaming is set to: a Splunk HEC endpoint. */
export interface LogStreamTarget {
  readonly url: string;
  readonly user: string;
  readonly token: string;
  readonly compressionFormat: Compression;
}

/** Tailscale's own view of a stream. Sums since it was configured; what the API leaves out is zero or empty. */
export interface LogStreamStatus {
  readonly lastActivity: string;
  readonly lastError: string;
  readonly bytesSent: number;
  readonly entriesSent: number;
  readonly requests: number;
  readonly failedRequests: number;
}

/** A webhook endpoint. The API returns its secret at creation and rotation only. */
export interface WebhookEndpoint {
  readonly id: string;
  readonly url: string;
  readonly providerType: string;
  readonly subscriptions: readonly string[];
  readonly created: string;
  readonly lastModified: string;
}

export interface WebhookWithSecret extends WebhookEndpoint {
  readonly secret: string;
}

/** Every method throws `TailscaleError`, and nothing else, if the API does not answer what was asked. */
export interface TailscaleApi {
  /** How far the API's clock is ahead of ours by its last `Date` header, milliseconds; nothing before its first answer. */
  readonly clockAheadMs: number | undefined;
  readLogs(log: LogName, window: LogWindow, options: ReadLogsOptions): Promise<LogsAnswer>;
  devices(): Promise<readonly Device[]>;
  /** Nothing if none is configured. */
  logStream(log: LogName): Promise<LogStream | undefined>;
  putLogStream(log: LogName, target: LogStreamTarget): Promise<void>;
  deleteLogStream(log: LogName): Promise<void>;
  logStreamStatus(log: LogName): Promise<LogStreamStatus>;
  webhooks(): Promise<readonly WebhookEndpoint[]>;
  createWebhook(webhook: {
    readonly url: string;
    readonly subscriptions: readonly string[];
  }): Promise<WebhookWithSecret>;
  updateWebhook(id: string, subscriptions: readonly string[]): Promise<WebhookEndpoint>;
  deleteWebhook(id: string): Promise<void>;
  testWebhook(id: string): Promise<void>;
  rotateWebhook(id: string): Promise<WebhookWithSecret>;
  /** Gets a token, or tries the key; for `check --online`. */
  authenticate(): Promise<void>;
}
