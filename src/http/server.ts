/** A listener with routes: binds an address, answers whatever comes, and stops within a deadline. */
import { silentTelemetry, type Telemetry } from "../catalogue/telemetry.ts";
import { isLoopback, parseListen } from "../lib/listen.ts";
import { ConfigError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { systemClock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import type { Connection, RunningServer } from "../runtime/serve.ts";
import { createExchange, idleTimeoutSeconds } from "./exchange.ts";
import type { TlsFiles } from "./key-pair.ts";
import { bind, finish, type ListenerOptions } from "./listener.ts";
import { jsonResponse } from "./response.ts";
import { createRouter, type Route } from "./router.ts";
import { createTlsListener, type TlsListener } from "./tls.ts";

export { ListenError } from "./listener.ts";

export interface HttpServerOptions {
  /** `":8088"`, `"127.0.0.1:8088"`, `"[::1]:8088"`. */
  readonly listen: string;
  /** Without them, plain HTTP. They are watched, and what replaces them is served within seconds. */
  readonly tls?: TlsFiles | undefined;
}

export interface HttpServerDeps {
  /** Of everyone who shares this listener. */
  readonly routes: readonly Route[];
  readonly logger: Logger;
  /** For the certificate's metrics. */
  readonly telemetry?: Telemetry;
  readonly clock?: Clock;
}

export interface HttpServer {
  /** The port that was bound; what was asked for before that. */
  readonly port: number;
  /** Epoch milliseconds at which the certificate being served ends; nothing without TLS. */
  readonly certificateNotAfter: number | undefined;
  /**
   * @throws {ListenError} when the address cannot be bound.
   * @throws {ConfigError} when certificate and key cannot be used.
   */
  start(): Promise<void>;
  /** Looks at the TLS files now. A pair that cannot be used is not taken: the old one stays, with a warning. Plain stays plain. */
  reload(tls: TlsFiles | undefined): Promise<void>;
  /** Takes no new connection, lets requests end, and closes what is left after `deadlineMs`. */
  stop(deadlineMs: number): Promise<void>;
}

/** @throws {ConfigError} when the address is none, or two routes collide. */
export function createHttpServer(
  { listen, tls }: HttpServerOptions,
  { routes, logger, telemetry = silentTelemetry, clock = systemClock }: HttpServerDeps,
): HttpServer {
  const address = parseListen(listen);
  if (address === undefined)
    throw new ConfigError([`cannot listen on "${listen}": write ":8088", "127.0.0.1:8088" or "[::1]:8088"`]);
  const route = createRouter(routes);
  const isLocalOnly = isLoopback(address.hostname);
  const isSecure = tls !== undefined;
  const quiet = createOncePerMinute<"failure">(clock);
  let plain: RunningServer | undefined;
  let secure: TlsListener | undefined;

  let answering = 0;
  const isBusy = (): boolean => answering > 0;

  async function handle(request: Request, connection: Connection): Promise<Response> {
    answering++;
    try {
      return await answer(request, connection);
    } finally {
      answering--;
    }
  }

  async function answer(request: Request, connection: Connection): Promise<Response> {
    const exchange = createExchange({ request, connection, isLocalOnly, isSecure });
    let response: Response;
    try {
      response = await route(exchange);
    } catch (error) {
      response = failed(error);
    }
    const isClosing = response.headers.get("connection") === "close";
    if (!isClosing && !(await exchange.settleBody())) response.headers.set("connection", "close");
    return response;
  }

  function failed(error: unknown): Response {
    const said = quiet("failure");
    if (said !== undefined)
      logger.error("a request failed inside this program", {
        listen,
        error: error instanceof Error ? error.stack : String(error),
        alsoFailed: said.suppressed,
      });
    return jsonResponse(500, { text: "Internal server error" });
  }

  function observeCertificate(): void {
    const attributes = { listener: listen };
    telemetry.observe("tailscale2otel.tls.cert.not_after", () =>
      secure === undefined ? [] : [{ value: secure.notAfter / 1000, attributes }],
    );
    telemetry.observe("tailscale2otel.tls.cert.rejected", () =>
      secure === undefined ? [] : [{ value: Number(secure.isRejecting), attributes }],
    );
  }

  const options: ListenerOptions = { idleTimeoutSeconds, handle, onError: failed };
  return {
    get port() {
      return secure?.port ?? plain?.port ?? address.port;
    },
    get certificateNotAfter() {
      return secure?.notAfter;
    },
    async start() {
      if (plain !== undefined || secure !== undefined) return;
      if (tls === undefined) {
        plain = bind(address, options);
        return;
      }
      secure = await createTlsListener({ address, files: tls, options, isBusy }, { logger, clock });
      observeCertificate();
    },
    async reload(files) {
      if (files !== undefined) await secure?.reload(files);
    },
    async stop(deadlineMs) {
      const stopping = { plain, secure };
      plain = undefined;
      secure = undefined;
      if (stopping.plain !== undefined) await finish(stopping.plain, deadlineMs, isBusy);
      await stopping.secure?.stop(deadlineMs);
    },
  };
}
