/** Tests that the stand-in follows its own rules: it rejects anything undocumented, and polls and streams the same records. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { eventOf, startTailnet, type Tailnet, type TailnetRecord } from "./index.ts";

const noon = Date.UTC(2026, 10, 22, 12);
let now = noon;
let tailnet: Tailnet;

beforeEach(async () => {
  now = noon;
  tailnet = await startTailnet({ clock: () => now, scopes: ["all"] });
});
afterEach(() => tailnet.stop());

interface Answer {
  readonly status: number;
  readonly message: unknown;
  readonly body: unknown;
}

async function call(
  method: string,
  path: string,
  sent?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(`${tailnet.url}/api/v2/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tailnet.apiKey}`,
      ...(sent === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: typeof sent === "string" ? sent : JSON.stringify(sent) }),
  });
  const text = await response.text();
  const body: unknown = text === "" ? undefined : JSON.parse(text);
  return { status: response.status, message: (body as { message?: unknown } | undefined)?.message, body };
}

async function token(form: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${tailnet.url}/api/v2/oauth/token`, { method: "POST", body: new URLSearchParams(form), headers });
}

const client = () => ({ client_id: tailnet.oauth.clientId, client_secret: tailnet.oauth.clientSecret });

const splunk = { destinationType: "splunk", url: "https://x.example.com/", token: "hec-token" };
const webhook = { endpointUrl: "https://x.example.com/", subscriptions: ["nodeCreated"] };

describe("refuses", () => {
  test.each([
    ["GET", "nothing", undefined, 404],
    ["GET", "tailnet/-/nothing", undefined, 404],
    ["GET", "tailnet/-/logging/other", undefined, 404],
    ["GET", "tailnet/-/logging/network/stream/other", undefined, 404],
    ["GET", "tailnet/other.example.com/devices", undefined, 404],
    ["GET", "webhooks/1", undefined, 404],
    ["POST", "tailnet/-/devices", {}, 405],
    ["PUT", "webhooks/1", {}, 405],
    ["DELETE", "tailnet/-/webhooks", undefined, 405],
    ["GET", "oauth/token", undefined, 405],
    ["GET", "tailnet/-/devices?fields=some", undefined, 400],
    ["GET", "tailnet/-/devices?page=2", undefined, 400],
    ["GET", "tailnet/-/logging/network", undefined, 400],
    ["GET", "tailnet/-/logging/network?start=2026-11-22T11:00:00Z", undefined, 400],
    ["GET", "tailnet/-/logging/network?start=yesterday&end=2026-11-22T11:00:00Z", undefined, 400],
    ["GET", "tailnet/-/logging/network?start=1795348800&end=1795348801", undefined, 400],
    ["GET", "tailnet/-/logging/network?start=2026-11-22T12:00:00Z&end=2026-11-22T11:00:00Z", undefined, 400],
    ["GET", "tailnet/-/logging/network?start=2026-11-22T11:00:00Z&end=2026-11-22T12:00:00Z&limit=1", undefined, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, more: 1 }, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, destinationType: "syslog" }, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, compressionFormat: "br" }, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, url: "http://x.example.com/" }, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, token: "" }, 400],
    ["PUT", "tailnet/-/logging/network/stream", { ...splunk, logType: "configuration" }, 400],
    ["PUT", "tailnet/-/logging/network/stream", [splunk], 400],
    ["PUT", "tailnet/-/logging/network/stream", "{", 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, secret: "mine" }, 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, subscriptions: ["all"] }, 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, subscriptions: [] }, 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, providerType: "teams" }, 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, endpointUrl: "http://localhost:8088/" }, 400],
    ["POST", "tailnet/-/webhooks", { ...webhook, endpointUrl: "https://x.example.com:8443/" }, 400],
  ])("%s %s %j with %d and a message", async (method, path, sent, status) => {
    const answer = await call(method, path, sent);
    expect(answer.status).toBe(status);
    expect(answer.message).toBeString();
  });

  test("a body of another content type", async () => {
    const answer = await call("PUT", "tailnet/-/logging/network/stream", splunk, { "content-type": "text/plain" });
    expect(answer.status).toBe(415);
    expect(tailnet.stream("network")).toBeUndefined();
  });

  test("who is not known, or may not", async () => {
    for (const authorization of [
      "",
      "Bearer wrong",
      `Token ${tailnet.apiKey}`,
      `Basic ${btoa(`${tailnet.apiKey}:x`)}`,
    ]) {
      expect(await call("GET", "tailnet/-/devices", undefined, { authorization })).toMatchObject({ status: 401 });
    }
    const basic = `Basic ${btoa(`${tailnet.apiKey}:`)}`;
    expect(await call("GET", "tailnet/-/devices", undefined, { authorization: basic })).toMatchObject({ status: 200 });
    tailnet.lack(["flow logs"]);
    const path = "tailnet/-/logging/network?start=2026-11-22T11:00:00Z&end=2026-11-22T12:00:00Z";
    expect(await call("GET", path)).toMatchObject({ status: 403, message: expect.stringContaining("not enabled") });
  });

  test("clients, forms and scopes that are wrong", async () => {
    expect((await token({ ...client(), client_secret: "wrong" })).status).toBe(401);
    expect((await token({ ...client(), grant_type: "password" })).status).toBe(400);
    expect((await token({ ...client(), more: "1" })).status).toBe(400);
    expect((await token(client(), { "content-type": "application/json" })).status).toBe(415);
    tailnet.grant(["devices:core"]);
    expect((await token({ ...client(), scope: "devices:core:read" })).status).toBe(200);
    expect((await token({ ...client(), scope: "webhooks" })).status).toBe(403);
  });

  test("a token past its end, and one that was taken back", async () => {
    const use = async (): Promise<() => Promise<number>> => {
      const { access_token } = (await (await token(client())).json()) as { access_token: string };
      return async () =>
        (await call("GET", "tailnet/-/devices", undefined, { authorization: `Bearer ${access_token}` })).status;
    };
    const first = await use();
    expect(await first()).toBe(200);
    now += 3_600_000;
    expect(await first()).toBe(401);
    const second = await use();
    expect(await second()).toBe(200);
    tailnet.expireTokens();
    expect(await second()).toBe(401);
  });

  test("a private endpoint without the scopes that it needs", async () => {
    tailnet.grant(["log_streaming"]);
    const { access_token } = (await (await token(client())).json()) as { access_token: string };
    const put = (url: string): Promise<Answer> =>
      call("PUT", "tailnet/-/logging/network/stream", { ...splunk, url }, { authorization: `Bearer ${access_token}` });
    const privates = ["http://hec.tail1234.ts.net:8088/", "http://[fd7a:115c:a1e0::1]:8088/", "http://100.100.1.1/"];
    for (const url of privates) expect(await put(url)).toMatchObject({ status: 403 });
    expect(tailnet.stream("network")).toBeUndefined();
    expect(await put("https://hec.example.com/")).toMatchObject({ status: 200 });
  });
});

test("its clock is told by its answers", async () => {
  tailnet.clockAheadMs = 90_000;
  const response = await fetch(`${tailnet.url}/`);
  expect(response.headers.get("date")).toBe("Sun, 22 Nov 2026 12:01:30 GMT");
});

test("records show from when they were logged, until they are too old", async () => {
  const logged = new Date(noon + 5000).toISOString();
  tailnet.addFlow({ nodeId: "n1CNTRL", logged });
  const read = async (): Promise<number> => {
    const { body } = await call("GET", "tailnet/-/logging/network?start=2026-11-22T11:00:00Z&end=2026-11-22T13:00:00Z");
    return (body as { logs: unknown[] }).logs.length;
  };
  expect(await read()).toBe(0);
  now = noon + 5000;
  expect(await read()).toBe(1);
  now = noon + 31 * 86_400_000;
  expect(await read()).toBe(0);
});

/** The target of pushes and deliveries; it responds with these statuses in turn, then with 200. */
function receiver(statuses: readonly number[] = []) {
  const left = [...statuses];
  const received: { readonly headers: Headers; readonly bytes: Uint8Array }[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      received.push({ headers: request.headers, bytes: await request.bytes() });
      return new Response("", { status: left.shift() ?? 200 });
    },
  });
  return { url: server.url.href, received, [Symbol.asyncDispose]: () => server.stop(true) };
}

