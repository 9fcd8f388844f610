/**
 * A strict stand-in for Loki 3 with its default limits, which accepts OTLP logs at `/otlp/v1/logs` and rejects what Loki
 * rejects, in Loki's words.
 * Its rules:
 * - Resource attributes of the default list become the labels of a stream; everything else is structured metadata. Dots become
 * underscores.
 * - Out of order: an entry may be up to an hour (half of `max_chunk_age`) older than the newest of its stream.
 * - Age: at most 168 h (`reject_old_samples_max_age`), and at most 10 min in the future (`creation_grace_period`).
 * - Size: at most 256 KB per line, 128 metadata entries of 64 KB per line, and 6 MB per request (`ingestion_burst_size_mb`).
 * - With `auth_enabled`, a request needs `X-Scope-OrgID`.
 * - A request rejected with 400 is stored except for the offending entries; identical entries are stored once.
 * Sources: Loki's `pkg/validation/validate.go`, `pkg/ingester/stream.go`, and its pages "Ingesting logs to Loki using
 * OpenTelemetry Collector" and "Enforce rate limits and push request validation".
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { decodeOtlp, type SunkLog } from "./otlp-sink.ts";
import { until } from "./wait.ts";

export interface LokiEntry {
  /** Labels and structured metadata. */
  readonly labels: Readonly<Record<string, string>>;
  /** Epoch milliseconds. */
  readonly time: number;
  readonly line: string;
}

export interface Loki {
  /** The base URL for OTLP over HTTP, to which `/v1/logs` is appended. */
  readonly endpoint: string;
  /** Responses to rejected requests. */
  readonly refusals: readonly string[];
  /** Entries that match a LogQL selector with label filters: `{a="b"} | c="d"`. */
  query(expression: string): readonly LokiEntry[];
  /** Resolves with the first non-empty result. The caller's own timeout bounds the wait. */
  until(expression: string): Promise<readonly LokiEntry[]>;
  stop(): Promise<void>;
}

const kubernetesObjects = "cluster container cronjob daemonset deployment job namespace pod replicaset statefulset";

const indexed: ReadonlySet<string> = new Set([
  "cloud_availability_zone",
  "cloud_region",
  "container_name",
  "deployment_environment",
  "deployment_environment_name",
  "service_instance_id",
  "service_name",
  "service_namespace",
  ...kubernetesObjects.split(" ").map((name) => `k8s_${name}_name`),
]);

const limits = {
  behindMs: 3_600_000,
  ageMs: 168 * 3_600_000,
  aheadMs: 600_000,
  lineBytes: 256 * 1024,
  metadataEntries: 128,
  metadataBytes: 64 * 1024,
  requestBytes: 6_000_000,
};

interface Entry {
  readonly stream: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly metadata: Readonly<Record<string, string>>;
  readonly time: number;
  readonly line: string;
}

