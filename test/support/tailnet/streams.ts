/** Log streaming of the stand-in: the configured streams, their status, and the batches pushed to them. */
import { gzipSync } from "node:zlib";
import type { Clock } from "../../../src/lib/clock.ts";
import { formatRfc3339, zeroTime } from "../../../src/lib/rfc3339.ts";
import type { Compression, LogName } from "../../../src/tailscale/index.ts";
import { type ApiAnswer, ApiRefusal, type ApiRequest, json, objectBody, oneOf, requiredText } from "./answer.ts";
import type { TailnetRecord } from "./records.ts";

/** A configured stream, as it was put. */
export interface ConfiguredStream {
  readonly destinationType: string;
  readonly url: string;
  readonly user: string;
  readonly token: string;
  readonly compressionFormat: Compression;
  readonly uploadPeriodMinutes: number;
}

export interface PushOptions {
  /** Records to push, in this order; by default all records of the log not yet pushed. */
  readonly records?: readonly TailnetRecord[];
  /** Records that never arrive. */
  readonly isLost?: (record: TailnetRecord, index: number) => boolean;
  /** How often each record is sent; default: 1. */
  readonly times?: (record: TailnetRecord, index: number) => number;
  /** Default: 140, as captured from Tailscale. */
  readonly recordsPerRequest?: number;
  /** Maximum attempts per request, until one gets a 2xx. */
  readonly maxAttempts?: number;
  /** Called before each attempt, to wait or to change something. */
  readonly before?: (request: number, attempt: number) => void | Promise<void>;
  readonly credential?: "splunk" | "basic" | "bearer";
}

export interface PushReport {
  /** Status of every attempt, in order; 0 without a response. */
  readonly statuses: readonly number[];
  /** Records in accepted requests, including repetitions. */
  readonly delivered: readonly TailnetRecord[];
  /** Records in requests that were given up. */
  readonly undelivered: readonly TailnetRecord[];
}

export interface Streams {
  configured(log: LogName): ConfiguredStream | undefined;
  get(log: LogName): ApiAnswer;
  /** An endpoint is private if `mayBePrivate` does not throw. @throws {ApiRefusal} */
  put(log: LogName, request: ApiRequest, mayBePrivate: () => void): ApiAnswer;
  remove(log: LogName): ApiAnswer;
  status(log: LogName): ApiAnswer;
  /** @throws {Error} if no stream is configured. */
  push(log: LogName, options: PushOptions): Promise<PushReport>;
}

const destinations = ["splunk", "elastic", "panther", "cribl", "datadog", "axiom", "s3", "gcs"] as const;

const putFields = [
  ..."logType destinationType url user token uploadPeriodMinutes compressionFormat".split(" "),
  ..."s3Bucket s3Region s3KeyPrefix s3AuthenticationType s3AccessKeyId s3SecretAccessKey s3RoleArn s3ExternalId".split(
    " ",
  ),
  ..."gcsBucket gcsKeyPrefix gcsScopes gcsCredentials".split(" "),
];

const nothingSent = {
  lastActivity: zeroTime,
  lastError: "",
  maxBodySize: 0,
  bytes: 0,
  entries: 0,
  requests: 0,
  failed: 0,
};

export function createStreams(clock: Clock, records: readonly TailnetRecord[]): Streams {
  const streams = new Map<LogName, ConfiguredStream>();
  const sent = new Map<LogName, typeof nothingSent>();
  const pushed = new Set<TailnetRecord>();

  async function attempt(log: LogName, batch: readonly TailnetRecord[], options: PushOptions): Promise<number> {
    const stream = streams.get(log);
    if (stream === undefined) throw new Error(`no ${log} stream is configured`);
    const body = compressed(batch.map(({ streamed }) => JSON.stringify(streamed)).join(""), stream.compressionFormat);
    const { status, error } = await post(stream, body, options.credential ?? "splunk");
    const before = sent.get(log) ?? nothingSent;
    const isTaken = status >= 200 && status < 300;
    sent.set(log, {
      lastActivity: formatRfc3339([Math.floor(clock() / 1000), 0]),
      lastError: isTaken ? "" : error,
      maxBodySize: Math.max(before.maxBodySize, body.length),
      bytes: before.bytes + (isTaken ? body.length : 0),
      entries: before.entries + (isTaken ? batch.length : 0),
      requests: before.requests + 1,
      failed: before.failed + (isTaken ? 0 : 1),
    });
    return status;
  }

  return {
    configured: (log) => streams.get(log),
    get(log) {
      const stream = streams.get(log);
      if (stream === undefined) throw new ApiRefusal(404, "no log stream is configured");
      const { token: _, uploadPeriodMinutes, ...told } = stream;
      return json({ logType: log, ...told, ...(uploadPeriodMinutes === 0 ? {} : { uploadPeriodMinutes }) });
    },
    put(log, request, mayBePrivate) {
      const stream = streamOf(log, objectBody(request, putFields));
      if (stream.url !== "" && isPrivateEndpoint(stream.url)) mayBePrivate();
      streams.set(log, stream);
      sent.delete(log);
      return { status: 200 };
    },
    remove(log) {
      if (!streams.delete(log)) throw new ApiRefusal(404, "no log stream is configured");
      sent.delete(log);
      return { status: 200 };
    },
    status(log) {
      const { bytes, entries, requests, failed, ...rest } = sent.get(log) ?? nothingSent;
      return json({
        ...rest,
        numBytesSent: bytes,
        numEntriesSent: entries,
        numSpoofedEntries: 0,
        numTotalRequests: requests,
        numFailedRequests: failed,
        rateBytesSent: 0,
        rateEntriesSent: 0,
        rateTotalRequests: 0,
        rateFailedRequests: 0,
      });
    },
    async push(log, options) {
      const chosen = options.records ?? records.filter((record) => record.log === log && !pushed.has(record));
      for (const record of chosen) pushed.add(record);
      const coming = chosen
        .filter((record, index) => options.isLost?.(record, index) !== true)
        .flatMap((record, index) => new Array<TailnetRecord>(options.times?.(record, index) ?? 1).fill(record));
      const report = { statuses: [] as number[], delivered: [] as TailnetRecord[], undelivered: [] as TailnetRecord[] };
      const size = options.recordsPerRequest ?? 140;
      for (let at = 0; at < coming.length; at += size) {
        const batch = coming.slice(at, at + size);
        let status = 0;
        for (let number = 0; number < (options.maxAttempts ?? 5) && !(status >= 200 && status < 300); number++) {
          await options.before?.(at / size, number);
          status = await attempt(log, batch, options);
          report.statuses.push(status);
        }
        (status >= 200 && status < 300 ? report.delivered : report.undelivered).push(...batch);
      }
      return report;
    },
  };
}

