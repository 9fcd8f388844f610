/** One request while it is answered: what a handler may know, the one way to its body, and the answers in JSON. */
import type { Buffer } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { Refusal } from "../errors.ts";
import type { Admission } from "./limiter.ts";

export interface Exchange {
  readonly request: HttpRequest;
  /** Without the query string. */
  readonly path: string;
  /** The sender's address; IPv4 in its own form. */
  readonly peer: string;
  /** The listener accepts connections from this machine alone. */
  readonly isLocalOnly: boolean;
  readonly isSecure: boolean;
  /** At most once. @throws {Refusal} `too_large`, `overloaded`, `timeout` or `unparsable` (broken HTTP). */
  readBody(limits: BodyLimits): Promise<Body>;
}

/** The part of `Request` that handlers need, at a fraction of its cost. `url` is absolute; its host means nothing. */
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

/** What a connection knows beyond its requests. */
export interface ConnectionState {
  readonly peer: string;
  /** The parser has given up on this connection and has answered 400. */
  isMalformed: boolean;
}

export interface ExchangeOptions {
  readonly message: IncomingMessage;
  readonly connection: ConnectionState;
  readonly isLocalOnly: boolean;
  readonly isSecure: boolean;
  /** Tells a sender that asked with `Expect: 100-continue` to send its body. */
  proceed(): void;
}

export function createExchange(options: ExchangeOptions): Exchange {
  const { message, connection, isLocalOnly, isSecure, proceed } = options;
  const header = (name: string): string | null => {
    const value = message.headers[name];
    return Array.isArray(value) ? value.join(", ") : (value ?? null);
  };
  return {
    request: {
      method: message.method ?? "",
      get url() {
        return new URL(message.url ?? "/", "http://localhost").href;
      },
      headers: { get: header, has: (name) => message.headers[name] !== undefined },
    },
    path: pathOf(message.url ?? "/"),
    peer: connection.peer,
    isLocalOnly,
    isSecure,
    async readBody(limits) {
      const announced = Number(message.headers["content-length"] ?? 0);
      if (announced > limits.maxBytes) throw new Refusal("too_large", limits.tooLarge);
      proceed();
      return await readBody(message, connection, limits);
    },
  };
}

/** A sender below this rate is not sending, it is holding a connection. */
const minBytesPerSecond = 1024;
const defaultGraceMs = 10_000;

function readBody(message: IncomingMessage, connection: ConnectionState, limits: BodyLimits): Promise<Body> {
  const { maxBytes, tooLarge, timeoutMs, admission, graceMs = defaultGraceMs } = limits;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  return new Promise((resolve, reject) => {
    const beganMs = performance.now();
    const check = (): void => {
      const elapsedMs = performance.now() - beganMs;
      const isTooSlow = elapsedMs >= graceMs && bytes < (minBytesPerSecond * elapsedMs) / 1000;
      if (elapsedMs >= timeoutMs) fail("timeout", `only ${bytes} bytes of the body arrived within ${timeoutMs} ms`);
      else if (isTooSlow) fail("timeout", `the body arrived more slowly than ${minBytesPerSecond} bytes/s`);
      else timer = setTimeout(check, Math.min(1000, timeoutMs - elapsedMs));
    };
    let timer = setTimeout(check, Math.min(graceMs, timeoutMs));
    const stop = (): void => {
      clearTimeout(timer);
      message.off("data", take).off("end", end).off("error", cut).off("close", cut);
      admission.reading(undefined);
    };
    const fail = (reason: Refusal["reason"], text: string): void => {
      stop();
      message.pause().on("error", ignore);
      reject(new Refusal(reason, text));
    };
    const take = (chunk: Uint8Array): void => {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) return fail("too_large", tooLarge);
      try {
        admission.reserve(chunk.byteLength, tooLarge);
      } catch (error) {
        stop();
        message.pause().on("error", ignore);
        return reject(error as Error);
      }
      // A piece of a larger buffer is copied: the runtime may cut other requests from the same one.
      chunks.push(chunk.byteLength === chunk.buffer.byteLength ? chunk : new Uint8Array(chunk));
    };
    const end = (): void => {
      stop();
      resolve({ chunks, bytes });
    };
    const cut = (): void =>
      connection.isMalformed
        ? fail("unparsable", "the body is not valid HTTP: its chunked encoding is malformed")
        : fail("timeout", `the connection was closed after ${bytes} bytes, before the body was complete`);
    admission.reading(() => fail("overloaded", "more requests than fit at once, and this one was the slowest"));
    message.on("data", take).on("end", end).on("error", cut).on("close", cut);
  });
}

/** Reads the rest of a body away, until `untilMs` (`performance.now()`). Resolves with whether the end was reached. */
export function discardBody(message: IncomingMessage, untilMs: number): Promise<boolean> {
  if (message.complete && message.readableEnded) return Promise.resolve(true);
  return new Promise((resolve) => {
    let bytes = 0;
    let checkedBytes = 0;
    const settle = (isEnded: boolean): void => {
      clearInterval(timer);
      resolve(isEnded);
    };
    const timer = setInterval(() => {
      if (performance.now() >= untilMs || bytes - checkedBytes < minDiscardedBytesPerSecond) settle(false);
      checkedBytes = bytes;
    }, 1000);
    message
      .on("data", (chunk: Buffer) => (bytes += chunk.byteLength))
      .on("end", () => settle(true))
      .on("close", () => settle(message.complete))
      .on("error", ignore)
      .resume();
  });
}

/** Whoever is refused and sends less is not waiting for an answer. */
const minDiscardedBytesPerSecond = 64 * 1024;

function pathOf(url: string): string {
  const scheme = url.startsWith("/") ? -1 : url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}

function ignore(): void {}
