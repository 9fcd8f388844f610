/** Tests that the released program registers itself at a stand-in for Tailscale: streams, webhook, rotations, restarts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { totalsOf } from "../support/exported-totals.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { freePort } from "../support/port.ts";
import { type RunningProgram, startProgram } from "../support/running-program.ts";
import { apiOf } from "../support/tailnet-api.ts";
import { eventOf, startTailnet, type Tailnet } from "../support/tailnet/index.ts";
import { timeoutMs, until } from "../support/wait.ts";
import { signedAt } from "../support/webhook-server.ts";

/** Tailscale delivers webhooks only to public https URLs; a reverse proxy forwards this one to the program. */
const publicHooks = "https://hooks.example.com";
let directory: string;
let sink: OtlpSink;
let tailnet: Tailnet;
let program: RunningProgram | undefined;
let port: number;
let settings: Record<string, string>;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "auto-configure-"));
  sink = await startOtlpSink();
  port = await freePort();
  tailnet = await startTailnet();
  tailnet.proxies[publicHooks] = `http://127.0.0.1:${port}`;
  settings = {
    TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID: tailnet.oauth.clientId,
    TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_SECRET: tailnet.oauth.clientSecret,
    TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1",
    TS2OTEL_STREAMING__PUBLIC_URL: `http://localhost:${port}`,
    TS2OTEL_STREAMING__AUTO_CONFIGURE: "true",
    TS2OTEL_WEBHOOK__ENABLED: "true",
    TS2OTEL_WEBHOOK__LISTEN: `127.0.0.1:${port}`,
    TS2OTEL_WEBHOOK__PUBLIC_URL: publicHooks,
    TS2OTEL_WEBHOOK__AUTO_CONFIGURE: "true",
    TS2OTEL_WEBHOOK__SUBSCRIPTIONS: "nodeCreated,nodeDeleted",
  };
});

