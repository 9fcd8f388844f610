/** How the client authenticates: one token at a time, renewed before it expires and after a 401, and never shown in errors or logs. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { TailscaleError } from "../../src/tailscale/index.ts";
import {
  apiClient,
  type ApiClient,
  type ApiClientOptions,
  failureOf,
  type TailscaleAuth,
} from "../support/api-client.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";

let tailnet: Tailnet;
let now: number;

beforeEach(async () => {
  now = Date.UTC(2026, 10, 22, 12);
  tailnet = await startTailnet({ clock: () => now });
});
afterEach(() => tailnet.stop());

function client(options: Partial<ApiClientOptions> = {}, scopes: readonly string[] = []): ApiClient {
  const auth: TailscaleAuth = { kind: "oauth", ...tailnet.oauth, scopes };
  return apiClient({ url: tailnet.url, auth, clock: () => now, ...options });
}

const tokenRequests = () => tailnet.requests.filter(({ path }) => path === "/api/v2/oauth/token");

describe("a token", () => {
  test("is requested once, however many calls need it at the same time", async () => {
    tailnet.fail({ path: /token$/, effect: { kind: "slow", ms: 30 } });
    const { api } = client();
    const all = await Promise.all(Array.from({ length: 20 }, () => api.devices()));
    expect(all).toHaveLength(20);
    expect(tailnet.tokensGiven).toBe(1);
    expect(tokenRequests()).toHaveLength(1);
  });

  test("is reused by later calls, and renewed five minutes before it expires", async () => {
    const { api } = client();
    await api.devices();
    now += (3600 - 301) * 1000;
    await api.devices();
    expect(tailnet.tokensGiven).toBe(1);
    now += 2000;
    await api.devices();
    expect(tailnet.tokensGiven).toBe(2);
    expect(tailnet.requests.filter(({ status }) => status === 401)).toEqual([]);
  });

  test("is requested as a form, with the configured scopes", async () => {
    await client({}, ["devices:core:read", "log_streaming"]).api.devices();
    const [request] = tokenRequests();
    expect(request?.headers["content-type"]).toBe("application/x-www-form-urlencoded");
    expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
      client_id: tailnet.oauth.clientId,
      client_secret: tailnet.oauth.clientSecret,
      grant_type: "client_credentials",
      scope: "devices:core:read log_streaming",
    });
    expect(request?.headers["authorization"]).toBeUndefined();
  });

  test("that was rejected is renewed once for twenty concurrent calls", async () => {
    const { api, waits } = client();
    await api.devices();
    tailnet.expireTokens();
    await Promise.all(Array.from({ length: 20 }, () => api.devices()));
    expect(tailnet.tokensGiven).toBe(2);
    expect(waits).toEqual([]);
  });

  test("is not dropped because of a late 401 for an older one", async () => {
    const { api } = client();
    await api.devices();
    tailnet.expireTokens();
    tailnet.fail({ path: /devices$/, effect: { kind: "slow", ms: 100 } });
    await Promise.all([api.devices(), api.webhooks()]);
    expect(tailnet.tokensGiven).toBe(2);
  });

  test("that is rejected twice fails the call", async () => {
    const { api, counted } = client();
    tailnet.fail({ path: /devices$/, times: 9, effect: { kind: "status", status: 401, message: "API token invalid" } });
    expect(await failureOf(api.devices())).toMatchObject({ reason: "unauthorized", status: 401 });
    expect(counted).toEqual(["oauth_token 200", "devices 401", "oauth_token 200", "devices 401"]);
  });

  test("is retried after temporary errors", async () => {
    tailnet.fail({ path: /token$/, times: 2, effect: { kind: "status", status: 503 } });
    const { api, waits, retried } = client();
    await api.devices();
    expect(waits).toEqual([500, 1000]);
    expect(retried).toEqual(["oauth_token 503", "oauth_token 503"]);
  });

  test("that one caller no longer waits for still reaches the others", async () => {
    tailnet.fail({ path: /token$/, effect: { kind: "slow", ms: 40 } });
    const { api } = client();
    const controller = new AbortController();
    const options = { maxBytes: 1e6, onRecords() {}, signal: controller.signal };
    const given = failureOf(api.readLogs("network", { start: 0, end: 1 }, options));
    const others = Promise.all([api.devices(), api.devices()]);
    controller.abort();
    expect(await given).toMatchObject({ reason: "aborted" });
    expect(await others).toEqual([[], []]);
    expect(tailnet.tokensGiven).toBe(1);
  });

  test("that could not be obtained is requested again by the next call", async () => {
    tailnet.fail({ path: /token$/, effect: { kind: "status", status: 400 } });
    const { api } = client();
    const failures = await Promise.all([failureOf(api.devices()), failureOf(api.webhooks())]);
    for (const failure of failures) expect(failure).toMatchObject({ reason: "unauthorized" });
    expect(tokenRequests()).toHaveLength(1);
    expect(await api.devices()).toEqual([]);
  });

  test.each([
    ["{}", "/access_token"],
    ['{"access_token":"a\\r\\nb: c","expires_in":3600}', "/access_token"],
    ['{"access_token":"abc","expires_in":0}', "/expires_in"],
    ['{"access_token":"abc","expires_in":"3600"}', "/expires_in"],
    ["not json", "it is not JSON"],
  ])("in an invalid answer is refused: %s", async (body, where) => {
    tailnet.fail({ path: /token$/, effect: { kind: "status", status: 200, body } });
    const error = await failureOf(client().api.devices());
    expect(error).toMatchObject({ reason: "malformed" });
    expect((error as TailscaleError).message).toContain(where);
  });
});

test("no part of the token endpoint's error is quoted", async () => {
  const { api, log } = client();
  tailnet.fail({
    path: /token$/,
    times: 4,
    effect: { kind: "status", status: 500, message: `no ${tailnet.oauth.clientSecret}, s3cr3t-words` },
  });
  const error = (await failureOf(api.devices())) as TailscaleError;
  expect(error.message).toBe("POST /api/v2/oauth/token: HTTP 500");
  expect(error.message + error.remedy + log).not.toMatch(/s3cr3t|tskey/);
});

test("a client without one of the configured scopes gets missing_scope with a remedy", async () => {
  tailnet.grant(["devices:core:read"]);
  const error = await failureOf(client({}, ["all"]).api.devices());
  expect(error).toMatchObject({ reason: "missing_scope", status: 403 });
  expect((error as TailscaleError).remedy).toContain("tailscale.auth.oauth.scopes");
});

test("each call names the scope that it lacks", async () => {
  tailnet.grant(["nothing"]);
  const { api } = client();
  const window = { start: 0, end: 1 };
  const options = { maxBytes: 1e6, onRecords() {} };
  const target = { url: "https://x.example.com/", user: "u", token: "hec-token", compressionFormat: "none" } as const;
  const webhook = { url: "https://x.example.com/", subscriptions: ["nodeCreated"] };
  const calls: [string, () => Promise<unknown>][] = [
    ["logs:network:read", () => api.readLogs("network", window, options)],
    ["logs:configuration:read", () => api.readLogs("configuration", window, options)],
    ["devices:core:read", () => api.devices()],
    ["log_streaming:read", () => api.logStream("network")],
    ["log_streaming:read", () => api.logStreamStatus("network")],
    ["log_streaming", () => api.putLogStream("network", target)],
    ["log_streaming", () => api.deleteLogStream("network")],
    ["webhooks:read", () => api.webhooks()],
    ["log_streaming", () => api.logStream("network", "set")],
    ["webhooks", () => api.webhooks("set")],
    ["webhooks", () => api.createWebhook(webhook)],
    ["webhooks", () => api.updateWebhook("20000", ["nodeCreated"])],
    ["webhooks", () => api.deleteWebhook("20000")],
    ["webhooks", () => api.testWebhook("20000")],
    ["webhooks", () => api.rotateWebhook("20000")],
  ];
  for (const [scope, call] of calls) {
    tailnet.grant(["nothing"]);
    await api.authenticate();
    const error = await failureOf(call());
    expect(error).toMatchObject({ reason: "missing_scope", status: 403, missingScope: scope });
    expect((error as TailscaleError).remedy).toMatch(new RegExp(`the scope ${scope}[ ,]`));
    // Granting the named scope is enough.
    tailnet.grant([scope]);
    await api.authenticate();
    const then = await call().catch((thrown: unknown) => thrown);
    expect(then instanceof TailscaleError ? then.reason : "done").not.toBe("missing_scope");
  }
});

describe("authenticating", () => {
  test("gets a new token even if there is one", async () => {
    const { api } = client();
    await api.authenticate();
    await api.authenticate();
    expect(tailnet.tokensGiven).toBe(2);
  });

  test("reports a wrong client as unauthorized", async () => {
    const auth: TailscaleAuth = { kind: "oauth", clientId: "kWrong", clientSecret: "tskey-client-wrong", scopes: [] };
    const error = await failureOf(client({ auth }).api.authenticate());
    expect(error).toMatchObject({ reason: "unauthorized", status: 401 });
    expect((error as TailscaleError).remedy).toContain("tailscale.auth.oauth.client_id");
  });

  test("checks a key, whatever its permissions", async () => {
    const auth: TailscaleAuth = { kind: "apikey", key: tailnet.apiKey };
    const { api } = client({ auth });
    await api.authenticate();
    tailnet.fail({ effect: { kind: "status", status: 403, message: "not enough permissions" } });
    await api.authenticate();
    expect(tailnet.tokensGiven).toBe(0);
    const wrong = client({ auth: { kind: "apikey", key: "tskey-api-wrong" } });
    const error = await failureOf(wrong.api.authenticate());
    expect(error).toMatchObject({ reason: "unauthorized" });
    expect((error as TailscaleError).remedy).toContain("tailscale.auth.apikey");
    expect(wrong.counted).toEqual(["webhooks 401"]);
  });
});
