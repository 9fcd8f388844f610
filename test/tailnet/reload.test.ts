/** What the settings set up at Tailscale, and what a reload changes. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, inspectConfig } from "../../src/config/index.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { createTailnet, type Tailnet as Maintained } from "../../src/tailnet/index.ts";
import { sourcesIn } from "../config/sources.ts";
import { observedGauges, type ObservedGauges, recordedLog, type RecordedLog } from "../support/recorded-telemetry.ts";
import { apiOf } from "../support/tailnet-api.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { aWhile, until } from "../support/wait.ts";

let tailnet: Tailnet;
let directory: string;
let log: RecordedLog;
let gauges: ObservedGauges;
let secrets: readonly string[];
let asked: readonly unknown[];
let running: Maintained;

beforeEach(async () => {
  tailnet = await startTailnet();
  directory = mkdtempSync(join(tmpdir(), "auto-configure-unit-"));
  secrets = [];
  asked = [];
});
afterEach(async () => {
  await running.stop(1000);
  await tailnet.stop();
  rmSync(directory, { recursive: true, force: true });
});

const streaming = [
  "streaming.enabled=true",
  "streaming.auto_configure=true",
  "streaming.token=first-token",
  "streaming.public_url=https://logs.example.com",
];
const webhook = [
  "webhook.enabled=true",
  "webhook.auto_configure=true",
  "webhook.public_url=https://hooks.example.com",
  "webhook.subscriptions=nodeCreated",
];
const configOf = (...set: string[]): Config =>
  inspectConfig(sourcesIn(directory, { set: [`state.path=${directory}`, ...set] })).config;

function start(config: Config): void {
  log = recordedLog();
  gauges = observedGauges();
  running = createTailnet(config, {
    api: apiOf(tailnet),
    telemetry: gauges,
    logger: log,
    clock: systemClock,
    random: Math.random,
    ledger: {
      sum(...question) {
        asked = [...asked, question];
        return 0;
      },
    },
    journal: { readState: () => undefined, writeState() {} },
    useDevices() {},
    useWebhookSecrets: (...used) => void (secrets = used),
  });
  running.recall();
  running.start();
}

test("changes nothing unless the settings ask for it", async () => {
  start(configOf("streaming.enabled=true", "streaming.token=x", "webhook.enabled=true", "webhook.secret=y"));
  await aWhile();
  expect(tailnet.requests).toEqual([]);
  expect(secrets).toEqual([]);
});

test("reports what is not set up and why, naming the missing scope, until it is", async () => {
  tailnet.grant(["all:read"]);
  start(configOf(...streaming, ...webhook));
  const trouble = "the scope log_streaming is missing";
  await until(() => running.troubles.length === 3);
  const remedy = expect.stringContaining("Give the OAuth client the scope log_streaming");
  expect(running.troubles).toEqual([
    { task: "network log stream", trouble, remedy },
    { task: "configuration log stream", trouble, remedy },
    {
      task: "webhook",
      trouble: "the scope webhooks is missing",
      remedy: expect.stringContaining("Give the OAuth client the scope webhooks"),
    },
  ]);
  tailnet.grant(["all"]);
  tailnet.expireTokens();
  await until(() => running.troubles.length === 0);
});

test("names the same scopes if reading is not permitted either", async () => {
  tailnet.grant(["devices:core:read"]);
  start(configOf(...streaming, ...webhook));
  await until(() => running.troubles.length === 3);
  const scopes = ["log_streaming", "log_streaming", "webhooks"];
  expect(running.troubles.map(({ trouble }) => trouble)).toEqual(
    scopes.map((scope) => `the scope ${scope} is missing`),
  );
  const remedies = log.said("warn", "cannot set").map(({ fields }) => String(fields["remedy"]));
  expect(remedies.join()).not.toContain(":read");
});

test("sets up only the streams, and reads from the ledger how many records of each type arrived", async () => {
  start(configOf(...streaming));
  await until(() => Object.keys(gauges.read("tailscale2otel.logstream.missing")).length === 2);
  expect(tailnet.stream("network")).toMatchObject({ url: "https://logs.example.com/services/collector/event" });
  expect(tailnet.webhooks).toEqual([]);
  const metric = "tailscale2otel.ingest.records";
  expect(asked).toContainEqual([metric, { source: "stream", signal: "flow" }]);
  expect(asked).toContainEqual([metric, { source: "stream", signal: "audit" }]);
  running.reload(configOf(...streaming, "streaming.token=second-token"));
  await until(() => tailnet.stream("network")?.token === "second-token");
});

test("sets up only the webhook, with its secret in the state directory and no warning", async () => {
  start(configOf(...webhook));
  await until(() => (secrets[0] ?? "") !== "");
  expect(tailnet.webhooks).toMatchObject([
    { url: "https://hooks.example.com/tailscale/webhook", subscriptions: ["nodeCreated"] },
  ]);
  expect(tailnet.stream("network")).toBeUndefined();
  expect(log.said("warn", "")).toEqual([]);
  expect(readdirSync(directory)).toEqual(["webhook.json"]);
});

test("warns about state in memory unless the settings have the secret, and writes no file", async () => {
  start(configOf(...webhook, "state.path=:memory:"));
  expect(log.said("warn", "in memory only")).toHaveLength(1);
  await until(() => (secrets[0] ?? "") !== "");
  expect(secrets[0]).toBe(tailnet.webhooks[0]?.secret);
  expect(readdirSync(directory)).toEqual([]);
  expect(existsSync(":memory:")).toBe(false);
  await running.stop(1000);
  start(configOf(...webhook, "state.path=:memory:", "webhook.secret=tskey-webhook-mine"));
  expect(log.said("warn", "in memory only")).toEqual([]);
});

describe("a reload", () => {
  test("that removes the secret from the settings rotates the webhook's secret", async () => {
    const { secret } = await apiOf(tailnet).createWebhook({
      url: "https://hooks.example.com/tailscale/webhook",
      subscriptions: ["nodeCreated"],
    });
    start(configOf(...webhook, `webhook.secret=${secret}`));
    await until(() => log.said("info", "is up to date").length === 1);
    expect(secrets).toEqual([]);
    running.reload(configOf(...webhook));
    await until(() => (secrets[0] ?? "") !== "");
    expect(secrets[0]).toBe(tailnet.webhooks[0]?.secret);
    expect(secrets[0]).not.toBe(secret);
  });

  test("after the stop changes nothing", async () => {
    start(configOf(...webhook, ...streaming));
    await until(() => log.said("info", "now points to this receiver").length === 2 && (secrets[0] ?? "") !== "");
    await running.stop(60_000);
    const before = tailnet.requests.length;
    running.reload(configOf(...webhook, ...streaming, "webhook.secret=x", "streaming.token=y"));
    await aWhile();
    expect(tailnet.requests).toHaveLength(before);
  });
});
