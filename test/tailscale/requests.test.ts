/** The client's requests: retries, waits, limits, redirects, and error messages. */
import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { TailscaleError } from "../../src/tailscale/index.ts";
import { apiClient, type ApiClient, type ApiClientOptions, failureOf } from "../support/api-client.ts";
import { startTailnet } from "../support/tailnet/index.ts";

const tailnet = await startTailnet();
afterAll(() => tailnet.stop());

const auth = { kind: "apikey", key: tailnet.apiKey } as const;
const client = (options: Partial<ApiClientOptions> = {}): ApiClient =>
  apiClient({ url: tailnet.url, auth, ...options });

beforeEach(() => {
  tailnet.recover();
  tailnet.lack([]);
  tailnet.clockAheadMs = 0;
});

/** A server with this listener. */
async function rawServer(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe("a call is retried", () => {
  test.each([429, 500, 502, 503, 599])("after HTTP %d, with doubling waits", async (status) => {
    tailnet.fail({ times: 3, effect: { kind: "status", status } });
    const { api, waits, counted, retried } = client();
    expect(await api.devices()).toEqual([]);
    expect(waits).toEqual([500, 1000, 2000]);
    const word = status === 599 ? "other" : String(status);
    expect(counted).toEqual([...new Array<string>(3).fill(`devices ${word}`), "devices 200"]);
    expect(retried).toEqual(counted.slice(0, 3));
  });

  test("and fails after the configured attempts", async () => {
    tailnet.fail({ times: 9, effect: { kind: "status", status: 503, message: "out for lunch" } });
    const measured = client({ http: { maxAttempts: 7 } });
    const { api, waits, counted } = measured;
    const error = await failureOf(api.devices());
    expect(error).toMatchObject({
      reason: "unavailable",
      status: 503,
      message: "GET /api/v2/tailnet/-/devices: HTTP 503: out for lunch",
    });
    expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 10_000]);
    expect(counted).toHaveLength(7);
    expect(measured.durations).toBe(7);
  });

  test("with at least half of each wait", async () => {
    tailnet.fail({ times: 3, effect: { kind: "status", status: 500 } });
    const { api, waits } = client({ random: () => 0 });
    await api.devices();
    expect(waits).toEqual([250, 500, 1000]);
  });

  test.each([
    ["3", 3000],
    ["0", 500],
    ["86400", 10_000],
    ["999999999999999999999", 10_000],
    ["Sun, 22 Nov 2026 12:00:07 GMT", 7000],
    ["Sun, 22 Nov 2026 11:00:00 GMT", 500],
    ["Sun, 22 Nov 2027 12:00:00 GMT", 10_000],
    ["soon", 500],
    ["-5", 500],
  ])("after the time in Retry-After, within bounds: %s", async (header, waitMs) => {
    tailnet.fail({ effect: { kind: "status", status: 429, headers: { "retry-after": header } } });
    const { api, waits } = client({ clock: () => Date.UTC(2026, 10, 22, 12) });
    await api.devices();
    expect(waits).toEqual([waitMs]);
  });

  test("after a connection that broke in the middle of an answer", async () => {
    tailnet.fail({ effect: { kind: "cut", afterBytes: 5 } });
    const { api, counted } = client();
    expect(await api.devices()).toEqual([]);
    expect(counted).toEqual(["devices 200", "devices 200"]);
  });

  test("and a 429 also delays every other request of the client", async () => {
    tailnet.fail({ path: /devices$/, effect: { kind: "status", status: 429, headers: { "retry-after": "7" } } });
    const { api, waits } = client({ http: { maxAttempts: 1 } });
    expect(await failureOf(api.devices())).toMatchObject({ reason: "rate_limited" });
    await api.webhooks();
    expect(waits).toHaveLength(1);
    expect(waits[0]).toBeWithin(6000, 7001);
  });

  test("if nothing listens, until the attempts are used up", async () => {
    const gone = await rawServer(() => {});
    await gone[Symbol.asyncDispose]();
    const { api, counted, waits } = client({ url: gone.url });
    const error = await failureOf(api.devices());
    expect(error).toMatchObject({
      reason: "unavailable",
      message: `GET /api/v2/tailnet/-/devices: connection refused by ${new URL(gone.url).host}`,
    });
    expect(error).toHaveProperty("status", undefined);
    expect(counted).toEqual(new Array<string>(4).fill("devices none"));
    expect(waits).toHaveLength(3);
  });

  test("but not after another 4xx", async () => {
    for (const status of [400, 405, 409, 422]) {
      tailnet.fail({ effect: { kind: "status", status } });
      const { api, waits } = client();
      expect(await failureOf(api.devices())).toMatchObject({ reason: "rejected", status });
      expect(waits).toEqual([]);
    }
  });

  test("but a webhook is not created again if the first attempt may have succeeded", async () => {
    const webhook = { url: "https://hook.example.com/in", subscriptions: ["nodeCreated"] };
    tailnet.fail({ effect: { kind: "cut", afterBytes: 10 } });
    expect(await failureOf(client().api.createWebhook(webhook))).toMatchObject({ reason: "unavailable" });
    expect(tailnet.webhooks).toHaveLength(1);
    tailnet.fail({ effect: { kind: "status", status: 500 } });
    expect(await failureOf(client().api.createWebhook(webhook))).toMatchObject({ status: 500 });
    tailnet.fail({ effect: { kind: "status", status: 429 } });
    const created = await client().api.createWebhook(webhook);
    expect(tailnet.webhooks.map(({ id }) => id)).toContain(created.id);
    expect(tailnet.webhooks).toHaveLength(2);
  });
});

