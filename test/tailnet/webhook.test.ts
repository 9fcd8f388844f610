/** The webhook that the program maintains at Tailscale: created or taken over, its secret known across rotations and restarts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TailscaleApi } from "../../src/tailscale/index.ts";
import {
  createWebhookRegistration,
  type WebhookRegistration,
  type WebhookOptions,
  webhookSecretFile,
  withNewSecret,
} from "../../src/tailnet/webhook.ts";
import { recordedLog, type RecordedLog } from "../support/recorded-telemetry.ts";
import { apiOf } from "../support/tailnet-api.ts";
import { startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { aWhile, until } from "../support/wait.ts";

const url = "https://hooks.example.com/tailscale/webhook";
const subscriptions = ["nodeCreated", "policyUpdate"];
const dayMs = 24 * 3_600_000;

let tailnet: Tailnet;
let api: TailscaleApi;
let stateDirectory: string;
let running: WebhookRegistration[];
let log: RecordedLog;
/** The secrets that the receiver uses. */
let secrets: readonly string[];
let now: number;

beforeEach(async () => {
  tailnet = await startTailnet();
  api = apiOf(tailnet);
  stateDirectory = mkdtempSync(join(tmpdir(), "webhook-endpoint-"));
  running = [];
  secrets = [];
  now = Date.UTC(2026, 10, 22);
});
afterEach(async () => {
  await Promise.all(running.map((registration) => registration.stop(1000)));
  await tailnet.stop();
  rmSync(stateDirectory, { recursive: true, force: true });
});

function start(options: Partial<WebhookOptions> = {}): WebhookRegistration {
  log = recordedLog();
  const registration = createWebhookRegistration(
    {
      url,
      subscriptions,
      statePath: stateDirectory,
      isSecretSet: false,
      backoff: { firstMs: 1, maxMs: 5 },
      watchMs: 5,
      ...options,
    },
    { api, use: (...used) => void (secrets = used), logger: log, clock: () => now, random: Math.random },
  );
  running.push(registration);
  registration.recall();
  registration.start();
  return registration;
}

const theOnly = () => {
  expect(tailnet.webhooks).toHaveLength(1);
  const [webhook] = tailnet.webhooks;
  if (webhook === undefined) throw new Error("there is none");
  return webhook;
};
const settled = (): Promise<void> => until(() => log.said("info", "is up to date").length === 1);
const changes = () => tailnet.requests.filter(({ method, path }) => method !== "GET" && path.includes("webhooks"));
const file = () => webhookSecretFile(stateDirectory);

describe("if there is no webhook", () => {
  test("one is created, and its secret is stored readable only by this user", async () => {
    start();
    await until(() => secrets[0] !== undefined && secrets[0] !== "");
    const { id, secret, ...webhook } = theOnly();
    expect(webhook).toMatchObject({ url, subscriptions, providerType: "" });
    expect(secrets).toEqual([secret, ""]);
    expect(file().read()).toEqual({ id, url, secret });
    expect(statSync(file().path).mode & 0o777).toBe(0o600);
    expect(log.text).not.toContain("tskey-webhook");
  });

  test("and the secret cannot be written, a later attempt stores it", async () => {
    mkdirSync(join(stateDirectory, "webhook.json"));
    start();
    await until(() => log.said("warn", "cannot set up the webhook").length > 0);
    rmSync(join(stateDirectory, "webhook.json"), { recursive: true });
    await until(() => (secrets[0] ?? "") !== "");
    expect(secrets[0]).toBe(theOnly().secret);
  });

  test("a secret that cannot be written is used, and only the write is retried", async () => {
    await api.createWebhook({ url, subscriptions });
    const path = join(stateDirectory, "webhook.json");
    /** Puts a directory in the file's place before the write. */
    const rotateWebhook: TailscaleApi["rotateWebhook"] = (id) => {
      mkdirSync(path);
      return rotate(id);
    };
    const rotate = api.rotateWebhook;
    api = { ...api, rotateWebhook };
    start();
    await until(() => (secrets[0] ?? "") !== "");
    await until(() => log.said("warn", "cannot set up the webhook").length > 0);
    await aWhile();
    expect(changes().filter((request) => request.path.endsWith("/rotate"))).toHaveLength(1);
    rmSync(path, { recursive: true });
    await until(() => statSync(path, { throwIfNoEntry: false })?.isFile() === true);
    await settled();
    expect(file().read()?.secret).toBe(theOnly().secret);
    expect(secrets[0]).toBe(theOnly().secret);
  });

  test("a missing scope is a warning with its remedy, and creation is retried until it works", async () => {
    tailnet.grant(["webhooks:read"]);
    start();
    await until(() => changes().length >= 3);
    expect(log.said("warn", "cannot set up the webhook")).toHaveLength(1);
    expect(log.said("warn", "")[0]?.fields["remedy"]).toContain("webhooks");
    expect(secrets).toEqual(["", ""]);
    tailnet.grant(["webhooks"]);
    tailnet.expireTokens();
    await until(() => (secrets[0] ?? "") !== "");
  });
});

