/** Authenticates requests: reads secrets, compares them in constant time, and distinguishes browsers from programs. */
import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";
import { isLoopback } from "../lib/listen.ts";
import type { Exchange } from "./exchange.ts";

/** A secret, or why there is none. */
export type Credential = Uint8Array | "absent" | "malformed";

/**
 * `Splunk SECRET`, `Bearer SECRET`, `Basic base64(user:SECRET)`, or a bare secret. Any other scheme is malformed. The
 * header's characters are its bytes (RFC 9110, section 5.5), so a secret in UTF-8 arrives as it was sent.
 */
export function readAuthorization(header: string | null): Credential {
  const text = header?.trim() ?? "";
  if (text === "") return "absent";
  const [, scheme = "", parameter = ""] = /^(\S+)\s+(.+)$/.exec(text) ?? ["", text];
  const isBare = scheme === text;
  switch (scheme.toLowerCase()) {
    case "splunk":
    case "bearer":
      return isBare ? "malformed" : Buffer.from(parameter, "latin1");
    case "basic":
      return basicSecret(parameter);
    default:
      return isBare ? Buffer.from(text, "latin1") : "malformed";
  }
}

/** Tests if a candidate is one of the secrets, by digests in constant time. Without any non-empty secret, nothing matches. */
export function createSecretCheck(secrets: readonly string[]): (candidate: Uint8Array) => boolean {
  const digests = secrets.filter((secret) => secret !== "").map(digestOf);
  return (candidate) => {
    const digest = digestOf(candidate);
    let matches = 0;
    for (const known of digests) matches |= Number(timingSafeEqual(digest, known));
    return matches === 1;
  };
}

/**
 * True if the request comes from a web page, or reached this listener under a foreign name (DNS rebinding). Programs send neither
 * `Origin` nor `Sec-Fetch-Site`. On a loopback listener, `Host` must name this machine or be that of `publicUrl` (a proxy).
 */
export function isFromBrowser(exchange: Exchange, publicUrl: string): boolean {
  if (exchange.request.headers.has("origin") || isFromOtherSite(exchange)) return true;
  if (!exchange.isLocalOnly || namesThisMachine(exchange)) return false;
  return !(URL.canParse(publicUrl) && hostOf(new URL(publicUrl).host) === hostIn(exchange));
}

/**
 * True if a page of another origin sent the request; this listener's own page may.
 *
 * With `hosts` "this machine", a request is also foreign if it reached a loopback listener under another name: a page can make
 * its own name resolve to 127.0.0.1 (DNS rebinding), and the browser then treats the answers as that page's own. With a token
 * that is harmless, because the browser has no cookie for that name.
 */
export function isForeign(exchange: Exchange, hosts: "this machine" | "any"): boolean {
  if (isFromOtherSite(exchange)) return true;
  if (hosts === "this machine" && exchange.isLocalOnly && !namesThisMachine(exchange)) return true;
  const { headers } = exchange.request;
  const [host, origin] = [headers.get("host") ?? "", headers.get("origin")];
  return origin !== null && origin !== `http://${host}` && origin !== `https://${host}`;
}

/** True if the request names this machine. Requests of others, by a local proxy or DNS rebinding, name another host. */
export function namesThisMachine(exchange: Pick<Exchange, "request">): boolean {
  return isLoopback(hostIn(exchange));
}

/** `none` means that a person typed the address; another port of the same machine is `same-site`. */
function isFromOtherSite({ request: { headers } }: Exchange): boolean {
  const site = headers.get("sec-fetch-site");
  return site !== null && site !== "none" && site !== "same-origin";
}

function hostIn({ request: { headers } }: Pick<Exchange, "request">): string {
  return hostOf(headers.get("host") ?? "");
}

function basicSecret(parameter: string): Credential {
  if (!/^[\w+/-]+={0,2}$/.test(parameter)) return "malformed";
  const decoded = Buffer.from(parameter, "base64");
  const colon = decoded.indexOf(":");
  return colon < 0 || colon === decoded.length - 1 ? "malformed" : decoded.subarray(colon + 1);
}

function digestOf(secret: string | Uint8Array): Uint8Array {
  return createHash("sha256").update(secret).digest();
}

/** The name or address in a `Host` header, without port and brackets. */
function hostOf(header: string): string {
  return header
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
}
