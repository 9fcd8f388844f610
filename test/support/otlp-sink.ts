/**
 * A loopback OTLP receiver for tests: decodes JSON and protobuf by the official definitions, records every request, and
 * misbehaves on demand.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import protobuf from "protobufjs";

/** One log record as it arrived. 64-bit numbers are strings. */
export interface SunkLog {
  readonly eventName?: string;
  readonly timeUnixNano?: string;
  readonly observedTimeUnixNano?: string;
  readonly severityNumber?: number;
  readonly severityText?: string;
  readonly body: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: { readonly name?: string; readonly version?: string };
}

export interface SunkPoint {
  readonly metric: string;
  readonly unit?: string;
  readonly description?: string;
  readonly kind: "sum" | "gauge" | "histogram";
  readonly isMonotonic?: boolean;
  readonly aggregationTemporality?: number | string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly startTimeUnixNano?: string;
  readonly timeUnixNano?: string;
  /** For a sum or gauge. */
  readonly value?: number;
  /** For a histogram. */
  readonly count?: string;
  readonly explicitBounds?: readonly number[];
  readonly resource: Readonly<Record<string, unknown>>;
  readonly scope: { readonly name?: string; readonly version?: string };
}

export interface SunkRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly encoding: "json" | "protobuf";
  /** Body bytes after decompression. */
  readonly bytes: number;
  readonly logs: readonly SunkLog[];
  readonly points: readonly SunkPoint[];
  /** True if the response reported success. */
  isTaken: boolean;
}

