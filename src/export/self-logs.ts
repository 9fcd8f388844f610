/**
 * Exports the program's own log lines as OTLP logs if enabled, including the diagnostics of the OpenTelemetry SDK. This is best
 * effort: lines are dropped rather than stored.
 */
import { diag, DiagLogLevel, SeverityNumber } from "@opentelemetry/api";
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
import { eachLevel, type LogFields, type Logger, type LogLevel } from "../lib/logger.ts";
import type { LogAttributes } from "../catalogue/log-event.ts";
import { boundedAttributes, boundedText, maxBodyBytes } from "../processors/outgoing.ts";
import type { Encoding } from "./answer.ts";
import type { Destination, ResourceAttributes } from "./destination.ts";
import type { Sender } from "./sender.ts";

export interface SelfLogsDeps {
  readonly send: Sender;
  /** Where the SDK's own exporter sends lines as JSON over HTTP; undefined for protobuf and standard output. */
  readonly destination: () => Destination | undefined;
  readonly encoding: Encoding;
  /** The resource of logs. */
  readonly resource: ResourceAttributes;
  readonly scope: InstrumentationScope;
  /** Logs failures of this export. Must not lead back here. */
  readonly logger: Logger;
}

/** Exports the SDK's batches of log lines through its own exporter or `send`. */
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
 * Routes the diagnostics of the OpenTelemetry SDK, which is silent otherwise, to the log. Called once per thread. The sender
 * already reports failed exports, so what the SDK adds about them is logged at the level `debug`.
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

/** Time after the deadline for `sendingExporter` to log what it lost; the SDK's own exporter cannot be interrupted. */
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
