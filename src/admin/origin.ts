/** Tells requests of this listener's own page, and of programs, from those that a page of another site makes a browser send. */
import type { Exchange } from "../http/exchange.ts";
import { isLoopback } from "../lib/listen.ts";

/**
 * Whether a page of another origin sent the request. Browsers say so in `Sec-Fetch-Site` and `Origin`; programs send neither.
 *
 * With `hosts` "this machine", it is also foreign if it reached a loopback listener under another name: a page can have its own
 * name resolve to 127.0.0.1 (DNS rebinding), and the browser then takes the answers for that page's own. A token makes that
 * harmless, because the browser has no cookie for that name.
 */
export function isForeign({ request: { headers }, isLocalOnly }: Exchange, hosts: "this machine" | "any"): boolean {
  const site = headers.get("sec-fetch-site");
  // "none": a person typed the address. Another port of the same machine is "same-site".
  if (site !== null && site !== "none" && site !== "same-origin") return true;
  const host = headers.get("host") ?? "";
  if (hosts === "this machine" && isLocalOnly && !isLoopback(nameOf(host))) return true;
  const origin = headers.get("origin");
  return origin !== null && origin !== `http://${host}` && origin !== `https://${host}`;
}

/** The name or address in a `Host` header, without port and brackets. */
function nameOf(host: string): string {
  return host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}
