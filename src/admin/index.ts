/** The admin listener: health, metrics for Prometheus, the sums that show that nothing disappears, and what was kept. */
import { createHttpServer } from "../http/server.ts";
import { jsonResponse } from "../http/response.ts";
import type { Route } from "../http/router.ts";
import type { Logger } from "../lib/logger.ts";
import { createGuard, type Guard } from "./access.ts";
import { keptRoutes } from "./kept-routes.ts";
import type { Kept } from "./kept.ts";
import { healthRoutes, type ReadReadiness } from "./health.ts";

export interface AdminOptions {
  /** As an operator writes it. */
  readonly listen: string;
  /** Empty: none is asked for, which only a loopback listener may do. */
  readonly token: string;
}

export interface AdminDeps {
  readonly readiness: ReadReadiness;
  /** The text of `/metrics`. */
  readonly scrape: () => Promise<string>;
  /** What `/api/status` says; plain data. */
  readonly status: () => object;
  readonly kept: Kept;
  readonly logger: Logger;
}

export interface Admin {
  /** The port that was bound; what was asked for before that. */
  readonly port: number;
  /** @throws {ListenError} when the address cannot be bound. */
  start(): Promise<void>;
  /** The next request is judged by this one. */
  useToken(token: string): void;
  stop(deadlineMs: number): Promise<void>;
}

/** @throws {ConfigError} when the address is none. */
export function createAdmin({ listen, token }: AdminOptions, deps: AdminDeps): Admin {
  const { readiness, scrape, status, kept, logger } = deps;
  let guard = createGuard(token);
  const guarded: Guard = (handler) => (exchange) => guard(handler)(exchange);
  const routes: readonly Route[] = [
    ...healthRoutes(readiness),
    {
      path: "/metrics",
      methods: {
        GET: guarded(async () => new Response(await scrape(), { headers: { "content-type": textFormat } })),
      },
    },
    { path: "/api/status", methods: { GET: guarded(() => jsonResponse(200, status())) } },
    ...keptRoutes(kept, guarded, logger),
  ];
  const server = createHttpServer({ listen }, { routes, logger });
  return {
    get port() {
      return server.port;
    },
    start: () => server.start(),
    useToken(next) {
      guard = createGuard(next);
    },
    stop: (deadlineMs) => server.stop(deadlineMs),
  };
}

/** Prometheus' text exposition format. */
const textFormat = "text/plain; version=0.0.4; charset=utf-8";