describe("an attempt ends", () => {
  test("if no answer arrives", async () => {
    tailnet.fail({ times: 2, effect: { kind: "hang" } });
    const { api, counted } = client({ http: { timeoutMs: 60, maxAttempts: 2 } });
    expect(await failureOf(api.devices())).toMatchObject({
      reason: "timeout",
      message: "GET /api/v2/tailnet/-/devices: no complete answer within 60 ms",
    });
    expect(counted).toEqual(["devices none", "devices none"]);
  });

  test("if its body arrives too slowly, however steadily", async () => {
    tailnet.fail({ effect: { kind: "drip", everyMs: 300 } });
    const { api } = client({ http: { timeoutMs: 2000, maxAttempts: 1 } });
    expect(await failureOf(api.devices())).toMatchObject({ reason: "timeout", status: 200 });
  });

  test("if the caller aborts, at once and without being counted", async () => {
    tailnet.fail({ effect: { kind: "hang" } });
    const { api, counted, waits } = client();
    const controller = new AbortController();
    const reading = failureOf(
      api.readLogs("network", { start: 0, end: 1 }, { maxBytes: 1e6, onRecords() {}, signal: controller.signal }),
    );
    controller.abort();
    expect(await reading).toMatchObject({ reason: "aborted" });
    expect([counted, waits]).toEqual([[], []]);
  });

  test("if the caller aborts during a wait", async () => {
    tailnet.fail({ times: 9, effect: { kind: "status", status: 500 } });
    const controller = new AbortController();
    const { api, counted } = client({
      sleep: (_, signal) => {
        controller.abort();
        return signal?.aborted === true ? Promise.reject(signal.reason as Error) : new Promise(() => {});
      },
    });
    const options = { maxBytes: 1e6, onRecords() {}, signal: controller.signal };
    expect(await failureOf(api.readLogs("network", { start: 0, end: 1 }, options))).toMatchObject({
      reason: "aborted",
    });
    expect(counted).toHaveLength(1);
  });
});

test("authenticating ends at once if the caller aborts, with an OAuth client and with a key", async () => {
  const { clientId, clientSecret } = tailnet.oauth;
  for (const used of [auth, { kind: "oauth", clientId, clientSecret, scopes: [] } as const]) {
    tailnet.fail({ effect: { kind: "hang" } });
    const controller = new AbortController();
    const failure = failureOf(client({ auth: used }).api.authenticate(controller.signal));
    controller.abort();
    expect(await failure).toMatchObject({ reason: "aborted" });
    tailnet.recover();
  }
});

test.each([301, 302, 307, 308])("HTTP %d is not followed, so that credentials go nowhere else", async (status) => {
  const requested: (string | undefined)[] = [];
  await using server = await rawServer((request, response) => {
    requested.push(request.url);
    response.writeHead(status, { location: "/elsewhere" }).end();
  });
  const error = await failureOf(client({ url: server.url }).api.devices());
  expect(error).toMatchObject({
    reason: "redirected",
    status,
    message: "GET /api/v2/tailnet/-/devices: redirected to /elsewhere",
  });
  expect((error as TailscaleError).remedy).toContain("tailscale.base_url");
  expect(requested).toEqual(["/api/v2/tailnet/-/devices"]);
});

