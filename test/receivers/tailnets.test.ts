/** Several tailnets on one listener: which of them a request belongs to, and that strangers learn nothing about them. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { type Config, inspectConfig, tailnetConfigs } from "../../src/config/index.ts";
import { createReceivers, type Receivers } from "../../src/receivers/index.ts";
import { signatureHeader, signatureHeaderOf } from "../../src/receivers/webhook/signature.ts";
import { sourcesIn, temporaryDirectory } from "../config/sources.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { type RecordedLog, recordedLog } from "../support/recorded-telemetry.ts";
import { createStore, type TestStore } from "../support/store.ts";
import { webhookEvent } from "../support/webhook-server.ts";

const directory = temporaryDirectory();

/** Two tailnets with a token and a secret each, one whose receivers are open, and one that accepts nothing. */
const toml = `
streaming = { enabled = true, listen = "127.0.0.1:0" }
webhook = { enabled = true, listen = "127.0.0.1:0" }

[[tailnet]]
name = "acme"
streaming.token = "token-acme"
streaming.token_previous = "token-acme-old"
webhook.secret = "tskey-webhook-acme"

[[tailnet]]
name = "globex"
streaming.token = "token-globex"
webhook.secret = "tskey-webhook-globex"

[[tailnet]]
name = "open"

[[tailnet]]
name = "closed"
streaming.enabled = false
webhook.enabled = false
`;

const names = ["acme", "globex", "open", "closed"];
let stores: readonly TestStore[];
let logs: readonly RecordedLog[];
let log: RecordedLog;
let receivers: Receivers;
let counted: string[];
let base: string;

const configFrom = (text: string): Config => inspectConfig(sourcesIn(directory, { toml: text })).config;

const telemetryOf = (name: string) => ({
  ...silentTelemetry,
  add: (metric: string, _: number, attributes: object) =>
    void ("reason" in attributes && counted.push(`${name} ${metric.split(".")[1]} ${attributes.reason}`)),
});

beforeEach(async () => {
  const config = configFrom(toml);
  counted = [];
  stores = names.map(() => createStore());
  logs = names.map(() => recordedLog());
  log = recordedLog();
  const [first, ...others] = tailnetConfigs(config).map((one, index) => ({
    ...one,
    pipeline: (stores[index] as TestStore).pipeline,
    journal: (stores[index] as TestStore).journal,
    telemetry: telemetryOf(one.name),
    logger: logs[index] as RecordedLog,
    webhookSignedBy() {},
  }));
  if (first === undefined) throw new Error("no tailnet");
  receivers = createReceivers(config, [first, ...others], {
    clock: Date.now,
    logger: log,
    telemetry: telemetryOf("nobody"),
  });
  await receivers.start();
  base = receivers.addresses.stream as string;
});

afterEach(async () => {
  await receivers.stop(0);
  for (const store of stores) store.remove();
});

const accepted = (): readonly number[] => stores.map(({ journal }) => journal.pendingRecords);

/** Status and body of the answer. */
async function answerOf(path: string, init: RequestInit): Promise<string> {
  const response = await fetch(base + path, init);
  return `${response.status} ${await response.text()}`;
}

const stream = (path: string, token?: string): Promise<string> =>
  answerOf(path, {
    method: "POST",
    headers: token === undefined ? {} : { authorization: `Splunk ${token}` },
    body: flowEnvelope(1),
  });

function deliver(path: string, secret?: string): Promise<string> {
  const body = JSON.stringify([webhookEvent(1)]);
  const signature = secret && signatureHeaderOf(secret, Math.floor(Date.now() / 1000), body);
  return answerOf(path, { method: "POST", headers: signature ? { [signatureHeader]: signature } : {}, body });
}

