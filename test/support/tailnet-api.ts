/** The real client on the stand-in of Tailscale, which tries each call once. */
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createTailscaleApi } from "../../src/tailscale/index.ts";
import type { TailscaleApi } from "../../src/tailscale/types.ts";
import type { Tailnet } from "./tailnet/index.ts";

export function apiOf(tailnet: Tailnet): TailscaleApi {
  const { clientId, clientSecret } = tailnet.oauth;
  return createTailscaleApi(
    {
      baseUrl: tailnet.url,
      tailnet: "-",
      auth: { kind: "oauth", clientId, clientSecret, scopes: [] },
      http: { timeoutMs: 10_000, maxAttempts: 1, rateLimit: 0 },
    },
    { fetch, clock: systemClock, random: Math.random, telemetry: silentTelemetry },
  );
}
