/** Decides, before a byte of a body is read, whether a request may send anything at all. */
import { isFromBrowser } from "../../http/browser-gate.ts";
import { createSecretCheck, readAuthorization } from "../../http/credential.ts";
import type { Exchange } from "../../http/exchange.ts";
import type { HecAnswerName } from "./protocol.ts";

export interface GateOptions {
  /** Empty: every program may send. */
  readonly token: string;
  /** Accepted too, while a token is being replaced. */
  readonly tokenPrevious: string;
  /** Names under which this machine is reached through a proxy on it. */
  readonly ownHosts: readonly string[];
}

/** The answer to one who may not, or nothing. */
export type Gate = (exchange: Exchange) => HecAnswerName | undefined;

export function createGate({ token, tokenPrevious, ownHosts }: GateOptions): Gate {
  if (token === "" && tokenPrevious === "")
    return (exchange) => (isFromBrowser(exchange, ownHosts) ? "crossSite" : undefined);
  const isToken = createSecretCheck([token, tokenPrevious]);
  return ({ request }) => {
    const credential = readAuthorization(request.headers.get("authorization"));
    switch (credential.kind) {
      case "absent":
        return "tokenRequired";
      case "malformed":
        return "invalidAuthorization";
      case "secret":
        return isToken(credential.secret) ? undefined : "invalidToken";
    }
  };
}