describe("a stream request", () => {
  const usual = "/services/collector/event";

  test.each([
    [usual, "token-acme", [1, 0, 0, 0]],
    [usual, "token-acme-old", [1, 0, 0, 0]],
    ["/services/collector", "token-globex", [0, 1, 0, 0]],
    [`/acme${usual}`, "token-acme", [1, 0, 0, 0]],
    ["/globex/services/collector/event/1.0", "token-globex", [0, 1, 0, 0]],
    ["/globex/services/collector/", "token-globex", [0, 1, 0, 0]],
    [`/open${usual}`, undefined, [0, 0, 1, 0]],
    [`/open${usual}`, "anything", [0, 0, 1, 0]],
  ])("to %s with %s belongs to one tailnet", async (path, token, records) => {
    expect(await stream(path, token)).toStartWith("200 ");
    expect(accepted()).toEqual(records);
  });

  test.each([
    [`/acme${usual}`, "token-globex", 403, "acme stream auth"],
    [`/acme${usual}`, "wrong", 403, "acme stream auth"],
    [`/acme${usual}`, undefined, 401, "acme stream auth"],
    [`/closed${usual}`, "token-acme", 403, "nobody stream auth"],
    [`/nobody${usual}`, "token-acme", 403, "nobody stream auth"],
    [`/nobody${usual}`, undefined, 401, "nobody stream auth"],
    [usual, "wrong", 403, "nobody stream auth"],
    [usual, undefined, 401, "nobody stream auth"],
  ])("to %s with %s is refused with %d, and counted as %s", async (path, token, status, count) => {
    expect(await stream(path, token)).toStartWith(`${status} `);
    expect(accepted()).toEqual([0, 0, 0, 0]);
    expect(counted).toEqual([count]);
  });

  test("refused after authentication is counted and logged for the tailnet of its token", async () => {
    const headers = { authorization: "Splunk token-globex" };
    expect(await answerOf(usual, { method: "POST", headers, body: "no JSON" })).toStartWith("400 ");
    expect(counted).toEqual(["globex stream unparsable"]);
    expect(logs.map(({ lines }) => lines.length)).toEqual([0, 1, 0, 0]);
  });

  test("for one tailnet is accepted while the journal of another is full", async () => {
    const [acme] = stores;
    acme?.close();
    expect(await stream(usual, "token-acme")).not.toStartWith("200 ");
    expect(await stream(usual, "token-globex")).toStartWith("200 ");
  });
});

describe("a webhook delivery", () => {
  const usual = "/tailscale/webhook";

  test.each([
    [usual, "tskey-webhook-acme", [1, 0, 0, 0]],
    [usual, "tskey-webhook-globex", [0, 1, 0, 0]],
    [`/globex${usual}`, "tskey-webhook-globex", [0, 1, 0, 0]],
    [`/globex${usual}/`, "tskey-webhook-globex", [0, 1, 0, 0]],
    [`/open${usual}`, undefined, [0, 0, 1, 0]],
  ])("to %s signed with %s belongs to one tailnet", async (path, secret, records) => {
    expect(await deliver(path, secret)).toStartWith("200 ");
    expect(accepted()).toEqual(records);
  });

  test.each([
    [`/acme${usual}`, "tskey-webhook-globex", "acme webhook bad_signature"],
    [`/closed${usual}`, "tskey-webhook-acme", "nobody webhook bad_signature"],
    [`/nobody${usual}`, "tskey-webhook-acme", "nobody webhook bad_signature"],
    [usual, "wrong", "nobody webhook bad_signature"],
    [usual, undefined, "nobody webhook missing_signature"],
  ])("to %s signed with %s is refused with 401, and counted as %s", async (path, secret, count) => {
    expect(await deliver(path, secret)).toStartWith("401 ");
    expect(accepted()).toEqual([0, 0, 0, 0]);
    expect(counted).toEqual([count]);
  });
});

describe("a stranger", () => {
  test.each([
    ["POST", "/services/collector/event", {}],
    ["POST", "/services/collector/event", { authorization: "Splunk guess" }],
    ["POST", "/services/collector/event", { authorization: "Digest x" }],
    ["GET", "/services/collector/event", {}],
    ["OPTIONS", "/services/collector/event", {}],
    ["GET", "/services/collector/health", {}],
    ["POST", "/tailscale/webhook", {}],
    ["POST", "/tailscale/webhook", { [signatureHeader]: "t=1" }],
    ["GET", "/tailscale/webhook", {}],
    ["POST", "/elsewhere", {}],
  ])("learns nothing from %s %s about which names exist", async (method, path, headers) => {
    const of = (name: string) => answerOf(`/${name}${path}`, { method, headers });
    const known = await of("acme");
    for (const name of ["globex", "closed", "nobody", "ACME", "*", "a%2Fb"])
      expect([name, await of(name)]).toEqual([name, known]);
  });

  test("finds nothing under a path with several segments", async () => {
    expect(await stream("/acme/acme/services/collector/event", "token-acme")).toStartWith("404 ");
    expect(await stream("/acme", "token-acme")).toStartWith("404 ");
  });
});

test("a reload gives each tailnet its new token and secret", async () => {
  const next = configFrom(toml.replaceAll("-globex", "-new"));
  await receivers.reload(next, tailnetConfigs(next));
  expect(await stream("/services/collector/event", "token-globex")).toStartWith("403 ");
  expect(await stream("/services/collector/event", "token-new")).toStartWith("200 ");
  expect(await deliver("/globex/tailscale/webhook", "tskey-webhook-new")).toStartWith("200 ");
  expect(await stream("/services/collector/event", "token-acme")).toStartWith("200 ");
  expect(accepted()).toEqual([1, 2, 0, 0]);
});

test("a stored secret belongs to one tailnet", async () => {
  receivers.useStoredSecrets("open", "tskey-webhook-stored", "");
  expect(await deliver("/tailscale/webhook", "tskey-webhook-stored")).toStartWith("200 ");
  expect(await deliver("/open/tailscale/webhook")).toStartWith("401 ");
  expect(accepted()).toEqual([0, 0, 1, 0]);
});
