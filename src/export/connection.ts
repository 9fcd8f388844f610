/** What `fetch` leaves to its caller: a kept connection that the backend has just closed, and a backend that speaks HTTP/2 only. */

/** `fetch` with the options that runtimes add to it; the runtime's seam translates those that its own does not know. */
export type Fetch = (
  url: string,
  init: RequestInit & {
    tls?: { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean };
    /** Bun's: HTTP/2 instead of HTTP/1.1. Deno chooses by itself, and ignores it. */
    protocol?: "http2";
  },
) => Promise<Response>;

/**
 * `fetch` to one backend. A failed request is sent again at once if the failure says that another connection will do: after
 * an answered one, if its connection was reset; and over TLS as HTTP/2, as long as nothing was ever answered in HTTP/1.1. The
 * version that was answered is kept.
 */
export function createConnection(fetch: Fetch): Fetch {
  let isHttp2 = false;
  let hasAnsweredHttp1 = false;
  let wasAnswered = false;

  const send: Fetch = async (url, init) => {
    const isSentAsHttp2 = isHttp2;
    const response = await fetch(url, isSentAsHttp2 ? { ...init, protocol: "http2" } : init);
    wasAnswered = true;
    if (!isSentAsHttp2) hasAnsweredHttp1 = true;
    return response;
  };

  const sendAsHttp2: Fetch = async (url, init) => {
    const response = await fetch(url, { ...init, protocol: "http2" });
    isHttp2 = true;
    wasAnswered = true;
    return response;
  };

  return async (url, init) => {
    try {
      return await send(url, init);
    } catch (error) {
      if (init.signal?.aborted === true) throw error;
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (isHttp2 && code === notHttp2Code) {
        isHttp2 = false;
        return send(url, init);
      }
      if (wasAnswered && closedCodes.has(code)) {
        wasAnswered = false;
        return send(url, init);
      }
      if (isHttp2 || hasAnsweredHttp1 || !url.startsWith("https:") || !otherVersionCodes.has(code)) throw error;
      return sendAsHttp2(url, init).catch(() => {
        throw error;
      });
    }
  };
}

/** Codes of a kept connection that was closed before the request reached anybody, as far as one can know. */
const closedCodes: ReadonlySet<unknown> = new Set(["ECONNRESET", "ConnectionClosed"]);

/**
 * What HTTP/1.1 comes to at a server that speaks HTTP/2 only: it refuses the handshake for want of a common protocol
 * (RFC 7301, 3.2), or answers with frames. The former code stands for other trouble with TLS too.
 */
const otherVersionCodes: ReadonlySet<unknown> = new Set(["EPROTO", "Malformed_HTTP_Response"]);

/** The server has chosen another protocol in the handshake. */
const notHttp2Code = "HTTP2Unsupported";
