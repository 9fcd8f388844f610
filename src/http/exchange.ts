/** One HTTP request being answered: what a handler knows about it, how its body is read, and answers in JSON. */
import { Refusal } from "../errors.ts";
import { freeBuffer } from "../runtime/process.ts";
import type { Connection } from "../runtime/serve.ts";
import type { Admission } from "./limiter.ts";

export interface Exchange {
  /** `url` is the path alone if `Host` is not a host name. */
  readonly request: Pick<Request, "method" | "url" | "headers">;
  /** Without the query string. */
  readonly path: string;
  /** The sender's address; IPv4 in dotted form. */
  readonly peer: string;
  /** The listener accepts connections only from this machine. */
  readonly isLocalOnly: boolean;
  /** The server is shutting down. */
  readonly isStopping: boolean;
  /** Ends the connection within seconds after an answer's stream has failed, because its reader may accept nothing more. */
  close(): void;
  /** May be called once. @throws {Refusal} `body_too_large`, `overloaded`, `timeout` or `shutting_down`. */
  readBody(limits: BodyLimits): Promise<Body>;
}

/** A response with lower-case header names. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** The connection closes when a stream ends; the stream has to detect by itself that its reader accepts nothing. */
  readonly body: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
}

export interface BodyLimits {
  /** On the wire. */
  readonly maxBytes: number;
  /** Message for a larger body: the limit and its setting. */
  readonly tooLarge: string;
  /** Deadline for the last byte. */
  readonly timeoutMs: number;
  /** Reserves the bytes as they arrive, until its owner leaves. */
  readonly admission: Admission;
  /** The minimum rate applies after this time. */
  readonly graceMs?: number;
}

/** A body as received, before decompression. Its reader may empty the list of chunks while processing it. */
export interface Body {
  readonly chunks: Uint8Array[];
  readonly bytes: number;
}

/** A JSON response with that value, or that text if it is JSON already. */
export function jsonResponse(
  status: number,
  body: object | string,
  headers: Readonly<Record<string, string>> = {},
): HttpAnswer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return { status, headers: { "content-type": "application/json", ...headers }, body: text };
}

/** Idle connections are closed after this time: later than HTTP clients close them, and at most 255. */
export const idleTimeoutSeconds = 120;

/** State that the exchanges of one server share. */
export interface ServerState {
  readonly isLocalOnly: boolean;
  /** When bodies that are still arriving are refused (`performance.now`); infinite until the server is stopped. */
  refusesBodiesAt: number;
  /** How many bodies are being discarded. */
  discarding: number;
}

/** Maximum number of bodies discarded at once: the runtime buffers up to 512 KiB of each. Other senders may see a reset. */
export const maxDiscarding = 128;

/** An exchange as its server holds it. */
export interface ServedExchange extends Exchange {
  /**
   * Reads the rest of a body that the handler left unread, because senders that are still sending would see a reset instead of
   * the answer. Gives up on slow and endless bodies, and on any that has not arrived yet while `maxDiscarding` others are being
   * discarded. Resolves with true if the end was reached.
   */
  discardBody(): Promise<boolean>;
}

export function createExchange(request: Request, connection: Connection, server: ServerState): ServedExchange {
  const incoming = createIncoming(request, server);
  return {
    request,
    path: pathOf(request.url),
    peer: connection.peer,
    isLocalOnly: server.isLocalOnly,
    get isStopping() {
      return server.refusesBodiesAt < Number.POSITIVE_INFINITY;
    },
    close: () => connection.close(),
    async readBody(limits) {
      const announced = Number(request.headers.get("content-length") ?? 0);
      if (announced > limits.maxBytes) throw new Refusal("body_too_large", limits.tooLarge);
      // The runtime's idle timeout also runs until the answer.
      if (limits.timeoutMs > (idleTimeoutSeconds * 1000) / 3) connection.disableIdleTimeout("answer");
      return await readBody(incoming, limits);
    },
    async discardBody() {
      const timeoutMs = server.discarding < maxDiscarding ? discardPace.timeoutMs : 0;
      server.discarding++;
      try {
        return (await incoming.receive({ ...discardPace, timeoutMs }, discard)) === "whole";
      } finally {
        server.discarding--;
      }
    },
  };
}

/** How fast a body must arrive. */
interface Pace {
  /** Deadline for the last byte. */
  readonly timeoutMs: number;
  /** On average, once `graceMs` have passed. */
  readonly minBytesPerSecond: number;
  readonly graceMs: number;
  /** How much longer it may take once a stopping server refuses bodies. */
  readonly stopMs: number;
}

/** A slower sender is only holding a connection open. */
const readPace = { minBytesPerSecond: 1024, graceMs: 10_000, stopMs: 0 };

