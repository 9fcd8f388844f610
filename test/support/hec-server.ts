/** A HEC receiver on a real socket, with a recording pipeline behind it and its telemetry and log captured. */
import type { Telemetry } from "../../src/catalogue/telemetry.ts";
import type { Config } from "../../src/config/index.ts";
import { createHttpServer } from "../../src/http/server.ts";
import type { Logger } from "../../src/lib/logger.ts";
import type { Pipeline } from "../../src/pipeline/index.ts";
import { createHecReceiver, type HecReceiver } from "../../src/receivers/hec/index.ts";
import { createRecordingPipeline, defaultConfig, type RecordingPipeline } from "./recording-pipeline.ts";
import { until } from "./wait.ts";

export const token = "5f1c0a7e-token";

export const defaultOptions: Config["streaming"] = { ...defaultConfig.streaming, token };

export interface HecServer extends AsyncDisposable {
  readonly port: number;
  readonly receiver: HecReceiver;
  readonly pipeline: RecordingPipeline;
  /** `rejected{reason}`, summed. */
  readonly rejected: Readonly<Record<string, number>>;
  /** The current value of `inflight`. */
  readonly inFlight: number;
  /** Number of requests whose duration was recorded. */
  readonly durations: number;
  readonly sizes: readonly number[];
  /** The whole log as text. */
  readonly log: string;
  isFull: boolean;
  /** Resolves when no request is in flight. */
  idle(): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Posts to the configured path with the token. */
  post(body: BodyInit, headers?: Readonly<Record<string, string>>): Promise<Response>;
}

export async function startHecServer(
  options: Partial<Config["streaming"]> = {},
  { listen = "127.0.0.1:0", pipeline }: { listen?: string; pipeline?: Pipeline } = {},
): Promise<HecServer> {
  const settings = { ...defaultOptions, ...options };
  const recording = createRecordingPipeline();
  const rejected: Record<string, number> = {};
  const sizes: number[] = [];
  const lines: string[] = [];
  let inFlight = 0;
  let durations = 0;
  const telemetry: Telemetry = {
    add(metric, value, attributes) {
      if (metric === "tailscale.stream.inflight") inFlight += value;
      if ("reason" in attributes)
        rejected[String(attributes.reason)] = (rejected[String(attributes.reason)] ?? 0) + value;
    },
    record(metric, value) {
      if (metric === "tailscale.stream.request.duration") durations++;
      if (metric === "tailscale.stream.request.size") sizes.push(value);
    },
    observe() {},
  };
  const line: Logger["info"] = (message, fields) => void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const logger: Logger = { debug: line, info: line, warn: line, error: line };
  let isFull = false;
  const receiver = createHecReceiver(settings, {
    pipeline: pipeline ?? recording,
    telemetry,
    logger,
    clock: Date.now,
    isFull: () => isFull,
  });
  const http = createHttpServer({ listen }, { routes: receiver.routes, logger });
  await http.start();
  const base = `http://127.0.0.1:${http.port}`;
  const fetchPath = (path: string, init?: RequestInit): Promise<Response> => fetch(base + path, init);
  const server: HecServer = {
    port: http.port,
    receiver,
    pipeline: recording,
    rejected,
    get inFlight() {
      return inFlight;
    },
    get durations() {
      return durations;
    },
    sizes,
    get log() {
      return lines.join("\n");
    },
    get isFull() {
      return isFull;
    },
    set isFull(state) {
      isFull = state;
    },
    idle: () => until(() => server.inFlight === 0),
    stop: (deadlineMs) => http.stop(deadlineMs),
    fetch: fetchPath,
    post: (body, headers = {}) =>
      fetchPath(settings.path, { method: "POST", body, headers: { authorization: `Splunk ${token}`, ...headers } }),
    [Symbol.asyncDispose]: () => http.stop(0),
  };
  return server;
}

/** One small flow record in its envelope, unique to `serial`. */
export function flowEnvelope(serial: number): string {
  return JSON.stringify({
    time: 1_790_000_000 + serial,
    event: {
      nodeId: "n1CNTRL",
      start: new Date(1_790_000_000_000 + serial * 5000).toISOString(),
      end: new Date(1_790_000_005_000 + serial * 5000).toISOString(),
      virtualTraffic: [{ proto: 6, src: "100.64.0.1:50000", dst: "100.64.0.2:443", txPkts: 1, txBytes: 100 + serial }],
    },
    fields: { recorded: "2026-09-21T13:33:20.004Z" },
  });
}
