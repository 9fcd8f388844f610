/** The client's calls against the strict fake of Tailscale: what is sent, and how answers are read. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { ApiDevice, LogName } from "../../src/tailscale/index.ts";
import { apiClient, type ApiClient, failureOf } from "../support/api-client.ts";
import { flowValue, auditValue } from "../support/records.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";

const now = Date.UTC(2026, 10, 22, 12);
const second = now / 1000;

let tailnet: Tailnet;
let client: ApiClient;

beforeEach(async () => {
  tailnet = await startTailnet({ clock: () => now });
  client = apiClient({ url: tailnet.url, auth: { kind: "apikey", key: tailnet.apiKey }, clock: () => now });
});
afterEach(() => tailnet.stop());

/** All records of a window, parsed. */
async function readAll(log: LogName, start: number, end: number): Promise<unknown[]> {
  const found: unknown[] = [];
  const onRecords = (records: readonly Uint8Array[]) =>
    void found.push(...records.map((record): unknown => JSON.parse(Buffer.from(record).toString())));
  await client.api.readLogs(log, { start, end }, { maxBytes: 1e8, onRecords });
  return found;
}

describe("a log", () => {
  test("is read in windows of whole seconds, both ends included", async () => {
    for (const offset of [-10.001, -10, -5.5, -5, -4.001, -4]) {
      const logged = new Date(now + offset * 1000).toISOString();
      tailnet.addFlow(flowValue({ logged, nodeId: `n${-offset}CNTRL` }));
    }
    const flows = (await readAll("network", second - 10, second - 5)) as { nodeId: string }[];
    expect(flows.map(({ nodeId }) => nodeId)).toEqual(["n10CNTRL", "n5.5CNTRL", "n5CNTRL", "n4.001CNTRL"]);
    expect(tailnet.requests[0]).toMatchObject({
      method: "GET",
      path: "/api/v2/tailnet/-/logging/network",
      query: { start: "2026-11-22T11:59:50Z", end: "2026-11-22T11:59:55Z" },
    });
  });

  test("without records in the window is empty, whether the API answers null or an empty list", async () => {
    expect(await readAll("network", second - 10, second)).toEqual([]);
    expect(await readAll("configuration", second - 10, second)).toEqual([]);
    expect(tailnet.requests.map(({ status }) => status)).toEqual([200, 200]);
  });

  test("returns audit records with the members that the stream omits", async () => {
    const record = tailnet.addAudit(auditValue({ eventTime: "2026-11-22T11:59:58.123456789Z" }));
    const [audit] = await readAll("configuration", second - 10, second);
    expect(audit).toEqual(record.polled);
    expect(audit).toMatchObject({ eventTime: "2026-11-22T11:59:58.123456789Z", type: "CONFIG" });
  });

  test("that breaks off is requested again only if no record was read", async () => {
    tailnet.serveRecords("network", function* () {
      for (let serial = 0; serial < 8000; serial++) yield JSON.stringify(flowValue({ nodeId: `n${serial}CNTRL` }));
    });
    tailnet.fail({ effect: { kind: "cut", afterBytes: 60 } });
    expect(await readAll("network", 0, 1)).toHaveLength(8000);
    expect(client.waits).toEqual([500]);

    let given = 0;
    tailnet.fail({ effect: { kind: "cut", afterBytes: 1_500_000 } });
    const onRecords = (records: readonly Uint8Array[]) => void (given += records.length);
    const reading = client.api.readLogs("network", { start: 0, end: 1 }, { maxBytes: 1e8, onRecords });
    expect(await failureOf(reading)).toMatchObject({ reason: "unavailable" });
    expect(given).toBeGreaterThan(0);
    expect(given).toBeLessThan(8000);
    expect(client.waits).toEqual([500]);
  });

  test("that is truncated is malformed, and is not requested again", async () => {
    tailnet.addFlow(flowValue(), new Date(now).toISOString());
    tailnet.fail({ effect: { kind: "torn", afterBytes: 60 } });
    const failure = failureOf(readAll("network", second, second));
    expect(await failure).toMatchObject({
      reason: "malformed",
      message: "GET /api/v2/tailnet/-/logging/network: not an answer of the API: it is torn",
    });
    expect(client.counted).toEqual(["network_logs 200"]);
  });

  test("fails if it is larger than the caller's limit or takes too long", async () => {
    tailnet.serveRecords("network", function* () {
      for (;;) yield JSON.stringify(flowValue());
    });
    const options = { maxBytes: 3_000_000, onRecords() {} };
    const large = await failureOf(client.api.readLogs("network", { start: 0, end: 1 }, options));
    expect(large).toMatchObject({ reason: "too_large", remedy: "Lower collectors.*.max_window." });
    tailnet.fail({ effect: { kind: "hang" } });
    const hasty = apiClient({
      url: tailnet.url,
      auth: { kind: "apikey", key: tailnet.apiKey },
      http: { timeoutMs: 40 },
    });
    const slow = await failureOf(hasty.api.readLogs("network", { start: 0, end: 1 }, options));
    expect(slow).toMatchObject({ reason: "timeout" });
    expect([client.waits, hasty.waits]).toEqual([[], []]);
  });

  test("may be processed slowly: only the API's time counts against the timeout", async () => {
    tailnet.serveRecords("network", function* () {
      for (let serial = 0; serial < 10_000; serial++) yield JSON.stringify(flowValue());
    });
    const patient = apiClient({
      url: tailnet.url,
      auth: { kind: "apikey", key: tailnet.apiKey },
      http: { timeoutMs: 1000 },
    });
    let parts = 0;
    let found = 0;
    await patient.api.readLogs(
      "network",
      { start: 0, end: 1 },
      {
        maxBytes: 1e8,
        async onRecords(records) {
          found += records.length;
          if (parts++ === 0) await new Promise((resolve) => setTimeout(resolve, 1300));
        },
      },
    );
    expect(found).toBe(10_000);
    expect(parts).toBeGreaterThan(1);
  });

  test("rethrows what the caller's function throws", async () => {
    tailnet.addFlow(flowValue(), new Date(now).toISOString());
    const cause = new Error("the disk is full");
    const options = { maxBytes: 1e6, onRecords: () => Promise.reject(cause) };
    expect(await failureOf(client.api.readLogs("network", { start: second, end: second }, options))).toBe(cause);
    expect(client.waits).toEqual([]);
  });
});

