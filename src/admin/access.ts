/** Who may use the admin listener: programs with the token and pages with a session, or, without a token, all on this machine. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { isIPv6 } from "node:net";
import type { Telemetry } from "../catalogue/telemetry.ts";
import { createSecretCheck, isForeign, namesThisMachine, readAuthorization } from "../http/auth.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import type { Handler } from "../http/router.ts";
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";

export interface AccessDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The port of the listener. */
  readonly port: () => number;
  readonly speaksTls: boolean;
}

/** An empty token means that none is required. */
export function createAccess(initial: string, deps: AccessDeps) {
  const { telemetry, logger, clock } = deps;
  const attempts = createAttempts();
  const once = createOncePerMinute<string>(clock);
  let token = initial;
  let isToken = createSecretCheck([token]);
  let sessions = createSessions(token, deps);

  function rejected(reason: "foreign" | "unauthorized" | "rate_limited"): void {
    telemetry.add("tailscale2otel.admin.rejected", 1, { reason });
  }

  /** Why the token is refused; `undefined` if it is correct. */
  function refusalOf(candidate: Uint8Array, exchange: Exchange): HttpAnswer | undefined {
    const { peer } = exchange;
    const guesser = { peer, named: namesThisMachine(exchange) ? "this machine" : "another host" } as const;
    if (attempts.isExhausted(guesser)) {
      rejected("rate_limited");
      return jsonResponse(429, { text: "Too many wrong tokens: try again in a minute" }, { "retry-after": "60" });
    }
    if (isToken(candidate)) return undefined;
    attempts.failed(guesser);
    rejected("unauthorized");
    const now = once("wrong");
    const message = "wrong admin token: whoever asks must give the value that admin.token has in this instance";
    if (now !== undefined) logger.warn(message, { peer, alsoRefused: now.suppressed });
    return jsonResponse(401, { text: "The admin token is wrong" }, challenge);
  }

  function whyNot(exchange: Exchange): HttpAnswer | undefined {
    const { headers } = exchange.request;
    if (token === "" || sessions.isValid(headers.get("cookie"))) return undefined;
    const credential = readAuthorization(headers.get("authorization"));
    if (credential instanceof Uint8Array) return refusalOf(credential, exchange);
    rejected("unauthorized");
    return jsonResponse(401, { text: "The admin token is required" }, challenge);
  }

  const sameOrigin =
    (handler: Handler): Handler =>
    (exchange) => {
      if (!isForeign(exchange, token === "" ? "this machine" : "any")) return handler(exchange);
      rejected("foreign");
      return jsonResponse(403, { text: "Requests from other web pages are refused" });
    };

  /** A page knows that it was loaded over https, even if a proxy terminates TLS. */
  const connectionOf = ({ request: { headers } }: Exchange): "secure" | "plain" =>
    deps.speaksTls || headers.get("origin")?.startsWith("https:") === true ? "secure" : "plain";

  return {
    /** A handler for all requests except those from pages of other origins. */
    sameOrigin,
    /** A handler that answers only authorized requests. */
    guarded: (handler: Handler): Handler => sameOrigin((exchange) => whyNot(exchange) ?? handler(exchange)),
    /** Tells if a token is required, and if this browser has a session. Cannot be used to try tokens. */
    state: ({ request: { headers } }: Exchange) => ({
      required: token !== "",
      signedIn: token === "" || sessions.isValid(headers.get("cookie")),
    }),
    /** Starts a session for a browser whose user knows the token. */
    signIn(exchange: Exchange, candidate: string): HttpAnswer {
      if (token === "") return noContent({});
      const refusal = refusalOf(Buffer.from(candidate), exchange);
      return refusal ?? noContent({ "set-cookie": sessions.begin(connectionOf(exchange)) });
    },
    signOut: (exchange: Exchange): HttpAnswer => noContent({ "set-cookie": sessions.end(connectionOf(exchange)) }),
    /** Checks requests against this token from now on. */
    useToken(next: string): void {
      if (next === token) return;
      token = next;
      isToken = createSecretCheck([token]);
      sessions = createSessions(token, deps);
    },
  };
}

const challenge = { "www-authenticate": "Bearer" };