/** True if the address is inside the tailnet; it then needs additional scopes and may be plain HTTP. */
function isPrivateEndpoint(url: string): boolean {
  const host = new URL(url).hostname;
  const [first, second] = host.split(".").map(Number);
  const isCarrierGrade = /^[\d.]+$/.test(host) && first === 100 && ((second ?? 0) & 0xc0) === 64;
  if (isCarrierGrade || host.startsWith("[fd7a:115c:a1e0:") || host.endsWith(".ts.net")) return true;
  return !host.startsWith("[") && !host.includes(".") && host !== "localhost";
}

function streamOf(log: LogName, body: Readonly<Record<string, unknown>>): ConfiguredStream {
  if (body["logType"] !== undefined && body["logType"] !== log) throw new ApiRefusal(400, "logType is not the path's");
  const destinationType = oneOf("destinationType", body["destinationType"], destinations);
  const isBucket = destinationType === "s3" || destinationType === "gcs";
  const url = isBucket ? String(body["url"] ?? "") : endpointOf("url", body["url"]);
  const token = isBucket ? "" : requiredText("token", body["token"]);
  const user = body["user"] ?? "";
  if (typeof user !== "string") throw new ApiRefusal(400, "user must be text");
  const period = body["uploadPeriodMinutes"] ?? 0;
  if (!Number.isInteger(period)) throw new ApiRefusal(400, "uploadPeriodMinutes must be an integer");
  const compressionFormat = oneOf("compressionFormat", body["compressionFormat"] ?? "none", ["none", "gzip", "zstd"]);
  return { destinationType, url, user, token, compressionFormat, uploadPeriodMinutes: period as number };
}

/** An absolute URL; plain HTTP only on loopback and inside the tailnet. @throws {ApiRefusal} 400 */
export function endpointOf(name: string, value: unknown): string {
  const text = requiredText(name, value);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLoopback = url !== undefined && ["127.0.0.1", "[::1]", "localhost"].includes(url.hostname);
  const isPlain = url?.protocol === "http:" && (isLoopback || isPrivateEndpoint(text));
  if (url?.protocol !== "https:" && !isPlain) throw new ApiRefusal(400, `${name} must be an https address`);
  return text;
}

function compressed(text: string, format: Compression): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  switch (format) {
    case "none":
      return bytes;
    case "gzip":
      return new Uint8Array(gzipSync(bytes));
    case "zstd":
      return new Uint8Array(Bun.zstdCompressSync(bytes));
  }
}

async function post(
  stream: ConfiguredStream,
  body: Uint8Array<ArrayBuffer>,
  credential: "splunk" | "basic" | "bearer",
): Promise<{ status: number; error: string }> {
  const schemes = {
    splunk: `Splunk ${stream.token}`,
    basic: `Basic ${btoa(`${stream.user}:${stream.token}`)}`,
    bearer: `Bearer ${stream.token}`,
  };
  const headers: Record<string, string> = { authorization: schemes[credential], "content-type": "application/json" };
  if (stream.compressionFormat !== "none") headers["content-encoding"] = stream.compressionFormat;
  try {
    const response = await fetch(stream.url, { method: "POST", headers, body });
    const text = await response.text();
    return { status: response.status, error: `${response.status}: ${text.slice(0, 200)}` };
  } catch (error) {
    return { status: 0, error: error instanceof Error ? error.message : "no answer" };
  }
}