/** For the rest of a refused body; a slower sender is not waiting for the answer. */
const discardPace: Pace = { timeoutMs: 30_000, minBytesPerSecond: 64 * 1024, graceMs: 1000, stopMs: 1000 };

/** Interval between checks of the pace. */
const checkMs = 250;

/** How receiving a body ends. `cut`: the connection is gone. All but `whole` and `interrupted` also end the body. */
type End = "whole" | "cut" | "late" | "slow" | "stopping" | "interrupted";

/** A request's body while it is received. */
interface Incoming {
  /** Passes chunks on until the body ends. If `take` throws, the next call continues with the rest. */
  receive(pace: Pace, take: (chunk: Uint8Array) => void): Promise<End>;
  /** Ends the current `receive`; the next one continues with the rest. */
  interrupt(): void;
}

function createIncoming({ body }: Request, server: ServerState): Incoming {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** The next chunk; `undefined` if the connection is gone. */
  let pending: Promise<Awaited<ReturnType<NonNullable<typeof reader>["read"]>> | undefined> | undefined;
  let end: End | undefined = body === null ? "whole" : undefined;
  let interrupt = (): void => {};

  async function receive(pace: Pace, take: (chunk: Uint8Array) => void): Promise<End> {
    let early: End | undefined;
    // Not `Promise.race`: a promise that outlives the reads would retain the chunks of all of them.
    let wake = (): void => {};
    const endEarly = (how: End): void => {
      early ??= how;
      wake();
    };
    interrupt = () => endEarly("interrupted");
    const beganMs = performance.now();
    let bytes = 0;
    const check = (): void => {
      const now = performance.now();
      const elapsedMs = now - beganMs;
      if (elapsedMs >= pace.timeoutMs) endEarly("late");
      else if (elapsedMs >= pace.graceMs && bytes < (pace.minBytesPerSecond * elapsedMs) / 1000) endEarly("slow");
      else if (now >= server.refusesBodiesAt + pace.stopMs) endEarly("stopping");
      else timer = setTimeout(check, Math.min(checkMs, pace.timeoutMs - elapsedMs));
    };
    let timer = setTimeout(check, Math.min(checkMs, pace.timeoutMs, pace.graceMs));
    try {
      while (end === undefined) {
        reader ??= body?.getReader();
        pending ??= reader?.read().catch(() => undefined);
        const read = pending;
        const next = await new Promise<Awaited<typeof read> | End>((resolve) => {
          wake = () => resolve(early);
          if (early === undefined) void read?.then(resolve);
          else wake();
        });
        if (next === "interrupted") return next;
        if (typeof next === "string") {
          end = "cut";
          reader?.cancel().catch(() => {});
          return next;
        }
        pending = undefined;
        if (next === undefined) end = "cut";
        else if (next.done) end = "whole";
        else {
          bytes += next.value.byteLength;
          take(next.value);
        }
      }
      return end;
    } finally {
      clearTimeout(timer);
    }
  }

  return { receive, interrupt: () => interrupt() };
}

async function readBody(incoming: Incoming, limits: BodyLimits): Promise<Body> {
  const { maxBytes, tooLarge, timeoutMs, admission, graceMs = readPace.graceMs } = limits;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  admission.reading(incoming.interrupt);
  try {
    const end = await incoming.receive({ ...readPace, timeoutMs, graceMs }, (chunk) => {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new Refusal("body_too_large", tooLarge);
      admission.reserve(chunk.byteLength, tooLarge);
      chunks.push(ownsBuffer(chunk) ? chunk : new Uint8Array(chunk));
    });
    switch (end) {
      case "whole":
        return { chunks, bytes };
      case "cut":
        throw new Refusal("timeout", `the connection was closed after ${bytes} bytes, before the body was complete`);
      case "late":
        throw new Refusal("timeout", `only ${bytes} bytes of the body arrived within ${timeoutMs} ms`);
      case "slow":
        throw new Refusal("timeout", `the body arrived more slowly than ${readPace.minBytesPerSecond} bytes/s`);
      case "stopping":
        throw new Refusal("shutting_down", `only ${bytes} bytes of the body had arrived at shutdown`);
      case "interrupted":
        throw new Refusal("overloaded", "more requests than fit at once, and this one was the slowest");
    }
  } catch (error) {
    chunks.splice(0).forEach(freeBuffer);
    throw error;
  } finally {
    admission.reading(undefined);
  }
}

/** The runtime may slice several requests from one larger buffer. */
const ownsBuffer = (chunk: Uint8Array): boolean => chunk.byteLength === chunk.buffer.byteLength;

function discard(chunk: Uint8Array): void {
  if (ownsBuffer(chunk)) freeBuffer(chunk);
}

function pathOf(url: string): string {
  const scheme = url.startsWith("/") ? -1 : url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}