describe("streaming", () => {
  const addFlows = (count: number): TailnetRecord[] =>
    Array.from({ length: count }, (_, serial) =>
      tailnet.addFlow({
        nodeId: `n${serial}CNTRL`,
        logged: `2026-11-22T11:00:00.${String(serial).padStart(3, "0")}456789Z`,
      }),
    );

  const nodesOf = (text: string): string[] => [...text.matchAll(/"nodeId":"(\w+)"/g)].map(([, id]) => id as string);

  test("sends the records in envelopes, one after the other, without what only a poll gives", async () => {
    await using hec = receiver();
    await call("PUT", "tailnet/-/logging/network/stream", { ...splunk, url: hec.url, user: "ts" });
    await call("PUT", "tailnet/-/logging/configuration/stream", { ...splunk, url: hec.url, compressionFormat: "zstd" });
    addFlows(2);
    tailnet.addAudit({ action: "LOGIN", eventTime: "2026-11-22T11:00:00.123456Z" }, "2026-11-22T11:00:01.5Z");
    expect(await tailnet.pushStream("network")).toMatchObject({ statuses: [200] });
    expect(await tailnet.pushStream("configuration", { credential: "bearer" })).toMatchObject({ statuses: [200] });
    const [flows, audits] = hec.received;
    expect(flows?.headers.get("authorization")).toBe("Splunk hec-token");
    expect(Buffer.from(flows?.bytes ?? []).toString()).toBe(
      '{"time":1795345200,"event":{"nodeId":"n0CNTRL"},"fields":{"recorded":"2026-11-22T11:00:00.000456789Z"}}' +
        '{"time":1795345200.001,"event":{"nodeId":"n1CNTRL"},"fields":{"recorded":"2026-11-22T11:00:00.001456789Z"}}',
    );
    expect(audits?.headers.get("authorization")).toBe("Bearer hec-token");
    expect(audits?.headers.get("content-encoding")).toBe("zstd");
    expect(Bun.zstdDecompressSync(audits?.bytes ?? new Uint8Array()).toString()).toBe(
      '{"time":1795345200.123,"event":{"action":"LOGIN"},"fields":{"recorded":"2026-11-22T11:00:01.5Z"}}',
    );
  });

  test("loses, repeats and sends again what it is told to, and counts it", async () => {
    await using hec = receiver([503, 200, 500, 500]);
    await call("PUT", "tailnet/-/logging/network/stream", { ...splunk, url: hec.url });
    const [a, b, c, d, e] = addFlows(5) as [TailnetRecord, TailnetRecord, TailnetRecord, TailnetRecord, TailnetRecord];
    const report = await tailnet.pushStream("network", {
      isLost: (record) => record === b,
      times: (record) => (record === c ? 2 : 1),
      recordsPerRequest: 2,
      maxAttempts: 2,
    });
    expect(report).toEqual({ statuses: [503, 200, 500, 500, 200], delivered: [a, c, e], undelivered: [c, d] });
    expect(hec.received.map(({ bytes }) => nodesOf(Buffer.from(bytes).toString()))).toEqual([
      ["n0CNTRL", "n2CNTRL"],
      ["n0CNTRL", "n2CNTRL"],
      ["n2CNTRL", "n3CNTRL"],
      ["n2CNTRL", "n3CNTRL"],
      ["n4CNTRL"],
    ]);
    const { body } = await call("GET", "tailnet/-/logging/network/stream/status");
    expect(body).toMatchObject({ numEntriesSent: 3, numTotalRequests: 5, numFailedRequests: 3, lastError: "" });
    expect(await tailnet.pushStream("network")).toMatchObject({ statuses: [] });
    expect(await tailnet.pushStream("network", { records: [b] })).toMatchObject({ statuses: [200], delivered: [b] });
  });

  test("to where nobody listens fails, and says so in its status", async () => {
    const gone = receiver();
    await gone[Symbol.asyncDispose]();
    await call("PUT", "tailnet/-/logging/network/stream", { ...splunk, url: gone.url });
    addFlows(1);
    expect((await tailnet.pushStream("network", { maxAttempts: 2 })).statuses).toEqual([0, 0]);
    const { body } = await call("GET", "tailnet/-/logging/network/stream/status");
    expect(body).toMatchObject({ numFailedRequests: 2, lastError: expect.stringMatching(/./) });
  });
});

