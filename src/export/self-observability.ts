/**
 * The program's own telemetry: the process's own instruments over the OpenTelemetry SDK, its log lines as OTLP logs if
 * they are asked for (best effort: lines are dropped rather than stored), and the SDK's diagnostics among them.
 */
import {
  type Counter,
  diag,
  DiagLogLevel,
  type Histogram,
  type Observable,
  SeverityNumber,
  type UpDownCounter,
} from "@opentelemetry/api";
import {
  type ExportResult,
  ExportResultCode,
  type InstrumentationScope,
  setGlobalErrorHandler,
} from "@opentelemetry/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { JsonLogsSerializer, ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  type LogRecordExporter,
  type ReadableLogRecord,
} from "@opentelemetry/sdk-logs";
import { MeterProvider, MetricReader, type ResourceMetrics } from "@opentelemetry/sdk-metrics";
import { isOfProcess } from "../catalogue/definition.ts";
import { type MetricDefinition, type MetricName, metrics } from "../catalogue/metrics.ts";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/schema.ts";
import { eachLevel, type LogFields, type Logger, type LogLevel } from "../lib/logger.ts";
import type { LogAttributes } from "../catalogue/log-event.ts";
import { boundedAttributes, boundedText, maxBodyBytes } from "../processors/outgoing.ts";
import type { Encoding } from "./answer.ts";
import { type Destination, type ResourceAttributes, scopeOf } from "./destination.ts";
import type { Sender } from "./sender.ts";

export type Instruments = ReturnType<typeof createInstruments>;

/** In whose name. `common`: attributes of every point. */
interface InstrumentsContext extends Record<"resource" | "common", ResourceAttributes> {
  readonly version: string;
  /** Of several tailnets: the first one's instruments measure the process too, without `common`. Absent: there is one. */
  readonly place?: "first" | "further" | undefined;
}

/** Instruments are made at once, so that a name is registered the same way whoever uses it first. */
export function createInstruments(
  { enabled }: Config["self_observability"],
  { resource, version, common, place }: InstrumentsContext,
) {
  const reader = new PullReader();
  const provider = new MeterProvider({ resource: resourceFromAttributes(resource), readers: [reader] });
  const scope = scopeOf(version);
  const of = enabled ? instrumentsIn(provider.getMeter(scope.name, scope.version), { common, place }) : undefined;
  return {
    telemetry:
      of?.(place === undefined ? () => common : (name) => (isOfProcess(name) ? {} : common)) ?? silentTelemetry,
    /** For what belongs to no tailnet in particular. */
    processTelemetry: of?.(() => (place === undefined ? common : {})) ?? silentTelemetry,
    /** All points of this moment; a few hundred. */
    collect: async (): Promise<ResourceMetrics> => (await reader.collect()).resourceMetrics,
    stop: (): Promise<void> => provider.shutdown(),
  };
}

/** The main thread is asked this often whether it is late. */
const tickMs = 500;

