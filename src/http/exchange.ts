/** One request while it is answered: what a handler may know, the one way to its body, and the answers in JSON. */
import { Refusal } from "../errors.ts";
import type { Connection } from "../runtime/serve.ts";
import type { Admission } from "./limiter.ts";

export interface Exchange {
  readonly request: HttpRequest;
  /** Without the query string. */
  readonly path: string;
  /** The sender's address; IPv4 in its own form. */
  readonly peer: string;
  /** The listener accepts connections from this machine alone. */
  readonly isLocalOnly: boolean;
  /** At most once. @throws {Refusal} `too_large`, `overloaded` or `timeout`. */
  readBody(limits: BodyLimits): Promise<Body>;
}

/** The part of `Request` that handlers need. `url` is absolute; its host means nothing. */
export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: { get(name: string): string | null; has(name: string): boolean };
}

/** The same of `Response`: a text body, and lower-case header names. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface BodyLimits {
  /** On the wire. */
  readonly maxBytes: number;
  /** What to tell a sender whose body is larger: the limit, and the setting behind it. */
  readonly tooLarge: string;
  /** Deadline for the last byte. */
  readonly timeoutMs: number;
  /** Holds the bytes as they arrive, until its owner leaves. */
  readonly admission: Admission;
  /** The minimum rate applies from here on. */
  readonly graceMs?: number;
}

/** A body as received, before decompression. Its reader may empty the list of chunks while processing it. */
export interface Body {
  readonly chunks: Uint8Array[];
  readonly bytes: number;
}

/** A response whose body is that value, or that text if it is JSON already. */
export function jsonResponse(
  status: number,
  body: object | string,
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { status, headers: { "content-type": "application/json", ...headers }, body: text };
}

/** Closes idle connections: later than HTTP clients do, at most 255. */
export const idleTimeoutSeconds = 120;

/** An exchange as its server holds it. */
export interface ServedExchange extends Exchange {
  /**
   * Reads on to the end of a body that the handler left unread: senders that are still sending would see a reset instead of
   * the answer. Gives up on slow and endless bodies. Resolves with whether the end was reached.
   */
  discardBody(): Promise<boolean>;
}

export function createExchange(request: Request, connection: Connection, isLocalOnly: boolean): ServedExchange {
  const { method, headers, url } = request;
  const flow = createFlow(request);
  return {
    request: {
      method,
      headers,
      get url() {
        return new URL(url, "http://localhost").href;
      },
    },
    path: pathOf(url),
    peer: connection.peer,
    isLocalOnly,
    async readBody(limits) {
      const announced = Number(headers.get("content-length") ?? 0);
      if (announced > limits.maxBytes) throw new Refusal("too_large", limits.tooLarge);
      // The runtime would count the time until the answer, too.
      if (limits.timeoutMs > (idleTimeoutSeconds * 1000) / 3) connection.disableIdleTimeout();
      return await readBody(flow, limits);
    },
    discardBody: () => discardBody(flow),
  };
}

/** A request's body, delivered to one consumer after the other. */
interface Flow {
  /** `whole`: its last byte has been delivered, or it has none. `cut`: cancelled, or the connection is gone. */
  readonly state: "open" | "whole" | "cut";
  /** Chunks go there from now on. */
  consume(next: Consumer): void;
  cancel(): void;
}

interface Consumer {
  take(chunk: Uint8Array): void;
  ended(how: "whole" | "cut"): void;
}

function createFlow({ body }: Request): Flow {
  let state: Flow["state"] = body === null ? "whole" : "open";
  let consumer: Consumer | undefined;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  async function pump(from: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    try {
      for (let next = await from.read(); !next.done; next = await from.read()) consumer?.take(next.value);
      end("whole");
    } catch {
      end("cut");
    }
  }

  function end(how: "whole" | "cut"): void {
    if (state !== "open") return;
    state = how;
    consumer?.ended(how);
  }

  return {
    get state() {
      return state;
    },
    consume(next) {
      consumer = next;
      if (state !== "open") return next.ended(state);
      if (reader !== undefined || body === null) return;
      reader = body.getReader();
      void pump(reader);
    },
    cancel() {
      end("cut");
      (reader ?? body)?.cancel().catch(ignore);
    },
  };
}

/** A sender below this rate is not sending, it is holding a connection. */
const minBytesPerSecond = 1024;
const defaultGraceMs = 10_000;

function readBody(flow: Flow, limits: BodyLimits): Promise<Body> {
  const { maxBytes, tooLarge, timeoutMs, admission, graceMs = defaultGraceMs } = limits;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    const beganMs = performance.now();
    const check = (): void => {
      const elapsedMs = performance.now() - beganMs;
      const isTooSlow = elapsedMs >= graceMs && bytes < (minBytesPerSecond * elapsedMs) / 1000;
      if (elapsedMs >= timeoutMs) late(`only ${bytes} bytes of the body arrived within ${timeoutMs} ms`);
      else if (isTooSlow) late(`the body arrived more slowly than ${minBytesPerSecond} bytes/s`);
      else timer = setTimeout(check, Math.min(1000, timeoutMs - elapsedMs));
    };
    let timer = setTimeout(check, Math.min(graceMs, timeoutMs));
    const stop = (): void => {
      clearTimeout(timer);
      admission.reading(undefined);
    };
    const fail = (error: unknown): void => {
      stop();
      // What arrives until the answer is decided is dropped.
      flow.consume({ take: ignore, ended: ignore });
      reject(error as Error);
    };
    const late = (text: string): void => {
      fail(new Refusal("timeout", text));
      flow.cancel();
    };
    admission.reading(() =>
      fail(new Refusal("overloaded", "more requests than fit at once, and this one was the slowest")),
    );
    flow.consume({
      take(chunk) {
        bytes += chunk.byteLength;
        if (bytes > maxBytes) return fail(new Refusal("too_large", tooLarge));
        try {
          admission.reserve(chunk.byteLength, tooLarge);
        } catch (error) {
          return fail(error);
        }
        // A piece of a larger buffer is copied: the runtime may cut other requests from the same one.
        chunks.push(chunk.byteLength === chunk.buffer.byteLength ? chunk : new Uint8Array(chunk));
      },
      ended(how) {
        if (how === "cut")
          return fail(
            new Refusal("timeout", `the connection was closed after ${bytes} bytes, before the body was complete`),
          );
        stop();
        resolve({ chunks, bytes });
      },
    });
  });
}

/** How long an unread body is read and discarded after a refusal; a sender below the rate is not waiting for an answer. */
const discardMs = 30_000;
const minDiscardedBytesPerSecond = 64 * 1024;

async function discardBody(flow: Flow): Promise<boolean> {
  if (flow.state !== "open") return flow.state === "whole";
  let bytes = 0;
  let checkedBytes = 0;
  const untilMs = performance.now() + discardMs;
  const timer = setInterval(() => {
    if (performance.now() >= untilMs || bytes - checkedBytes < minDiscardedBytesPerSecond) flow.cancel();
    checkedBytes = bytes;
  }, 1000);
  const how = await new Promise((ended) => flow.consume({ take: (chunk) => (bytes += chunk.byteLength), ended }));
  clearInterval(timer);
  return how === "whole";
}

function pathOf(url: string): string {
  const scheme = url.startsWith("/") ? -1 : url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}

function ignore(): void {}
