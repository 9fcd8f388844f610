/** Derives from the settings where each signal is sent, with which credentials, and as which OTLP resource. */
import { hostname } from "node:os";
import { type InstrumentationScope, SDK_INFO } from "@opentelemetry/core";
import type { AlsoConfig, Config } from "../config/schema.ts";
import { ConfigError } from "../errors.ts";
import { type DestinationRule, type Journal, type LogCursor, primaryDestination } from "../journal/index.ts";
import type { Logger } from "../lib/logger.ts";
import { readRegularFile } from "../lib/regular-file.ts";
import type { ProcessorSettings } from "../processors/index.ts";
import { privacyOf } from "../processors/outgoing.ts";
import { recordTypes, type RecordType } from "../records/types.ts";
import type { Encoding, Signal } from "./answer.ts";

/** Certificates as PEM text. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify: boolean;
}

/** Where one signal is sent. Plain data: the export worker gets a copy. */
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

/** The settings of a destination. */
export type DestinationSettings = Config["otlp"] | AlsoConfig;

/** The parts of a destination that may change while it is in use. */
export type Credentials = Pick<Destination, "headers" | "tls">;

export type Destinations = Readonly<Partial<Record<Signal, Destination>>>;

/** What the exporter needs besides the configuration. */
export interface ExportContext {
  readonly settings: ProcessorSettings;
  /** The journal's location, for the worker's own reader. */
  readonly location: string;
  /** The journal's instance id. */
  readonly instanceId: string;
  readonly version: string;
}

export type ExportSetup = ReturnType<typeof setupOf>;

/** Everything that the export worker needs for its whole life, as plain data. @throws what `destinationOf` throws. */
export function setupOf(config: Config, { settings, location, instanceId, version }: ExportContext) {
  const targets = targetsOf(config, version);
  return {
    location,
    /** The primary one first. */
    targets,
    exportsOwnLines: config.self_observability.logs && reaches(targets[0], "logs"),
    settings,
    resources: resourcesOf(config, settings, instanceId),
    /** Attributes of every metric point. */
    common: commonAttributes(settings),
    version,
  };
}

/** A destination as the settings describe it, for both signals. Plain data. */
export interface Target {
  readonly name: string;
  readonly encoding: Encoding;
  /** Where each signal is sent over HTTP; replaced when credentials change. */
  destinations: Destinations;
  /** Everything goes to standard output instead. */
  readonly isStdout: boolean;
  /** Limits of log requests; undefined if logs are not exported. */
  readonly logs: Pick<Config["otlp"]["logs"], "max_records" | "max_bytes" | "concurrency"> | undefined;
  /** The record types whose logs are exported, if not all of them. */
  readonly types: readonly RecordType[] | undefined;
  readonly exportsMetrics: boolean;
  /** For the temporality `delta`: the totals that it has acknowledged so far. */
  acknowledged?: Uint8Array | undefined;
}

/** All destinations, the primary one first. @throws what `destinationOf` throws. */
export function targetsOf({ otlp }: Config, version: string): [Target, ...Target[]] {
  const primary = targetOf(primaryDestination, otlp, "otlp", version);
  const further = otlp.also.map((one, index): Target => {
    const types = one.types as readonly RecordType[];
    const isFiltered = recordTypes.some((type) => !types.includes(type));
    return { ...targetOf(one.name, one, `otlp.also.${index}`, version), types: isFiltered ? types : undefined };
  });
  return [primary, ...further];
}

function targetOf(name: string, otlp: DestinationSettings, section: string, version: string): Target {
  const isStdout = otlp.protocol === "stdout";
  const userAgent = `tailscale2otel/${version}`;
  const [logs, metrics] = (["logs", "metrics"] as const).map((signal) =>
    isStdout ? undefined : destinationOf(signal, otlp, userAgent, section),
  );
  const target = {
    name,
    encoding: otlp.protocol === "http/protobuf" ? ("protobuf" as const) : ("json" as const),
    destinations: { ...(logs && { logs }), ...(metrics && { metrics }) },
    isStdout,
  };
  return {
    ...target,
    logs: otlp.logs.enabled && reaches(target, "logs") ? otlp.logs : undefined,
    types: undefined,
    exportsMetrics: otlp.metrics.enabled && reaches(target, "metrics"),
  };
}

