/** Posts one OTLP body to one destination and returns the outcome, for logs, metrics and the program's own log lines alike. */
import { write as writeTo } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { freeBuffer } from "../runtime/process.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, connectionError, messageOf } from "../lib/system-error.ts";
import type { LogFields, Logger } from "../lib/logger.ts";
import { type Answer, type Encoding, type FailureCause, readAnswer, type Signal } from "./answer.ts";
import type { Credentials, Destination } from "./destination.ts";

/** `fetch` with the options that runtimes add to it. */
export type Fetch = (
  url: string,
  init: RequestInit & {
    tls?: { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean };
    /** Bun: HTTP/2 instead of HTTP/1.1. Deno chooses by itself and ignores it. */
    protocol?: "http2";
    /** Bun: the answer as received. Otherwise Bun decompresses all of it, however large, even if the reader stops. */
    decompress?: false;
  },
) => Promise<Response>;

/** The outcome of a request, as it is counted. */
export type RequestOutcome = "success" | "retry" | "rejected";

/** Why a request failed, as it is counted. */
export type FailureType = FailureCause | "rejected";

/**
 * Sends a body, which it has copied or compressed when it returns its promise; never throws. The signal ends the attempt
 * early: it then fails as `stopped` and is not counted.
 */
export type Sender = (body: Uint8Array, encoding: Encoding, stop: AbortSignal) => Promise<Answer>;

export interface SenderDeps {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The credentials for the next request, which may be newer than the destination's. */
  readonly credentials: () => Credentials;
  /** Called after every request except those that `stop` cut off. */
  readonly onAnswer: (signal: Signal, outcome: RequestOutcome, seconds: number, failure?: FailureType) => void;
}

/** The answer to an attempt that `stop` cut off. */
export const stopped: Answer = { kind: "failed", cause: "unreachable", why: "stopped" };

/** Creates the sender of one destination. It holds no connections itself: `fetch` keeps them alive. */
export function createSender(destination: Destination, deps: SenderDeps): Sender {
  const { signal, url, compression, timeoutMs } = destination;
  const { origin, pathname, host } = new URL(url);
  const address = origin + pathname;
  const connection = createConnection(deps.fetch);
  const notices = createNotices(destination, deps.logger);

  return async (body, encoding, stop) => {
    const { headers: given, tls } = deps.credentials();
    const headers: Record<string, string> = { ...given, "content-type": contentTypes[encoding] };
    if (compression !== "none") headers["content-encoding"] = compression;
    const sent = compressors[compression](body);
    const startedAt = performance.now();
    const deadline = AbortSignal.timeout(timeoutMs);
    let answer: Answer;
    try {
      const response = await connection(url, {
        method: "POST",
        redirect: "manual",
        decompress: false,
        ...(tls === undefined ? {} : { tls: tlsInitOf(tls) }),
        headers,
        body: sent as Uint8Array<ArrayBuffer>,
        signal: AbortSignal.any([deadline, stop]),
      });
      freeBuffer(sent);
      answer = await readAnswer(response, { signal, encoding, onStrange: notices.strange }, deps.clock);
      notices.answered(answer, response.status, encoding);
    } catch (error) {
      if (stop.aborted) return stopped;
      answer = deadline.aborted
        ? { kind: "failed", cause: "timeout", why: `timed out after ${timeoutMs / 1000} s` }
        : {
            kind: "failed",
            cause: resetCodes.has(codeOf(error)) ? "reset" : "unreachable",
            why: connectionError(error, host),
          };
    }
    deps.onAnswer(signal, outcomes[answer.kind], (performance.now() - startedAt) / 1000, failureOf(answer));
    const placed = answer.kind === "failed" ? { ...answer, why: `${address}: ${answer.why}` } : answer;
    return withoutSecrets(placed, secretsIn(given));
  };
}

/** Each returns a new buffer, in one chunk if possible, because joining chunks costs more than the extra room. */
const compressors: Record<Destination["compression"], (body: Uint8Array) => Uint8Array> = {
  gzip: (body) => gzipSync(body, { level: 1, memLevel: 9, chunkSize: Math.max(body.length >> 2, 1024) }),
  zstd: (body) =>
    zstdCompressSync(body, {
      params: { [constants.ZSTD_c_compressionLevel]: 1 },
      chunkSize: Math.max(body.length >> 2, 1024),
    }),
  none: (body) => body.slice(),
};

