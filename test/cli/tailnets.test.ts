/** Commands for one of several tailnets. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chosenTailnet } from "../../src/cli/flags.ts";
import { loadConfig } from "../../src/config/index.ts";
import { sourcesIn } from "../config/sources.ts";
import { startTailnet } from "../support/tailnet/index.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();

const toml = `
streaming = { enabled = true, listen = "127.0.0.1:1" }
webhook = { enabled = true, listen = "127.0.0.1:1" }
collectors.flowlogs.source = "stream"
collectors.auditlogs.source = "stream"
admin.listen = "127.0.0.1:0"
state.path = "${directory}/state"

[[tailnet]]
name = "acme"
streaming.token = "token-acme"
webhook.secret = "tskey-webhook-acme"

[[tailnet]]
name = "globex"
streaming.token = "token-globex"
webhook.secret = "tskey-webhook-globex"
`;

beforeAll(() => {
  writeFileSync(join(directory, "tailscale2otel.toml"), toml, { mode: 0o600 });
});

const runs = (...args: readonly string[]) => runToEnd(directory, args);

describe.each([
  [["status"]],
  [["quarantine", "list"]],
  [["replay", "--since", "1h"]],
  [["top"]],
  [["send", "hec"]],
  [["send", "webhook"]],
  [["tailnet", "stream", "show"]],
  [["tailnet", "webhook", "list"]],
])("%p", (command) => {
  test("requires the name of a tailnet", async () => {
    const { code, stderr } = await runs(...command);
    expect([code, stderr]).toEqual([
      64,
      expect.stringContaining("there are several tailnets: choose one with --tailnet (acme, globex)"),
    ]);
  });

  test("names the existing tailnets", async () => {
    const { code, stderr } = await runs(...command, "--tailnet", "initech");
    expect([code, stderr]).toEqual([
      64,
      expect.stringContaining('there is no tailnet "initech"; there are: acme, globex'),
    ]);
  });
});

test("a command for a stopped instance reads the journal of the tailnet", async () => {
  const { code, stderr } = await runs("status", "--tailnet", "globex");
  expect([code, stderr]).toEqual([1, expect.stringContaining(`there is no journal in ${directory}/state/globex`)]);
});

test("send uses the path and the token of the tailnet", async () => {
  const asked: unknown[] = [];
  const receiver = createServer(({ url, headers }, response) => {
    asked.push([url, headers.authorization]);
    response.end("{}");
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const { port } = receiver.address() as AddressInfo;
  const { stdout } = await runs("send", "hec", "--tailnet", "globex", "--set", `streaming.listen=127.0.0.1:${port}`);
  receiver.close();
  expect(stdout).toStartWith(`POST http://127.0.0.1:${port}/globex/services/collector/event (`);
  expect(asked).toEqual([["/globex/services/collector/event", "Splunk token-globex"]]);
});

describe("messages name settings as written in the section of the tailnet:", () => {
  const set = (...settings: readonly string[]) => ["--tailnet", "globex", ...settings.flatMap((one) => ["--set", one])];

  test("send, for the token and the secret", async () => {
    const receiver = createServer((_, response) => response.writeHead(401).end()).listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    const hec = await runs("send", "hec", "--url", url, ...set());
    const webhook = await runs("send", "webhook", "--url", url, ...set("tailnet.1.webhook.secret="));
    receiver.close();
    expect(hec.stdout).toContain("bytes, with tailnet.1.streaming.token)\n");
    expect(hec.stdout).toContain("\nSet tailnet.1.streaming.token (TS2OTEL_TAILNET__1__STREAMING__TOKEN) to the one");
    expect(webhook.stdout).toContain("not signed: tailnet.1.webhook.secret is empty)\n");
    expect(webhook.stdout).toContain("\nSet tailnet.1.webhook.secret (TS2OTEL_TAILNET__1__WEBHOOK__SECRET) to the one");
  });

  test("send, for a switch that is off in the section or for all tailnets", async () => {
    const section = await runs("send", "hec", ...set("tailnet.1.streaming.enabled=false"));
    const shared = await runs("send", "hec", ...set("streaming.enabled=false"));
    expect(section.stderr).toContain("tailnet.1.streaming.enabled is false");
    expect(shared.stderr).toContain(" streaming.enabled is false");
  });

  test("tailnet, for credentials, the token and the secret; and check --online, for refused credentials", async () => {
    const missing = await runs("tailnet", "stream", "set", ...set());
    expect(missing.stderr).toContain(
      "set tailnet.1.tailscale.auth.oauth.client_id and tailnet.1.tailscale.auth.oauth.client_secret (TS2OTEL_TAILNET__1__TAILSCALE__AUTH__OAUTH__CLIENT_ID and …__CLIENT_SECRET)",
    );
    const tailnet = await startTailnet();
    const oauth = "tailnet.1.tailscale.auth.oauth";
    const access = [`tailscale.base_url=${tailnet.url}`, `${oauth}.client_id=${tailnet.oauth.clientId}`];
    const granted = [...access, `${oauth}.client_secret=${tailnet.oauth.clientSecret}`];
    const stream = await runs("tailnet", "stream", "set", ...set(...granted, "tailnet.1.streaming.token="));
    expect(stream.stderr).toContain("set tailnet.1.streaming.token, the token that Tailscale sends");
    const webhook = ["tailnet", "webhook", "create", "--url", "https://hooks.example.com/"];
    expect((await runs(...webhook, ...set(...granted))).stdout).toContain("Store it as tailnet.1.webhook.secret.\n");
    const online = await runs("check", "--online", ...set(...access, `${oauth}.client_secret=tskey-client-other`));
    expect(online.stdout).toContain(`Check ${oauth}.client_id and ${oauth}.client_secret: `);
    await tailnet.stop();
  });
});

test("without sections there is no tailnet to choose", () => {
  const { config } = loadConfig(
    sourcesIn(temporaryDirectory(), { set: ["streaming.enabled=true", "otlp.protocol=stdout"] }),
  );
  expect(chosenTailnet(config, undefined)).toMatchObject({ name: "", config });
  expect(() => chosenTailnet(config, "acme")).toThrow("leave --tailnet out");
});

test("the state directory of a single tailnet is not silently abandoned", async () => {
  const state = join(directory, "single");
  const { DatabaseSync } = await import("node:sqlite");
  const { mkdirSync } = await import("node:fs");
  mkdirSync(state, { mode: 0o700 });
  const database = new DatabaseSync(join(state, "journal.db"));
  database.exec("PRAGMA journal_mode = WAL; CREATE TABLE t(x)");
  database.close();
  const { code, stdout } = await runs("check", "--set", `state.path=${state}`);
  expect([code, stdout]).toEqual([
    78,
    expect.stringContaining(`${state} is the state directory of a single tailnet, and there are [[tailnet]] sections`),
  ]);
});