describe("after a restart", () => {
  test("the secret is known before the first request, and nothing is changed", async () => {
    await start().stop(1000);
    running = [];
    start();
    await until(() => (secrets[0] ?? "") !== "");
    const { secret } = theOnly();
    await running[0]?.stop(1000);
    const before = changes().length;
    secrets = [];
    start();
    expect(secrets).toEqual([secret, ""]);
    await settled();
    expect(changes()).toHaveLength(before);
    expect(log.said("warn", "")).toEqual([]);
  });

  test("a webhook that was deleted at Tailscale is created again", async () => {
    file().write({ id: "gone", url, secret: "tskey-webhook-gone" });
    start();
    expect(secrets).toEqual(["tskey-webhook-gone", ""]);
    await until(() => secrets[0] !== "tskey-webhook-gone");
    expect(secrets).toEqual([theOnly().secret, "tskey-webhook-gone"]);
  });

  test("with another address a new one is created, and a warning names the old one", async () => {
    start();
    await until(() => (secrets[0] ?? "") !== "");
    await running[0]?.stop(1000);
    start({ url: "https://other.example.com/hook" });
    await until(() => tailnet.webhooks.length === 2);
    await until(() => secrets[1] !== "" && secrets[1] !== undefined);
    const [former, latter] = tailnet.webhooks;
    expect(secrets).toEqual([latter?.secret ?? "", former?.secret ?? ""]);
    expect(log.said("warn", "webhook.public_url has changed")[0]?.fields).toEqual({ id: former?.id ?? "", url });
  });
});

describe("an existing webhook", () => {
  test("is taken over by a rotation, with a warning, and gets the wanted subscriptions", async () => {
    const { id, secret } = await api.createWebhook({ url: `${url}/`, subscriptions: ["userCreated", "nodeCreated"] });
    start();
    await until(() => theOnly().subscriptions.includes("policyUpdate"));
    const taken = theOnly();
    expect(taken).toMatchObject({ id, subscriptions });
    expect(taken.secret).not.toBe(secret);
    await until(() => secrets[0] === taken.secret);
    expect(log.said("warn", "took over")).toHaveLength(1);
    await until(() => log.said("info", "changed the webhook's subscriptions").length === 1);
    expect(log.said("info", "changed the webhook's subscriptions")[0]?.fields).toMatchObject({
      added: "policyUpdate",
      removed: "userCreated",
    });
  });

  test("that exists twice is a warning, and the one with the known secret is used", async () => {
    await api.createWebhook({ url, subscriptions });
    const mine = await api.createWebhook({ url, subscriptions });
    file().write({ id: mine.id, url, secret: mine.secret });
    start();
    await settled();
    expect(secrets).toEqual([mine.secret, ""]);
    expect(log.said("warn", "several webhooks")).toHaveLength(1);
    expect(changes()).toHaveLength(2);
  });

  test("with the subscriptions in another order is left alone", async () => {
    const mine = await api.createWebhook({ url, subscriptions: subscriptions.toReversed() });
    file().write({ id: mine.id, url, secret: mine.secret });
    start();
    await settled();
    expect(changes()).toHaveLength(1);
  });
});