function failureOf(answer: Answer): FailureType | undefined {
  if (answer.kind === "accepted") return undefined;
  return answer.kind === "failed" ? answer.cause : "rejected";
}

const outcomes: Record<Answer["kind"], RequestOutcome> = { accepted: "success", failed: "retry", refused: "rejected" };

/** Without `; charset=utf-8`, which several backends refuse. */
const contentTypes: Record<Encoding, string> = { json: "application/json", protobuf: "application/x-protobuf" };

/**
 * Warns once of each thing that the operator should know about a destination. A 415 is about the encoding or the compression,
 * and so may be a 400 as long as nothing has been accepted: for JSON (from VictoriaMetrics and VictoriaLogs) and for zstd
 * (from Prometheus). Neither is switched automatically: until the operator does, everything stays in the journal.
 */
function createNotices({ signal, url, compression }: Destination, logger: Logger) {
  let hasAccepted = false;
  const logged = new Set<string>();
  const warnOnce = (message: string, fields: LogFields): void => {
    if (!logged.has(message)) logger.warn(message, fields);
    logged.add(message);
  };
  return {
    strange: () =>
      warnOnce("the backend's answer to an accepted request is not OTLP: is the endpoint right?", { signal }),
    answered({ kind }: Answer, status: number, encoding: Encoding): void {
      hasAccepted ||= kind === "accepted";
      const isUnusual = compression === "zstd" || encoding === "json";
      if (status !== 415 && (status !== 400 || !isUnusual || hasAccepted)) return;
      const { host } = new URL(url);
      if (compression === "zstd") {
        const remedy = 'set otlp.compression = "gzip"';
        return warnOnce("the backend may not accept bodies compressed with zstd", { signal, status, host, remedy });
      }
      const remedy = `set otlp.protocol = "${encoding === "json" ? "http/protobuf" : "http/json"}"`;
      warnOnce(`the backend may not accept OTLP as ${encoding}`, { signal, status, host, remedy });
    },
  };
}

function tlsInitOf({ insecureSkipVerify, ...pem }: NonNullable<Credentials["tls"]>) {
  return { ...pem, rejectUnauthorized: !insecureSkipVerify };
}

/** Codes for an established connection that ended; any other error means that there was none. */
const resetCodes: ReadonlySet<string | undefined> = new Set([
  "ECONNRESET",
  "EPIPE",
  "ConnectionClosed",
  "UND_ERR_SOCKET",
]);

/** The values of all headers except `user-agent`, whole and without their scheme. */
function secretsIn(headers: Credentials["headers"]): readonly string[] {
  return Object.entries(headers)
    .filter(([name]) => name !== "user-agent")
    .flatMap(([, value]) => [value, value.replace(/^\w+\s+/, "")])
    .filter((value) => value.length >= 4);
}

/** Some backends repeat the credentials that they refuse, and their messages end up in logs and marks. */
function withoutSecrets(answer: Answer, secrets: readonly string[]): Answer {
  const clean = (text: string) => secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, "[redacted]"), text);
  if (answer.kind === "failed") return { ...answer, why: clean(answer.why) };
  if (answer.kind === "refused") return { ...answer, message: clean(answer.message) };
  const { partial } = answer;
  return partial === undefined ? answer : { ...answer, partial: { ...partial, message: clean(partial.message) } };
}

/**
 * `fetch` to one backend. A failed request is sent again at once if another connection may succeed: if the connection was reset
 * and an earlier request was answered; and over TLS as HTTP/2, as long as HTTP/1.1 was never answered. The version that was
 * answered is kept.
 */
