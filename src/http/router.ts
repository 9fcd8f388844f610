/** Finds the handler of a request by its path and method; answers 404, 405 and OPTIONS by itself. */
import { ConfigError } from "../errors.ts";
import type { Exchange } from "./exchange.ts";
import { jsonResponse } from "./response.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export type Handler = (exchange: Exchange) => Response | Promise<Response>;

export interface Route {
  /** Exact and case-sensitive; no patterns. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<Method, Handler>>>;
}

/**
 * One handler over all routes. Routes of the same path are merged. HEAD is answered as GET; the runtime leaves the body out.
 * @throws {ConfigError} when two routes take the same method of the same path.
 */
export function createRouter(routes: readonly Route[]): Handler {
  const byPath = new Map<string, Map<string, Handler>>();
  for (const { path, methods } of routes) {
    const known = byPath.get(path) ?? new Map<string, Handler>();
    byPath.set(path, known);
    for (const [method, handler] of Object.entries(methods)) {
      if (known.has(method)) throw new ConfigError([`the path "${path}" is used twice on one listener`]);
      known.set(method, handler);
    }
  }
  return (exchange) => {
    const methods = byPath.get(exchange.path);
    if (methods === undefined) return jsonResponse(404, { text: "Not found" });
    const { method } = exchange.request;
    const handler = methods.get(method === "HEAD" ? "GET" : method);
    if (handler !== undefined) return handler(exchange);
    const allow = allowed(methods);
    if (method === "OPTIONS") return new Response(null, { status: 200, headers: { allow } });
    return jsonResponse(405, { text: "Method not allowed" }, { allow });
  };
}

function allowed(methods: ReadonlyMap<string, Handler>): string {
  const names = [...methods.keys()].flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  return [...names, "OPTIONS"].join(", ");
}
