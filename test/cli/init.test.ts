/** `init` without a terminal: every answer is a flag, nothing is overwritten, and every mistake names its flag. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "bun:test";
import { freePort } from "../support/port.ts";
import { startOtlpSink } from "../support/otlp-sink.ts";
import { runToEnd, temporaryDirectory } from "./program.ts";

const parent = temporaryDirectory();

function emptyDirectory(name: string): string {
  const directory = join(parent, name);
  mkdirSync(directory);
  return directory;
}

/** The home is shared: the runtime that runs the sources fills a cache there. */
function runIn(directory: string, args: readonly string[], environment: Record<string, string> = {}) {
  return runToEnd(directory, args, { HOME: parent, XDG_STATE_HOME: join(parent, "state"), ...environment });
}

const node = ["--node", "node.tail1234.ts.net"];
const stream = ["--source", "stream", "--reach", "tailnet", ...node];

test("tries the backend, writes a private file that run accepts, and says what to do next", async () => {
  const directory = emptyDirectory("written");
  const sink = await startOtlpSink();
  const { code, stdout, stderr } = await runIn(directory, ["init", ...stream, "--endpoint", sink.url]);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: `   ok       OTLP metrics  ${sink.url}/v1/metrics accepts an empty export\n   ok       OTLP logs     ${sink.url}/v1/logs accepts an empty export\n`,
  });
  await sink.stop();
  const file = join(directory, "tailscale2otel.toml");
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const [, token = ""] = /^token = "([0-9a-f]{48})"$/m.exec(readFileSync(file, "utf8")) ?? [];
  expect(stdout).toContain(`Wrote ${file}, readable only by you.\n`);
  expect(stdout).toContain(
    `URL:    http://node.tail1234.ts.net:8088/services/collector/event\n     Token:  ${token}\n`,
  );
  expect(stdout).toMatch(/^ {2}tailscale2otel run +starts it here/m);
  const check = await runIn(directory, ["check"]);
  expect(check).toMatchObject({ code: 0, stderr: "" });
  expect(check.stdout).toEndWith("tailscale2otel.toml: valid, 0 problems, 0 warnings\n");
});

test("a backend that does not answer is reported, and the file is written", async () => {
  const directory = emptyDirectory("refused");
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const { code, stderr } = await runIn(directory, ["init", ...stream, "--endpoint", endpoint]);
  expect(code).toBe(0);
  expect(stderr).toContain(`failed   OTLP metrics  ${endpoint}/v1/metrics: connection refused`);
  expect(stderr.match(/Check otlp\.endpoint/g)).toHaveLength(1);
  expect(readdirSync(directory)).toEqual(["tailscale2otel.toml"]);
});

test("an existing file is kept, unless --force replaces it", async () => {
  const directory = emptyDirectory("existing");
  const file = join(directory, "tailscale2otel.toml");
  writeFileSync(file, "# mine\n");
  const args = ["init", ...stream, "--endpoint", "none"];
  expect(await runIn(directory, args)).toEqual({
    code: 1,
    stdout: "",
    stderr: `tailscale2otel: ${file} exists already, and its secrets may be in use. Name another file with --output, or replace it with --force.\n`,
  });
  expect(readFileSync(file, "utf8")).toBe("# mine\n");
  expect(await runIn(directory, [...args, "--force"])).toMatchObject({ code: 0 });
  expect(readFileSync(file, "utf8")).toContain("[streaming]");
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a path that cannot be written gets a remedy, and leaves nothing behind", async () => {
  const directory = emptyDirectory("unwritable");
  writeFileSync(join(directory, "a-file"), "");
  const to = (output: string) => runIn(directory, ["init", ...stream, "--endpoint", "none", "--output", output]);
  expect((await to(".")).stderr).toBe(
    `tailscale2otel: ${directory} is a directory. Name a file in it with --output.\n`,
  );
  expect(await to("a-file/config.toml")).toEqual({
    code: 1,
    stdout: "",
    stderr: `tailscale2otel: cannot write ${directory}/a-file/config.toml: a part of the path is not a directory. Name another file with --output, or run this as a user who may write there.\n`,
  });
  expect(readdirSync(directory)).toEqual(["a-file"]);
});

