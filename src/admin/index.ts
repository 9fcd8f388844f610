/** The admin listener: health, metrics for Prometheus, the status with its conservation sums, quarantine and replay. */
import { createGuard, type Guard } from "./access.ts";
import type { Config } from "../config/schema.ts";
import { jsonResponse } from "../http/exchange.ts";
import type { Route } from "../http/router.ts";
import { createHttpServer } from "../http/server.ts";
import type { Logger } from "../lib/logger.ts";
import { healthRoutes, type ReadReadiness } from "./health.ts";
import { keptRoutes } from "./kept-routes.ts";
import type { Kept } from "./kept.ts";
import { withWrittenTimes } from "./status.ts";

export interface AdminDeps {
  readonly readiness: ReadReadiness;
  /** The text of `/metrics`. */
  readonly scrape: () => Promise<string>;
  /** What `/api/status` shows; plain data. */
  readonly status: () => object;
  readonly kept: Kept;
  readonly logger: Logger;
}

export interface Admin {
  /** The port that was bound; before that, the one that was asked for. */
  readonly port: number;
  /** @throws {ListenError} if the address cannot be bound. */
  start(): Promise<void>;
  /** The next request is checked against this token. */
  useToken(token: string): void;
  stop(deadlineMs: number): Promise<void>;
}

/** An empty token: none is required, which only a loopback listener may do. @throws {ConfigError} if `listen` is no address. */
export function createAdmin({ listen, token }: Pick<Config["admin"], "listen" | "token">, deps: AdminDeps): Admin {
  const { readiness, scrape, status, kept, logger } = deps;
  let guard = createGuard(token);
  const guarded: Guard = (handler) => (exchange) => guard(handler)(exchange);
  const routes: readonly Route[] = [
    ...healthRoutes(readiness),
    {
      path: "/metrics",
      methods: {
        GET: guarded(async () => ({ status: 200, headers: { "content-type": textFormat }, body: await scrape() })),
      },
    },
    { path: "/api/status", methods: { GET: guarded(() => jsonResponse(200, withWrittenTimes(status()))) } },
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
