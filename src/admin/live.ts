/**
 * Updates for open pages as server-sent events. Each message is built once and sent to all pages, and none is built while no page
 * is connected. A message is a complete state, so a slow browser simply misses some.
 */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Exchange, HttpAnswer } from "../http/exchange.ts";
import { jsonResponse } from "../http/exchange.ts";
import type { Committed, Journal, Row } from "../journal/index.ts";
import type { AcceptedEvent, EventFeed } from "./events/index.ts";
import { idOf, startOf } from "./events/page.ts";
import type { Overview } from "./overview.ts";
import type { TrafficFeed } from "./traffic/index.ts";

export interface LiveDeps {
  readonly overview: () => Overview;
  readonly traffic: Pick<TrafficFeed, "onSample">;
  readonly events: Pick<EventFeed, "read">;
  readonly journal: Pick<Journal, "identity">;
  readonly telemetry: Telemetry;
  /** Limits that tests lower. */
  readonly maxPages?: number;
  readonly stalledMs?: number;
}

/** Maximum number of pages, and bytes buffered for each. */
const usualMaxPages = 200;
const bufferBytes = 256 * 1024;

const overviewMs = 1000;

/** A browser that has read nothing for this long while its buffer is full is considered gone. */
const usualStalledMs = 30_000;

/** A stream ends after this time, and the browser opens another one, so that access is checked again. */
const maxAgeMs = 3_600_000;

/** How long a browser waits before it reconnects, in milliseconds. */
const retry = encoded("retry: 2000\n\n");

/** Maximum number of new audit and webhook events in one message. */
const maxEvents = 50;

interface Page {
  readonly exchange: Pick<Exchange, "close">;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly openedAt: number;
  /** Free bytes of its buffer, negative if overfull, and when the browser was last seen to read. */
  free: number;
  tookAt: number;
}

export class Live {
  readonly #deps: LiveDeps;
  readonly #pages = new Set<Page>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #overview: { readonly at: number; readonly message: Uint8Array } | undefined;
  /** The first row with unsent audit or webhook events, and how many such records have arrived. */
  #unsent: { readonly seq: number; records: number } | undefined;
  #isReading = false;
  #isClosed = false;