describe("webhooks", () => {
  const signed = (secret: string, text: string): string =>
    `t=${noon / 1000},v1=${createHmac("sha256", secret)
      .update(`${noon / 1000}.${text}`)
      .digest("hex")}`;

  test("get what they have subscribed to, signed with the secret of the moment", async () => {
    await using hook = receiver([500]);
    tailnet.proxies["https://hooks.example.com"] = new URL(hook.url).origin;
    const made = await call("POST", "tailnet/-/webhooks", {
      endpointUrl: "https://hooks.example.com/in",
      subscriptions: ["categoryTailnetManagement"],
    });
    const { endpointId, secret } = made.body as { endpointId: string; secret: string };
    const created = eventOf("nodeCreated", "2026-11-22T11:59:59Z", "Node created", { nodeID: "n1" });
    const other = eventOf("subnetIPForwardingNotEnabled", "2026-11-22T11:59:59Z", "Not enabled");
    expect(await tailnet.pushWebhook([created, other], { maxAttempts: 3 })).toEqual([
      { id: endpointId, statuses: [500, 200] },
    ]);
    expect(await tailnet.pushWebhook([other])).toEqual([]);
    const text = JSON.stringify([created]);
    for (const { headers, bytes } of hook.received) {
      expect(Buffer.from(bytes).toString()).toBe(text);
      expect(headers.get("host")).toBe("hooks.example.com");
      expect(headers.get("tailscale-webhook-signature")).toBe(signed(secret, text));
    }
    const rotated = await call("POST", `webhooks/${endpointId}/rotate`);
    await tailnet.pushWebhook([other], { id: endpointId });
    const after = (rotated.body as { secret: string }).secret;
    expect(after).not.toBe(secret);
    const last = hook.received.at(-1);
    expect(last?.headers.get("tailscale-webhook-signature")).toBe(signed(after, JSON.stringify([other])));
  });
});