function reaches({ isStdout, destinations }: Pick<Target, "isStdout" | "destinations">, signal: Signal): boolean {
  return isStdout || destinations[signal] !== undefined;
}

/**
 * The destination of one signal, or undefined if it has no address. Header names are lower-cased, a signal's own win, and
 * credentials in the address become a header, because neither `fetch` nor messages may contain them.
 * @throws {TypeError} if the address is not a URL. @throws {ConfigError} if one of its TLS files cannot be read.
 */
export function destinationOf(
  signal: Signal,
  otlp: DestinationSettings,
  userAgent: string,
  section = "otlp",
): Destination | undefined {
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
    tls: tlsOf(otlp.tls, `${section}.tls`),
  };
}

/** The `authorization` header of HTTP Basic (RFC 7617); Grafana Cloud expects the instance id and token in it. */
export function basicAuthorization(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

function tlsOf(tls: Config["otlp"]["tls"], section: string): TlsOptions | undefined {
  if (tls.ca_file === "" && tls.cert_file === "" && !tls.insecure_skip_verify) return undefined;
  return {
    ...(tls.ca_file === "" ? {} : { ca: readPem(`${section}.ca_file`, tls.ca_file) }),
    ...(tls.cert_file === "" ? {} : { cert: readPem(`${section}.cert_file`, tls.cert_file) }),
    ...(tls.key_file === "" ? {} : { key: readPem(`${section}.key_file`, tls.key_file) }),
    insecureSkipVerify: tls.insecure_skip_verify,
  };
}

function readPem(setting: string, path: string): string {
  const read = readRegularFile(path);
  if ("text" in read) return read.text;
  throw new ConfigError([`${setting}: cannot read ${path}: ${read.reason}`]);
}

interface UseDeps {
  readonly journal: Pick<Journal, "destinations" | "useDestinations">;
  readonly logger: Logger;
  /** Continues delivery at this cursor, because earlier records were given up. */
  readonly move: (name: string, cursor: LogCursor) => void;
}

/** Registers the further log destinations with the journal and logs what has changed. Calls must not overlap. */
export async function useDestinations(config: Config, { journal, logger, move }: UseDeps): Promise<void> {
  const known = new Set(journal.destinations.map(({ name }) => name));
  const rules = destinationRules(config);
  const moved = (destination: string, cursor: LogCursor): void => {
    const evicted = journal.destinations.find(({ name }) => name === destination)?.evicted;
    const message = "the oldest undelivered records of a destination were given up, since space is short";
    logger.warn(message, { destination, evicted });
    move(destination, cursor);
  };
  for (const { name: destination, pending: undelivered } of await journal.useDestinations(rules, moved)) {
    const message = "a destination is not configured any more: its position was deleted";
    logger[undelivered > 0 ? "warn" : "info"](message, { destination, undelivered });
  }
  for (const { name: destination } of rules)
    if (!known.has(destination))
      logger.info("new destination: its logs begin with the newest record; send earlier ones with replay", {
        destination,
      });
}

function destinationRules({ otlp }: Config): readonly DestinationRule[] {
  return otlp.also
    .filter(({ logs }) => logs.enabled)
    .map(({ name, types, required }) => ({ name, types: types as readonly RecordType[], isRequired: required }));
}

export type ResourceAttributes = Readonly<Record<string, string>>;

/**
 * The resource of each signal. The operator's own attributes win. Metrics have no `host.name`, because it changes with every
 * container and would restart every series; neither signal has a `service.version`, which would do so at each upgrade.
 * @param instanceId the journal's, used if the settings have none.
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
  // The privacy settings for node names apply to this machine too.
  const host = privacyOf(settings.privacy).node(hostname());
  return { metrics, logs: { ...(host && { "host.name": host }), ...metrics } };
}

export function scopeOf(version: string): InstrumentationScope {
  return { name: scopeName, version };
}

/** Attributes of every point: the name of the tailnet, as the privacy settings show it. */
export function commonAttributes({ tailnet, privacy }: ProcessorSettings): ResourceAttributes {
  const shown = privacyOf(privacy).value("tailnet_name", tailnet);
  return tailnet === "" || shown === undefined ? {} : { "tailscale.tailnet": shown };
}

const scopeName = "tailscale2otel";

/** Values of `os.type` in the semantic conventions that differ from Node's platform names. */
const osTypes: Readonly<Record<string, string>> = { win32: "windows", sunos: "solaris" };