test("devices are read as the API describes them, with null as absent", async () => {
  tailnet.devices = [
    { nodeId: "nWEB1CNTRL", name: "web-1.tail1234.ts.net", addresses: ["100.64.1.1"], tags: ["tag:web"] },
  ];
  expect(await client.api.devices()).toMatchObject([
    { nodeId: "nWEB1CNTRL", name: "web-1.tail1234.ts.net", addresses: ["100.64.1.1"], tags: ["tag:web"] },
  ]);
  const body = JSON.stringify({ more: 1, devices: [{ nodeId: "n1", addresses: null, tags: null, later: {} }] });
  tailnet.fail({ effect: { kind: "status", status: 200, body } });
  expect(await client.api.devices()).toEqual([{ nodeId: "n1", later: {} } as ApiDevice]);
});

test("a huge list of empty devices is read in steps, and no further than requested", async () => {
  const body = `{"devices":[${"{},".repeat(300_000)}{}]}`;
  const answer = () => tailnet.fail({ effect: { kind: "status", status: 200, body } });
  let turns = 0;
  const timer = setInterval(() => turns++);
  try {
    answer();
    expect(await client.api.devices()).toHaveLength(300_001);
    // Parsed as a whole, it would take a single turn.
    expect(turns).toBeGreaterThan(10);
    answer();
    expect(await client.api.devices(3)).toHaveLength(3);
  } finally {
    clearInterval(timer);
  }
  const parts = JSON.stringify({ devices: [{ nodeId: "n1", later: Array.from({ length: 20_000 }, () => ({})) }] });
  tailnet.fail({ effect: { kind: "status", status: 200, body: parts } });
  expect(await failureOf(client.api.devices())).toMatchObject({
    reason: "malformed",
    message: expect.stringContaining("More than 10000"),
  });
});

