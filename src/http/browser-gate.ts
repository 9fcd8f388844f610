/** Tells requests that a web page made a browser send from those of a program, for endpoints that ask for no secret. */
import { isLoopback } from "../lib/listen.ts";
import type { Exchange } from "./exchange.ts";

/**
 * Whether the request comes from a page, or was steered here by a name that is not ours (DNS rebinding). Programs send
 * neither `Origin` nor `Sec-Fetch-Site`. On a listener of this machine alone, `Host` must be this machine or one of `ownHosts`.
 */
export function isFromBrowser(exchange: Exchange, ownHosts: readonly string[]): boolean {
  const { headers } = exchange.request;
  if (headers.has("origin")) return true;
  const site = headers.get("sec-fetch-site");
  if (site !== null && site !== "none" && site !== "same-origin") return true;
  if (!exchange.isLocalOnly) return false;
  const host = hostOf(headers.get("host") ?? "");
  return !isLoopback(host) && !ownHosts.some((own) => own.toLowerCase() === host);
}

/** The name or address in a `Host` header, without port and brackets. */
function hostOf(header: string): string {
  return header
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}
