/** Tests the stand-in for Tailscale with Tailscale's official client library, which must understand its responses. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { spawn } from "node:child_process";
import { flowValue } from "../support/records.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { buildTailnetClient, canHaveTailnetClient } from "../support/tailnet-client/build.ts";

/** Without Go, the tests are skipped, except in CI. */
const canRun = canHaveTailnetClient() || process.env.CI !== undefined;

describe.skipIf(!canRun)("the official client", () => {
  let binary: string;
  let tailnet: Tailnet;

  beforeAll(() => {
    binary = buildTailnetClient();
  }, 300_000);

  beforeEach(async () => {
    tailnet = await startTailnet();
    tailnet.devices = [
      {
        nodeId: "nWEB1CNTRL",
        name: "web-1.tail1234.ts.net",
        addresses: ["100.64.1.1", "fd7a:115c:a1e0::1:1"],
        tags: ["tag:web"],
      },
      {
        nodeId: "nLAPTOP1CNTRL",
        name: "alice-laptop.tail1234.ts.net",
        addresses: ["100.64.2.7"],
        user: "alice@example.com",
      },
    ];
    for (const minutes of [1, 2, 3]) {
      tailnet.addFlow(flowValue({ nodeId: "nWEB1CNTRL" }), new Date(Date.now() - minutes * 60_000).toISOString());
    }
  });
  afterEach(() => tailnet.stop());

  const run = (signIn: readonly string[]): Promise<{ code: number | null; output: string }> =>
    new Promise((resolve, reject) => {
      const child = spawn(binary, [tailnet.url, tailnet.tailnet, ...signIn]);
      let output = "";
      child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, output }));
    });

  const everyCall = `
    GET devices, GET logging/network,
    GET logging/network/stream, PUT logging/network/stream, DELETE logging/network/stream,
    GET logging/configuration/stream, PUT logging/configuration/stream, DELETE logging/configuration/stream,
    GET webhooks, POST webhooks, GET webhooks/1, PATCH webhooks/1, DELETE webhooks/1,
    POST webhooks/1/rotate, POST webhooks/1/test`;

  test.each([
    ["an API key", () => ["key", tailnet.apiKey]],
    ["an OAuth client", () => ["oauth", tailnet.oauth.clientId, tailnet.oauth.clientSecret]],
  ])("signed in with %s, reads and writes all that it knows", async (_, signIn) => {
    expect(await run(signIn())).toEqual({ code: 0, output: "ok\n" });
    const made = new Set(
      tailnet.requests.map(({ method, path }) =>
        `${method} ${path}`.replace(/\/api\/v2\/(tailnet\/[^/]+\/)?/, "").replace(/webhooks\/\d+/, "webhooks/1"),
      ),
    );
    expect(everyCall.split(",").filter((call) => !made.has(call.trim()))).toEqual([]);
  });

  test("fails on what it does not expect", async () => {
    tailnet.fail({ path: /rotate$/, effect: { kind: "status", status: 200, body: '{"endpointId":7}' } });
    const { code, output } = await run(["key", tailnet.apiKey]);
    expect(code).toBe(1);
    expect(output).toStartWith("rotating a secret: ");
    const refused = await run(["key", "tskey-api-wrong"]);
    expect(refused).toEqual({ code: 1, output: "devices: API token invalid (401)\n" });
  });
});
