/** One HTTP server type over the servers of both runtimes. Nothing here knows what a request means. */
import { runtimeName } from "./name.ts";

/** Who sent a request, and over which connection. */
export interface Connection {
  /** The peer's IP address, a mapped IPv4 address as the runtime has it; empty when the connection is gone. */
  readonly peer: string;
  /** Switches the runtime's idle timer off for this request: whoever calls it has a deadline of its own. */
  disableIdleTimeout(): void;
}

export interface ServeOptions {
  /** An address of this machine. `::` takes IPv4 as well. */
  readonly hostname: string;
  /** 0: any free port. */
  readonly port: number;
  /** PEM texts. Without them, plain HTTP. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Others may listen on the same port: for two listeners of this process, one of which replaces the other. Needs `canSharePort`. */
  readonly sharesPort?: boolean;
  /** A connection on which nothing moves for so long is closed. At most 255. */
  readonly idleTimeoutSeconds: number;
  handle(request: Request, connection: Connection): Promise<Response>;
  /** What to answer when `handle` has thrown. */
  onError(error: unknown): Response;
}

export interface RunningServer {
  readonly port: number;
  /** Takes no new connections, closes idle ones, and resolves when the requests in flight are answered. No bound. */
  finish(): Promise<void>;
  /** Closes every connection, whatever it is doing. */
  abort(): Promise<void>;
}

/**
 * Binds and serves.
 * @throws an error with a `code` (`EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, …) when the address cannot be bound.
 */
export function serve(options: ServeOptions): RunningServer {
  return runtimeName === "deno" ? serveWithDeno(options) : serveWithBun(options);
}

/** Whether `sharesPort` has an effect. Deno's TLS listeners share a port only behind a flag for what is unstable. */
export const canSharePort = runtimeName === "bun";

/** Bodies are bounded by whoever reads them. Past the runtime's own bound it answers without our JSON. */
const maxRequestBodyBytes = 2 ** 40;

/**
 * Those of TLS 1.2 with forward secrecy and authenticated encryption. Bun by itself speaks 1.2 and 1.3, and in 1.2 older
 * ones too. Deno speaks none but these.
 */
const modernCiphers = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

function serveWithBun(options: ServeOptions): RunningServer {
  const server = Bun.serve({
    hostname: options.hostname,
    port: options.port,
    development: false,
    reusePort: options.sharesPort ?? false,
    idleTimeout: options.idleTimeoutSeconds,
    maxRequestBodySize: maxRequestBodyBytes,
    ...(options.tls === undefined
      ? {}
      : { tls: { cert: options.tls.certificate, key: options.tls.key, ciphers: modernCiphers } }),
    fetch: (request, of) =>
      options.handle(request, {
        get peer() {
          return of.requestIP(request)?.address ?? "";
        },
        disableIdleTimeout: () => of.timeout(request, 0),
      }),
    error: (error) => options.onError(error),
  });
  return {
    port: server.port ?? options.port,
    finish: () => server.stop(),
    abort: () => server.stop(true),
  };
}

function serveWithDeno(options: ServeOptions): RunningServer {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoNamespace };
  const aborting = new AbortController();
  const server = deno.serve(
    {
      hostname: options.hostname,
      port: options.port,
      signal: aborting.signal,
      onListen() {},
      onError: (error) => options.onError(error),
      ...(options.tls === undefined ? {} : { cert: options.tls.certificate, key: options.tls.key }),
    },
    (request, { remoteAddr }) => options.handle(request, { peer: remoteAddr.hostname, disableIdleTimeout() {} }),
  );
  return {
    port: server.addr.port,
    finish: () => server.shutdown(),
    async abort() {
      aborting.abort();
      await server.finished;
    },
  };
}

/** The part of Deno's own interface that is used here. */
interface DenoNamespace {
  serve(
    options: {
      hostname: string;
      port: number;
      signal: AbortSignal;
      onListen(): void;
      onError(error: unknown): Response;
      cert?: string;
      key?: string;
    },
    handle: (request: Request, info: { remoteAddr: { hostname: string } }) => Promise<Response>,
  ): {
    readonly addr: { readonly port: number };
    readonly finished: Promise<void>;
    shutdown(): Promise<void>;
  };
}
