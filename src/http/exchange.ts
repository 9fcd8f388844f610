/** One request while it is answered: what a handler may know, and the one way to its body. */
import { type Body, type BodyLimits, discardBody, readBody } from "./body.ts";

export interface Exchange {
  readonly request: Request;
  /** Without the query string. */
  readonly path: string;
  /** The sender's address. */
  readonly peer: string;
  /** The listener takes connections from this machine alone. */
  readonly isLocalOnly: boolean;
  readonly isSecure: boolean;
  /** At most once. @throws {Refusal} as `readBody` says. */
  readBody(limits: BodyLimits): Promise<Body>;
  /** Reads away a body that nobody asked for, within bounds, so that the answer is not lost in a reset. False: some is left. */
  settleBody(): Promise<boolean>;
}

export interface ExchangeSource {
  readonly request: Request;
  readonly connection: { readonly peer: string; disableIdleTimeout(): void };
  readonly isLocalOnly: boolean;
  readonly isSecure: boolean;
}

export function createExchange({ request, connection, isLocalOnly, isSecure }: ExchangeSource): Exchange {
  let isRead = false;
  return {
    request,
    path: pathOf(request.url),
    get peer() {
      return connection.peer;
    },
    isLocalOnly,
    isSecure,
    async readBody(limits) {
      if (limits.timeoutMs > maxIdleMs) connection.disableIdleTimeout();
      const body = await readBody(request, limits);
      isRead = true;
      return body;
    },
    async settleBody() {
      return isRead || (await discardBody(request, maxDiscardedBytes, discardMs));
    },
  };
}

/** Connections on which nothing moves for longer are closed by the runtime. Longer than HTTP clients keep idle ones. */
export const idleTimeoutSeconds = 120;
const maxIdleMs = (idleTimeoutSeconds * 1000) / 2;

const maxDiscardedBytes = 8 * 1024 * 1024;
const discardMs = 2000;

/** The runtime gives a path alone where the `Host` is no host. */
function pathOf(url: string): string {
  const scheme = url.indexOf("://");
  const start = scheme < 0 ? 0 : url.indexOf("/", scheme + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}
