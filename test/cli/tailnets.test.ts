/** Commands that are about one of several tailnets. */
import { beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chosenTailnet } from "../../src/cli/flags.ts";
import { loadConfig } from "../../src/config/index.ts";
import { sourcesIn } from "../config/sources.ts";
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
  test("asks which tailnet is meant", async () => {
    const { code, stderr } = await runs(...command);
    expect([code, stderr]).toEqual([
      64,
      expect.stringContaining("there are several tailnets: choose one with --tailnet (acme, globex)"),
    ]);
  });

  test("names those that there are", async () => {
    const { code, stderr } = await runs(...command, "--tailnet", "initech");
    expect([code, stderr]).toEqual([
      64,
      expect.stringContaining('there is no tailnet "initech"; there are: acme, globex'),
    ]);
  });
});

test("a command about a stopped instance reads the journal of that tailnet", async () => {
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

test("without sections there is nothing to choose from", () => {
  const { config } = loadConfig(
    sourcesIn(temporaryDirectory(), { set: ["streaming.enabled=true", "otlp.protocol=stdout"] }),
  );
  expect(chosenTailnet(config, undefined)).toEqual({ name: "", config });
  expect(() => chosenTailnet(config, "acme")).toThrow("leave --tailnet out");
});

test("a state directory of a single tailnet is not left behind", async () => {
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