afterEach(async () => {
  await program?.kill();
  program = undefined;
  await tailnet.stop();
  await sink.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function start(more: Record<string, string> = {}): Promise<RunningProgram> {
  program = await startProgram({
    command: [programBinary()],
    directory,
    endpoint: sink.url,
    encoding: "json",
    port,
    settings: { ...settings, ...more },
  });
  return program;
}

const isRegistered = (): boolean =>
  tailnet.stream("network") !== undefined &&
  tailnet.stream("configuration") !== undefined &&
  tailnet.webhooks.length > 0;
const stored = (): { secret: string; previous?: { secret: string } } =>
  JSON.parse(readFileSync(join(directory, "state/webhook.json"), "utf8")) as { secret: string };
const isKept = (): boolean => {
  try {
    return stored().secret === tailnet.webhooks[0]?.secret;
  } catch {
    return false;
  }
};
const isSaid = (text: string) => () => program?.output().includes(text) === true;
const writes = () => tailnet.requests.filter(({ method, path }) => method !== "GET" && !path.endsWith("/oauth/token"));

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = Bun.spawn([programBinary(), ...args], {
    cwd: directory,
    env: { ...settings, HOME: directory, TS2OTEL_STATE__PATH: join(directory, "state") },
    stdout: "pipe",
    stderr: "pipe",
  });
  const texts = [new Response(command.stdout).text(), new Response(command.stderr).text()] as const;
  const [stdout, stderr] = await Promise.all(texts);
  return { code: await command.exited, stdout, stderr };
}

let serial = 0;
/** The status of a delivery that Tailscale makes now. */
async function pushed(): Promise<number | undefined> {
  const event = eventOf("nodeCreated", new Date(Date.now() + ++serial).toISOString(), `node ${serial}`, {
    nodeID: `n${serial}`,
  });
  const [delivery] = await tailnet.pushWebhook([event]);
  return delivery?.statuses.at(-1);
}
async function delivered(secret: string): Promise<number> {
  const body = JSON.stringify([eventOf("nodeDeleted", new Date(Date.now() + ++serial).toISOString(), "gone")]);
  const headers = secret === "" ? {} : signedAt(Math.floor(Date.now() / 1000), body, secret);
  return (await fetch(`http://127.0.0.1:${port}/tailscale/webhook`, { method: "POST", body, headers })).status;
}

test(
  "both streams and the webhook are registered, what they deliver is accepted, and a second start changes nothing",
  async () => {
    const first = await start();
    await until(() => isRegistered() && isKept());
    expect(tailnet.stream("network")).toMatchObject({
      url: `http://localhost:${port}/services/collector/event`,
      token: first.token,
      compressionFormat: "zstd",
    });
    expect(tailnet.webhooks).toMatchObject([
      { url: `${publicHooks}/tailscale/webhook`, subscriptions: ["nodeCreated", "nodeDeleted"] },
    ]);
    expect(statSync(join(directory, "state/webhook.json")).mode & 0o777).toBe(0o600);

    for (let count = 1; count <= 3; count++) {
      const flow = { nodeId: `n${count}CNTRL`, start: "2026-11-22T10:00:00Z", end: "2026-11-22T10:00:05Z" };
      tailnet.addFlow({
        ...flow,
        virtualTraffic: [{ proto: 6, src: "100.64.0.1:1", dst: "100.64.0.2:2", txBytes: 1 }],
      });
    }
    const actor = { id: "u1CNTRL", type: "USER", loginName: "alice@example.com", displayName: "Alice" };
    const target = { id: "n1CNTRL", name: "node-1.tail1234.ts.net", type: "NODE" };
    tailnet.addAudit({ eventGroupID: "1", origin: "CONFIG_API", actor, target, action: "CREATE" });
    expect((await tailnet.pushStream("network")).statuses).toEqual([200]);
    expect((await tailnet.pushStream("configuration", { credential: "basic" })).statuses).toEqual([200]);
    await until(() => isKept());
    await until(async () => (await pushed()) === 200);
    await sink.until(() => totalsOf(sink.points, "tailscale.stream.records", "type")["flow"] === 3);
    await sink.until(() => totalsOf(sink.points, "tailscale.webhook.events", "")["undefined"] === 1);
    for (const name of [
      "tailscale.logstream.entries_sent",
      "tailscale.logstream.requests_failed",
      "tailscale2otel.logstream.missing",
    ]) {
      const totals = () => totalsOf(sink.points, name, "tailscale.logstream.type");
      await sink.until(() => "configuration" in totals() && "network" in totals());
    }
    await first.stop();

    const secret = stored().secret;
    const before = writes().length;
    const second = await start();
    expect(await delivered(secret)).toBe(200);
    await until(isSaid("the network log stream already points to this receiver"));
    await until(isSaid("the configuration log stream already points to this receiver"));
    await until(isSaid("the webhook at Tailscale is up to date"));
    expect(writes()).toHaveLength(before);
    expect(stored()).toMatchObject({ secret });
    const sent = await run("send", "webhook");
    expect(sent.stdout).toContain("signed with the secret in the state directory)\n200 OK");
    expect(second.output()).not.toContain(secret);
    expect(second.output()).not.toContain(second.token);
  },
  timeoutMs,
);

test(
  "a stream that points elsewhere is replaced with a warning, and a webhook with an unknown secret is rotated",
  async () => {
    const foreign = { url: "https://siem.example.com/in", user: "ops", token: "x", compressionFormat: "none" } as const;
    await apiOf(tailnet).putLogStream("network", foreign);
    const url = `${publicHooks}/tailscale/webhook`;
    const { secret } = await apiOf(tailnet).createWebhook({ url, subscriptions: ["policyUpdate"] });
    await start();
    await until(() => isRegistered() && isKept());
    await until(isSaid("the network log stream: replacing it: it points elsewhere"));
    await until(isSaid("https://siem.example.com/in"));
    await until(() => tailnet.stream("network")?.url === `http://localhost:${port}/services/collector/event`);
    const { secret: rotated } = stored();
    expect(rotated).not.toBe(secret);
    await until(async () => (await delivered(rotated)) === 200);
    expect(await delivered(secret)).toBe(401);
    await until(() => tailnet.webhooks[0]?.subscriptions.includes("nodeCreated") === true);
  },
  timeoutMs,
);

test(
  "a rotation by another process is noticed; the old secret is valid until the new one is used, even after a restart",
  async () => {
    await start();
    await until(() => isRegistered() && isKept());
    const { secret: old } = stored();
    await until(async () => (await delivered(old)) === 200);
    const rotated = await run("tailnet", "webhook", "rotate");
    expect(rotated).toMatchObject({ code: 0, stderr: "" });
    expect(rotated.stdout).not.toContain("tskey-webhook");
    expect(stored()).toMatchObject({ secret: tailnet.webhooks[0]?.secret, previous: { secret: old } });
    await until(isSaid("the webhook has a new secret"));
    expect(await delivered(old)).toBe(200);
    await program?.kill();
    await start();
    expect(await delivered(old)).toBe(200);
    expect(await pushed()).toBe(200);
    expect(await delivered(old)).toBe(401);
    expect(await pushed()).toBe(200);
    expect(stored().previous).toBeUndefined();
  },
  timeoutMs,
);

test(
  "no delivery is accepted until the secret is known, signed or not, and nothing else waits for Tailscale",
  async () => {
    tailnet.fail({ path: /webhooks|logging/, times: 1000, effect: { kind: "status", status: 403, message: "no" } });
    await start();
    expect(await delivered("")).toBe(503);
    expect(await delivered("tskey-webhook-guess")).toBe(503);
    await until(isSaid("cannot set up the webhook"));
    tailnet.recover();
    await until(() => isRegistered() && isKept());
    await until(async () => (await pushed()) === 200);
    expect(await delivered("")).toBe(401);
  },
  timeoutMs,
);

test(
  "a new token is registered when the configuration is read again",
  async () => {
    const file = join(directory, "token");
    writeFileSync(file, "first-token", { mode: 0o600 });
    const toml = `[streaming]\ntoken_file = ${JSON.stringify(file)}\n`;
    writeFileSync(join(directory, "tailscale2otel.toml"), toml, { mode: 0o600 });
    await start({ TS2OTEL_STREAMING__TOKEN: "" });
    await until(() => isRegistered());
    expect(tailnet.stream("network")?.token).toBe("first-token");
    writeFileSync(file, "second-token");
    process.kill(program?.pid ?? 0, "SIGHUP");
    await until(() => tailnet.stream("network")?.token === "second-token");
    await until(() => tailnet.stream("configuration")?.token === "second-token");
    tailnet.addFlow({
      nodeId: "n1CNTRL",
      start: "2026-11-22T10:00:00Z",
      end: "2026-11-22T10:00:05Z",
      virtualTraffic: [],
    });
    expect((await tailnet.pushStream("network")).statuses).toEqual([200]);
  },
  timeoutMs,
);

test(
  "works with its state in memory, and warns what that means",
  async () => {
    const inMemory = { TS2OTEL_STATE__PATH: ":memory:" };
    await start(inMemory);
    await until(() => isRegistered());
    await until(async () => (await pushed()) === 200);
    await until(isSaid("the webhook's secret is kept in memory only"));
    const secret = tailnet.webhooks[0]?.secret;
    await program?.stop();
    await start(inMemory);
    await until(() => tailnet.webhooks[0]?.secret !== secret);
    await until(async () => (await pushed()) === 200);
    expect(tailnet.webhooks).toHaveLength(1);
  },
  timeoutMs,
);
