/** A listener with routes on the runtime's own server: senders see every refusal, and misdirected requests are logged. */
import { observeEach, silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import { isLoopback, type ListenAddress, parseListen } from "../lib/listen.ts";
import { ConfigError } from "../errors.ts";
import { waitAtMost } from "../lib/backoff.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import { printable } from "../lib/text.ts";
import { canSharePort, type ServeOptions } from "../runtime/serve.ts";
import { createExchange, type HttpAnswer, idleTimeoutSeconds, jsonResponse, type ServerState } from "./exchange.ts";
import { bind, bindShared, type Listener } from "./listener.ts";
import { createRouter, type Misdirected, type Route } from "./router.ts";
import { createServedKeyPair, type KeyPair, type ServedKeyPair, type TlsSource } from "./tls.ts";

export interface HttpServerOptions {
  /** `":8088"`, `"127.0.0.1:8088"`, `"[::1]:8088"`. */
  readonly listen: string;
  /** Absent for plain HTTP. It is watched: new files are served within seconds, a renewed certificate within an hour. */
  readonly tls?: TlsSource | undefined;
  /** `component` of the certificate's metrics. */
  readonly component?: "stream" | "webhook" | "admin";
}

export interface HttpServerDeps {
  /** The routes of all components that share this listener. */
  readonly routes: readonly Route[];
  /** Added to every answer that does not set them itself. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly logger: Logger;
  /** For the certificate's metrics. */
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** Called when it listens, for the first time or with another certificate. */
  readonly serving?: (pair: KeyPair | undefined) => void;
  /** Called when a request reached no handler. */
  readonly misdirected?: (reason: Misdirected["reason"]) => void;
}

export type HttpServer = ReturnType<typeof createHttpServer>;

/**
 * The runtime cannot change the certificate of a listener, so a new pair gets a second listener on the same port. Both accept for
 * this long while the old one closes each connection with its next answer. Stopping the old one at once would close idle
 * connections, including one on which a request is just arriving.
 */
const overlapMs = 1000;

/** Time for the old listener to finish its requests; and if the port cannot be shared, time during which nobody listens. */
const finishMs = 60_000;
const gapMs = 1000;

/** Share of the stop deadline in which bodies may still arrive. After it, senders are answered 503 and have time to see it. */
const lastBodiesShare = 0.5;

/** @throws {ConfigError} if the address is invalid, or two routes collide. */
export function createHttpServer({ listen, tls, component = "stream" }: HttpServerOptions, deps: HttpServerDeps) {
  const {
    routes,
    headers: common = {},
    logger,
    telemetry = silentTelemetry,
    clock = systemClock,
    random = Math.random,
    serving = () => {},
    misdirected = () => {},
  } = deps;
  const address = addressOf(listen);
  const state: ServerState = {
    isLocalOnly: isLoopback(address.hostname),
    refusesBodiesAt: Number.POSITIVE_INFINITY,
    discarding: 0,
  };
  const isStopping = (): boolean => state.refusesBodiesAt < Number.POSITIVE_INFINITY;
  const once = createOncePerMinute<string>(clock);
  const route = createRouter(routes, ({ request, path, peer }, { reason, accepted }) => {
    misdirected(reason);
    const now = once(reason);
    if (now === undefined) return;
    const what = `${request.method} ${printable(path.slice(0, 100))} from ${peer} answered ${reason === "method" ? 405 : 404}`;
    const alsoRefused = now.suppressed > 0 && { alsoRefused: now.suppressed };
    logger.warn(`${what}: this listener accepts ${accepted}`, { listen, reason, ...alsoRefused });
  });
  const stopped = Promise.withResolvers<void>();
  const ending = new Set<Listener>();
  let running: Listener | undefined;
  let certificate: ServedKeyPair | undefined;
  let port = address.port;

  /** The options of a listener. With `pair`, it closes connections once another pair is served. */
  function optionsOf(pair?: KeyPair): Omit<ServeOptions, "hostname" | "port"> {
    return {
      tls: pair,
      idleTimeoutSeconds,
      onError: (error) => responseOf(failed(error), common),
      async handle(request, connection) {
        const exchange = createExchange(request, connection, state);
        const answer = await Promise.resolve(exchange).then(route).catch(failed);
        const isRead = await exchange.discardBody();
        const isReplaced = certificate !== undefined && pair !== certificate.current;
        const isStream = answer.body instanceof ReadableStream;
        if (isStream) connection.disableIdleTimeout("end");
        const isLast = isStream || !isRead || isStopping() || isReplaced;
        return responseOf(answer, isLast ? { ...common, connection: "close" } : common);
      },
    };
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

  /** Resolves when no new connection gets the old certificate. */
  async function replace(pair: KeyPair): Promise<void> {
    const old = running;
    if (old === undefined) return;
    // A bind on another port shows whether the runtime can use the pair.
    await bind({ ...address, port: 0 }, optionsOf(pair)).stop(0);
    if (!canSharePort) await old.stop(gapMs);
    running = bind({ ...address, port }, { ...optionsOf(pair), sharesPort: canSharePort });
    serving(pair);
    ending.add(old);
    await waitAtMost(stopped.promise, overlapMs);
    if (!isStopping()) void old.stop(finishMs).finally(() => ending.delete(old));
  }

  /** The first pair opens the listener; later ones replace it. */
  async function serve(pair: KeyPair): Promise<void> {
    if (running !== undefined) return replace(pair);
    running = await bindShared({ ...address, port }, optionsOf(pair));
    ({ port } = running);
    serving(pair);
  }

  async function startSecure(source: TlsSource): Promise<void> {
    // Fails now if the port is taken, even if the certificate comes later.
    if ("socket" in source) await bind(address, { ...optionsOf(), handle: async () => Response.error() }).stop(0);
    certificate = createServedKeyPair(source, { serve, listen, logger, clock, random });
    await certificate.start();
    const inSeconds = (ms = Number.NaN): number | undefined => (Number.isNaN(ms) ? undefined : ms / 1000);
    observeEach(
      telemetry,
      { component },
      {
        "tailscale2otel.tls.cert.not_after": () => inSeconds(certificate?.current?.notAfter),
        "tailscale2otel.tls.cert.not_before": () => inSeconds(certificate?.current?.notBefore),
        "tailscale2otel.tls.cert.reload.failures": () => certificate?.failures,
        "tailscale2otel.tls.cert.rejected": () => certificate && Number(certificate.trouble !== ""),
      },
    );
  }

  return {
    /** The bound port; before `start`, the configured one. */
    get port() {
      return port;
    },
    /** True while it accepts no connections, because tailscaled has not provided a certificate yet. */
    get isWaiting() {
      return certificate !== undefined && running === undefined;
    },
    /** The certificate that it serves or waits for; `undefined` for plain HTTP. */
    get certificate(): Pick<ServedKeyPair, "current" | "trouble" | "remedy"> | undefined {
      return certificate;
    },
    /**
     * Resolves when it listens; with a certificate from tailscaled, after some seconds at the latest: see `isWaiting`.
     * @throws {ListenError} if the address cannot be bound.
     * @throws {ConfigError} if certificate and key cannot be used.
     */
    async start(): Promise<void> {
      if (running !== undefined) return;
      if (tls !== undefined) return startSecure(tls);
      running = bind(address, optionsOf());
      ({ port } = running);
      serving(undefined);
    },
    /** Reads the certificate again. If the new pair cannot be used, the old one stays, with a warning. Plain HTTP stays plain. */
    async reload(source: TlsSource | undefined): Promise<void> {
      if (source !== undefined) await certificate?.reload(source);
    },
    /** Accepts no new connections, lets requests finish, and closes the rest after `deadlineMs`. */
    async stop(deadlineMs: number): Promise<void> {
      if ((running === undefined && certificate === undefined) || isStopping()) return;
      state.refusesBodiesAt = performance.now() + deadlineMs * lastBodiesShare;
      const watching = certificate;
      certificate = undefined;
      stopped.resolve();
      await watching?.stop();
      const listeners = running === undefined ? [] : [running, ...ending];
      await Promise.all(listeners.map((listener) => listener.stop(deadlineMs)));
    },
  };
}

function addressOf(listen: string): ListenAddress {
  const address = parseListen(listen);
  if (address !== undefined) return address;
  throw new ConfigError([`cannot listen on "${listen}": write ":8088", "127.0.0.1:8088" or "[::1]:8088"`]);
}

function responseOf({ status, headers, body }: HttpAnswer, more: Readonly<Record<string, string>>): Response {
  return new Response(body === "" ? null : body, { status, headers: { ...more, ...headers } });
}