test("a path that is not a regular file is not replaced even with --force, because root would replace a device", async () => {
  const directory = emptyDirectory("special");
  const pipe = join(directory, "pipe");
  execFileSync("mkfifo", [pipe]);
  const args = ["init", ...stream, "--endpoint", "none", "--force", "--output"];
  expect(await runIn(directory, [...args, pipe])).toMatchObject({
    code: 1,
    stderr: `tailscale2otel: ${pipe} is not a regular file. Name another one with --output, or - for standard output.\n`,
  });
  expect(statSync(pipe).isFIFO()).toBe(true);
});

test("another file is named in the next commands, and - is standard output", async () => {
  const directory = emptyDirectory("output");
  const args = ["init", ...stream, "--endpoint", "none", "--output"];
  const { stdout } = await runIn(directory, [...args, "etc/edge.toml"]);
  expect(stdout).toContain(`tailscale2otel run --config ${directory}/etc/edge.toml `);
  expect(statSync(join(directory, "etc")).mode & 0o777).toBe(0o700);
  const piped = await runIn(directory, [...args, "-"]);
  expect(piped.stdout).toStartWith("# Configuration of tailscale2otel, written by: tailscale2otel init");
  expect(piped.stdout).toEndWith('source = "stream"\n');
  expect(piped.stderr).toContain("Token:  ");
});

describe("without a terminal", () => {
  test.each([
    [[], "--source is missing: give stream, poll or both (there is no terminal to ask on)"],
    [["--source", "push"], '--source: it must be stream, poll or both, not "push"'],
    [
      ["--source", "stream"],
      "--endpoint is missing: give the address of an OTLP/HTTP receiver, or none (there is no terminal to ask on)",
    ],
    [
      ["--source", "stream", "--endpoint", "localhost:4318"],
      "--endpoint: it must be an address that begins with http:// or https://, such as http://127.0.0.1:4318 (see",
    ],
    [["--source", "stream", "--endpoint", "none"], "--reach is missing: give tailnet, certificate, or a public https"],
    [
      ["--source", "stream", "--endpoint", "none", "--reach", "tailnet"],
      "--node is missing: give the full name of this machine in the tailnet, such as node.tail1234.ts.net",
    ],
    [
      ["--source", "stream", "--endpoint", "none", "--reach", "tailnet", "--node", "node"],
      '--node: it must be a full name such as node.tail1234.ts.net, not "node"',
    ],
    [
      ["--source", "stream", "--endpoint", "none", "--reach", "http://logs.example.com"],
      '--reach: it must be tailnet, certificate, or an https address, not "http://logs.example.com"',
    ],
    [
      ["--source", "stream", "--endpoint", "none", "--reach", "https://10.0.0.1"],
      "--reach: Tailscale cannot reach a private IPv4 address",
    ],
    [
      [...stream, "--endpoint", "none", "--webhook", "http://hooks.example.com"],
      "--webhook: Tailscale delivers webhooks to public https addresses only",
    ],
    [[...stream, "--endpoint", "none", "--webhook", "?"], "--webhook: it must be an address that begins with http://"],
    [["--source", "poll", "--endpoint", "none"], "--client-id is missing: give the ID of an OAuth client"],
    [
      ["--source", "poll", "--endpoint", "none", "--client-id", "kExampleCNTRL"],
      "--client-secret-file is missing: give the path of a file that holds it",
    ],
    [
      ["--source", "poll", "--endpoint", "none", "--client-id", "k", "--client-secret-file", "nowhere"],
      "there is no such file",
    ],
    [
      ["--from", "config.yaml", "--source", "poll"],
      "--from goes with --tailnet, --output and --force, not with --source",
    ],
    [["--tailnet", "example.com"], "--tailnet goes with --from"],
    [
      ["--source", "poll", "--header", "x", "--endpoint", "http://127.0.0.1:1"],
      "--header must be written as Name: value",
    ],
    [
      ["--source", "poll", "--reach", "tailnet"],
      "--source: with poll, --reach has no effect: leave it out, or use stream or both (see",
    ],
    [["--source", "poll", ...node], "with poll, --node has no effect: leave it out, or use stream or both"],
    [
      ["--source", "stream", "--endpoint", "none", "--reach", "https://logs.example.com", ...node],
      "--reach: with a public address, --node has no effect: leave it out, or use tailnet or certificate",
    ],
    [
      [...stream, "--endpoint", "none", "--header", "x: y"],
      "--endpoint: with none as the endpoint, --header has no effect: leave it out, or give an address",
    ],
    [
      [...stream, "--endpoint", "http://127.0.0.1:1", "--grafana-instance", "1"],
      "with an address that is not Grafana Cloud's, --grafana-instance has no effect: leave it out, or use one such as https://otlp-gateway-",
    ],
    [
      [
        ...stream,
        "--endpoint",
        "https://otlp-gateway-x.grafana.net/otlp",
        "--header",
        "x: y",
        "--grafana-token-file",
        "t",
      ],
      "with --header, --grafana-token-file has no effect: leave it out, or leave --header out",
    ],
    [
      [...stream, "--endpoint", "none", "--webhook-secret-file", "secret"],
      "without --webhook, --webhook-secret-file has no effect: leave it out, or give the address",
    ],
    [
      [...stream, "--endpoint", "none", "--client-secret-file", "secret"],
      "without --client-id, --client-secret-file has no effect: leave it out, or give both",
    ],
    [
      ["--source", "poll", "--endpoint", "https://otlp-gateway-prod-eu-west-2.grafana.net/otlp"],
      "--grafana-instance is missing: give the number of the instance",
    ],
  ])("%j is a usage error that names the flag", async (args, message) => {
    const directory = emptyDirectory(`flags-${args.length}-${Bun.hash(message)}`);
    const { code, stderr } = await runIn(directory, ["init", ...args]);
    expect(stderr).toContain(message);
    expect(code).toBe(64);
    expect(readdirSync(directory)).toEqual([]);
  });

  test("--yes accepts the defaults, which need only the name of this machine", async () => {
    const directory = emptyDirectory("yes");
    const sink = await startOtlpSink();
    expect((await runIn(directory, ["init", "--yes", "--endpoint", sink.url])).stderr).toContain(
      "--node is missing: give the full name of this machine in the tailnet, such as node.tail1234.ts.net (see",
    );
    expect(await runIn(directory, ["init", "-y", "--endpoint", sink.url, ...node])).toMatchObject({ code: 0 });
    await sink.stop();
  });
});