export function startLoki(options: { readonly authEnabled?: boolean } = {}): Loki {
  const kept = new Map<string, Entry>();
  const newest = new Map<string, number>();
  const refusals: string[] = [];

  function take(entries: readonly Entry[]): string | undefined {
    const now = Date.now();
    const invalid = entries.map((entry) => invalidity(entry, now));
    const behind: string[] = [];
    let streamName = "";
    for (const [index, entry] of entries.entries()) {
      if (invalid[index] !== undefined) continue;
      const cutoff = (newest.get(entry.stream) ?? 0) - limits.behindMs;
      if (entry.time < cutoff) {
        streamName = entry.stream;
        behind.push(
          `entry with timestamp ${new Date(entry.time).toISOString()} ignored, reason: 'entry too far behind, ` +
            `entry timestamp is: ${seconds(entry.time)}, oldest acceptable timestamp is: ${seconds(cutoff)}',`,
        );
        continue;
      }
      newest.set(entry.stream, Math.max(newest.get(entry.stream) ?? 0, entry.time));
      kept.set(JSON.stringify(entry), entry);
    }
    if (behind.length > 0)
      return `${behind.slice(0, 10).join("\n")}\nuser 'fake', total ignored: ${behind.length} out of ${entries.length} for stream: ${streamName}`;
    return invalid.find((reason) => reason !== undefined);
  }

  async function answer(request: Request): Promise<Response> {
    const refuse = (status: number, text: string): Response => {
      refusals.push(text);
      return new Response(`${text}\n`, { status });
    };
    if (new URL(request.url).pathname !== "/otlp/v1/logs") return new Response("404 page not found\n", { status: 404 });
    if (options.authEnabled === true && request.headers.get("x-scope-orgid") === null) return refuse(401, "no org id");
    const type = request.headers.get("content-type") ?? "";
    if (type !== "application/x-protobuf" && type !== "application/json")
      return refuse(400, `content type: ${type} is not supported`);
    const raw = new Uint8Array(await request.arrayBuffer());
    const coding = request.headers.get("content-encoding");
    const body = coding === "gzip" ? gunzipSync(raw) : coding === "zstd" ? zstdDecompressSync(raw) : raw;
    const entries = decodeOtlp("logs", type.endsWith("json") ? "json" : "protobuf", body).logs.map(entryOf);
    const bytes = entries.reduce((sum, { line, metadata }) => sum + line.length + sizeOf(metadata), 0);
    if (bytes > limits.requestBytes)
      return refuse(
        429,
        `Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '${entries.length}' ` +
          `lines totaling '${bytes}' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased`,
      );
    const refusal = take(entries);
    return refusal === undefined ? new Response(null, { status: 204 }) : refuse(400, refusal);
  }

  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
  const loki: Loki = {
    endpoint: `http://127.0.0.1:${server.port}/otlp`,
    refusals,
    query(expression) {
      const wanted = matchersOf(expression);
      return [...kept.values()]
        .map(({ labels, metadata, time, line }) => ({ labels: { ...labels, ...metadata }, time, line }))
        .filter(({ labels }) => wanted.every(([name, matches]) => matches.test(labels[name] ?? "")));
    },
    async until(expression) {
      await until(() => loki.query(expression).length > 0);
      return loki.query(expression);
    },
    stop: () => server.stop(true),
  };
  return loki;
}

function entryOf({ attributes, body, resource, scope, ...log }: SunkLog): Entry {
  const labels: Record<string, string> = {};
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(resource))
    (indexed.has(nameOf(name)) ? labels : metadata)[nameOf(name)] = textOf(value);
  for (const [name, value] of Object.entries(attributes)) metadata[nameOf(name)] = textOf(value);
  if (log.severityText !== undefined) metadata["severity_text"] = log.severityText;
  if (log.eventName !== undefined) metadata["event_name"] = log.eventName;
  metadata["scope_name"] = scope.name ?? "";
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  const time = Number(BigInt(log.timeUnixNano ?? log.observedTimeUnixNano ?? 0) / 1_000_000n);
  return { stream: `{${pairs.toSorted().join(", ")}}`, labels, metadata, time, line: textOf(body) };
}

function invalidity({ stream, metadata, time, line }: Entry, now: number): string | undefined {
  const { ageMs, aheadMs, lineBytes, metadataEntries, metadataBytes } = limits;
  const [entries, bytes, length] = [Object.keys(metadata).length, sizeOf(metadata), Buffer.byteLength(line)];
  if (time < now - ageMs)
    return `entry for stream '${stream}' has timestamp too old: ${seconds(time)}, oldest acceptable timestamp is: ${seconds(now - ageMs)}`;
  if (time > now + aheadMs) return `entry for stream '${stream}' has timestamp too new: ${seconds(time)}`;
  if (length > lineBytes)
    return `Max entry size '${lineBytes}' bytes exceeded for stream '${stream}' while adding an entry with length '${length}' bytes`;
  if (bytes > metadataBytes)
    return `stream '${stream}' has structured metadata too large: '${bytes}' bytes, limit: '${metadataBytes}' bytes.`;
  if (entries > metadataEntries)
    return `stream '${stream}' has too many structured metadata labels: '${entries}', limit: '${metadataEntries}'.`;
  return undefined;
}

/**
 * Matchers with `=`, and with `=~`, whose regular expression must match the whole value. The rest of the expression is ignored.
 */
function matchersOf(expression: string): readonly (readonly [name: string, matches: RegExp])[] {
  const matcher = /(\w+)\s*(=~|=)\s*("(?:[^"\\]|\\.)*")/g;
  return [...expression.matchAll(matcher)].map(([, name = "", operator, quoted = ""]) => {
    const value = JSON.parse(quoted) as string;
    return [name, new RegExp(`^(?:${operator === "=" ? RegExp.escape(value) : value})$`)];
  });
}

function nameOf(attribute: string): string {
  return attribute.replaceAll(/\W/g, "_");
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function sizeOf(metadata: Entry["metadata"]): number {
  return Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + Buffer.byteLength(value), 0);
}

/** As Go formats it, with a precision of seconds. */
function seconds(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+/, "");
}
