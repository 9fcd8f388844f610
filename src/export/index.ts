/** Everything that leaves: logs, metrics once for each fold, and our own log lines if asked for, all through one worker. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Committed, LogCursor, Progress, Redelivery, RedeliveryProgress } from "../journal/index.ts";
import type { Fold } from "../ledger/index.ts";
import { takeTruncatedTexts } from "../processors/bounds.ts";
import type { ProcessorSettings } from "../processors/index.ts";
import { privacyOf } from "../processors/privacy.ts";
import type { Signal } from "./answer.ts";
import type { DeliveryState } from "./delivery/index.ts";
import { type Destination, destinationOf } from "./destination.ts";
import { FoldPoster } from "./fold-points.ts";
import type { WorkerSetup } from "./messages.ts";
import type { MetricReport } from "./metrics.ts";
import { PrometheusPage } from "./prometheus.ts";
import { commonAttributes, resourcesOf } from "./resource.ts";
import { eachLevel, rewritingLogger, routeDiagnostics } from "./self-logs.ts";
import { createInstruments } from "./telemetry.ts";
import { createExportWorker, type DeadWorker, type ExportWorker } from "./worker-client.ts";

export { teeLogger } from "./self-logs.ts";
export { observeProcess } from "./telemetry.ts";

/** What is exported, and in whose name. */
export interface ExportContext {
  readonly settings: ProcessorSettings;
  /** The journal's, for a reader of its own in the worker. */
  readonly location: string;
  /** The journal's. */
  readonly instanceId: string;
  readonly version: string;
}

export interface ExportDeps {
  /** The module that calls `startExportWorker` when it runs in a worker thread. */
  readonly entry: URL;
  readonly clock: Clock;
  readonly random: () => number;
  /** Must not lead back to `selfLog`. */
  readonly logger: Logger;
  /** The ledger's last committed fold. */
  readonly shown: () => Fold;
  /** What the journal must commit with its next turn. */
  readonly onProgress: (progress: Progress) => void;
  readonly onRedelivered: (progress: RedeliveryProgress) => void;
  /** What became of metric points, to be counted in the ledger. */
  readonly onPoints: (points: MetricReport["points"]) => void;
  /** The worker has met damage in the journal. */
  readonly onDamage: (reason: string) => void;
  /** Standard output has lost its reader: the process should end. */
  readonly onStdoutClosed: () => void;
}

/** How each signal fares; absent if it is not exported. */
export interface ExportHealth {
  readonly logs: DeliveryState | DeadWorker | undefined;
  readonly metrics: MetricReport["state"] | DeadWorker | undefined;
}

