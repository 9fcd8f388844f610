/** The admin listener: the live page, health, metrics for Prometheus, the status with its conservation sums, events, quarantine and replay. */
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
import { createAccess } from "./access.ts";
import type { EventFeed, EventPage } from "./events/index.ts";
import type { Instance, Listening } from "./instance.ts";
import type { InstanceFile } from "./instance-file.ts";
import type { Live } from "./live.ts";
import { NotPossible, type Operations } from "./operations.ts";
import type { Overview } from "./overview.ts";
import { pageRoutes } from "./page/index.ts";
import { timeText } from "./redeliveries.ts";
import {
  cancelOf,
  eventIdOf,
  eventQueryOf,
  itemIdOf,
  mapQueryOf,
  purgeOf,
  queryOf,
  rangeOf,
  selectionOf,
  seriesQueryOf,
  tokenOf,
} from "./requests.ts";
import type { Health } from "./status.ts";
import type { Traffic, TrafficFeed, TrafficMap } from "./traffic/index.ts";
import { degradedReasons, remediesOf, troublesOf } from "./troubles.ts";

export interface AdminDeps {
  readonly health: () => Health;
  /** The text of `/metrics`. */
  readonly scrape: () => Promise<string>;
  /** What `/api/v1/status` shows besides `health`, as plain data. */
  readonly status: () => object;
  readonly overview: () => Overview;
  readonly instance: () => Instance;
  readonly events: Pick<EventFeed, "read" | "whole">;
  readonly traffic: Pick<TrafficFeed, "series" | "map" | "recent">;
  readonly live: Pick<Live, "answer" | "end" | "close">;
  readonly operations: Operations;
  /** Tells commands on this machine the address and the token. */
  readonly instanceFile: InstanceFile;
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** How the listener is reached. With an empty token, none is required; only a loopback listener may be configured so. */
export interface AdminOptions {
  readonly listen: string;
  readonly token: string;
  /** Absent: plain HTTP. */
  readonly tls?: TlsSource | undefined;
}

/** How the configuration says that the listener is reached. */
export function adminOptionsOf({ admin, tailscale }: Pick<Config, "admin" | "tailscale">): AdminOptions {
  return { ...admin, tls: tlsSourceOf(admin.tls, tailscale) };
}

export interface Admin extends Listening {
  /** The bound port; before `start`, the configured one. */
  readonly port: number;
  /** @throws {ListenError} if the address cannot be bound. @throws {ConfigError} if the certificate cannot be used. */
  start(): Promise<void>;
  /** The next request is checked against this token; the certificate is read again. */
  reload(options: Omit<AdminOptions, "listen">): Promise<void>;
  stop(deadlineMs: number): Promise<void>;
}

/** @throws {ConfigError} if `listen` is no address. */
export function createAdmin({ listen, token, tls }: AdminOptions, deps: AdminDeps): Admin {
  const { operations, instanceFile, live, logger } = deps;
  const scheme = tls === undefined ? "http" : "https";
  const limiter = createLimiter({ maxReading: 16, maxBytes: 16 * maxBodyBytes, maxWorking: 16 });
  const access = createAccess(token, { ...deps, port: () => server.port, speaksTls: tls !== undefined });
  /** What the instance file says, once there is one. */
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
  /** A text is JSON already. */
  const get = (path: string, answer: (parameters: URLSearchParams) => Promise<object | string>): Route => ({
    path,
    methods: { GET: guarded(async ({ request }) => jsonResponse(200, await answer(parametersOf(request.url)))) },
  });
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
  const post = (path: string, answer: (body: unknown) => Promise<object>): Route => ({
    path,
    methods: { POST: guarded(withBody(async (body) => jsonResponse(200, await answer(body)))) },
  });

  const routes: readonly Route[] = [
    { path: "/healthz", methods: { GET: () => jsonResponse(200, { status: "ok" }) } },
    { path: "/readyz", methods: { GET: ({ request }) => readiness(deps.health(), parametersOf(request.url)) } },
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
    { path: "/api/v1/live", methods: { GET: guarded((exchange) => live.answer(exchange)) } },
    get("/api/v1/status", async () => {
      const health = deps.health();
      const written = withWrittenTimes(health);
      return { ...deps.status(), ...written, degraded: degradedReasons(health), troubles: troublesOf(health) };
    }),
    get("/api/v1/overview", async () => deps.overview()),
    get("/api/v1/instance", async () => deps.instance()),
    get("/api/v1/events", async (asked) => sharedText(await deps.events.read(eventQueryOf(asked)))),
    get("/api/v1/events/item", async (parameters) => {
      const event = await deps.events.whole(eventIdOf(parameters));
      if (event === undefined) throw new NotPossible("the event has left the journal");
      return event;
    }),
    get("/api/v1/traffic", async (asked) => sharedText(await deps.traffic.series(seriesQueryOf(asked)))),
    get("/api/v1/traffic/recent", async () => deps.traffic.recent()),
    get("/api/v1/map", async (asked) => sharedText(await deps.traffic.map(mapQueryOf(asked)))),
    get("/api/v1/quarantine", (parameters) => operations.list(queryOf(parameters))),
    get("/api/v1/quarantine/item", (parameters) => operations.show(itemIdOf(parameters))),
    post("/api/v1/quarantine/retry", (body) => operations.retry(selectionOf(body))),
    post("/api/v1/quarantine/purge", (body) => operations.purge(...purgeOf(body))),
    get("/api/v1/replay", () => operations.redeliveries()),
    post("/api/v1/replay", (body) => operations.replay(rangeOf(body))),
    post("/api/v1/replay/cancel", (body) => operations.cancel(...cancelOf(body))),
    ...pageRoutes,
  ];
  const server = createHttpServer(
    { listen, tls, component: "admin" },
    {
      ...deps,
      routes,
      headers: commonHeaders,
      serving(pair) {
        // While a certificate is being replaced, the one before is still shown for a moment.
        const before = announced?.certificates.slice(0, 1) ?? [];
        announced = { token, certificates: pair === undefined ? [] : [leafOf(pair.certificate), ...before] };
        announce();
      },
    },
  );
  return {
    name: "admin",
    get certificate() {
      return server.certificate;
    },
    get address() {
      const address = shownListen(listen, scheme, server.port);
      return server.isWaiting ? `${address} (closed until there is a TLS certificate)` : address;
    },
    get port() {
      return server.port;
    },
    async start() {
      instanceFile.remove();
      await server.start();
    },
    async reload(next) {
      if (next.token !== token) {
        ({ token } = next);
        access.useToken(token);
        live.end();
        if (announced !== undefined) announced.token = token;
        announce();
      }
      await server.reload(next.tls);
    },
    async stop(deadlineMs) {
      live.close();
      await server.stop(deadlineMs);
      if (announced !== undefined) instanceFile.remove();
    },
  };
}

/** Answers are for this listener's own page and for programs, and are kept by nobody. */
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

/** Open to everyone. `?verbose` adds what is degraded, and what to do; the status code stays the same. */
function readiness(health: Health, parameters: URLSearchParams): HttpAnswer {
  const { notReady } = health;
  const isReady = notReady.length === 0;
  const troubles = parameters.has("verbose")
    ? troublesOf(health).filter(({ severity }) => isReady === (severity === "warning"))
    : [];
  const remedies = troubles.length === 0 ? {} : { remedies: remediesOf(troubles) };
  if (!isReady) return jsonResponse(503, { status: "not ready", reasons: notReady, ...remedies });
  const reasons = troubles.map(({ message }) => message);
  return jsonResponse(200, reasons.length === 0 ? { status: "ready" } : { status: "degraded", reasons, ...remedies });
}

const texts = new WeakMap<object, string>();

/** An answer as JSON, which is written once for all who share it. */
function sharedText(answer: Traffic | TrafficMap | EventPage): string {
  let text = texts.get(answer);
  if (text === undefined) texts.set(answer, (text = JSON.stringify(answer)));
  return text;
}

/** Times as RFC 3339 instead of epoch milliseconds. */
function withWrittenTimes(health: Health): Health {
  const written = ({ since, ...state }: Health["export"]["logs"]) =>
    since === undefined ? state : { ...state, since: typeof since === "number" ? timeText(since) : since };
  const both = ({ logs, metrics }: Health["export"]) => ({ logs: written(logs), metrics: written(metrics) });
  const destinations = health.destinations?.map(({ export: of, ...one }) => ({
    ...one,
    ...(of && { export: both(of) }),
  }));
  return { ...health, export: both(health.export), ...(destinations && { destinations }) };
}

/** The content type is required because no HTML form can send it. */
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

/** Without a valid `Host`, the URL is a path alone. */
function parametersOf(url: string): URLSearchParams {
  const query = url.indexOf("?");
  return new URLSearchParams(query < 0 ? "" : url.slice(query + 1));
}

const statusOf: Partial<Record<Refusal["reason"], number>> = {
  overloaded: 503,
  shutting_down: 503,
  timeout: 408,
  body_too_large: 413,
  unsupported_encoding: 415,
};

function answerTo(error: unknown, logger: Logger): HttpAnswer {
  if (error instanceof NotPossible) return jsonResponse(409, { text: error.message });
  if (error instanceof Refusal) return jsonResponse(statusOf[error.reason] ?? 400, { text: error.message });
  if (error instanceof Unavailable) return jsonResponse(503, { text: error.message });
  const reason = error instanceof Error ? error.message : String(error);
  logger.error("a request to the admin listener failed", { reason });
  return jsonResponse(500, { text: `the request failed: ${reason}` });
}
