/** Everything that leaves: logs through the export worker, metrics once for each fold, our own log lines when asked for. */
import { silentTelemetry } from "../catalogue/telemetry.ts";
import { silentLogger } from "../lib/logger.ts";
import type { Signal } from "./answer.ts";
import type { Trouble } from "./backoff.ts";
import { destinationOf } from "./destination.ts";
import { routeDiagnostics } from "./diagnostics.ts";
import type { ExportDeps, Exporter, ExportHealth, ExportOptions } from "./exporter.ts";
import { createMetricExport, type MetricExport } from "./metrics.ts";
import { commonAttributes, hidingLogger } from "./privacy.ts";
import { logsResourceAttributes, metricsResourceAttributes } from "./resource.ts";
import { createSelfLogs, type SelfLogs } from "./self-logs.ts";
import { createSender, type Credentials, type Destination, type RequestOutcome, type Sender } from "./sender.ts";
import { createStdoutSender } from "./stdout.ts";
import { createExportWorker, type ExportWorker } from "./worker-client.ts";
import type { Wire } from "./worker-messages.ts";

export { basicAuthorization, destinationOf, type EndpointOptions, type SignalEndpoint } from "./destination.ts";
export type { ExportDeps, Exporter, ExportHealth, ExportOptions, Protocol } from "./exporter.ts";
export type { ResourceOptions } from "./resource.ts";
export { teeLogger } from "./self-logs.ts";
export type { Fetch } from "./connection.ts";
export type { TlsOptions } from "./sender.ts";
export type { Advance } from "./window.ts";
export type { WorkerState } from "./worker-client.ts";

/**
 * Creates the exporter of all signals that have a destination. No side effects but the routing of the SDK's diagnostics.
 * @throws {TypeError} when an address is no URL.
 */
