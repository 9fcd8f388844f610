/**
 * A listener with routes: HTTP/1.1 over connections of our own, so that every sender sees its answer, its mistakes are
 * logged, and nothing it does keeps a connection for ever.
 */
import { Buffer } from "node:buffer";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import type { Server, Socket } from "node:net";
import { createServer as createSecure, type Server as SecureServer } from "node:tls";
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import { isLoopback, parseListen } from "../lib/listen.ts";
import { ConfigError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import { type ConnectionLimits, connectionLimits, createConnections } from "./connections.ts";
import { createExchange, discardBody, type HttpAnswer, jsonResponse } from "./exchange.ts";
import { bind } from "./listener.ts";
import { createRouter, type Misdirected, type Route } from "./router.ts";
import { type KeyPair, type TlsFiles, tlsProtocol, type WatchedKeyPair, watchKeyPair } from "./tls.ts";

export { ListenError } from "./listener.ts";

export interface HttpServerOptions {
  /** `":8088"`, `"127.0.0.1:8088"`, `"[::1]:8088"`. */
  readonly listen: string;
  /** Without them, plain HTTP. They are watched, and replaced within seconds. */
  readonly tls?: TlsFiles | undefined;
}

export interface HttpServerDeps {
  /** Of all components that share this listener. */
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** For the certificate's metrics. */
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  /** A request reached no handler. */
  readonly misdirected?: (reason: MisdirectedReason) => void;
  readonly limits?: Partial<ConnectionLimits>;
}

/** `tls`: TLS on a plain port, plain HTTP on a TLS port, or a handshake that the client broke off. */
export type MisdirectedReason = Misdirected["reason"] | "tls";

export interface HttpServer {
  /** The bound port; before `start`, the configured one. */
  readonly port: number;
  /** Epoch milliseconds at which the certificate being served ends; nothing without TLS. */
  readonly certificateNotAfter: number | undefined;
  /**
   * @throws {ListenError} if the address cannot be bound.
   * @throws {ConfigError} if certificate and key cannot be used.
   */
  start(): Promise<void>;
  /** Reads the TLS files now. A pair that cannot be used is not served: the old one stays, with a warning. Plain stays plain. */
  reload(tls: TlsFiles | undefined): Promise<void>;
  /** Accepts no new connection, lets requests end, and closes what is left after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

/** How long an unread body is read away after a refusal, and how long a half-closed connection lingers. */
const discardMs = 30_000;
const lingerMs = 2000;

/** @throws {ConfigError} if the address is none, or two routes collide. */
export function createHttpServer({ listen, tls }: HttpServerOptions, deps: HttpServerDeps): HttpServer {
  const { routes, logger, telemetry = silentTelemetry, clock = systemClock, misdirected = () => {} } = deps;
  const address = parseListen(listen);
  if (address === undefined)
    throw new ConfigError([`cannot listen on "${listen}": write ":8088", "127.0.0.1:8088" or "[::1]:8088"`]);
  const limits = { ...connectionLimits, ...deps.limits };
  const isLocalOnly = isLoopback(address.hostname);
  const isSecure = tls !== undefined;
  const once = createOncePerMinute<string>(clock);
  const connections = createConnections(limits);
  const route = createRouter(routes, ({ request, path, peer }, { reason, accepted }) => {
    const status = reason === "method" ? 405 : 404;
    warn(
      reason,
      `${request.method} ${printable(path)} from ${peer} answered ${status}: this listener accepts ${accepted}`,
    );
  });
  const http = createHttp({ keepAliveTimeout: limits.idleMs })
    .on("request", (message, response) => void serve(message, response, () => {}))
    .on("checkContinue", (message, response) => void serve(message, response, () => response.writeContinue()))
    .on("connection", (socket) => void connections.open(socket))
    .on("connect", (_, socket) => socket.destroy())
    .on("clientError", refuseMalformed);
  let server: Server | undefined;
  let certificate: WatchedKeyPair | undefined;
  let port = address.port;
  let isStopping = false;

  function warn(reason: MisdirectedReason, message: string): void {
    misdirected(reason);
    const now = once(reason);
    if (now !== undefined)
      logger.warn(message, { listen, reason, ...(now.suppressed > 0 && { alsoRefused: now.suppressed }) });
  }

  async function serve(message: IncomingMessage, response: ServerResponse, proceed: () => void): Promise<void> {
    const { socket } = message;
    const connection = connections.of(socket);
    if (connection === undefined) return;
    connections.begin(socket);
    response.once("close", () => connections.end(socket));
    if (connection.requests > 1) await new Promise<void>((resolve) => connection.pipelined.push(resolve));
    let isWaiting = message.headers.expect !== undefined;
    const exchange = createExchange({
      message,
      connection,
      isLocalOnly,
      isSecure,
      proceed() {
        isWaiting = false;
        proceed();
      },
    });
    const isHostMissing = message.httpVersion === "1.1" && message.headers.host === undefined;
    const answer = isHostMissing
      ? jsonResponse(400, { text: "The Host header is required" }, { connection: "close" })
      : await Promise.resolve(exchange).then(route).catch(failed);
    const body = Buffer.from(answer.body);
    if (socket.destroyed || connection.isMalformed) return;
    connection.answeredMs = performance.now();
    const closes = isStopping || isWaiting || answer.headers["connection"] === "close";
    const headers = { ...answer.headers, ...(closes && { connection: "close" }), "content-length": body.byteLength };
    response.writeHead(answer.status, headers);
    const isBodyless = message.method === "HEAD" || body.byteLength === 0;
    const isRead = message.readableEnded || !hasBody(message);
    if (isRead && !closes) return void response.end(isBodyless ? undefined : body);
    // The sender sees its answer now, and no reset while it is still sending.
    if (isBodyless) response.flushHeaders();
    else response.write(body);
    if (!closes && (await discardBody(message, performance.now() + discardMs))) response.end();
    else linger(message, socket);
  }

  /** Half-closes, and reads on: closing with unread bytes would reset the connection before the answer is read. */
  function linger(message: IncomingMessage, socket: Socket): void {
    message.on("error", () => {}).resume();
    socket.end();
    destroyLater(socket);
  }

  /** Answers what the HTTP parser refuses: other protocols, TLS on a plain port, oversized headers, malformed chunks. */
  function refuseMalformed(error: Error & { code?: string; rawPacket?: Uint8Array }, socket: Socket): void {
    const connection = connections.of(socket);
    if (connection === undefined || error.rawPacket === undefined || error.rawPacket.length === 0) {
      socket.destroy();
      return;
    }
    connection.isMalformed = true;
    if (!isSecure && error.rawPacket[0] === tlsHandshake)
      warn(
        "tls",
        `${connection.peer} speaks TLS, but ${listen} is plain HTTP: use http://, or configure a certificate`,
      );
    const isFlood = error.code === "HPE_HEADER_OVERFLOW";
    const text = isFlood ? '{"text":"The request headers are too large"}' : '{"text":"Malformed HTTP request"}';
    const status = isFlood ? "431 Request Header Fields Too Large" : "400 Bad Request";
    const head = `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\nConnection: close`;
    if (socket.writable) socket.end(`${head}\r\n\r\n${text}`);
    destroyLater(socket);
  }

  function failed(error: unknown): HttpAnswer {
    const now = once("failure");
    if (now !== undefined)
      logger.error("a request failed inside this program", {
        listen,
        error: error instanceof Error ? error.stack : String(error),
        alsoFailed: now.suppressed,
      });
    return jsonResponse(500, { text: "Internal server error" });
  }

  function acceptSecure(pair: KeyPair): SecureServer {
    const secure = createSecure({ ...contextOf(pair), handshakeTimeout: limits.headMs, allowHalfOpen: true });
    return secure
      .on("connection", (socket) => void connections.open(socket))
      .on("secureConnection", (socket) => void http.emit("connection", socket))
      .on("tlsClientError", (error: Error & { code?: string }, socket) => {
        const peer = (socket?.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "") || "a client";
        const { code = "", message } = error;
        socket?.destroy();
        // A port check connects, says nothing and leaves.
        if (message === "socket hang up" || code === "ERR_TLS_HANDSHAKE_TIMEOUT") return;
        if (code === "ERR_SSL_HTTP_REQUEST" || message.includes("http request"))
          warn("tls", `${peer} speaks plain HTTP, but ${listen} requires TLS: use https://`);
        else
          warn(
            "tls",
            `TLS handshake with ${peer} failed: it may not trust the certificate, or support TLS 1.2 (${code})`,
          );
      });
  }

  async function startSecure(files: TlsFiles): Promise<SecureServer> {
    certificate = await watchKeyPair(files, {
      use: (pair) => secure.setSecureContext(contextOf(pair)),
      listen,
      logger,
      clock,
    });
    const secure = acceptSecure(certificate.current);
    const attributes = { listener: listen };
    const observed = (read: (pair: WatchedKeyPair) => number) => () =>
      certificate === undefined ? [] : [{ value: read(certificate), attributes }];
    telemetry.observe(
      "tailscale2otel.tls.cert.not_after",
      observed(({ current }) => current.notAfter / 1000),
    );
    telemetry.observe(
      "tailscale2otel.tls.cert.rejected",
      observed(({ isRejecting }) => Number(isRejecting)),
    );
    return secure;
  }

  return {
    get port() {
      return port;
    },
    get certificateNotAfter() {
      return certificate?.current.notAfter;
    },
    async start() {
      if (server !== undefined) return;
      const starting = tls === undefined ? http : await startSecure(tls);
      try {
        port = await bind(starting, address);
        server = starting;
      } catch (error) {
        certificate?.stop();
        certificate = undefined;
        throw error;
      }
    },
    async reload(files) {
      if (files !== undefined) await certificate?.reload(files);
    },
    async stop(deadlineMs) {
      const stopping = server;
      server = undefined;
      if (stopping === undefined) return;
      isStopping = true;
      certificate?.stop();
      certificate = undefined;
      stopping.close();
      const endsAt = performance.now() + deadlineMs;
      connections.closeIdle();
      while (connections.requests > 0 && performance.now() < endsAt) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        connections.closeIdle();
      }
      connections.closeAll();
    },
  };
}

/** The first byte of a TLS record that holds a handshake (RFC 8446, section 5.1). */
const tlsHandshake = 0x16;

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

function contextOf({ certificate, key }: KeyPair): object {
  return { cert: certificate, key, ...tlsProtocol };
}

function destroyLater(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), lingerMs);
  socket.once("close", () => clearTimeout(timer));
}

/** Of what a stranger sent, the part that may stand in a log line. */
function printable(text: string): string {
  return text.slice(0, 100).replaceAll(/[^!-~]/g, "?");
}