describe("an invalid answer", () => {
  const answering = (
    body: string | Buffer,
    headers: Record<string, string> = {},
  ): Promise<AsyncDisposable & { url: string }> =>
    rawServer((_, response) => void response.writeHead(200, headers).end(body));

  test.each([
    ["", "it is empty"],
    ["<html>Sign in</html>", "not a JSON object"],
    ['{"devices":[', "it is torn"],
    ["[]", "not a JSON object"],
    ['{"devices":{}}', "its devices are not an array"],
    ['{"devices":[{"os":}]}', "/devices/0 is not JSON"],
    ['{"devices":[{"addresses":"100.64.0.1"}]}', "/devices/0/addresses: "],
    ['{"devices":[{"nodeId":1}]}', "/devices/0/nodeId: "],
  ])("%p is malformed, and not requested again", async (body, where) => {
    await using server = await answering(body);
    const { api, counted } = client({ url: server.url });
    const error = await failureOf(api.devices());
    expect(error).toMatchObject({ reason: "malformed", status: 200 });
    expect((error as TailscaleError).message).toContain(where);
    expect(counted).toHaveLength(1);
  });

  test("that is not UTF-8 is malformed", async () => {
    await using server = await answering(Buffer.from([0x7b, 0xff, 0x7d]));
    expect(await failureOf(client({ url: server.url }).api.webhooks())).toMatchObject({ reason: "malformed" });
  });

  test("is too_large if its size after decompression exceeds the limit", async () => {
    await using server = await answering(gzipSync(Buffer.alloc(3_000_000, " ")), { "content-encoding": "gzip" });
    expect(await failureOf(client({ url: server.url }).api.webhooks())).toMatchObject({
      reason: "too_large",
      message: "GET /api/v2/tailnet/-/webhooks: the answer is larger than 262144 bytes",
      remedy: "Check tailscale.base_url: something other than Tailscale's API answers there.",
    });
  });

  test("with an endless error page is cut off, and the page is not quoted", async () => {
    await using server = await rawServer((_, response) => {
      response.writeHead(403, { "content-type": "text/html" });
      const page = "<p>forbidden</p>".repeat(4096);
      const more = (): void => {
        while (!response.destroyed && response.write(page));
        response.once("drain", more);
      };
      more();
    });
    expect(await failureOf(client({ url: server.url }).api.devices())).toMatchObject({
      reason: "missing_scope",
      message: "GET /api/v2/tailnet/-/devices: HTTP 403",
    });
  });
});

describe("a compressed log", () => {
  const text = JSON.stringify({ logs: Array.from({ length: 5000 }, (_, serial) => ({ nodeId: `n${serial}CNTRL` })) });
  const compressed = gzipSync(text);
  const read = async (body: Buffer, maxBytes = text.length): Promise<number> => {
    await using server = await rawServer((_, response) => {
      response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" }).end(body);
    });
    let found = 0;
    const onRecords = (records: readonly Uint8Array[]) => void (found += records.length);
    await client({ url: server.url }).api.readLogs("network", { start: 0, end: 1 }, { maxBytes, onRecords });
    return found;
  };

  test("is measured after decompression", async () => {
    expect(await read(compressed)).toBe(5000);
    expect(await failureOf(read(compressed, text.length - 1))).toMatchObject({ reason: "too_large" });
  });

  test("fails if it breaks off or is damaged", async () => {
    const damaged = Buffer.from(compressed);
    damaged.fill(0xff, damaged.length / 2, damaged.length / 2 + 20);
    for (const body of [compressed.subarray(0, -20), compressed.subarray(0, compressed.length / 2), damaged]) {
      expect(await failureOf(read(body))).toBeInstanceOf(TailscaleError);
    }
  });
});

