/** Who may use the admin listener: programs with the token, and its own page with the token's cookie; on loopback without a token, all of this machine. */
import type { Telemetry } from "../catalogue/telemetry.ts";
import { createSecretCheck, isForeign, namesThisMachine, readAuthorization } from "../http/auth.ts";
import { type Exchange, type HttpAnswer, jsonResponse } from "../http/exchange.ts";
import type { Handler } from "../http/router.ts";
import type { Clock } from "../lib/clock.ts";
import { createOncePerMinute, type Logger } from "../lib/logger.ts";
import { createAttempts } from "./attempts.ts";
import { createSessions } from "./session.ts";

export interface AccessDeps {
  readonly telemetry: Telemetry;
  readonly logger: Logger;
  readonly clock: Clock;
  /** The listener's. */
  readonly port: () => number;
  readonly speaksTls: boolean;
}

/** With an empty token, none is required. */
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

  /** Why the token is not taken; nothing if it is the right one. */
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

  /** A page knows that it was loaded by https, also where a proxy speaks it. */
  const connectionOf = ({ request: { headers } }: Exchange): "secure" | "plain" =>
    deps.speaksTls || headers.get("origin")?.startsWith("https:") === true ? "secure" : "plain";

  return {
    /** A handler for everyone but pages of other origins. */
    sameOrigin,
    /** A handler that only answers those who may ask. */
    guarded: (handler: Handler): Handler => sameOrigin((exchange) => whyNot(exchange) ?? handler(exchange)),
    /** Whether a token is required, and whether this browser has a session. Not a way to try tokens. */
    state: ({ request: { headers } }: Exchange) => ({
      required: token !== "",
      signedIn: token === "" || sessions.isValid(headers.get("cookie")),
    }),
    /** Begins a session for a browser whose user knows the token. */
    signIn(exchange: Exchange, candidate: string): HttpAnswer {
      if (token === "") return noContent({});
      const refusal = refusalOf(Buffer.from(candidate), exchange);
      return refusal ?? noContent({ "set-cookie": sessions.begin(connectionOf(exchange)) });
    },
    signOut: (exchange: Exchange): HttpAnswer => noContent({ "set-cookie": sessions.end(connectionOf(exchange)) }),
    /** From now on. */
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