/** How the sink handles a request. */
export type Behaviour =
  | { readonly kind: "take"; readonly rejected?: number; readonly message?: string }
  | {
      readonly kind: "status";
      readonly status: number;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** No response at all. */
  | { readonly kind: "hang" }
  | { readonly kind: "reset" }
  /** The response head at once, then a byte every `everyMs`. */
  | { readonly kind: "drip"; readonly everyMs: number }
  | { readonly kind: "refuse_json" };

export interface OtlpSink {
  readonly url: string;
  readonly requests: readonly SunkRequest[];
  /** Log records of accepted requests, in order of arrival. */
  readonly logs: readonly SunkLog[];
  readonly points: readonly SunkPoint[];
  /** Decides how to handle each request; the default accepts it. */
  behave(behaviour: (request: SunkRequest, index: number) => Behaviour): void;
  /** Resolves once the condition holds; checked after every request. */
  until(condition: (sink: OtlpSink) => boolean): Promise<void>;
  stop(): Promise<void>;
}

/** Rejects a request that contains a log record for which the predicate is true. */
export function refusing(isGuilty: (log: SunkLog) => boolean, status = 400): (request: SunkRequest) => Behaviour {
  return (request) =>
    request.logs.some(isGuilty) ? { kind: "status", status, body: "a record is invalid" } : { kind: "take" };
}

/** `forgets`: drops each request once it is handled, for runs whose requests would fill the memory. */
export async function startOtlpSink(options: { readonly forgets?: boolean } = {}): Promise<OtlpSink> {
  const requests: SunkRequest[] = [];
  const waiting = new Set<() => void>();
  let behave: (request: SunkRequest, index: number) => Behaviour = () => ({ kind: "take" });
  const server = createServer((request, response) => {
    void readAll(request).then(
      (body) => {
        const sunk = decode(request, body);
        requests.push(sunk);
        answer(sunk, behave(sunk, requests.length - 1), response);
        for (const check of waiting) check();
        if (options.forgets === true) requests.length = 0;
      },
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sink: OtlpSink = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get logs() {
      return requests.filter(({ isTaken }) => isTaken).flatMap(({ logs }) => logs);
    },
    get points() {
      return requests.filter(({ isTaken }) => isTaken).flatMap(({ points }) => points);
    },
    behave(behaviour) {
      behave = behaviour;
    },
    until(condition) {
      return new Promise((resolve) => {
        const check = () => {
          if (!condition(sink)) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
        check();
      });
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return sink;
}

/** Decodes one OTLP body: what the sink does with every request, for bodies that come another way. */
export function decodeOtlp(
  signal: "logs" | "metrics",
  encoding: "json" | "protobuf",
  body: Uint8Array,
): Pick<SunkRequest, "logs" | "points"> {
  const message = encoding === "json" ? JSON.parse(new TextDecoder().decode(body)) : decodeProtobuf(signal, body);
  return { logs: signal === "logs" ? logsOf(message) : [], points: signal === "metrics" ? pointsOf(message) : [] };
}

function decode(request: IncomingMessage, raw: Buffer): SunkRequest {
  const body = inflated(raw, request.headers["content-encoding"]);
  const encoding = request.headers["content-type"] === "application/x-protobuf" ? "protobuf" : "json";
  const path = request.url ?? "";
  const decoded = decodeOtlp(path.endsWith("metrics") ? "metrics" : "logs", encoding, body);
  return { path, headers: request.headers, encoding, bytes: body.length, ...decoded, isTaken: false };
}

function inflated(raw: Buffer, coding: string | undefined): Uint8Array {
  if (coding === "gzip") return gunzipSync(raw);
  return coding === "zstd" ? zstdDecompressSync(raw) : raw;
}

function answer(request: SunkRequest, behaviour: Behaviour, response: ServerResponse): void {
  switch (behaviour.kind) {
    case "take": {
      request.isTaken = true;
      const count = request.path.endsWith("metrics") ? "rejectedDataPoints" : "rejectedLogRecords";
      const partialSuccess = { [count]: behaviour.rejected ?? 0, errorMessage: behaviour.message ?? "" };
      if (request.encoding === "json") {
        response.writeHead(200, { "content-type": "application/json" });
        response.end(JSON.stringify({ partialSuccess: { ...partialSuccess, [count]: String(partialSuccess[count]) } }));
        return;
      }
      const type = typeOf(request.path.endsWith("metrics") ? "metrics" : "logs", "Response");
      response.writeHead(200, { "content-type": "application/x-protobuf" });
      response.end(type.encode(type.fromObject({ partialSuccess })).finish());
      return;
    }
    case "status":
      response.writeHead(behaviour.status, { "content-type": "text/plain", ...behaviour.headers });
      response.end(behaviour.body ?? "");
      return;
    case "hang":
      return;
    case "reset":
      response.socket?.resetAndDestroy();
      return;
    case "drip": {
      response.writeHead(200, { "content-type": "application/json" });
      const timer = setInterval(() => response.write(" "), behaviour.everyMs);
      response.on("close", () => clearInterval(timer));
      return;
    }
    case "refuse_json":
      if (request.encoding === "protobuf") return answer(request, { kind: "take" }, response);
      return answer(request, { kind: "status", status: 400, body: "json encoding isn't supported" }, response);
  }
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

let definitions: protobuf.Root | undefined;

function typeOf(signal: "logs" | "metrics", half: "Request" | "Response"): protobuf.Type {
  if (definitions === undefined) {
    definitions = new protobuf.Root();
    definitions.resolvePath = (_origin, target) => join(import.meta.dirname, "otlp-proto", target);
    const collector = "opentelemetry/proto/collector";
    definitions.loadSync([`${collector}/logs/v1/logs_service.proto`, `${collector}/metrics/v1/metrics_service.proto`]);
  }
  const service = signal === "logs" ? "logs.v1.ExportLogsService" : "metrics.v1.ExportMetricsService";
  return definitions.lookupType(`opentelemetry.proto.collector.${service}${half}`);
}

function decodeProtobuf(signal: "logs" | "metrics", body: Uint8Array): Message {
  const type = typeOf(signal, "Request");
  return type.toObject(type.decode(body), { longs: String, bytes: String }) as Message;
}

interface Message {
  readonly [member: string]: unknown;
}

function list(message: Message | undefined, member: string): Message[] {
  return (message?.[member] as Message[] | undefined) ?? [];
}

function logsOf(request: Message): SunkLog[] {
  const logs: SunkLog[] = [];
  for (const resourceLogs of list(request, "resourceLogs")) {
    const resource = attributesOf(resourceLogs["resource"] as Message);
    for (const scopeLogs of list(resourceLogs, "scopeLogs")) {
      for (const log of list(scopeLogs, "logRecords")) {
        const scope = scopeLogs["scope"] as SunkLog["scope"];
        logs.push({ ...log, body: valueOf(log["body"] as Message), attributes: attributesOf(log), resource, scope });
      }
    }
  }
  return logs;
}

function pointsOf(request: Message): SunkPoint[] {
  const points: SunkPoint[] = [];
  for (const resourceMetrics of list(request, "resourceMetrics")) {
    const resource = attributesOf(resourceMetrics["resource"] as Message);
    for (const scopeMetrics of list(resourceMetrics, "scopeMetrics")) {
      for (const metric of list(scopeMetrics, "metrics")) {
        for (const kind of ["sum", "gauge", "histogram"] as const) {
          const data = metric[kind] as Message | undefined;
          for (const point of list(data, "dataPoints")) {
            const value = point["asInt"] ?? point["asDouble"];
            points.push({
              ...point,
              ...(data as {
                isMonotonic?: boolean;
                aggregationTemporality?: number;
              }),
              metric: metric["name"] as string,
              unit: metric["unit"] as string,
              description: metric["description"] as string,
              kind,
              resource,
              scope: scopeMetrics["scope"] as SunkPoint["scope"],
              attributes: attributesOf(point),
              ...(value === undefined ? {} : { value: Number(value) }),
            });
          }
        }
      }
    }
  }
  return points;
}

function attributesOf(message: Message | undefined): Record<string, unknown> {
  return Object.fromEntries(list(message, "attributes").map(({ key, value }) => [key, valueOf(value as Message)]));
}

function valueOf(value: Message | undefined): unknown {
  if (value === undefined) return undefined;
  if (value["intValue"] !== undefined) return Number(value["intValue"]);
  if (value["arrayValue"] !== undefined) return list(value["arrayValue"] as Message, "values").map(valueOf);
  return value["stringValue"] ?? value["boolValue"] ?? value["doubleValue"];
}
