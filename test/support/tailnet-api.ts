/** The real API client on a stand-in for Tailscale, with one attempt per call. */
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createTailscaleApi, type TailscaleApi } from "../../src/tailscale/index.ts";
import { tailscaleSettings } from "./api-client.ts";
import type { Tailnet } from "./tailnet/index.ts";

export function apiOf(tailnet: Tailnet): TailscaleApi {
  const { clientId, clientSecret } = tailnet.oauth;
  return createTailscaleApi(
    tailscaleSettings({
      url: tailnet.url,
      auth: { kind: "oauth", clientId, clientSecret, scopes: [] },
      http: { timeoutMs: 60_000, maxAttempts: 1 },
    }),
    { fetch, clock: systemClock, random: Math.random, telemetry: silentTelemetry },
  );
}