describe("a rotation by a command", () => {
  async function rotated(): Promise<{
    readonly registration: WebhookRegistration;
    readonly old: string;
    readonly fresh: string;
  }> {
    const registration = start();
    await until(() => (secrets[0] ?? "") !== "");
    const { id, secret: old } = theOnly();
    const answer = await api.rotateWebhook(id);
    file().write(withNewSecret(file().read(), answer, now));
    await until(() => secrets[0] === answer.secret);
    return { registration, old, fresh: answer.secret };
  }

  test("is noticed, and the old secret stays valid until a delivery is signed with the new one", async () => {
    const { registration, old, fresh } = await rotated();
    expect(secrets).toEqual([fresh, old]);
    registration.signedBy(old);
    expect(secrets).toEqual([fresh, old]);
    registration.signedBy(fresh);
    expect(secrets).toEqual([fresh, ""]);
    expect(readFileSync(file().path, "utf8")).not.toContain(old);
    expect(log.text).not.toContain("tskey-webhook");
  });

  test("survives a restart, with both secrets", async () => {
    const { registration, old, fresh } = await rotated();
    await registration.stop(1000);
    secrets = [];
    start();
    expect(secrets).toEqual([fresh, old]);
  });

  test("leaves the old secret valid for at most a day", async () => {
    const { registration, old, fresh } = await rotated();
    await registration.stop(1000);
    now += dayMs - 1;
    await start().stop(1000);
    expect(secrets).toEqual([fresh, old]);
    now += 1;
    start();
    expect(secrets).toEqual([fresh, ""]);
    await settled();
  });

  test("retires the old secret after that time while the program runs", async () => {
    const { id, secret } = await api.createWebhook({ url, subscriptions });
    file().write({ id, url, secret, previous: { secret: "old", until: now + 20 } });
    start();
    expect(secrets).toEqual([secret, "old"]);
    await until(() => secrets[1] === "");
    expect(log.said("info", "no longer accepted")).toHaveLength(1);
    expect(file().read()).toEqual({ id, url, secret });
  });

  test("that removes the file leaves no secret", async () => {
    start();
    await until(() => (secrets[0] ?? "") !== "");
    file().remove();
    await until(() => secrets[0] === "");
    expect(secrets).toEqual(["", ""]);
  });
});

describe("with a secret in the settings", () => {
  test("no webhook is created, and a warning says why", async () => {
    start({ isSecretSet: true });
    await until(() => log.said("warn", "no webhook created").length === 1);
    expect(changes()).toEqual([]);
    expect(secrets).toEqual([]);
  });

  test("the subscriptions are maintained, and the secret is left alone", async () => {
    const { secret } = await api.createWebhook({ url, subscriptions: ["userCreated"] });
    start({ isSecretSet: true });
    await until(() => theOnly().subscriptions.includes("policyUpdate"));
    expect(theOnly().secret).toBe(secret);
    expect(secrets).toEqual([]);
    expect(() => statSync(file().path)).toThrow();
  });
});

test.each(["", "null", "[]", "{", '{"id":"1","url":"x"}', '{"id":1,"url":"x","secret":"y"}'])(
  "a damaged file is ignored: %j",
  async (text) => {
    writeFileSync(join(stateDirectory, "webhook.json"), text);
    start();
    expect(secrets).toEqual(["", ""]);
    await until(() => (secrets[0] ?? "") !== "");
    expect(secrets).toEqual([theOnly().secret, ""]);
  },
);

test("stops at once before the start, during a wait and when stopped twice", async () => {
  tailnet.fail({ path: /webhooks/, times: 1000, effect: { kind: "status", status: 403 } });
  const registration = start({ backoff: { firstMs: 3_600_000, maxMs: 3_600_000 } });
  await until(() => log.said("warn", "cannot set up").length === 1);
  await registration.stop(60_000);
  await registration.stop(60_000);
  const before = tailnet.requests.length;
  await aWhile();
  expect(tailnet.requests).toHaveLength(before);
});
