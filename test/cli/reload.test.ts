import { describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Instance } from "../../src/admin/instance.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { until } from "../support/wait.ts";
import { type Program, start, temporaryDirectory } from "./program.ts";

const directory = temporaryDirectory();
const file = join(directory, "tailscale2otel.toml");
const tokenFile = join(directory, "token");
const certFile = join(directory, "cert.pem");
const keyFile = join(directory, "key.pem");
const fixture = (name: string): string => join(import.meta.dirname, "../support/tls", name);
const ca = ["first", "second"].map((name) => readFileSync(fixture(`${name}.cert.pem`), "utf8"));

/** Replaces a secret atomically, so that no reader sees half of it. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

function settings(streaming: string, more = ""): void {
  const toml = `
[streaming]
enabled = true
listen = "127.0.0.1:0"
${streaming}
[collectors]
flowlogs.source = "stream"
auditlogs.source = "stream"
[state]
path = "${join(directory, "state")}"
${more}
`;
  writeFileSync(file, toml, { mode: 0o600 });
}

async function ready(program: Program): Promise<string> {
  return (JSON.parse(await program.line('"ready"')) as { stream: string }).stream;
}

async function send(base: string, token: string, body = flowEnvelope(1)): Promise<number> {
  const headers = { authorization: `Splunk ${token}` };
  const url = `${base}/services/collector/event`;
  // A listener whose certificate is replaced closes kept-alive connections.
  return (await fetch(url, { method: "POST", headers, body, tls: { ca }, keepalive: false })).status;
}

async function end(program: Program): Promise<void> {
  program.process.kill("SIGTERM");
  expect((await program.ended).code).toBe(0);
}

describe("while the program runs, without a restart,", () => {
  test("a new token applies after SIGHUP", async () => {
    settings('token = "a-token"');
    const program = start(directory, ["run"]);
    const base = await ready(program);
    expect(await send(base, "a-token")).toBe(200);
    settings('token = "b-token"\ntoken_previous = "a-token"');
    program.process.kill("SIGHUP");
    await program.line("configuration reloaded");
    await until(async () => (await send(base, "b-token")) === 200);
    expect(await send(base, "a-token")).toBe(200);
    expect(await send(base, "c-token")).toBe(403);
    await end(program);
  });

  test("a missing file is not treated as an empty one, and a mistake is logged on one line", async () => {
    settings('token = "a-token"');
    const program = start(directory, ["run", "--set", "log_format=text"]);
    await program.line(" ready ");
    const text = readFileSync(file, "utf8");
    writeFileSync(file, `${text}[streaming]\n`);
    program.process.kill("SIGHUP");
    const line = await program.line("not reloaded");
    expect(line).toContain("invalid TOML: [streaming] is already defined above. Fix this line:");
    expect(line).not.toContain("\\n");
    rmSync(file);
    program.process.kill("SIGHUP");
    expect(await program.line("no longer exists")).toEndWith(
      "not reloaded: tailscale2otel.toml, which this instance was started with, no longer exists",
    );
    await end(program);
  });

  test("a refused reload shows in a metric and on the page until one succeeds", async () => {
    const admin = '[admin]\nlisten = "127.0.0.1:0"';
    settings('token = "a-token"', admin);
    const program = start(directory, ["run"]);
    const addresses = JSON.parse(await program.line('"ready"')) as { admin: string; stream: string };
    const validity = async (): Promise<string | undefined> =>
      /^tailscale2otel_config_valid_ratio\S* (\d)$/m.exec(
        await (await fetch(`${addresses.admin}/metrics`)).text(),
      )?.[1];
    const instance = async (): Promise<Instance> =>
      (await (await fetch(`${addresses.admin}/api/v1/instance`)).json()) as Instance;
    const refusals = async () =>
      (await instance()).warnings.filter(({ message }) => message.startsWith("the changed configuration is not valid"));
    const before = (await instance()).settings.find(({ key }) => key === "streaming.token");
    expect(before).toMatchObject({ value: "(set)", origin: "tailscale2otel.toml:5" });
    expect([await validity(), await refusals()]).toEqual(["1", []]);
    settings("token = 7", admin);
    program.process.kill("SIGHUP");
    await program.line("not reloaded");
    await until(async () => (await validity()) === "0");
    expect(await refusals()).toHaveLength(1);
    settings('\ntoken = "b-token"', admin);
    program.process.kill("SIGHUP");
    await program.line("configuration reloaded");
    await until(async () => (await validity()) === "1");
    const { settings: rows, listeners } = await instance();
    expect(rows.find(({ key }) => key === "streaming.token")).toMatchObject({ origin: "tailscale2otel.toml:6" });
    expect(listeners.map(({ name, url }) => [name, url])).toEqual([
      ["stream", addresses.stream],
      ["admin", addresses.admin],
    ]);
    expect(await refusals()).toEqual([]);
    rmSync(file);
    program.process.kill("SIGHUP");
    await program.line("no longer exists");
    await until(async () => (await validity()) === "0");
    await end(program);
  });

  test("a listener keeps its token if the edited file removes it and changes the address", async () => {
    settings('token = "a-token"\nrequire_token = true', '[admin]\nlisten = "127.0.0.1:0"\ntoken = "b-token"');
    const program = start(directory, ["run"]);
    const { stream, admin } = JSON.parse(await program.line('"ready"')) as { stream: string; admin: string };
    settings("require_token = false", '[admin]\nlisten = "[::1]:0"');
    writeFileSync(file, readFileSync(file, "utf8").replace('listen = "127.0.0.1:0"', 'listen = "[::1]:0"'));
    program.process.kill("SIGHUP");
    expect(await program.line("restart to apply")).toContain(
      "restart to apply: streaming.listen, streaming.token, streaming.require_token, admin.token",
    );
    expect((await fetch(`${stream}/services/collector/event`, { method: "POST", body: flowEnvelope(1) })).status).toBe(
      401,
    );
    expect((await fetch(`${admin}/api/v1/status`)).status).toBe(401);
    expect(await send(stream, "a-token")).toBe(200);
    await end(program);
  });

  test("a token in a file is read again when the file changes, and kept if the new one cannot be used", async () => {
    settings(`token_file = "${tokenFile}"`);
    writeFileSync(tokenFile, "a-token\n");
    const program = start(directory, ["run"]);
    const base = await ready(program);
    expect(await send(base, "a-token")).toBe(200);
    replace(tokenFile, "b-token\n");
    await until(async () => (await send(base, "b-token")) === 200);
    expect(await send(base, "a-token")).toBe(403);
    replace(tokenFile, "\n");
    expect(await program.line("not reloaded")).toMatch(/still using the previous configuration: .* is empty/);
    expect(await send(base, "b-token")).toBe(200);
    replace(tokenFile, "c-token\n");
    await until(async () => (await send(base, "c-token")) === 200);
    await end(program);
  }, 120_000);

  test("a new certificate is served after SIGHUP, and an unusable one is reported and not served", async () => {
    settings(`token = "a-token"\ntls.cert_file = "${certFile}"\ntls.key_file = "${keyFile}"`);
    put("first", "first");
    const program = start(directory, ["run"]);
    const base = await ready(program);
    expect(base).toStartWith("https://");
    const local = base.replace("127.0.0.1", "localhost");
    expect(await send(local, "a-token")).toBe(200);
    put("second", "second");
    program.process.kill("SIGHUP");
    expect(JSON.parse(await program.line("TLS certificate replaced"))).toMatchObject({ listen: "127.0.0.1:0" });
    expect(await send(local, "a-token")).toBe(200);
    put("second", "first");
    program.process.kill("SIGHUP");
    expect(await program.line("cannot use the new TLS certificate")).toContain("is not the key of the certificate in");
    expect(await send(local, "a-token")).toBe(200);
    settings('token = "a-token"');
    program.process.kill("SIGHUP");
    expect(await program.line("restart to apply")).toContain("streaming.tls.cert_file, streaming.tls.key_file");
    expect(await send(local, "a-token")).toBe(200);
    await end(program);
  });
});

test("the tokens of the backend and the admin listener are reloaded too", async () => {
  const seen = new Map<string, string>();
  const backend = createServer((request, response) => {
    seen.set(request.url ?? "", request.headers.authorization ?? "");
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  const sends = (path: string, token: string) => () =>
    seen.get(path) === `Basic ${Buffer.from(`7:${token}`).toString("base64")}`;
  writeFileSync(tokenFile, "first-token");
  const otlp = (token: string): void =>
    settings(
      `token = "a-token"`,
      `[admin]
listen = "127.0.0.1:0"
token = "${token}"
[otlp]
endpoint = "http://127.0.0.1:${(backend.address() as AddressInfo).port}"
metric_interval = "200ms"
grafana_cloud.instance_id = "7"
grafana_cloud.token_file = "${tokenFile}"`,
    );
  otlp("admin-1");
  const program = start(directory, ["run"]);
  const { stream, admin } = JSON.parse(await program.line('"ready"')) as { stream: string; admin: string };
  const status = async (token: string): Promise<number> =>
    (await fetch(`${admin}/api/v1/status`, { headers: { authorization: `Bearer ${token}` } })).status;
  let serial = 0;
  const logsCarry = (token: string) => async () => {
    await send(stream, "a-token", flowEnvelope(serial++));
    return sends("/v1/logs", token)();
  };
  await until(logsCarry("first-token"));
  await until(sends("/v1/metrics", "first-token"));
  expect(await status("admin-1")).toBe(200);
  replace(tokenFile, "second-token");
  await until(logsCarry("second-token"));
  await until(sends("/v1/metrics", "second-token"));
  otlp("admin-2");
  program.process.kill("SIGHUP");
  await until(async () => (await status("admin-2")) === 200);
  expect(await status("admin-1")).toBe(401);
  await end(program);
  backend.close();
  backend.closeAllConnections();
}, 120_000);

test("a new certificate authority of the backend is trusted as soon as its file is replaced, for both signals", async () => {
  const taken = new Set<string>();
  const pair = { cert: ca[1], key: readFileSync(fixture("second.key.pem")) };
  const backend = createSecureServer(pair, (request, response) => {
    taken.add(request.url ?? "");
    request.resume().on("end", () => response.setHeader("content-type", "application/json").end("{}"));
  });
  await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
  copyFileSync(fixture("first.cert.pem"), certFile);
  settings(
    `token = "a-token"`,
    `[otlp]
endpoint = "https://localhost:${(backend.address() as AddressInfo).port}"
metric_interval = "200ms"
tls.ca_file = "${certFile}"`,
  );
  const program = start(directory, ["run"]);
  const base = await ready(program);
  expect(await send(base, "a-token", flowEnvelope(1_000_001))).toBe(200);
  await program.line("log export failing; retrying");
  await program.line("metric export failing; retrying");
  expect(taken.size).toBe(0);
  replace(certFile, ca[1] ?? "");
  await until(() => taken.has("/v1/logs") && taken.has("/v1/metrics"));
  await end(program);
  backend.close();
  backend.closeAllConnections();
}, 120_000);

test.each([
  [
    "half of a pair",
    'tls.cert_file = "cert.pem"',
    "streaming.tls.cert_file: it is set, but streaming.tls.key_file is not",
  ],
  [
    "a key of another certificate",
    'tls.cert_file = "cert.pem"\ntls.key_file = "key.pem"',
    "is not the key of the certificate in",
  ],
])("does not start with %s, and exits with 78 and a message", async (_, streaming, complaint) => {
  put("first", "second");
  settings(`token = "a-token"\n${streaming}`);
  const { code, stderr } = await start(directory, ["run"]).ended;
  expect(stderr).toContain(complaint);
  expect(code).toBe(78);
});

function put(cert: string, key: string): void {
  replace(certFile, readFileSync(fixture(`${cert}.cert.pem`), "utf8"));
  replace(keyFile, readFileSync(fixture(`${key}.key.pem`), "utf8"));
}
