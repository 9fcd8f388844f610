/** From the operator's settings to where each signal goes, with which credentials, and who is speaking: the OTLP resource. */
import { hostname } from "node:os";
import { type InstrumentationScope, SDK_INFO } from "@opentelemetry/core";
import type { Config } from "../config/schema.ts";
import { ConfigError } from "../errors.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import type { ProcessorSettings } from "../processors/index.ts";
import { privacyOf } from "../processors/outgoing.ts";
import type { Encoding, Signal } from "./answer.ts";

/** Certificates as PEM text. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify: boolean;
}

/** Where one signal goes. Plain data: the export worker gets a copy. */
export interface Destination {
  readonly signal: Signal;
  /** The full address. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: "gzip" | "zstd" | "none";
  /** From the first byte sent to the last byte read. */
  readonly timeoutMs: number;
  readonly tls?: TlsOptions | undefined;
}

/** What of a destination may change while it is used. */
export type Credentials = Pick<Destination, "headers" | "tls">;

export type Destinations = Readonly<Partial<Record<Signal, Destination>>>;

/** What is exported, and in whose name. */
export interface ExportContext {
  readonly settings: ProcessorSettings;
  /** The journal's, for a reader of its own in the worker. */
  readonly location: string;
  /** The journal's. */
  readonly instanceId: string;
  readonly version: string;
  /** For the temporality `delta`: the totals that the destination of metrics has acknowledged. */
  readonly acknowledged?: Uint8Array | undefined;
}

export type ExportSetup = ReturnType<typeof setupOf>;

/** What the export worker needs for its whole life: plain data. @throws what `destinationOf` throws. */
export function setupOf(config: Config, { settings, location, instanceId, version, acknowledged }: ExportContext) {
  const { otlp, self_observability: self } = config;
  const encoding: Encoding = otlp.protocol === "http/protobuf" ? "protobuf" : "json";
  const isStdout = otlp.protocol === "stdout";
  const destinations = isStdout ? {} : destinationsOf(config, version);
  const reaches = (signal: Signal): boolean => isStdout || destinations[signal] !== undefined;
  return {
    location,
    encoding,
    /** Where each signal goes that leaves over HTTP; newer credentials replace them. */
    destinations,
    /** Everything goes to standard output instead. */
    isStdout,
    /** Requests of logs; nothing if they do not leave. */
    logs: otlp.logs.enabled && reaches("logs") ? otlp.logs : undefined,
    exportsMetrics: otlp.metrics.enabled && reaches("metrics"),
    /** For the temporality `delta`; newer ones replace them. */
    acknowledged,
    exportsOwnLines: self.logs && reaches("logs"),
    settings,
    resources: resourcesOf(config, settings, instanceId),
    /** Attributes of every metric point. */
    common: commonAttributes(settings),
    version,
  };
}

export function destinationsOf({ otlp }: Config, version: string): Destinations {
  const userAgent = `tailscale2otel/${version}`;
  const logs = destinationOf("logs", otlp, userAgent);
  const metrics = destinationOf("metrics", otlp, userAgent);
  return { ...(logs && { logs }), ...(metrics && { metrics }) };
}

/**
 * The destination of one signal, or nothing if it has no address. Header names are lower-cased, a signal's own win, and
 * credentials in the address become a header, since `fetch` and messages must not carry them.
 * @throws {TypeError} if the address is no URL. @throws {ConfigError} if a file of `otlp.tls` cannot be read.
 */
export function destinationOf(signal: Signal, otlp: Config["otlp"], userAgent: string): Destination | undefined {
  const own = otlp[signal];
  const written = own.endpoint === "" ? otlp.endpoint : own.endpoint;
  if (written === "") return undefined;
  const url = new URL(written);
  if (own.endpoint === "") url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/${signal}`;
  const headers: Record<string, string> = { "user-agent": userAgent };
  const { instance_id: instanceId, token } = otlp.grafana_cloud;
  if (url.username !== "") {
    headers["authorization"] = basicAuthorization(decodeURIComponent(url.username), decodeURIComponent(url.password));
    url.username = "";
    url.password = "";
  }
  if (instanceId !== "") headers["authorization"] = basicAuthorization(instanceId, token);
  for (const given of [otlp.headers, own.headers]) {
    for (const [name, value] of Object.entries(given)) headers[name.toLowerCase()] = value;
  }
  return {
    signal,
    url: url.href,
    headers,
    compression: otlp.compression,
    timeoutMs: otlp.timeout,
    tls: tlsOf(otlp.tls),
  };
}

/** The `authorization` header of HTTP Basic (RFC 7617); Grafana Cloud expects instance id and token in it. */
export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

function tlsOf(tls: Config["otlp"]["tls"]): TlsOptions | undefined {
  if (tls.ca_file === "" && tls.cert_file === "" && !tls.insecure_skip_verify) return undefined;
  return {
    ...(tls.ca_file === "" ? {} : { ca: readPem("otlp.tls.ca_file", tls.ca_file) }),
    ...(tls.cert_file === "" ? {} : { cert: readPem("otlp.tls.cert_file", tls.cert_file) }),
    ...(tls.key_file === "" ? {} : { key: readPem("otlp.tls.key_file", tls.key_file) }),
    insecureSkipVerify: tls.insecure_skip_verify,
  };
}

function readPem(setting: string, path: string): string {
  const read = readRegularFile(path);
  if ("text" in read) return read.text;
  throw new ConfigError([`${setting}: cannot read ${path}: ${read.reason}`]);
}

export type ResourceAttributes = Readonly<Record<string, string>>;

/**
 * The resource of each signal. The operator's own attributes win. Metrics have no `host.name`, which changes with every
 * container and would start every series anew, and neither has a `service.version`, which would do so at each upgrade.
 * @param instanceId the journal's, which serves if the settings name none.
 */
export function resourcesOf(
  config: Config,
  settings: ProcessorSettings,
  instanceId: string,
): Readonly<Record<Signal, ResourceAttributes>> {
  const own = config.self_observability.instance_id;
  const metrics = {
    "service.name": scopeName,
    "service.instance.id": own === "" ? instanceId : own,
    "os.type": osTypes[process.platform] ?? process.platform,
    "telemetry.sdk.language": String(SDK_INFO["telemetry.sdk.language"]),
    "telemetry.sdk.name": String(SDK_INFO["telemetry.sdk.name"]),
    "telemetry.sdk.version": String(SDK_INFO["telemetry.sdk.version"]),
    ...config.resource.attributes,
  };
  const host = shownHostName(hostname(), settings);
  return { metrics, logs: { ...(host === "" ? {} : { "host.name": host }), ...metrics } };
}

export function scopeOf(version: string): InstrumentationScope {
  return { name: scopeName, version };
}

/** Attributes of every point: the name of the tailnet, as far as privacy shows it. */
export function commonAttributes({ tailnet, privacy }: ProcessorSettings): ResourceAttributes {
  const shown = privacyOf(privacy).value("tailnet_name", tailnet);
  return tailnet === "" || shown === undefined ? {} : { "tailscale.tailnet": shown };
}

/** This machine is a node too. Empty if privacy drops its name. */
function shownHostName(name: string, { privacy }: ProcessorSettings): string {
  return privacyOf(privacy).node(name) ?? "";
}

const scopeName = "tailscale2otel";

/** Values of `os.type` in the semantic conventions that are not Node's word. */
const osTypes: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" };