describe("log streaming", () => {
  const target = {
    url: "https://hec.example.com/x",
    user: "tailscale",
    token: "5up3r",
    compressionFormat: "zstd",
  } as const;

  test("is set, read without its token, and removed", async () => {
    expect(await client.api.logStream("network")).toBeUndefined();
    await client.api.putLogStream("network", target);
    expect(tailnet.stream("network")).toMatchObject({ ...target, destinationType: "splunk" });
    const { token: _, ...told } = target;
    expect(await client.api.logStream("network")).toEqual({ ...told, destinationType: "splunk" });
    expect(await client.api.logStream("configuration")).toBeUndefined();
    await client.api.deleteLogStream("network");
    expect(tailnet.stream("network")).toBeUndefined();
    expect(await failureOf(client.api.deleteLogStream("network"))).toMatchObject({ reason: "not_found" });
  });

  test("is removed even if the answer to the request is lost", async () => {
    await client.api.putLogStream("network", target);
    tailnet.fail({ method: "DELETE", effect: { kind: "cut", afterBytes: 0 } });
    await client.api.deleteLogStream("network");
    expect(client.counted).toEqual(["log_stream 200", "log_stream 200", "log_stream 404"]);
  });

  test("of an unknown tailnet is an error, not a missing stream", async () => {
    const lost = apiClient({ url: tailnet.url, tailnet: "nobody", auth: { kind: "apikey", key: tailnet.apiKey } });
    expect(await failureOf(lost.api.logStream("network"))).toMatchObject({ reason: "not_found" });
  });

  test("to another kind of destination is described as far as the API describes it", async () => {
    const body = JSON.stringify({ logType: "network", destinationType: "s3", s3Bucket: "b" });
    tailnet.fail({ effect: { kind: "status", status: 200, body } });
    expect(await client.api.logStream("network")).toEqual({
      destinationType: "s3",
      url: "",
      user: "",
      compressionFormat: "none",
    });
  });

  test("has a status, with the API's own names", async () => {
    await client.api.putLogStream("network", target);
    const none = { lastError: "", numBytesSent: 0, numEntriesSent: 0, numTotalRequests: 0, numFailedRequests: 0 };
    const status = { lastActivity: "0001-01-01T00:00:00Z", ...none };
    expect(await client.api.logStreamStatus("network")).toMatchObject(status);
    tailnet.fail({ effect: { kind: "status", status: 200, body: '{"numEntriesSent":7}' } });
    expect(await client.api.logStreamStatus("network")).toEqual({ numEntriesSent: 7 });
  });

  test("fails with not_enabled if the plan does not include it", async () => {
    tailnet.lack(["log streaming"]);
    expect(await failureOf(client.api.logStream("network"))).toMatchObject({ reason: "not_enabled", status: 403 });
  });
});

describe("webhooks", () => {
  const webhook = { url: "https://hook.example.com/in", subscriptions: ["nodeCreated", "policyUpdate"] };

  test("are created with a secret, listed without, changed, rotated and deleted", async () => {
    expect(await client.api.webhooks()).toEqual([]);
    const { secret, ...created } = await client.api.createWebhook(webhook);
    expect(secret).toStartWith("tskey-webhook-");
    expect(created).toMatchObject({ ...webhook, providerType: "" });
    expect(await client.api.webhooks()).toEqual([created]);
    expect(await client.api.updateWebhook(created.id, ["userCreated"])).toMatchObject({
      subscriptions: ["userCreated"],
    });
    const rotated = await client.api.rotateWebhook(created.id);
    expect(rotated).toMatchObject({ id: created.id, subscriptions: ["userCreated"] });
    expect(rotated.secret).not.toBe(secret);
    await client.api.deleteWebhook(created.id);
    expect(await client.api.webhooks()).toEqual([]);
    expect(await failureOf(client.api.rotateWebhook(created.id))).toMatchObject({ reason: "not_found", status: 404 });
  });

  test("receive a test event signed with their secret", async () => {
    const received: { body: string; signature: string | null }[] = [];
    const receiver = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        received.push({ body: await request.text(), signature: request.headers.get("tailscale-webhook-signature") });
        return new Response();
      },
    });
    try {
      tailnet.proxies[new URL(webhook.url).origin] = receiver.url.origin;
      const { id, secret } = await client.api.createWebhook(webhook);
      await client.api.testWebhook(id);
      await tailnet.testsDelivered();
      const [{ body, signature } = { body: "", signature: "" }] = received;
      expect(JSON.parse(body)).toMatchObject([{ type: "test", version: 1, tailnet: "example.com" }]);
      const mac = new Bun.CryptoHasher("sha256", secret).update(`${second}.${body}`).digest("hex");
      expect(signature).toBe(`t=${second},v1=${mac}`);
    } finally {
      await receiver.stop(true);
    }
  });

  test("have their id escaped in the path, and an id from the API that would change the path refused", async () => {
    await failureOf(client.api.deleteWebhook("../tailnet/-/devices"));
    expect(tailnet.requests[0]?.path).toBe("/api/v2/webhooks/..%2Ftailnet%2F-%2Fdevices");
    const body = JSON.stringify({ webhooks: [{ endpointId: "a/../b" }] });
    tailnet.fail({ effect: { kind: "status", status: 200, body } });
    expect(await failureOf(client.api.webhooks())).toMatchObject({ reason: "malformed" });
  });
});
