/** The process's own log lines as OTLP logs, when they are asked for. Best effort: lines are dropped rather than queued on disk. */
import { SeverityNumber } from "@opentelemetry/api";
import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { CompressionAlgorithm, type IOtlpExportDelegate, OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { JsonLogsSerializer, ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import {
  BatchLogRecordProcessor,
  LoggerProvider,
  type LogRecordExporter,
  type ReadableLogRecord,
} from "@opentelemetry/sdk-logs";
import type { Logger, LogLevel } from "../lib/logger.ts";
import type { Encoding } from "./answer.ts";
import { createChannel } from "./protocol.ts";
import { type ResourceAttributes, resourceOf, scopeOf } from "./resource.ts";
import type { Destination, Sender } from "./sender.ts";

export interface SelfLogsOptions {
  /** Where lines go as JSON over HTTP, by the SDK's own exporter; absent for protobuf and standard output. */
  readonly destination?: Destination;
  /** Where they may change: those of the next request, instead of the destination's. */
  readonly headers?: () => Destination["headers"];
  /** That of the logs. */
  readonly resource: ResourceAttributes;
  readonly version: string;
  readonly encoding: Encoding;
  readonly isSet: boolean;
}

export interface SelfLogsDeps {
  readonly send: Sender;
  /** Says what goes wrong here. Must not be a logger that leads back here. */
  readonly logger: Logger;
}

export interface SelfLogs {
  /** Takes each line beside whoever else listens. */
  readonly sink: Logger;
  stop(deadlineMs: number): Promise<void>;
}

const severities: Record<LogLevel, SeverityNumber> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

export function createSelfLogs(options: SelfLogsOptions, deps: SelfLogsDeps): SelfLogs {
  const abort = new AbortController();
  const processor = new BatchLogRecordProcessor({
    exporter: exporterOf(options, deps, abort.signal),
  });
  const provider = new LoggerProvider({ resource: resourceOf(options.resource), processors: [processor] });
  const scope = scopeOf(options.version);
  const own = provider.getLogger(scope.name, scope.version);
  const line =
    (level: LogLevel): Logger[LogLevel] =>
    (message, fields = {}) =>
      own.emit({
        severityNumber: severities[level],
        severityText: level.toUpperCase(),
        body: message,
        attributes: { ...fields },
      });
  return {
    sink: { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") },
    async stop(deadlineMs) {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const deadline = setTimeout(() => abort.abort(), deadlineMs);
      const end = setTimeout(resolve, deadlineMs + graceMs);
      await Promise.race([provider.shutdown(), late]);
      clearTimeout(deadline);
      clearTimeout(end);
    },
  };
}

/** After the deadline, for an exporter of ours to say what it lost; the SDK's own cannot be interrupted. */
const graceMs = 100;

/** Says every line twice. */
export function teeLogger(one: Logger, other: Logger): Logger {
  const line =
    (level: LogLevel): Logger[LogLevel] =>
    (message, fields) => {
      one[level](message, fields);
      other[level](message, fields);
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

/** Hands on every line with its texts changed. */
export function rewritingLogger(logger: Logger, rewrite: (text: string) => string): Logger {
  const line =
    (level: LogLevel): Logger[LogLevel] =>
    (message, fields) => {
      const changed = Object.entries(fields ?? {}).map(([name, value]) => [
        name,
        typeof value === "string" ? rewrite(value) : value,
      ]);
      logger[level](rewrite(message), fields && Object.fromEntries(changed));
    };
  return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error") };
}

function exporterOf(options: SelfLogsOptions, deps: SelfLogsDeps, stop: AbortSignal): LogRecordExporter {
  const { destination } = options;
  if (destination === undefined) return new OTLPExporterBase(delegateTo(options, deps, stop));
  const { url, timeoutMs, compression, tls } = destination;
  const headersNow = options.headers ?? (() => destination.headers);
  const { insecureSkipVerify = false, ...pem } = tls ?? {};
  return new OTLPLogExporter({
    url,
    headers: async () => ({ ...headersNow() }),
    timeoutMillis: timeoutMs,
    compression: compression === "gzip" ? CompressionAlgorithm.GZIP : CompressionAlgorithm.NONE,
    httpAgentOptions: { ...pem, rejectUnauthorized: !insecureSkipVerify },
  });
}

const serializers = { json: JsonLogsSerializer, protobuf: ProtobufLogsSerializer };

function delegateTo(
  options: SelfLogsOptions,
  deps: SelfLogsDeps,
  stop: AbortSignal,
): IOtlpExportDelegate<ReadableLogRecord[]> {
  const channel = createChannel(
    deps.send,
    { signal: "logs", encoding: options.encoding, isSet: options.isSet },
    deps.logger,
  );
  async function send(records: ReadableLogRecord[]): Promise<ExportResult> {
    const answer = await channel.post(
      (encoding) => serializers[encoding].serializeRequest(records) ?? new Uint8Array(0),
      stop,
    );
    if (answer.kind === "taken") return { code: ExportResultCode.SUCCESS };
    deps.logger.debug("own log lines were not delivered", {
      lines: records.length,
      why: answer.kind === "retry" ? answer.why : answer.message,
    });
    return { code: ExportResultCode.FAILED };
  }
  return {
    export: (records, resultCallback) =>
      void send(records).then(resultCallback, (error: Error) =>
        resultCallback({ code: ExportResultCode.FAILED, error }),
      ),
    async forceFlush() {},
    async shutdown() {},
    setMetrics() {},
  };
}
