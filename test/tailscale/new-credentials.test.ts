/** Credentials that change while the program runs. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { createTailscaleApi } from "../../src/tailscale/index.ts";
import { authSettings, tailscaleSettings } from "../support/api-client.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";

let tailnet: Tailnet;
beforeEach(async () => {
  tailnet = await startTailnet();
});
afterEach(() => tailnet.stop());

function openWith(clientSecret: string) {
  const auth = { kind: "oauth", clientId: tailnet.oauth.clientId, clientSecret, scopes: [] } as const;
  const http = { timeoutMs: 60_000, maxAttempts: 1, rateLimit: 0 };
  const deps = { fetch, clock: Date.now, random: Math.random, telemetry: silentTelemetry };
  return { auth, api: createTailscaleApi(tailscaleSettings({ url: tailnet.url, auth, http }), deps) };
}

test("requests after the change use the new ones", async () => {
  const { auth, api } = openWith("tskey-client-wrong");
  await expect(api.devices()).rejects.toThrow("HTTP 401");
  api.useAuth(authSettings({ ...auth, clientSecret: tailnet.oauth.clientSecret }));
  expect(await api.devices()).toEqual([]);
  expect(api.clockAheadMs).toBeNumber();
  api.useAuth(authSettings({ kind: "apikey", key: "tskey-api-wrong" }));
  await expect(api.devices()).rejects.toThrow("HTTP 401");
  api.useAuth(authSettings({ kind: "apikey", key: tailnet.apiKey }));
  expect(await api.webhooks()).toEqual([]);
});

test("unchanged ones keep their token", async () => {
  const { auth, api } = openWith(tailnet.oauth.clientSecret);
  await api.devices();
  api.useAuth(authSettings({ ...auth }));
  await api.devices();
  expect(tailnet.tokensGiven).toBe(1);
});
