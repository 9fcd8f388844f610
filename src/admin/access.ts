/** Access control of the admin listener: its token, and no requests made by web pages of others. */
import { isLoopback } from "../lib/listen.ts";
import { createSecretCheck, readAuthorization } from "../http/auth.ts";
import { type Exchange, jsonResponse } from "../http/exchange.ts";
import type { Handler } from "../http/router.ts";

/** Runs the checks before a handler. */
export type Guard = (handler: Handler) => Handler;

/**
 * A guard for this token; with an empty one, none is required. Whatever the token: a request that a web page of another origin made
 * is refused, and on a loopback listener one whose `Host` is not this machine (DNS rebinding).
 */
export function createGuard(token: string): Guard {
  const isToken = createSecretCheck([token]);
  return (handler) => (exchange) => {
    if (isForeign(exchange)) return jsonResponse(403, { text: "Requests from other web pages are refused" });
    if (token !== "" && !hasToken(exchange, isToken)) {
      return jsonResponse(401, { text: "The admin token is required" }, { "www-authenticate": "Bearer" });
    }
    return handler(exchange);
  };
}

function isForeign({ request: { headers }, isLocalOnly }: Exchange): boolean {
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "none" && site !== "same-origin") return true;
  const host = headers.get("host") ?? "";
  if (isLocalOnly && !isLoopback(nameOf(host))) return true;
  const origin = headers.get("origin");
  return origin !== null && !isSameOrigin(origin, host);
}

function isSameOrigin(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`;
}

/** Of `127.0.0.1:9091` or `[::1]:9091`. */
function nameOf(host: string): string {
  return host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

function hasToken({ request }: Exchange, isToken: (candidate: Uint8Array) => boolean): boolean {
  const credential = readAuthorization(request.headers.get("authorization"));
  return credential.kind === "secret" && isToken(credential.secret);
}
