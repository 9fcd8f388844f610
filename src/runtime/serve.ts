/** One HTTP server interface over `Bun.serve` and `Deno.serve`, independent of what requests mean. */
import { runtimeName } from "./process.ts";

export interface Connection {
  /** The peer's IP address; IPv4 in dotted form. */
  readonly peer: string;
  /**
   * Disables the runtime's idle timeout until this request is answered, or until its connection ends. The request must have a
   * deadline of its own. Streamed answers do not count as traffic.
   */
  disableIdleTimeout(until: "answer" | "end"): void;
  /** Closes the connection within seconds, even if the peer reads nothing of what is being sent. Its stream has to fail first. */
  close(): void;
}

export interface ServeOptions {
  /** An address of this machine. `::` accepts IPv4 as well. */
  readonly hostname: string;
  /** 0: any free port. */
  readonly port: number;
  /** PEM texts. Absent for plain HTTP. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  /** Other listeners of this process may bind the same port. Needs `canSharePort`. */
  readonly sharesPort?: boolean | undefined;
  /** A connection without traffic is closed after this time. At most 255. */
  readonly idleTimeoutSeconds: number;
  handle(request: Request, connection: Connection): Promise<Response>;
  /** The answer if `handle` throws. */
  onError(error: unknown): Response;
}

export interface RunningServer {
  readonly port: number;
  /** Accepts no new connections, closes idle ones, and resolves when the requests in flight are answered. No time limit. */
  finish(): Promise<void>;
  /** Closes every connection. */
  abort(): Promise<void>;
}

/**
 * Binds and serves.
 * @throws an error with a `code` (`EADDRINUSE`, `EADDRNOTAVAIL`, `EACCES`, …) if the address cannot be bound.
 */
export function serve(options: ServeOptions): RunningServer {
  return runtimeName === "deno" ? serveWithDeno(options) : serveWithBun(options);
}

/** True if `sharesPort` has an effect. Deno's TLS listeners share a port only behind an unstable flag. */
export const canSharePort = runtimeName === "bun";

/** Handlers limit bodies; beyond its own limit Bun would answer without JSON. */
const maxRequestBodyBytes = 2 ** 40;

/**
 * The TLS 1.2 ciphers with forward secrecy and authenticated encryption. Bun also supports TLS 1.3; Deno has only such ciphers.
 */
const modernCiphers = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"]
  .flatMap((cipher) => [`ECDHE-ECDSA-${cipher}`, `ECDHE-RSA-${cipher}`])
  .join(":");

function serveWithBun({ hostname, port, tls, sharesPort, idleTimeoutSeconds, handle, onError }: ServeOptions) {
  const server = Bun.serve({
    hostname,
    port,
    development: false,
    reusePort: sharesPort ?? false,
    idleTimeout: idleTimeoutSeconds,
    maxRequestBodySize: maxRequestBodyBytes,
    ...(tls !== undefined && { tls: { cert: tls.certificate, key: tls.key, ciphers: modernCiphers } }),
    async fetch(request, self) {
      let restoreIdleTimeout = (): void => {};
      const disableIdleTimeout: Connection["disableIdleTimeout"] = (until) => {
        self.timeout(request, 0);
        restoreIdleTimeout = until === "end" ? () => {} : () => self.timeout(request, idleTimeoutSeconds);
      };
      try {
        const close = (): void => self.timeout(request, 1);
        return await handle(request, { peer: peerOf(self.requestIP(request)?.address), disableIdleTimeout, close });
      } finally {
        // Bun applies the idle timeout to the whole connection.
        restoreIdleTimeout();
      }
    },
    error: onError,
  });
  return { port: server.port ?? port, finish: () => server.stop(), abort: () => server.stop(true) };
}

function serveWithDeno({ hostname, port, tls, handle, onError }: ServeOptions): RunningServer {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoNamespace };
  const aborting = new AbortController();
  const server = deno.serve(
    {
      hostname,
      port,
      signal: aborting.signal,
      onListen() {},
      onError,
      ...(tls !== undefined && { cert: tls.certificate, key: tls.key }),
    },
    (request, { remoteAddr }) =>
      handle(request, { peer: peerOf(remoteAddr.hostname), disableIdleTimeout() {}, close() {} }),
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

const peerOf = (address = ""): string => address.replace(/^::ffff:(?=\d+\.)/, "");

/** The part of the `Deno` namespace that is used here. */
interface DenoNamespace {
  serve(
    options: Pick<ServeOptions, "hostname" | "port" | "onError"> & {
      signal: AbortSignal;
      onListen(): void;
      cert?: string;
      key?: string;
    },
    handle: (request: Request, info: { remoteAddr: { hostname: string } }) => Promise<Response>,
  ): { readonly addr: { readonly port: number }; readonly finished: Promise<void>; shutdown(): Promise<void> };
}
