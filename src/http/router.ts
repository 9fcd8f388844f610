/** Routes requests by path and method, and answers 404, 405 and OPTIONS itself. */
import { ConfigError } from "../errors.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "./exchange.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export type Handler = (exchange: Exchange) => HttpAnswer | Promise<HttpAnswer>;

export interface Route {
  /** Exact and case-sensitive. A leading `/*` matches any one segment; an exact path takes precedence. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<Method, Handler>>>;
}

/** A request without a matching route, and what this listener accepts instead. */
export interface Misdirected {
  readonly reason: "not_found" | "method";
  /** For a person, after "this listener accepts". */
  readonly accepted: string;
}

/**
 * Combines all routes into one handler. Routes of the same path are merged. HEAD is answered as GET; the server omits the body.
 * @throws {ConfigError} if two routes have the same method and path.
 */
export function createRouter(
  routes: readonly Route[],
  misdirected: (exchange: Exchange, what: Misdirected) => void,
): Handler {
  const byPath = new Map<string, Map<string, Handler>>();
  for (const { path, methods } of routes) {
    const known = byPath.get(path) ?? new Map<string, Handler>();
    byPath.set(path, known);
    for (const [method, handler] of Object.entries(methods)) {
      if (known.has(method)) throw new ConfigError([`the path "${path}" is used twice on one listener`]);
      known.set(method, handler);
    }
  }
  const accepted = acceptedBy(routes);
  return (exchange) => {
    const methods = byPath.get(exchange.path) ?? byPath.get(`/*${behindFirstSegment(exchange.path)}`);
    if (methods === undefined) {
      misdirected(exchange, { reason: "not_found", accepted });
      return jsonResponse(404, { text: "Not found" });
    }
    const { method } = exchange.request;
    const handler = methods.get(method === "HEAD" ? "GET" : method);
    if (handler !== undefined) return handler(exchange);
    const names = [...methods.keys()].flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name]));
    const allow = [...names, "OPTIONS"].join(", ");
    if (method === "OPTIONS") return { status: 200, headers: { allow }, body: "" };
    misdirected(exchange, { reason: "method", accepted: `${names.join(" and ")} on this path` });
    return jsonResponse(405, { text: "Method not allowed" }, { allow });
  };
}

/** `/b/c` of `/a/b/c`; empty if there is only one segment, or the first is empty. */
function behindFirstSegment(path: string): string {
  const cut = path.indexOf("/", 1);
  return cut < 2 ? "" : path.slice(cut);
}

const maxShown = 4;

/** The first paths of a listener. Paths that differ only at the end, such as in a slash or a version, are shown once. */
function acceptedBy(routes: readonly Route[]): string {
  const shown: Route[] = [];
  const isWithin = (one: string, other: string): boolean => `${one}/`.startsWith(other.replace(/\/*$/, "/"));
  for (const route of routes)
    if (!shown.some(({ path }) => isWithin(path, route.path) || isWithin(route.path, path))) shown.push(route);
  const texts = shown.map(({ path, methods }) => `${Object.keys(methods).join("/")} ${path}`);
  return [...texts.slice(0, maxShown), ...(texts.length > maxShown ? ["…"] : [])].join(", ");
}
