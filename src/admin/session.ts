/** Sessions of the page: a cookie that proves the admin token was known when it was made. Nothing is kept for a session. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../lib/clock.ts";

const lifetimeSeconds = 12 * 3600;

/** Cookies are shared by all ports of a host. */
export interface SessionsDeps {
  readonly port: () => number;
  readonly clock: Clock;
}

/** Another token ends all sessions, because it is the key of their signatures. */
export function createSessions(token: string, { port, clock }: SessionsDeps) {
  const signatureOf = (expiry: string): Buffer =>
    createHmac("sha256", token).update(`tailscale2otel session until ${expiry}`).digest();
  const cookie = (value: string, seconds: number, connection: "secure" | "plain"): string => {
    const secure = connection === "secure" ? "; Secure" : "";
    return `${nameAt(port())}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
  };
  return {
    /** For `Set-Cookie`. */
    begin(connection: "secure" | "plain"): string {
      const expiry = String(Math.floor(clock() / 1000) + lifetimeSeconds);
      return cookie(`${expiry}.${signatureOf(expiry).toString("base64url")}`, lifetimeSeconds, connection);
    },
    /** The same, to end the session of this browser. */
    end: (connection: "secure" | "plain"): string => cookie("", 0, connection),
    /** Whether the `Cookie` header has a session that is valid now. */
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
