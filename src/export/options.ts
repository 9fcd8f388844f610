/** From the settings to the exporter's options. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { Config } from "../config/schema.ts";
import { ConfigError } from "../errors.ts";
import type { ProcessorOptions } from "../processors/index.ts";
import { basicAuthorization } from "./destination.ts";
import type { ExportOptions } from "./index.ts";
import { shownHostName } from "./privacy.ts";
import type { TlsOptions } from "./sender.ts";

export interface ExportContext {
  readonly processors: ProcessorOptions;
  /** The operator has set `otlp.protocol`, in whichever way. */
  readonly protocolIsSet: boolean;
  /** The journal's own, for where the settings name none. */
  readonly instanceId: string;
  readonly version: string;
}

/** @throws {ConfigError} when a file of `otlp.tls` cannot be read. */
export function exportOptionsOf(config: Config, context: ExportContext): ExportOptions {
  const { otlp, self_observability: self } = config;
  const { instance_id: instanceId, token } = otlp.grafana_cloud;
  const cloud = instanceId === "" ? {} : { authorization: basicAuthorization(instanceId, token) };
  const tls = tlsOf(config);
  return {
    endpoint: otlp.endpoint,
    headers: { ...cloud, ...otlp.headers },
    logs: otlp.logs,
    metrics: otlp.metrics,
    compression: otlp.compression,
    timeoutMs: otlp.timeout,
    ...(tls === undefined ? {} : { tls }),
    userAgent: `tailscale2otel/${context.version}`,
    protocol: otlp.protocol,
    protocolIsSet: context.protocolIsSet,
    delivery: {
      enabled: otlp.logs.enabled,
      maxRecords: otlp.logs.max_records,
      maxBytes: otlp.logs.max_bytes,
      concurrency: otlp.logs.concurrency,
    },
    metricsEnabled: otlp.metrics.enabled,
    selfMetrics: self.enabled,
    selfLogs: self.logs,
    isScraped: config.admin.enabled,
    processors: context.processors,
    resource: {
      instanceId: self.instance_id === "" ? context.instanceId : self.instance_id,
      hostName: shownHostName(hostname(), context.processors),
      platform: process.platform,
      attributes: config.resource.attributes,
    },
    version: context.version,
  };
}

function tlsOf({ otlp: { tls } }: Config): TlsOptions | undefined {
  if (tls.ca_file === "" && tls.cert_file === "" && !tls.insecure_skip_verify) return undefined;
  return {
    ...(tls.ca_file === "" ? {} : { ca: readPem("otlp.tls.ca_file", tls.ca_file) }),
    ...(tls.cert_file === "" ? {} : { cert: readPem("otlp.tls.cert_file", tls.cert_file) }),
    ...(tls.key_file === "" ? {} : { key: readPem("otlp.tls.key_file", tls.key_file) }),
    insecureSkipVerify: tls.insecure_skip_verify,
  };
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError([
      `${setting}: cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`,
    ]);
  }
}