export interface Exporter {
  /** Whether logs leave: if not, records count as delivered to the local store once they are committed. */
  readonly deliversLogs: boolean;
  readonly telemetry: Telemetry;
  /** Exports own log lines if the settings ask for it; otherwise silent. */
  readonly selfLog: Logger;
  readonly health: ExportHealth;
  /** When the backend last took something of a signal, epoch milliseconds; since the start of the process. */
  readonly lastSuccess: Readonly<Partial<Record<Signal, number>>>;
  start(from: { readonly cursor: LogCursor; readonly committedSeq: number; readonly pendingRecords: number }): void;
  committed(batch: Pick<Committed, "lastSeq" | "source" | "receivedAt" | "parts">): void;
  /** Whether commits should come with the text of their rows. */
  readonly wantsText: boolean;
  /** The metrics of now in Prometheus' text form. */
  scrape(): Promise<string>;
  /** Requests from now on carry the headers and certificates of these settings. @throws {ConfigError} */
  useCredentials(config: Config): void;
  /** There is a newer device directory in the settings. */
  directoryChanged(): void;
  /** Delivers that again from its position on, behind fresh logs; without it, ends what runs under the name. */
  redeliver(name: Redelivery["name"], redelivery: Redelivery | undefined): void;
  /** Why a redelivery is not getting through at the moment. */
  redeliveryTrouble(name: Redelivery["name"]): string | undefined;
  /** Hands a committed fold to the worker; it replaces what is still being tried of the one before. */
  folded(fold: Fold): Promise<void>;
  /** One last delivery of logs. The cursor reported by then is the last. */
  stopLogs(deadlineMs: number): Promise<void>;
  /** One last export of everything else, then the worker ends; all by the deadline. Safe twice, and before `start`. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * Creates the exporter of all that has a destination. No side effects but the routing of the SDK's diagnostics.
 * @throws {TypeError} if an address is no URL. @throws {ConfigError} if a file of `otlp.tls` cannot be read.
 */
export function createExporter(config: Config, context: ExportContext, deps: ExportDeps): Exporter {
  routeDiagnostics(deps.logger);
  const { settings, version } = context;
  const setup = setupOf(config, context);
  const { common } = setup;
  const instruments = createInstruments(config.self_observability, {
    resource: setup.resources.metrics,
    version,
    common,
  });
  const { telemetry } = instruments;
  const poster = new FoldPoster(instruments);
  const page = new PrometheusPage({ shown: deps.shown, instruments, common });
  let metricsState: MetricReport["state"] | undefined;
  let launches = 0;
  const isNeeded = setup.logs !== undefined || setup.exportsMetrics || setup.exportsOwnLines;
  const worker = isNeeded
    ? createExportWorker(setup, {
        ...deps,
        telemetry,
        onMetrics(report) {
          metricsState = report.state;
          deps.onPoints(report.points);
        },
        onLaunch() {
          launches++;
          poster.workerStarted();
        },
      })
    : undefined;
  const local = setup.logs === undefined ? createLocalDelivery(deps.onProgress) : undefined;
  observeLastSuccess(telemetry, worker);

  return {
    deliversLogs: local === undefined,
    telemetry,
    selfLog: selfLogOf(setup, worker),
    get health() {
      return {
        logs: local === undefined ? (worker?.dead ?? worker?.logs) : undefined,
        metrics: setup.exportsMetrics ? (worker?.dead ?? metricsState ?? unknownYet) : undefined,
      };
    },
    get lastSuccess() {
      return worker?.lastSuccess ?? {};
    },
    start(from) {
      worker?.start(from.cursor);
      local?.start(from);
    },
    committed(batch) {
      if (setup.logs !== undefined) worker?.committed(batch);
      local?.committed(batch);
    },
    get wantsText() {
      return setup.logs !== undefined && worker?.wantsText === true;
    },
    scrape: () => page.text(),
    useCredentials(next) {
      for (const { signal, headers, tls } of Object.values(destinationsOf(next, version)))
        worker?.useCredentials(signal, { headers, ...(tls === undefined ? {} : { tls }) });
    },
    directoryChanged() {
      worker?.tell({ kind: "directory", directory: settings.directory.current });
    },
    redeliver: (name, redelivery) => worker?.redeliver(name, redelivery),
    redeliveryTrouble(name) {
      const state = worker?.dead ?? worker?.redeliveryState(name);
      return state !== undefined && "why" in state ? state.why : undefined;
    },
    async folded(fold) {
      const texts = takeTruncatedTexts();
      if (texts > 0) telemetry.add("tailscale2otel.export.truncated_texts", texts, {});
      if (!setup.exportsMetrics) return;
      const launch = launches;
      const message = await poster.message(fold);
      // A worker that was started in the meantime has no attribute sets: it waits for the next fold.
      if (launch === launches) worker?.tell({ kind: "fold", fold: message });
    },
    async stopLogs(deadlineMs) {
      await worker?.stopLogs(deadlineMs);
    },
    async stop(deadlineMs) {
      await worker?.stop(deadlineMs);
      await instruments.stop();
    },
  };
}

/** Nothing has been exported, and nothing has failed. */
const unknownYet: MetricReport["state"] = { kind: "ok", leftOut: 0 };

function setupOf(config: Config, { settings, location, instanceId, version }: ExportContext): WorkerSetup {
  const { otlp, self_observability: self } = config;
  const isStdout = otlp.protocol === "stdout";
  const destinations = isStdout ? {} : destinationsOf(config, version);
  const reaches = (signal: Signal): boolean => isStdout || destinations[signal] !== undefined;
  return {
    location,
    encoding: otlp.protocol === "http/protobuf" ? "protobuf" : "json",
    destinations,
    isStdout,
    logs: otlp.logs.enabled && reaches("logs") ? otlp.logs : undefined,
    exportsMetrics: otlp.metrics.enabled && reaches("metrics"),
    exportsOwnLines: self.logs && reaches("logs"),
    settings,
    resources: resourcesOf(config, settings, instanceId),
    common: commonAttributes(settings),
    version,
  };
}

function destinationsOf({ otlp }: Config, version: string): Partial<Record<Signal, Destination>> {
  const userAgent = `tailscale2otel/${version}`;
  const logs = destinationOf("logs", otlp, userAgent);
  const metrics = destinationOf("metrics", otlp, userAgent);
  return { ...(logs && { logs }), ...(metrics && { metrics }) };
}

/** Own log lines tell no more than records do. */
function selfLogOf({ exportsOwnLines, settings: { privacy } }: WorkerSetup, worker: ExportWorker | undefined): Logger {
  const sink = eachLevel((level) => (message, fields) => {
    if (exportsOwnLines) worker?.tell({ kind: "line", level, message, fields });
  });
  return privacy === undefined ? sink : rewritingLogger(sink, privacyOf(privacy).text);
}

function observeLastSuccess(telemetry: Telemetry, worker: ExportWorker | undefined): void {
  telemetry.observe("tailscale2otel.export.last_success", () =>
    (["logs", "metrics"] as const).flatMap((signal) => {
      const at = worker?.lastSuccess[signal];
      return at === undefined ? [] : [{ value: at / 1000, attributes: { signal } }];
    }),
  );
}

/** Delivery if no logs leave: what is committed counts as delivered to the local store, and so does what waited before. */
function createLocalDelivery(onProgress: (progress: Progress) => void): Pick<Exporter, "start" | "committed"> {
  let cursor: LogCursor | undefined;
  const deliver = (from: LogCursor, records: number, lastSeq: number): void => {
    const delivered = from.records.delivered + records;
    cursor = { ...from, seq: lastSeq + 1, record: 0, logRecord: 0, records: { ...from.records, delivered } };
    onProgress({ cursor, marks: [] });
  };
  return {
    start(from) {
      cursor = from.cursor;
      if (from.cursor.seq <= from.committedSeq) deliver(from.cursor, from.pendingRecords, from.committedSeq);
    },
    committed({ parts, lastSeq }) {
      if (cursor === undefined) return;
      deliver(
        cursor,
        parts.reduce((sum, { accepted }) => sum + accepted, 0),
        lastSeq,
      );
    },
  };
}