function createConnection(fetch: Fetch): Fetch {
  let version: "http1" | "http2" = "http1";
  let hasAnsweredHttp1 = false;
  let wasAnswered = false;

  async function send(as: typeof version, ...[url, init]: Parameters<Fetch>): Promise<Response> {
    const response = await fetch(url, as === "http2" ? { ...init, protocol: "http2" } : init);
    version = as;
    wasAnswered = true;
    hasAnsweredHttp1 ||= as === "http1";
    return response;
  }

  return async (url, init) => {
    try {
      return await send(version, url, init);
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      const code = codeOf(error);
      if (version === "http2" && code === notHttp2Code) return send((version = "http1"), url, init);
      if (wasAnswered && closedCodes.has(code)) {
        wasAnswered = false;
        return send(version, url, init);
      }
      const mayBeHttp2 = version === "http1" && !hasAnsweredHttp1 && url.startsWith("https:");
      if (!mayBeHttp2 || !otherVersionCodes.has(code)) throw error;
      return send("http2", url, init).catch(() => {
        throw error;
      });
    }
  };
}

/** Codes for a kept-alive connection that was closed, as far as can be known, before the request reached the server. */
const closedCodes: ReadonlySet<string | undefined> = new Set(["ECONNRESET", "ConnectionClosed"]);

/**
 * Codes for HTTP/1.1 to a server that speaks only HTTP/2: it refuses the handshake because there is no common protocol
 * (RFC 7301, 3.2), or answers with frames. The former code stands for other TLS errors too.
 */
const otherVersionCodes: ReadonlySet<string | undefined> = new Set(["EPROTO", "Malformed_HTTP_Response"]);

/** Code for a server that chose another protocol in the handshake. */
const notHttp2Code = "HTTP2Unsupported";

/** Writes some of the bytes, from the beginning, and resolves with how many. It may wait for the reader forever. */
export type Write = (bytes: Uint8Array) => Promise<number>;

/**
 * The sender of `otlp.protocol = "stdout"`: each request is one line of OTLP JSON, for pipes. A line is written to its end
 * before the next begins. A stalled reader blocks the lines but not a stop: a request that the stop cuts off counts as
 * failed, so its log records stay pending in the journal. The line itself is still written for as long as the process lives,
 * so only the last line of the output can be torn.
 * @param onClosed called once when the reader is gone; nothing is accepted from then on.
 */
export function createStdoutSender(onClosed: () => void, write: Write = standardOutput): Sender {
  let last: Promise<unknown> = Promise.resolve();
  let isClosed = false;

  async function writeLine(line: Uint8Array, stop: AbortSignal): Promise<Answer> {
    let written = 0;
    while (written < line.length) {
      if (isClosed) return closed;
      if (stop.aborted && written === 0) return stopped;
      try {
        written += await write(line.subarray(written));
      } catch (error) {
        const code = (error as { code?: unknown }).code;
        if (code === "EAGAIN") {
          await delay(fullPipeDelayMs);
          continue;
        }
        if (code !== "EPIPE") return failed(error);
        if (!isClosed) onClosed();
        isClosed = true;
      }
    }
    return { kind: "accepted" };
  }

  return async (body, _encoding, stop) => {
    const line = new Uint8Array(body.length + 1);
    line.set(body);
    line[body.length] = newline;
    const { promise: cutOff, resolve } = Promise.withResolvers<Answer>();
    const cut = () => resolve(stopped);
    stop.addEventListener("abort", cut);
    if (stop.aborted) cut();
    const mine = last.then(() => writeLine(line, stop));
    last = mine;
    const answer = await Promise.race([mine, cutOff]);
    stop.removeEventListener("abort", cut);
    return answer;
  };
}

const closed: Answer = { kind: "failed", cause: "unreachable", why: "standard output is closed" };

function failed(error: unknown): Answer {
  return { kind: "failed", cause: "unreachable", why: `standard output: ${messageOf(error)}` };
}

const newline = 0x0a;

/** Retry interval for a full pipe whose writes do not block. */
const fullPipeDelayMs = 10;

/** The system call blocks a thread of the runtime, so the worker still receives messages. */
const standardOutput: Write = (bytes) =>
  new Promise((resolve, reject) => {
    writeTo(1, bytes, 0, bytes.length, null, (error, written) => (error === null ? resolve(written) : reject(error)));
  });
