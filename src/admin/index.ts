/** The admin listener: the live page, health, Prometheus metrics, status, conservation sums, events, quarantine and replay. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import type { Config } from "../config/index.ts";
import { Refusal, Unavailable } from "../errors.ts";
import { type BodyLimits, type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import { createLimiter } from "../http/limiter.ts";
import type { Handler, Route } from "../http/router.ts";
import { createHttpServer } from "../http/server.ts";
import { leafOf, type TlsSource, tlsSourceOf } from "../http/tls.ts";
import type { Clock } from "../lib/clock.ts";
import { shownListen, urlOfListen } from "../lib/listen.ts";
import type { Logger } from "../lib/logger.ts";
import { messageOf } from "../lib/system-error.ts";
import { createAccess } from "./access.ts";
import type { Instance } from "./instance.ts";
import type { InstanceFile } from "./instance-file.ts";
import { NotPossible } from "./operations.ts";
import { pageRoutes } from "./page/index.ts";
import { parametersOf, tokenOf } from "./requests.ts";
import { type AdminTailnet, tailnetRoutes, UnknownTailnet } from "./routes.ts";
import { remediesOf, troublesOfAll } from "./troubles.ts";

export interface AdminDeps {
  /** A request that names no tailnet is about the first. */
  readonly tailnets: readonly [AdminTailnet, ...AdminTailnet[]];
  /** The text of `/metrics`. */
  readonly scrape: () => Promise<string>;
  readonly instance: () => Instance;
  /** Tells commands on this machine the address and the token. */
  readonly instanceFile: InstanceFile;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How the listener is reached. An empty token means that none is required, which is allowed only on a loopback listener. */
export interface AdminOptions {
  readonly listen: string;
  readonly token: string;
  /** Absent: plain HTTP. */
  readonly tls?: TlsSource | undefined;
}

/** The options of the listener according to the configuration. */
export function adminOptionsOf({ admin, tailscale }: Pick<Config, "admin" | "tailscale">): AdminOptions {
  return { ...admin, tls: tlsSourceOf(admin.tls, tailscale) };
}

export type Admin = ReturnType<typeof createAdmin>;

/** @throws {ConfigError} if `listen` is not an address. */
export function createAdmin({ listen, token, tls }: AdminOptions, deps: AdminDeps) {
  const { tailnets, instanceFile, logger } = deps;
  const scheme = tls === undefined ? "http" : "https";
  const limiter = createLimiter({ maxReading: 16, maxBytes: 16 * maxBodyBytes, maxWorking: 16 });
  const access = createAccess(token, { ...deps, port: () => server.port, speaksTls: tls !== undefined });
  /** The content of the instance file, once there is one. */
  let announced: { token: string; readonly certificates: readonly string[] } | undefined;

  function announce(): void {
    if (announced !== undefined) instanceFile.write({ admin: urlOfListen(listen, scheme, server.port), ...announced });
  }

  const answered =
    (answer: Handler): Handler =>
    async (exchange) => {
      try {
        return await answer(exchange);
      } catch (error) {
        return answerTo(error, logger);
      }
    };
  const guarded = (answer: Handler): Handler => access.guarded(answered(answer));
  const withBody =
    (answer: (body: unknown, exchange: Exchange) => HttpAnswer | Promise<HttpAnswer>): Handler =>
    async (exchange) => {
      const admission = limiter.enter(exchange.peer);
      try {
        return await answer(await readJson(exchange, admission), exchange);
      } finally {
        admission.leave();
      }
    };
  const routes: readonly Route[] = [
    { path: "/healthz", methods: { GET: () => jsonResponse(200, { status: "ok" }) } },
    { path: "/readyz", methods: { GET: ({ request }) => readiness(tailnets, parametersOf(request.url)) } },
    {
      path: "/metrics",
      methods: {
        GET: guarded(async () => ({ status: 200, headers: { "content-type": textFormat }, body: await deps.scrape() })),
      },
    },
    {
      path: "/api/v1/session",
      methods: {
        GET: access.sameOrigin((exchange) => jsonResponse(200, access.state(exchange))),
        POST: access.sameOrigin(answered(withBody((body, exchange) => access.signIn(exchange, tokenOf(body))))),
        DELETE: access.sameOrigin((exchange) => access.signOut(exchange)),
      },
    },
    { path: "/api/v1/instance", methods: { GET: guarded(() => jsonResponse(200, deps.instance())) } },
    ...tailnetRoutes(tailnets, { guarded, withBody }),
    ...pageRoutes,
  ];
  const server = createHttpServer(
    { listen, tls, component: "admin" },
    {
      ...deps,
      routes,
      headers: commonHeaders,
      serving(pair) {
        // While a certificate is being replaced, the previous one is still served for a moment.
        const before = announced?.certificates.slice(0, 1) ?? [];
        announced = { token, certificates: pair === undefined ? [] : [leafOf(pair.certificate), ...before] };
        announce();
      },
    },
  );
  return {
    name: "admin" as const,
    get certificate() {
      return server.certificate;
    },
    get address() {
      const address = shownListen(listen, scheme, server.port);
      return server.isWaiting ? `${address} (closed until there is a TLS certificate)` : address;
    },
    /** The bound port; before `start`, the configured one. */
    get port() {
      return server.port;
    },
    /** @throws {ListenError} if the address cannot be bound. @throws {ConfigError} if the certificate cannot be used. */
    async start(): Promise<void> {
      instanceFile.remove();
      await server.start();
    },
    /** Checks requests against this token from now on, and reads the certificate again. */
    async reload(next: Omit<AdminOptions, "listen">): Promise<void> {
      if (next.token !== token) {
        ({ token } = next);
        access.useToken(token);
        for (const { leading } of tailnets) leading?.live.end();
        if (announced !== undefined) announced.token = token;
        announce();
      }
      await server.reload(next.tls);
    },
    async stop(deadlineMs: number): Promise<void> {
      for (const { leading } of tailnets) leading?.live.close();
      await server.stop(deadlineMs);
      if (announced !== undefined) instanceFile.remove();
    },
  };
}