function noContent(headers: Readonly<Record<string, string>>): HttpAnswer {
  return { status: 204, headers, body: "" };
}

/** Lifetime of a session. */
const lifetimeSeconds = 12 * 3600;

/**
 * Sessions of the page: a cookie proves that the admin token was known when it was created. No state is kept for a session. A new
 * token ends all sessions, because the token is the key of their signatures. All ports of a host share cookies.
 */
export function createSessions(token: string, { port, clock }: Pick<AccessDeps, "port" | "clock">) {
  const signatureOf = (expiry: string): Buffer =>
    createHmac("sha256", token).update(`tailscale2otel session until ${expiry}`).digest();
  const cookie = (value: string, seconds: number, connection: "secure" | "plain"): string => {
    const secure = connection === "secure" ? "; Secure" : "";
    return `${nameAt(port())}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
  };
  return {
    /** A session for `Set-Cookie`. */
    begin(connection: "secure" | "plain"): string {
      const expiry = String(Math.floor(clock() / 1000) + lifetimeSeconds);
      return cookie(`${expiry}.${signatureOf(expiry).toString("base64url")}`, lifetimeSeconds, connection);
    },
    /** The `Set-Cookie` value that ends the session of this browser. */
    end: (connection: "secure" | "plain"): string => cookie("", 0, connection),
    /** True if the `Cookie` header has a currently valid session. */
    isValid(cookies: string | null): boolean {
      const name = nameAt(port());
      for (const one of (cookies ?? "").split(";")) {
        const match = /^\s*([^=\s]+)=(\d{1,12})\.([\w-]{43})\s*$/.exec(one);
        if (match === null || match[1] !== name) continue;
        const [, , expiry = "", signature = ""] = match;
        const isSigned = timingSafeEqual(Buffer.from(signature, "base64url"), signatureOf(expiry));
        if (isSigned && Number(expiry) * 1000 > clock()) return true;
      }
      return false;
    },
  };
}

function nameAt(port: number): string {
  return `tailscale2otel-${port}`;
}

/** Who guesses: an IP address, and how it named this listener. Requests through a proxy on this machine count separately. */
export interface Guesser {
  readonly peer: string;
  readonly named: "this machine" | "another host";
}

/** Wrong guesses that are free, and how many more are allowed per second. */
const burst = 20;
const perSecond = 1;

/** Maximum number of networks remembered. */
const maxNetworks = 4096;

/**
 * Limits the rate at which anyone can guess the admin token, by address, so that nobody locks out others: a token bucket per
 * network. `now` is in milliseconds and never goes back.
 */
export function createAttempts(now: () => number = () => performance.now()) {
  const buckets = new Map<string, { wrong: number; at: number }>();

  function levelOf(network: string): number {
    const bucket = buckets.get(network);
    if (bucket === undefined) return 0;
    return Math.max(0, bucket.wrong - ((now() - bucket.at) / 1000) * perSecond);
  }

  return {
    /** True if there were so many wrong guesses that the next one is not checked. */
    isExhausted: (guesser: Guesser): boolean => levelOf(keyOf(guesser)) > burst - 1,
    failed(guesser: Guesser): void {
      const network = keyOf(guesser);
      const wrong = levelOf(network) + 1;
      buckets.delete(network);
      buckets.set(network, { wrong, at: now() });
      const [oldest] = buckets.keys();
      if (buckets.size > maxNetworks && oldest !== undefined) buckets.delete(oldest);
    },
  };
}

function keyOf({ peer, named }: Guesser): string {
  return `${networkOf(peer)} ${named}`;
}

/** One machine can have all addresses of an IPv6 /64, and this one all of 127.0.0.0/8. */
function networkOf(peer: string): string {
  if (!isIPv6(peer)) return peer.startsWith("127.") ? "127.0.0.0/8" : peer;
  const [head = "", tail] = peer.replace(/%.*$/, "").split("::", 2);
  const groups = head.split(":").filter(Boolean);
  const rest = (tail ?? "").split(":").filter(Boolean);
  const zeros = tail === undefined ? 0 : 8 - groups.length - rest.length;
  return [...groups, ...Array.from({ length: zeros }, () => "0"), ...rest].slice(0, 4).join(":");
}