describe("a fault", () => {
  test("hits the calls that it fits, as often as it should", async () => {
    tailnet.fail({
      method: "GET",
      path: /webhooks$/,
      times: 2,
      effect: { kind: "status", status: 429, headers: { "retry-after": "3" } },
    });
    expect((await call("GET", "tailnet/-/devices")).status).toBe(200);
    expect((await call("GET", "tailnet/-/webhooks")).status).toBe(429);
    expect((await call("GET", "tailnet/-/webhooks")).status).toBe(429);
    expect((await call("GET", "tailnet/-/webhooks")).status).toBe(200);
    tailnet.fail({ times: 9, effect: { kind: "status", status: 500 } });
    tailnet.recover();
    expect((await call("GET", "tailnet/-/devices")).status).toBe(200);
    expect(tailnet.requests.map(({ status }) => status)).toEqual([200, 429, 429, 200, 200]);
  });

  test("can tear an answer, cut it, and close a connection without one", async () => {
    const devices = (): Promise<Response> =>
      fetch(`${tailnet.url}/api/v2/tailnet/-/devices`, { headers: { authorization: `Bearer ${tailnet.apiKey}` } });
    tailnet.fail({ effect: { kind: "torn", afterBytes: 4 } });
    expect(await (await devices()).text()).toBe('{"de');
    tailnet.fail({ effect: { kind: "cut", afterBytes: 4 } });
    expect(await (await devices()).text().catch(() => "cut")).toBe("cut");
    tailnet.fail({ times: 9, effect: { kind: "reset" } });
    expect(await devices().catch(() => "reset")).toBe("reset");
  });
});
