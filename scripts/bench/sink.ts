/** The OTLP sink: a process that takes every request at once and keeps its body, to count what arrived after the load. */
import { gunzipSync } from "node:zlib";
import { serialLimit, txBytesOf } from "./bodies.ts";
import { parentMessages, tellParent } from "./child.ts";
import { eachLogRecord, pointsOf } from "./otlp.ts";

/** What the parent writes. */
export type SinkRequest =
  | { readonly ask: "arrivals" }
  | {
      readonly ask: "verify";
      readonly entries: readonly [first: number, end: number][];
    };

export interface SinkArrivals {
  readonly logRequests: number;
  readonly logBytes: number;
  readonly metricRequests: number;
  readonly metricBytes: number;
  /** Epoch milliseconds of the last log request; 0 before the first. */
  readonly lastLogAt: number;
}

export interface SinkFindings {
  readonly logRecords: number;
  /** Expected entries whose log record never came. */
  readonly missing: number;
  /** Log records that came more than once. */
  readonly repeated: number;
  /** Log records that belong to no expected entry. */
  readonly unexpected: number;
  /** The last value of each series, summed by metric and by some attributes. */
  readonly totals: Readonly<Record<string, number>>;
}

interface Kept {
  readonly body: Uint8Array;
  readonly isJson: boolean;
  readonly isGzip: boolean;
}

/** The most that is kept; past it the sink refuses, and the run fails. */
const maxKeptBytes = 2 * 1024 ** 3;

const arrivals = { logRequests: 0, logBytes: 0, metricRequests: 0, metricBytes: 0, lastLogAt: 0 };
const waitingLogs: Kept[] = [];
const waitingMetrics: Kept[] = [];

/** How often each serial came, up to 255. */
const seen = new Uint8Array(serialLimit + 1);
const series = new Map<string, { group: string; value: number }>();
let logRecords = 0;
let foreign = 0;

async function take(request: Request): Promise<Response> {
  const isLogs = new URL(request.url).pathname === "/v1/logs";
  const body = new Uint8Array(await request.arrayBuffer());
  if (arrivals.logBytes + arrivals.metricBytes > maxKeptBytes) return new Response("the sink is full", { status: 503 });
  const isJson = (request.headers.get("content-type") ?? "").startsWith("application/json");
  const kept = { body, isJson, isGzip: request.headers.get("content-encoding") === "gzip" };
  if (isLogs) {
    arrivals.logRequests++;
    arrivals.logBytes += body.byteLength;
    arrivals.lastLogAt = Date.now();
    waitingLogs.push(kept);
  } else {
    arrivals.metricRequests++;
    arrivals.metricBytes += body.byteLength;
    waitingMetrics.push(kept);
  }
  return isJson
    ? new Response("{}", { headers: { "content-type": "application/json" } })
    : new Response(new Uint8Array(0), {
        headers: { "content-type": "application/x-protobuf" },
      });
}

/** Decodes what came since the last call, and compares everything so far with what was sent. */
function verify(entries: readonly [first: number, end: number][]): SinkFindings {
  for (const kept of waitingLogs.splice(0)) {
    eachLogRecord(textOf(kept), kept.isJson, "tailscale.tx.bytes", (serial) => {
      logRecords++;
      if (serial === undefined || serial < 1 || serial > serialLimit) foreign++;
      else if ((seen[serial] ?? 0) < 255) seen[serial] = (seen[serial] ?? 0) + 1;
    });
  }
  for (const kept of waitingMetrics.splice(0)) {
    for (const { metric, attributes, value } of pointsOf(textOf(kept), kept.isJson)) {
      const key = `${metric} ${JSON.stringify(Object.entries(attributes).sort())}`;
      series.set(key, { group: groupOf(metric, attributes), value });
    }
  }
  let missing = 0;
  let distinct = 0;
  for (const [first, end] of entries) {
    for (let entry = first; entry < end; entry++) {
      if (seen[txBytesOf(entry)] === 0) missing++;
      else distinct++;
    }
  }
  const arrived = seen.reduce((sum, times) => sum + (times > 0 ? 1 : 0), 0);
  const totals: Record<string, number> = {};
  for (const { group, value } of series.values()) totals[group] = (totals[group] ?? 0) + value;
  return {
    logRecords,
    missing,
    repeated: logRecords - foreign - arrived,
    unexpected: foreign + arrived - distinct,
    totals,
  };
}

/** Series are summed over everything but these attributes. */
function groupOf(metric: string, attributes: Readonly<Record<string, string>>): string {
  const kept = ["network.io.direction", "outcome"]
    .map((name) => attributes[name])
    .filter((value) => value !== undefined);
  return [metric, ...kept].join("/");
}

function textOf({ body, isGzip }: Kept): Uint8Array {
  return isGzip ? gunzipSync(body) : body;
}

if (import.meta.main) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: take, maxRequestBodySize: 64 * 1024 ** 2 });
  tellParent({ url: `http://127.0.0.1:${server.port}` });
  for await (const line of parentMessages()) {
    const request = JSON.parse(line) as SinkRequest;
    tellParent(request.ask === "arrivals" ? arrivals : verify(request.entries));
  }
  await server.stop(true);
}
