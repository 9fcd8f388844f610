/** Receivers share a listener if address and certificate are the same, have separate ones if not, and never start halfway. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { inspectConfig } from "../../src/config/index.ts";
import { createReceivers, type Receivers, type ReceiversDeps } from "../../src/receivers/index.ts";
import { sourcesIn, temporaryDirectory } from "../config/sources.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { freePort } from "../support/port.ts";
import { type RecordedLog, recordedLog } from "../support/recorded-telemetry.ts";
import { createStore, type TestStore } from "../support/store.ts";
import { signedAt, webhookEvent, webhookSecret } from "../support/webhook-server.ts";

const directory = temporaryDirectory();
const certificates = new URL("../support/tls/", import.meta.url);
const fixture = (name: string): string => fileURLToPath(new URL(name, certificates));
const tls = (receiver: string): string[] => [
  `${receiver}.tls.cert_file=${fixture("first.cert.pem")}`,
  `${receiver}.tls.key_file=${fixture("first.key.pem")}`,
];

let store: TestStore;
let receivers: Receivers;
let log: RecordedLog;
let counted: (readonly [metric: string, attributes: object])[];

beforeEach(() => {
  log = recordedLog();
  counted = [];
  store = createStore();
});
afterEach(async () => {
  await receivers.stop(0);
  store.remove();
});

function create(...set: readonly string[]): Receivers {
  const { config } = inspectConfig(
    sourcesIn(directory, {
      set: ["streaming.enabled=true", "webhook.enabled=true", ...set],
      environment: { TS2OTEL_STREAMING__TOKEN: "a-token", TS2OTEL_WEBHOOK__SECRET: webhookSecret },
    }),
  );
  const deps = {
    telemetry: { ...silentTelemetry, add: (metric, _, attributes) => void counted.push([metric, attributes]) },
    logger: log,
    clock: Date.now,
  } satisfies ReceiversDeps;
  const { pipeline, journal } = store;
  receivers = createReceivers(config, [{ ...deps, name: "", config, pipeline, journal, webhookSignedBy() {} }], deps);
  return receivers;
}

const statusOf = async (url: string, init: RequestInit): Promise<number> =>
  (await fetch(url, { ...init, tls: { ca: readFileSync(fixture("first.cert.pem"), "utf8") } })).status;

function stream(base = ""): Promise<number> {
  const headers = { authorization: "Splunk a-token" };
  return statusOf(`${base}/services/collector/event`, { method: "POST", headers, body: flowEnvelope(1) });
}

function deliver(base = ""): Promise<number> {
  const body = JSON.stringify([webhookEvent(1)]);
  const headers = signedAt(Math.floor(Date.now() / 1000), body);
  return statusOf(`${base}/tailscale/webhook`, { method: "POST", headers, body });
}

describe("two receivers", () => {
  test("with one address share a listener", async () => {
    const { start, addresses: _, ...rest } = create("streaming.listen=127.0.0.1:0", "webhook.listen=127.0.0.1:0");
    await start();
    const { stream: base, webhook } = receivers.addresses;
    expect(webhook).toBe(base as string);
    expect([await stream(base), await deliver(base)]).toEqual([200, 200]);
    await rest.stop(1000);
    await expect(stream(base)).rejects.toThrow();
  });

  test("with one address and one certificate share a listener with TLS", async () => {
    await create(
      "streaming.listen=localhost:0",
      "webhook.listen=localhost:0",
      ...tls("streaming"),
      ...tls("webhook"),
    ).start();
    const { stream: base, webhook } = receivers.addresses;
    expect(webhook).toBe(base as string);
    expect(base).toStartWith("https://localhost:");
    expect([await stream(base), await deliver(base)]).toEqual([200, 200]);
  });

  test("with two addresses have a listener each, with its own TLS", async () => {
    await create("streaming.listen=127.0.0.1:0", "webhook.listen=localhost:0", ...tls("webhook")).start();
    const { stream: base, webhook } = receivers.addresses;
    expect([base?.slice(0, 5), webhook?.slice(0, 6)]).toEqual(["http:", "https:"]);
    expect(receivers.listeners).toMatchObject([
      { name: "stream", address: base, certificate: undefined },
      { name: "webhook", address: webhook, certificate: { current: { subjects: expect.any(Array) }, trouble: "" } },
    ]);
    expect([await stream(base), await deliver(webhook)]).toEqual([200, 200]);
    expect([await deliver(base), await stream(webhook)]).toEqual([404, 404]);
  });

  test("leave nothing behind if one of them cannot listen", async () => {
    const [port, taken] = [await freePort(), await freePort()];
    const other = Bun.serve({ hostname: "127.0.0.1", port: taken, fetch: () => new Response() });
    await expect(
      create(`streaming.listen=127.0.0.1:${port}`, `webhook.listen=127.0.0.1:${taken}`).start(),
    ).rejects.toThrow(`cannot listen on 127.0.0.1:${taken}: the address is already in use`);
    await other.stop(true);
    await expect(stream(`http://127.0.0.1:${port}`)).rejects.toThrow();
  });

  test("on one address are refused if a webhook path is a HEC alias", () => {
    receivers = create("streaming.enabled=false", "webhook.enabled=false");
    expect(() =>
      create("streaming.listen=127.0.0.1:0", "webhook.listen=127.0.0.1:0", "webhook.path=/services/collector"),
    ).toThrow('the path "/services/collector" is used twice on one listener');
  });
});

test("only enabled receivers listen, and a reload gives them their new secrets", async () => {
  await create("streaming.enabled=false", "webhook.listen=127.0.0.1:0").start();
  expect(Object.keys(receivers.addresses)).toEqual(["webhook"]);
  const { webhook: base } = receivers.addresses;
  expect(await deliver(base)).toBe(200);
  const { config } = inspectConfig(
    sourcesIn(directory, { set: ["webhook.enabled=true", "webhook.secret=tskey-webhook-new"] }),
  );
  await receivers.reload(config, [{ name: "", config }]);
  expect(await deliver(base)).toBe(401);
  const next = { ...config, webhook: { ...config.webhook, secret_previous: webhookSecret } };
  await receivers.reload(next, [{ name: "", config: next }]);
  expect(await deliver(base)).toBe(200);
});

test("a request for the other receiver is counted for the listener it reached, and logged with the paths it accepts", async () => {
  const refused = () => counted.filter(([, attributes]) => "reason" in attributes);
  await create("streaming.enabled=false", "webhook.listen=127.0.0.1:0").start();
  expect(await stream(receivers.addresses.webhook)).toBe(404);
  expect(refused()).toEqual([["tailscale.webhook.rejected", { reason: "not_found" }]]);
  await receivers.stop(0);
  await create("webhook.enabled=false", "streaming.listen=127.0.0.1:0").start();
  expect(await deliver(receivers.addresses.stream)).toBe(404);
  expect(refused().slice(1)).toEqual([["tailscale.stream.rejected", { reason: "not_found" }]]);
  expect(log.said("warn", "answered 404").map(({ message }) => message)).toEqual([
    "POST /services/collector/event from 127.0.0.1 answered 404: this listener accepts POST /tailscale/webhook",
    expect.stringContaining(
      "POST /tailscale/webhook from 127.0.0.1 answered 404: this listener accepts POST /services/collector/event",
    ),
  ]);
});