export function createExporter(options: ExportOptions, deps: ExportDeps): Exporter {
  routeDiagnostics(deps.logger);
  const logsWire = wireOf("logs", options);
  const metricsWire = wireOf("metrics", options);
  let lastMetricsSuccessAt: number | undefined;
  let stdout: Sender | undefined;

  let areLogsStopped = false;
  const newCredentials = new Map<Signal, Credentials>();
  const credentialsOf = (destination: Destination): Credentials =>
    newCredentials.get(destination.signal) ?? destination;

  /** Standard output has one writer: the worker while there is one. */
  const lineSender: Sender = (body, encoding, stop) => {
    if (worker !== undefined && !areLogsStopped) return worker.write(body, encoding, stop);
    return (stdout ??= createStdoutSender(deps.onStdoutClosed))(body, encoding, stop);
  };
  const senderOf = (wire: Wire, onAnswer: (outcome: RequestOutcome, seconds: number) => void): Sender =>
    wire.kind === "stdout"
      ? lineSender
      : createSender(wire.destination, {
          fetch: deps.fetch,
          clock: deps.clock,
          credentials: () => credentialsOf(wire.destination),
          onAnswer,
        });

  const sentWire = options.metricsEnabled ? metricsWire : undefined;
  const metrics = sentWire === undefined && options.isScraped !== true ? undefined : metricExportOf(sentWire);
  const telemetry = metrics?.telemetry ?? silentTelemetry;
  const selfLogs = logsWire === undefined || !options.selfLogs ? undefined : selfLogsOf(logsWire);
  const worker = logsWire === undefined || !options.delivery.enabled ? undefined : workerOf(logsWire);

  function metricExportOf(wire: Wire | undefined): MetricExport {
    const made = createMetricExport(
      {
        resource: metricsResourceAttributes(options.resource),
        version: options.version,
        selfMetrics: options.selfMetrics,
        common: commonAttributes(options.processors),
        ...protocolOf(wire),
      },
      { ...deps, send: wire === undefined ? undefined : senderOf(wire, countMetricsRequest) },
    );
    made.telemetry.observe("tailscale2otel.export.last_success", () =>
      lastMetricsSuccessAt === undefined
        ? []
        : [{ value: lastMetricsSuccessAt / 1000, attributes: { signal: "metrics" as const } }],
    );
    return made;
  }

  function countMetricsRequest(outcome: RequestOutcome, seconds: number): void {
    const attributes = { signal: "metrics", outcome } as const;
    telemetry.add("tailscale2otel.export.requests", 1, attributes);
    telemetry.record("tailscale2otel.export.duration", seconds, attributes);
    if (outcome === "success") lastMetricsSuccessAt = deps.clock();
  }

  function selfLogsOf(wire: Wire): SelfLogs {
    const resource = logsResourceAttributes(options.resource);
    const send = senderOf(wire, () => undefined);
    const own = { resource, version: options.version, ...protocolOf(wire) };
    const isJson = wire.kind === "http" && wire.encoding === "json";
    const sdk = isJson ? { destination: wire.destination, headers: () => credentialsOf(wire.destination).headers } : {};
    return createSelfLogs({ ...own, ...sdk }, { send, logger: deps.logger });
  }

  function workerOf(wire: Wire): ExportWorker {
    const { enabled: _, ...delivery } = options.delivery;
    return createExportWorker(
      {
        databasePath: deps.databasePath,
        wire,
        delivery,
        processors: options.processors,
        version: options.version,
        resource: logsResourceAttributes(options.resource),
      },
      { onRedelivered: () => undefined, onDamage: () => undefined, ...deps, telemetry },
    );
  }

  async function stopLogs(deadlineMs: number): Promise<void> {
    await worker?.stop(deadlineMs);
    areLogsStopped = true;
  }

  return {
    deliversLogs: worker !== undefined,
    telemetry,
    selfLog: selfLogs === undefined ? silentLogger : hidingLogger(selfLogs.sink, options.processors),
    get health() {
      return {
        logs: worker?.state,
        metrics: metrics === undefined || sentWire === undefined ? undefined : healthOf(metrics.trouble),
      };
    },
    get lastSuccess() {
      const logs = worker?.lastSuccessAt;
      return {
        ...(logs === undefined ? {} : { logs }),
        ...(lastMetricsSuccessAt === undefined ? {} : { metrics: lastMetricsSuccessAt }),
      };
    },
    start(from) {
      worker?.start(from);
    },
    redeliver(name, redelivery) {
      worker?.redeliver(name, redelivery);
    },
    redeliveryTrouble(name) {
      const state = worker?.redeliveryState(name);
      return state?.kind === "waiting" ? state.why : undefined;
    },
    committed(seq) {
      worker?.committed(seq);
    },
    async folded() {
      await metrics?.exportNow();
    },
    scrape() {
      if (metrics === undefined) throw new Error("the exporter was made without a page of metrics");
      return metrics.scrape();
    },
    useCredentials(next) {
      for (const signal of ["logs", "metrics"] as const) {
        const destination = destinationOf(signal, next);
        if (destination === undefined) continue;
        const { headers, tls } = destination;
        newCredentials.set(signal, { headers, ...(tls === undefined ? {} : { tls }) });
      }
      const logs = newCredentials.get("logs");
      if (logs !== undefined) worker?.useCredentials(logs);
    },
    directoryChanged() {
      worker?.directoryChanged();
    },
    stopLogs,
    async stop(deadlineMs) {
      const endsAt = performance.now() + deadlineMs;
      await stopLogs(deadlineMs);
      const remainingMs = Math.max(0, endsAt - performance.now());
      await Promise.all([metrics?.stop(remainingMs), selfLogs?.stop(remainingMs)]);
    },
  };
}

function healthOf(trouble: Trouble | undefined): NonNullable<ExportHealth["metrics"]> {
  return trouble === undefined ? { kind: "well" } : { kind: "waiting", ...trouble };
}

function wireOf(signal: Signal, options: ExportOptions): Wire | undefined {
  if (options.protocol === "stdout") return { kind: "stdout" };
  const destination: Destination | undefined = destinationOf(signal, options);
  if (destination === undefined) return undefined;
  const encoding = options.protocol === "http/json" ? "json" : "protobuf";
  return { kind: "http", encoding, isSet: options.protocolIsSet, destination };
}

function protocolOf(wire: Wire | undefined): { readonly encoding: "json" | "protobuf"; readonly isSet: boolean } {
  return wire?.kind === "http" ? wire : { encoding: "json", isSet: true };
}