test("the secret of an existing webhook is used even with an OAuth client, which would create another webhook", async () => {
  const directory = emptyDirectory("webhook-secret");
  for (const name of ["client", "hook"]) writeFileSync(join(directory, name), `tskey-${name}`, { mode: 0o600 });
  const webhook = ["--webhook", "https://hooks.example.com", "--webhook-secret-file", "hook"];
  const oauth = ["--client-id", "kExampleCNTRL", "--client-secret-file", "client"];
  const unreachable = { TS2OTEL_TAILSCALE__BASE_URL: "http://127.0.0.1:1", TS2OTEL_TAILSCALE__HTTP__MAX_ATTEMPTS: "1" };
  const args = ["init", ...stream, "--endpoint", "none", ...webhook, ...oauth, "--output", "-"];
  const { code, stdout } = await runIn(directory, args, unreachable);
  expect(code).toBe(0);
  expect(stdout).toContain(`\nsecret_file = "${directory}/hook"\n`);
  expect(stdout).not.toContain("creates the webhook");
});

test("variables that would override the file are named, without their values", async () => {
  const directory = emptyDirectory("variables");
  const { stderr } = await runIn(directory, ["init", ...stream, "--endpoint", "none"], {
    TS2OTEL_LOG_LEVEL: "debug",
    TS2OTEL_STREAMING__TOKEN: "s3cr3t",
    TS2OTEL_INSTALL_BASE_URL: "https://mirror.example.com",
  });
  expect(stderr).toContain(
    "note: these variables of this shell override the file: TS2OTEL_LOG_LEVEL, TS2OTEL_STREAMING__TOKEN\n",
  );
  expect(stderr).not.toContain("s3cr3t");
});
