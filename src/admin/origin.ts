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
export function isForeign({ request, isLocalOnly }: Exchange, hosts: "this machine" | "any"): boolean {
  const { headers } = request;
  const site = headers.get("sec-fetch-site");
  // "none": a person typed the address. Another port of the same machine is "same-site".
  if (site !== null && site !== "none" && site !== "same-origin") return true;
  if (hosts === "this machine" && isLocalOnly && !namesThisMachine({ request })) return true;
  const [host, origin] = [headers.get("host") ?? "", headers.get("origin")];
  return origin !== null && origin !== `http://${host}` && origin !== `https://${host}`;
}

/** Whether the request names this machine: by a proxy on it, or by DNS rebinding, those of others name another host. */
export function namesThisMachine({ request: { headers } }: Pick<Exchange, "request">): boolean {
  return isLoopback(nameOf(headers.get("host") ?? ""));
}

/** The name or address in a `Host` header, without port and brackets. */
function nameOf(host: string): string {
  return host.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}