/** Measures processor time, memory, and whether the main thread keeps up, until the returned function is called. */
export function observeProcess(telemetry: Telemetry): () => void {
  telemetry.observe("process.cpu.time", () => {
    const { user, system } = process.cpuUsage();
    return [
      { value: user / 1e6, attributes: { "cpu.mode": "user" as const } },
      { value: system / 1e6, attributes: { "cpu.mode": "system" as const } },
    ];
  });
  telemetry.observe("process.memory.usage", () => [{ value: process.memoryUsage.rss(), attributes: {} }]);
  telemetry.observe("process.uptime", () => [{ value: process.uptime(), attributes: {} }]);
  let expectedAt = performance.now() + tickMs;
  const timer = setInterval(() => {
    const now = performance.now();
    telemetry.record("tailscale2otel.event_loop.lag", Math.max(0, now - expectedAt) / 1000, {});
    expectedAt = now + tickMs;
  }, tickMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Series of one instrument; their attribute sets are closed. */
const maxOwnSeries = 1_000;

/** Collects when it is asked to, and not by itself. */
class PullReader extends MetricReader {
  constructor() {
    super({ cardinalitySelector: () => maxOwnSeries });
  }

  protected async onShutdown(): Promise<void> {}

  protected async onForceFlush(): Promise<void> {}
}

/** A counter of no more series than this has all of them from the start, so that `increase()` sees what comes first. */
const maxZeroSeries = 16;

/**
 * Every attribute set that a metric can have; none if they are too many, or not known beforehand. Without attributes that are
 * named by the settings: those are absent unless somebody uses them.
 */
function closedSets({ attributes }: MetricDefinition): readonly Readonly<Record<string, string>>[] {
  let sets: readonly Readonly<Record<string, string>>[] = [{}];
  for (const [name, domain] of Object.entries(attributes)) {
    // Absent, except for further destinations.
    if (name === "destination") continue;
    if (typeof domain === "object" && "known" in domain && domain.known.length === 0) continue;
    if (!Array.isArray(domain)) return [];
    sets = sets.flatMap((set) => domain.map((word: string) => ({ ...set, [name]: word })));
    if (sets.length > maxZeroSeries) return [];
  }
  return sets;
}

/** All instruments; returns what writes to them with those attributes beside a metric's own. */
function instrumentsIn(
  meter: ReturnType<MeterProvider["getMeter"]>,
  { common, place }: Pick<InstrumentsContext, "common" | "place">,
): (more: (name: MetricName) => ResourceAttributes) => Telemetry {
  const adding = new Map<MetricName, Counter | UpDownCounter>();
  const recording = new Map<MetricName, Histogram>();
  const observing = new Map<MetricName, Observable>();
  for (const [name, definition] of Object.entries(metrics) as [MetricName, MetricDefinition][]) {
    const { kind, origin, unit, description, buckets } = definition;
    const isShared = place !== undefined && isOfProcess(name);
    if (origin !== "process" || (isShared && place === "further")) continue;
    const options = { unit, description };
    const advice = buckets === undefined ? {} : { advice: { explicitBucketBoundaries: [...buckets] } };
    if (kind === "counter") {
      const created = meter.createCounter(name, options);
      adding.set(name, created);
      for (const attributes of closedSets(definition))
        created.add(0, isShared ? attributes : { ...common, ...attributes });
    } else if (kind === "updown") adding.set(name, meter.createUpDownCounter(name, options));
    else if (kind === "histogram") recording.set(name, meter.createHistogram(name, { ...options, ...advice }));
    else if (kind === "total") observing.set(name, meter.createObservableCounter(name, options));
    else observing.set(name, meter.createObservableGauge(name, options));
  }
  return (more) => ({
    add: (name, value, attributes) => adding.get(name)?.add(value, { ...more(name), ...attributes }),
    record: (name, value, attributes) => recording.get(name)?.record(value, { ...more(name), ...attributes }),
    observe: (name, read) =>
      observing.get(name)?.addCallback((result) => {
        for (const { value, attributes } of read()) result.observe(value, { ...more(name), ...attributes });
      }),
  });
}

export interface SelfLogsDeps {
  readonly send: Sender;
  /** Where lines go as JSON over HTTP, by the SDK's own exporter; nothing for protobuf and standard output. */
  readonly destination: () => Destination | undefined;
  readonly encoding: Encoding;
  /** That of the logs. */
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
  /** Logs what goes wrong here. Must not be a logger that leads back here. */
  readonly logger: Logger;
}

/** The SDK's batches of log records, through its own exporter or our sender. */
export function createSelfLogs(deps: SelfLogsDeps) {
  const abort = new AbortController();
  const processor = new BatchLogRecordProcessor({ exporter: exporterOf(deps, abort.signal) });
  const provider = new LoggerProvider({
    resource: resourceFromAttributes(deps.resource),
    processors: [processor],
  });
  const own = provider.getLogger(deps.scope.name, deps.scope.version);
  return {
    sink: eachLevel((level) => (message, fields = {}) => {
      own.emit({
        severityNumber: severities[level],
        severityText: level.toUpperCase(),
        body: boundedText(message, maxBodyBytes),
        attributes: boundedAttributes(definedIn(fields)),
      });
    }),
    /** Exports what is left; ends soon after the deadline at the latest. */
    async stop(deadlineMs: number): Promise<void> {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const deadline = setTimeout(() => abort.abort(), deadlineMs);
      const end = setTimeout(resolve, deadlineMs + graceMs);
      await Promise.race([provider.shutdown(), late]);
      clearTimeout(deadline);
      clearTimeout(end);
    },
  };
}

/**
 * Routes the diagnostics of the OpenTelemetry SDK to our log; it is silent otherwise. Called once per thread. The sender
 * already reports that an export fails: what the SDK adds about that is for debugging.
 */
export function routeDiagnostics(logger: Logger): void {
  const line =
    (level: LogLevel) =>
    (message: string, ...rest: unknown[]) =>
      logger[level](
        `OpenTelemetry: ${message}`,
        rest.length === 0 ? undefined : { detail: rest.map(textOf).join(" ").slice(0, maxDetailLength) },
      );
  const sink = {
    verbose: line("debug"),
    debug: line("debug"),
    info: line("debug"),
    warn: line("warn"),
    error: line("warn"),
  };
  diag.setLogger(sink, { logLevel: DiagLogLevel.INFO, suppressOverrideMessage: true });
  setGlobalErrorHandler((error) => logger.debug(`OpenTelemetry: ${textOf(error)}`));
}

function definedIn(fields: LogFields): LogAttributes {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as LogAttributes;
}

const maxDetailLength = 500;

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message;
  return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
}

const severities: Record<LogLevel, SeverityNumber> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

/** After the deadline, for an exporter of ours to log what it lost; the SDK's own cannot be interrupted. */
const graceMs = 100;

const serializers = { json: JsonLogsSerializer, protobuf: ProtobufLogsSerializer };

function exporterOf(deps: SelfLogsDeps, stop: AbortSignal): LogRecordExporter {
  const destination = deps.destination();
  return destination === undefined ? sendingExporter(deps, stop) : jsonExporter(destination, deps);
}

function jsonExporter(first: Destination, { destination }: SelfLogsDeps): LogRecordExporter {
  const { url, timeoutMs, compression, tls } = first;
  const { insecureSkipVerify = false, ...pem } = tls ?? {};
  return new OTLPLogExporter({
    url,
    headers: async () => ({ ...(destination() ?? first).headers }),
    timeoutMillis: timeoutMs,
    compression: compression === "gzip" ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
    httpAgentOptions: { ...pem, rejectUnauthorized: !insecureSkipVerify },
  });
}

function sendingExporter({ send, encoding, logger }: SelfLogsDeps, stop: AbortSignal): LogRecordExporter {
  async function post(records: ReadableLogRecord[]): Promise<ExportResult> {
    const body = serializers[encoding].serializeRequest(records) ?? new Uint8Array(0);
    const answer = await send(body, encoding, stop);
    if (answer.kind === "accepted") return { code: ExportResultCode.SUCCESS };
    const why = answer.kind === "failed" ? answer.why : answer.message;
    logger.debug("own log lines were not delivered", { lines: records.length, why });
    return { code: ExportResultCode.FAILED };
  }
  return {
    export: (records, resultCallback) =>
      void post(records).then(resultCallback, (error: Error) =>
        resultCallback({ code: ExportResultCode.FAILED, error }),
      ),
    async forceFlush() {},
    async shutdown() {},
  };
}
