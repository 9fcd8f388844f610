/**
 * An OTLP sink for long runs with the benchmark's bodies, which identifies log records by the bytes they report, stores one
 * byte for each, and checks their order.
 */
import { gunzipSync } from "node:zlib";
import { serialLimit, txBytesOf } from "../../scripts/bench/bodies.ts";
import { eachSerial } from "../../scripts/bench/otlp.ts";
import { decodeOtlp } from "../support/otlp-sink.ts";

export interface OrderedSinkOptions {
  /** `loki` rejects a request with an event more than an hour older than the newest accepted one, as Loki does by default. */
  readonly rule: "plain" | "loki";
  /** The response status until `recover` is called. */
  readonly status: number;
  /** The time of an entry, in epoch milliseconds. */
  readonly timeOf: (entry: number) => number;
}

const tooOldMs = 3_600_000;

export class OrderedSink {
  readonly #options: OrderedSinkOptions;
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #entryOf = new Uint32Array(serialLimit + 1);
  readonly #seen = new Uint8Array(serialLimit);
  readonly #series = new Map<string, { readonly metric: string; readonly direction: string; value: number }>();
  #isDown = true;
  #newestEntry = 0;
  #newestMs = 0;
  /** Log records accepted, and those among them that had arrived before. */
  taken = 0;
  repeated = 0;
  /** Log records that were never sent. */
  foreign = 0;
  /** Requests rejected by the rule. */
  refused = 0;
  /** The most entries by which a log record first arrived after a later one. */
  stepBack = 0;

  constructor(options: OrderedSinkOptions) {
    this.#options = options;
    for (let entry = 0; entry < serialLimit; entry++) this.#entryOf[txBytesOf(entry)] = entry;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      maxRequestBodySize: 64 * 1024 ** 2,
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** From now on, accepts what its rule allows. */
  recover(): void {
    this.#isDown = false;
  }

  /** How many of the first entries have not arrived. */
  missing(entries: number): number {
    return this.#seen.subarray(0, entries).reduce((sum, times) => sum + (times === 0 ? 1 : 0), 0);
  }

  /** The last value of each series of a metric, summed; of one direction, if given. */
  total(metric: string, direction = ""): number {
    let sum = 0;
    for (const series of this.#series.values())
      if (series.metric === metric && series.direction === direction) sum += series.value;
    return sum;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const raw = new Uint8Array(await request.arrayBuffer());
    if (this.#isDown) return new Response("the backend is down", { status: this.#options.status });
    const body = request.headers.get("content-encoding") === "gzip" ? gunzipSync(raw) : raw;
    const type = request.headers.get("content-type") ?? "";
    const isJson = type === "application/json";
    if (request.url.endsWith("/v1/metrics")) this.#takeMetrics(body, isJson);
    else if (!this.#takeLogs(body, isJson)) return new Response("entry too far behind", { status: 400 });
    return new Response(isJson ? "{}" : new Uint8Array(0), { headers: { "content-type": type } });
  }

  #takeMetrics(body: Uint8Array, isJson: boolean): void {
    for (const { metric, attributes, value = 0 } of decodeOtlp("metrics", isJson ? "json" : "protobuf", body).points) {
      const key = `${metric} ${JSON.stringify(Object.entries(attributes).toSorted())}`;
      this.#series.set(key, { metric, direction: String(attributes["network.io.direction"] ?? ""), value });
    }
  }

  /** Accepts the whole request or nothing of it. */
  #takeLogs(body: Uint8Array, isJson: boolean): boolean {
    const { rule, timeOf } = this.#options;
    const entries: number[] = [];
    let foreign = 0;
    eachSerial(body, isJson, (serial) => {
      if (serial > 0 && serial <= serialLimit) entries.push(this.#entryOf[serial] as number);
      else foreign++;
    });
    const oldestMs = entries.reduce((oldest, entry) => Math.min(oldest, timeOf(entry)), Number.POSITIVE_INFINITY);
    if (rule === "loki" && oldestMs < this.#newestMs - tooOldMs) {
      this.refused++;
      return false;
    }
    for (const entry of entries) this.#take(entry);
    this.foreign += foreign;
    return true;
  }

  #take(entry: number): void {
    this.taken++;
    if (this.#seen[entry] === 1) return void this.repeated++;
    this.#seen[entry] = 1;
    this.stepBack = Math.max(this.stepBack, this.#newestEntry - entry);
    this.#newestEntry = Math.max(this.#newestEntry, entry);
    this.#newestMs = Math.max(this.#newestMs, this.#options.timeOf(entry));
  }
}
