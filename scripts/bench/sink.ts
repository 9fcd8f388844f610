/** The OTLP sink: a process that accepts every request at once and decodes it later, so that it takes little CPU from the measured program. */
import { gunzipSync } from "node:zlib";
import { serialLimit, txBytesOf } from "./bodies.ts";
import { parentMessages, tellParent } from "./child.ts";
import { decodeOtlp } from "../../test/support/otlp-sink.ts";
import { eachSerial } from "./otlp.ts";

/** How often the entries from `first` up to `end` (exclusive) were sent. */
export interface SentEntries {
  readonly first: number;
  readonly end: number;
  readonly times: number;
}

/** A message from the parent. */
export type SinkRequest =
  { readonly ask: "arrivals" } | { readonly ask: "verify"; readonly sent: readonly SentEntries[] };

export interface SinkArrivals {
  readonly metricRequests: number;
  /** Epoch milliseconds of the last log request; 0 before the first. */
  readonly lastLogAt: number;
}

export interface SinkFindings {
  /** Log records that never arrived. */
  readonly missing: number;
  /** Log records that arrived more often than they were sent. */
  readonly repeated: number;
  /** Log records that belong to no sent entry. */
  readonly unexpected: number;
  /** The last value of each series, summed by metric and by some attributes. */
  readonly totals: Readonly<Record<string, number>>;
}

interface Body {
  readonly bytes: Uint8Array;
  readonly isJson: boolean;
  readonly isGzip: boolean;
}

/** Beyond this, stored bodies are decoded as fast as further requests arrive. */
const maxWaitingBytes = 1024 ** 3;

const arrivals = { metricRequests: 0, lastLogAt: 0 };
const waitingLogs: Body[] = [];
const waitingMetrics: Body[] = [];
let waitingBytes = 0;

/** How often each serial arrived. */
const seen = new Uint16Array(serialLimit + 1);
const series = new Map<string, { group: string; value: number }>();
let logRecords = 0;

async function accept(request: Request): Promise<Response> {
  const isLogs = request.url.endsWith("/v1/logs");
  const bytes = new Uint8Array(await request.arrayBuffer());
  const isJson = (request.headers.get("content-type") ?? "").startsWith("application/json");
  const body = { bytes, isJson, isGzip: request.headers.get("content-encoding") === "gzip" };
  if (isLogs) {
    arrivals.lastLogAt = Date.now();
    waitingLogs.push(body);
    waitingBytes += bytes.byteLength;
    if (waitingBytes > maxWaitingBytes) readLogs(waitingLogs.splice(0, 2));
  } else {
    arrivals.metricRequests++;
    waitingMetrics.push(body);
  }
  const type = isJson ? "application/json" : "application/x-protobuf";
  return new Response(isJson ? "{}" : new Uint8Array(0), { headers: { "content-type": type } });
}

function readLogs(bodies: readonly Body[]): void {
  for (const body of bodies) {
    waitingBytes -= body.bytes.byteLength;
    eachSerial(inflated(body), body.isJson, (serial) => {
      logRecords++;
      if (serial > 0 && serial <= serialLimit) seen[serial] = (seen[serial] as number) + 1;
    });
  }
}

/** Decodes what arrived since the last call, and compares everything so far with what was sent. */
function verify(sent: readonly SentEntries[]): SinkFindings {
  readLogs(waitingLogs.splice(0));
  for (const body of waitingMetrics.splice(0)) {
    const { points } = decodeOtlp("metrics", body.isJson ? "json" : "protobuf", inflated(body));
    for (const { metric, attributes, value = 0 } of points) {
      const key = `${metric} ${JSON.stringify(Object.entries(attributes).sort())}`;
      series.set(key, { group: groupOf(metric, attributes), value });
    }
  }
  let [missing, repeated, belonging] = [0, 0, 0];
  for (const { first, end, times } of sent) {
    for (let entry = first; entry < end; entry++) {
      const came = seen[txBytesOf(entry)] as number;
      belonging += came;
      missing += Math.max(0, times - came);
      repeated += Math.max(0, came - times);
    }
  }
  const totals: Record<string, number> = {};
  for (const { group, value } of series.values()) totals[group] = (totals[group] ?? 0) + value;
  return { missing, repeated, unexpected: logRecords - belonging, totals };
}

/** Series are summed over all attributes except these. */
function groupOf(metric: string, attributes: Readonly<Record<string, unknown>>): string {
  const names = ["network.io.direction", "outcome"];
  return [metric, ...names.map((name) => attributes[name]).filter((value) => value !== undefined)].join("/");
}

function inflated({ bytes, isGzip }: Body): Uint8Array {
  return isGzip ? gunzipSync(bytes) : bytes;
}

if (import.meta.main) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: accept, maxRequestBodySize: 64 * 1024 ** 2 });
  tellParent({ url: `http://127.0.0.1:${server.port}` });
  for await (const line of parentMessages()) {
    const request = JSON.parse(line) as SinkRequest;
    tellParent(request.ask === "arrivals" ? arrivals : verify(request.sent));
  }
  await server.stop(true);
}