describe("an error", () => {
  test("never contains a credential, even if the answer does", async () => {
    const message = `bad token ${tailnet.apiKey} or 5up3r-hec-token`;
    tailnet.fail({ times: 4, effect: { kind: "status", status: 500, message } });
    const { api, log } = client();
    const target = {
      url: "https://x.example.com/",
      user: "u",
      token: "5up3r-hec-token",
      compressionFormat: "none",
    } as const;
    const error = (await failureOf(api.putLogStream("network", target))) as TailscaleError;
    expect(error).toBeInstanceOf(TailscaleError);
    expect(error.message).toEndWith("HTTP 500: bad token [redacted] or [redacted]");
    for (const text of [error.message, error.remedy, String(error.stack), log]) {
      expect(text).not.toContain(tailnet.apiKey);
      expect(text).not.toContain("5up3r");
    }
  });

  test("from the network contains no credential either", async () => {
    const { api } = client({
      http: { maxAttempts: 1 },
      fetch: (_, { headers }) => Promise.reject(new TypeError(`cannot send ${JSON.stringify(headers)}`)),
    });
    const error = (await failureOf(api.devices())) as TailscaleError;
    for (const text of [error.message, String(error.stack)]) expect(text).not.toContain(tailnet.apiKey);
  });

  test("for a key that cannot be sent is a TailscaleError", async () => {
    const unsendable = { kind: "apikey", key: "tskey-api-a\nb5up3r" } as const;
    const error = await failureOf(client({ auth: unsendable }).api.devices());
    expect(error).toBeInstanceOf(TailscaleError);
    expect((error as TailscaleError).message).not.toContain("5up3r");
  });

  test.each([
    ["calling actor does not have enough permissions to perform this function", "missing_scope"],
    ["user does not have access to this operation", "missing_scope"],
    ["", "missing_scope"],
    ["network flow logs are not enabled for this tailnet", "not_enabled"],
    ["this feature is not available on your plan", "not_enabled"],
    ["please upgrade your tailnet", "not_enabled"],
  ] as const)("for HTTP 403 distinguishes a missing scope from a disabled feature: %p", async (message, reason) => {
    tailnet.fail({ effect: { kind: "status", status: 403, message } });
    const error = await failureOf(
      client().api.readLogs("network", { start: 0, end: 1 }, { maxBytes: 1e6, onRecords() {} }),
    );
    expect(error).toMatchObject({ reason, status: 403 });
    expect((error as TailscaleError).remedy).toContain(
      reason === "missing_scope" ? "logs:network:read" : "admin console under Logs",
    );
  });

  test("is on one line, and short", async () => {
    tailnet.fail({ effect: { kind: "status", status: 400, message: `a\n\tb\u0000${"c".repeat(1000)}` } });
    const { message } = (await failureOf(client().api.devices())) as TailscaleError;
    expect(message).toContain("HTTP 400: a b ccc");
    expect(message).not.toMatch(/\p{Cc}/u);
    expect(message.length).toBeLessThan(400);
  });

  test("for a wrong tailnet names the setting", async () => {
    const error = await failureOf(client({ tailnet: "nobody.example.com" }).api.devices());
    expect(error).toMatchObject({ reason: "not_found", status: 404 });
    expect((error as TailscaleError).remedy).toContain("tailscale.tailnet");
  });
});

test("requests are spaced out if there is a rate limit", async () => {
  const waits: number[] = [];
  const { api } = client({
    http: { rateLimit: 10 },
    sleep: (ms) => {
      waits.push(ms);
      return Promise.resolve();
    },
  });
  await Promise.all([api.devices(), api.devices(), api.devices(), api.devices()]);
  expect(waits).toHaveLength(3);
  for (const [index, ms] of waits.entries()) {
    expect(ms).toBeGreaterThan(index * 100);
    expect(ms).toBeLessThanOrEqual((index + 1) * 100);
  }
});

test("the API's clock is learned from its answers, errors included", async () => {
  const { api } = client({ clock: () => 1_800_000_000_000 });
  expect(api.clockAheadMs).toBeUndefined();
  await using server = await rawServer((_, response) => {
    response.writeHead(404, { date: new Date(1_800_000_090_000).toUTCString() }).end("{}");
  });
  const behind = client({ url: server.url, clock: () => 1_800_000_000_000 });
  await failureOf(behind.api.devices());
  expect(behind.api.clockAheadMs).toBe(90_000);
});

test.each(["Thu, 01 Jan 1970 00:00:00 GMT", "-271821-04-20T00:00:00Z", "yesterday", "-1"])(
  "an answer dated %j says nothing about the API's clock",
  async (date) => {
    await using server = await rawServer((_, response) => void response.writeHead(200, { date }).end("{}"));
    const { api } = client({ url: server.url });
    await api.devices();
    expect(api.clockAheadMs).toBeUndefined();
  },
);