/** Answers are for this listener's own page and for programs, and must not be cached. */
const commonHeaders = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;

const maxBodyBytes = 64 * 1024;
const bodyMs = 10_000;

/** Prometheus' text exposition format. */
const textFormat = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Open to everyone. 503 if no tailnet accepts records: senders to a single tailnet that does not get 503 themselves, and a load
 * balancer must not take away the others. `?verbose` adds what is degraded, and what to do; the status code stays the same.
 */
function readiness(tailnets: AdminDeps["tailnets"], parameters: URLSearchParams): HttpAnswer {
  const asked = tailnets.map(({ name, health }) => ({ name, health: health() }));
  const all = troublesOfAll(asked);
  const isReady = asked.some(({ health }) => health.notReady.length === 0);
  const isVerbose = parameters.has("verbose");
  const shown = isReady && isVerbose ? all : all.filter(({ severity }) => severity === "error");
  const status = isReady ? (shown.length === 0 ? "ready" : "degraded") : "not ready";
  const reasons = shown.length > 0 && { reasons: shown.map(({ message }) => message) };
  const remedies = isVerbose && shown.length > 0 && { remedies: remediesOf(shown) };
  return jsonResponse(isReady ? 200 : 503, { status, ...reasons, ...remedies });
}

/** Requires the content type because no HTML form can send it. */
async function readJson(exchange: Exchange, admission: BodyLimits["admission"]): Promise<unknown> {
  if (!/^application\/json\b/i.test(exchange.request.headers.get("content-type") ?? ""))
    throw new Refusal("unsupported_encoding", "The body must be application/json");
  const tooLarge = `The body is larger than ${maxBodyBytes} bytes`;
  const { chunks } = await exchange.readBody({ maxBytes: maxBodyBytes, tooLarge, timeoutMs: bodyMs, admission });
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw new Refusal("unparsable", "The body is not JSON");
  }
}

const statusOf: Partial<Record<Refusal["reason"], number>> = {
  overloaded: 503,
  shutting_down: 503,
  timeout: 408,
  body_too_large: 413,
  unsupported_encoding: 415,
};

function answerTo(error: unknown, logger: Logger): HttpAnswer {
  if (error instanceof UnknownTailnet) return jsonResponse(404, { text: error.message });
  if (error instanceof NotPossible) return jsonResponse(409, { text: error.message });
  if (error instanceof Refusal) return jsonResponse(statusOf[error.reason] ?? 400, { text: error.message });
  if (error instanceof Unavailable) return jsonResponse(503, { text: error.message });
  const reason = messageOf(error);
  logger.error("a request to the admin listener failed", { reason });
  return jsonResponse(500, { text: `the request failed: ${reason}` });
}
