/** The errors that a new user meets first, word for word: each says what happened, where, and what to do next. */
import { expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type Ended, start as startProgram, temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();
const binary = [programBinary()] as const;

const start = (directory: string, args: readonly string[]) => startProgram(directory, args, {}, binary);
const runToEnd = (directory: string, args: readonly string[]): Promise<Ended> => start(directory, args).ended;
const receiver = `[streaming]
enabled = true
token = "a-token"
listen = "127.0.0.1:0"
[collectors]
flowlogs.source = "stream"
auditlogs.source = "stream"
[admin]
listen = "127.0.0.1:1"
[state]
path = "state"
`;

function folder(name: string, toml?: string): string {
  const directory = join(parent, name);
  mkdirSync(directory, { mode: 0o700 });
  if (toml !== undefined) writeFileSync(join(directory, "tailscale2otel.toml"), toml, { mode: 0o600 });
  return directory;
}

const invalid = receiver.replace(":0", ":8o88").replace("source = ", "sorce = ");

test.each<[string, string | undefined, string, number, string]>([
  [
    "nothing set up",
    undefined,
    "run",
    78,
    'streaming.enabled: there is nothing to receive or poll. Run tailscale2otel init, which writes a configuration. Or set tailscale.auth.oauth.client_id and client_secret (to poll), or streaming.enabled = true, streaming.token, and source = "stream" in collectors.flowlogs and collectors.auditlogs (to receive). To look around: tailscale2otel demo.',
  ],
  [
    "an unknown command",
    receiver,
    "statsu",
    64,
    'unknown command "statsu"; did you mean status? (see tailscale2otel --help)',
  ],
  [
    "a file that is not there",
    receiver,
    "run --config other.toml",
    78,
    "other.toml: cannot be read: there is no such file or directory. Name a regular, readable TOML file with --config or TS2OTEL_CONFIG.",
  ],
  [
    "a bad value and an unknown setting",
    invalid,
    "run",
    78,
    'tailscale2otel.toml:4: streaming.listen: invalid address "127.0.0.1:8o88". Use "host:port", "[v6]:port" or ":port", for example listen = ":8088".\ntailscale2otel: tailscale2otel.toml:6: collectors.flowlogs.sorce: unknown setting. Did you mean collectors.flowlogs.source?',
  ],
  [
    "broken TOML",
    "[streaming\n",
    "run",
    78,
    "tailscale2otel.toml:1: column 1: invalid TOML: this [ is never closed. Close it with ]:\n    1 | [streaming",
  ],
  [
    "no instance to follow",
    receiver,
    "tail",
    1,
    'no instance answers (connection refused by 127.0.0.1:1). Start the instance, or give the address that it logs as "admin" when it is ready.',
  ],
  [
    "no instance and no journal",
    receiver,
    "status",
    1,
    "no instance answers (connection refused by 127.0.0.1:1), and there is no journal in <folder>/state. If an instance runs with other settings, give this command the same --config or TS2OTEL_… variables, or the instance's admin address with --url.",
  ],
  [
    "a receiver that is not there",
    receiver,
    "send hec --url http://127.0.0.1:1/services/collector/event",
    1,
    "no answer: connection refused by 127.0.0.1:1. Check the address, and whether the receiver is running.",
  ],
  [
    "no credentials",
    receiver,
    "tailnet stream show",
    78,
    "there are no credentials for Tailscale's API: set tailscale.auth.oauth.client_id and tailscale.auth.oauth.client_secret (TS2OTEL_TAILSCALE__AUTH__OAUTH__CLIENT_ID and …__CLIENT_SECRET)",
  ],
])("%s", async (name, toml, words, code, message) => {
  const directory = folder(name, toml);
  const ended = await runToEnd(directory, words.split(" "));
  expect(ended.stderr.replaceAll(directory, "<folder>")).toBe(`tailscale2otel: ${message}\n`);
  expect(ended.code).toBe(code);
});

test.each(["streaming", "admin"])("a port of %s that is in use", async (name) => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as { port: number };
  const address = `127.0.0.1:${port}`;
  const { code, stderr } = await runToEnd(folder(`${name}-port`, receiver), [
    "run",
    "--set",
    `${name}.listen=${address}`,
  ]);
  server.close();
  expect(stderr.split("\n").filter((line) => line.startsWith("tailscale2otel: "))).toEqual([
    `tailscale2otel: cannot listen on ${address} (${name}.listen): the address is already in use. Stop the program that uses it, or change ${name}.listen`,
  ]);
  expect(code).toBe(1);
});

test("a state directory that another instance uses, and one that everyone may write to", async () => {
  const directory = folder("state", receiver);
  const settings = ["--set", "admin.enabled=false"];
  const running = start(directory, ["run", ...settings]);
  await running.line('"ready"');
  const second = await runToEnd(directory, ["run", ...settings]);
  running.process.kill("SIGTERM");
  await running.ended;
  const state = join(directory, "state");
  expect(second.stderr).toEndWith(
    `tailscale2otel: another process uses the state directory ${state}: stop it, or set another state.path\n`,
  );
  chmodSync(state, 0o777);
  const open = await runToEnd(directory, ["run", ...settings]);
  expect(open.stderr).toEndWith(
    `tailscale2otel: tailscale2otel.toml:11: state.path: cannot use the state directory: ${state} is writable by everyone. Run: chmod o-w ${state}\n`,
  );
  expect([second.code, open.code]).toEqual([1, 78]);
});

test("an unreachable backend, and a request without a token", async () => {
  const directory = folder("backend", `${receiver}[otlp]\nendpoint = "http://127.0.0.1:1"\nmetric_interval = "1s"\n`);
  const running = start(directory, ["run", "--set", "log_format=text", "--set", "admin.enabled=false"]);
  const url = `${/ stream=(\S+)/.exec(await running.line(" ready "))?.[1]}/services/collector/event`;
  expect((await fetch(url, { method: "POST", body: "{}" })).status).toBe(401);
  const refused = await running.line("refused with 401");
  expect(refused).toEndWith(
    "WARN  stream request from 127.0.0.1 refused with 401: it carries no token. In Tailscale's log streaming settings, enter the value of streaming.token status=401 reason=auth peer=127.0.0.1",
  );
  expect((await runToEnd(directory, ["send", "hec", "--url", url])).stdout).toContain("200 OK");
  expect(await running.line("log export")).toEndWith(
    'WARN  log export failing; retrying why="http://127.0.0.1:1/v1/logs: connection refused by 127.0.0.1:1"',
  );
  running.process.kill("SIGTERM");
  await running.ended;
});