  constructor(deps: LiveDeps) {
    this.#deps = deps;
    deps.traffic.onSample((sample) => {
      if (this.#pages.size > 0) this.#sendToAll(messageOf("sample", sample));
    });
    deps.telemetry.observe("tailscale2otel.admin.live.open", () => [{ value: this.#pages.size, attributes: {} }]);
  }

  /** Opens a stream for a page. @throws what `overview` throws. */
  answer(exchange: Pick<Exchange, "request" | "close">): HttpAnswer {
    const { maxPages = usualMaxPages, telemetry } = this.#deps;
    if (this.#isClosed) return jsonResponse(503, { text: "the program is stopping" });
    if (this.#pages.size >= maxPages) {
      telemetry.add("tailscale2otel.admin.rejected", 1, { reason: "too_many_pages" });
      return jsonResponse(503, { text: `${maxPages} pages are open already` }, { "retry-after": "30" });
    }
    const headers = { "content-type": "text/event-stream", "x-accel-buffering": "no" };
    return { status: 200, headers, body: exchange.request.method === "HEAD" ? "" : this.#open(exchange) };
  }

  committed({ parts }: Pick<Committed, "parts">): void {
    for (const { part, seq, accepted } of parts) this.added({ type: part.type, seq, records: accepted });
  }

  /** A row has been committed; `seq` 0 means none. */
  added({ type, seq, records }: Pick<Row, "type" | "seq" | "records">): void {
    if (this.#pages.size === 0 || seq === 0 || (type !== "audit" && type !== "webhook")) return;
    this.#unsent ??= { seq, records: 0 };
    this.#unsent.records += records;
  }

  /** Ends every stream; pages that still have access open another one. */
  end(): void {
    for (const page of this.#pages) this.#close(page, "ended");
  }

  /** Ends every stream permanently. */
  close(): void {
    this.#isClosed = true;
    this.end();
  }

  #open(exchange: Pick<Exchange, "close">): ReadableStream<Uint8Array> {
    let page: Page | undefined;
    const now = performance.now();
    const first = this.#overviewMessage(now);
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          page = { exchange, controller, openedAt: now, free: bufferBytes, tookAt: now };
          this.#pages.add(page);
          this.#timer ??= setInterval(() => this.#tick(), overviewMs);
          controller.enqueue(retry);
          controller.enqueue(first);
        },
        cancel: () => {
          if (page !== undefined) this.#forget(page);
        },
      },
      new ByteLengthQueuingStrategy({ highWaterMark: bufferBytes }),
    );
  }

  #tick(): void {
    const now = performance.now();
    const { stalledMs = usualStalledMs } = this.#deps;
    for (const page of this.#pages) {
      const free = page.controller.desiredSize ?? 0;
      if (free > 0 || free !== page.free) page.tookAt = now;
      page.free = free;
      if (now - page.tookAt >= stalledMs) this.#close(page, "stalled");
      else if (now - page.openedAt >= maxAgeMs) this.#close(page, "ended");
    }
    if (this.#pages.size === 0) return;
    try {
      this.#sendToAll(this.#overviewMessage(now));
    } catch {
      // The state cannot be read, for example because the journal is damaged; pages that reconnect are told why.
      return this.end();
    }
    void this.#sendEvents();
  }

  /** Pages that open at the same time share one message. */
  #overviewMessage(now: number): Uint8Array {
    if (this.#overview === undefined || now - this.#overview.at >= overviewMs / 2)
      this.#overview = { at: now, message: messageOf("overview", this.#deps.overview()) };
    return this.#overview.message;
  }

  async #sendEvents(): Promise<void> {
    const unsent = this.#unsent;
    if (unsent === undefined || this.#isReading) return;
    this.#unsent = undefined;
    this.#isReading = true;
    try {
      const events = await this.#eventsFrom(unsent.seq);
      const more = Math.max(0, unsent.records - events.length);
      if (events.length > 0) this.#sendToAll(messageOf("events", { events, more }));
    } catch {
      // Too many reads at once, or the program is stopping. A page that misses events reads them itself.
    } finally {
      this.#isReading = false;
    }
  }

  async #eventsFrom(seq: number): Promise<readonly AcceptedEvent[]> {
    const found: AcceptedEvent[] = [];
    let from = idOf(this.#deps.journal, startOf(seq));
    for (;;) {
      const limit = maxEvents - found.length;
      const query = { from, types: ["audit", "webhook"], nodes: [], limit, waitMs: 0 } as const;
      const { events, isEnd, next } = await this.#deps.events.read(query);
      found.push(...events);
      // A read ends early if the program has other work.
      if (isEnd || events.length === 0 || found.length >= maxEvents) return found;
      from = next;
    }
  }

  #sendToAll(message: Uint8Array): void {
    for (const { controller } of this.#pages) {
      if ((controller.desiredSize ?? 0) > 0) controller.enqueue(message);
      else this.#deps.telemetry.add("tailscale2otel.admin.live.skipped", 1, {});
    }
  }

  #close(page: Page, reason: "ended" | "stalled"): void {
    this.#forget(page);
    this.#deps.telemetry.add("tailscale2otel.admin.live.closed", 1, { reason });
    const { controller, exchange } = page;
    if (reason === "ended" && (controller.desiredSize ?? 0) > 0) return controller.close();
    // Data buffered for a browser that reads nothing would keep the connection open.
    controller.error(new Error(reason));
    exchange.close();
  }

  #forget(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#unsent = undefined;
  }
}

function messageOf(event: "overview" | "sample" | "events", data: object): Uint8Array {
  return encoded(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
}

function encoded(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
