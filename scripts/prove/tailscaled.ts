/** Tests `tls.tailscale` of the compiled program against a real tailscaled: logged in, not logged in, with and without permission. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../../test/support/binary.ts";
import { createAuthority, install, type IssuedPair } from "../../test/support/certificates.ts";
import { buildGoProgram } from "../../test/support/go-build.ts";
import { freePort } from "../../test/support/port.ts";
import { until } from "../../test/support/wait.ts";

const module = { module: "tailscale.com", version: "v1.102.5" };
const tailscaled = buildGoProgram({ ...module, name: "tailscaled", main: "tailscale.com/cmd/tailscaled" });
const tailscale = buildGoProgram({ ...module, name: "tailscale", main: "tailscale.com/cmd/tailscale" });
const control = buildGoProgram({ ...module, name: "tailscale-control", main: join(import.meta.dirname, "control.go") });

/** Let's Encrypt's ACME server for testing clients. */
const pebble = buildGoProgram({
  name: "pebble",
  module: "github.com/letsencrypt/pebble/v2",
  version: "v2.8.0",
  main: "github.com/letsencrypt/pebble/v2/cmd/pebble",
});

const directory = mkdtempSync(join(tmpdir(), "ts2otel-tailscaled-"));
// The program is also run by an ordinary user, who needs access to it.
chmodSync(directory, 0o755);
const binary = join(directory, "tailscale2otel");
cpSync(programBinary(), binary);
const socket = join(directory, "tailscaled.sock");
/** The authorities that tailscaled trusts while issuing: the test's own, and the ACME server's. */
const trusted = join(directory, "trusted.pem");
const name = "node.tail1234.ts.net";
const nobody = 65534;
const authority = createAuthority(directory);
const running: ChildProcess[] = [];

const environment = {
  PATH: process.env["PATH"],
  HOME: directory,
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__TOKEN: "a-token",
  TS2OTEL_STREAMING__TLS__TAILSCALE: "true",
  TS2OTEL_TAILSCALE__SOCKET: socket,
  TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
  TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
  TS2OTEL_STATE__PATH: ":memory:",
  TS2OTEL_ADMIN__ENABLED: "false",
};

try {
  if (process.getuid?.() !== 0) throw new Error("run this as root: it tries several users");
  await notLoggedIn();
  await withoutHttps();
  await withCertificates();
  await permissions();
  await issuance();
} finally {
  for (const child of running) child.kill();
  rmSync(directory, { recursive: true, force: true });
}

async function notLoggedIn(): Promise<void> {
  const daemon = await startTailscaled({});
  same("raw: not logged in", ask(0), "500 no netmap available");
  same("raw: an ordinary user", ask(nobody), "403 cert access denied");
  same("check: not logged in", check(0), "this node is not logged in to a tailnet");
  await end(daemon);
  same("check: not running", check(0), `there is no tailscaled: ${socket} does not exist`);
}

async function withoutHttps(): Promise<void> {
  const daemon = await startTailscaled({});
  await logIn([]);
  same("raw: without HTTPS", ask(0), "500 your Tailscale account does not support getting TLS certs");
  same("check: without MagicDNS", check(0), "MagicDNS is off for this tailnet, and certificates need it");
  await end(daemon);
}

async function withCertificates(): Promise<void> {
  store(authority.issue("first"));
  const daemon = await startTailscaled({ TS_DEBUG_ACME_DIRECTORY_URL: "https://127.0.0.1:9/directory" });
  await logIn(["https"]);
  same("raw: the pair, the key first", /^200 -----BEGIN (?:EC |)PRIVATE KEY-----/.test(ask(0)), true);
  const port = await freePort();
  const program = start([], { TS2OTEL_STREAMING__LISTEN: `127.0.0.1:${port}` });
  await until(() => health(port) === "200 first");
  report("run: listens with tailscaled's certificate, under the node's name");
  store(authority.issue("second"));
  program.kill("SIGHUP");
  await until(() => health(port) === "200 second");
  report("run: serves the next one after a SIGHUP");
  await end(program);
  rmSync(join(directory, "state/certs"), { recursive: true });
  const refused = check(0);
  same(
    "check: the authority is unreachable",
    refused.startsWith("tailscaled cannot get a certificate: HTTP 500, acme"),
    true,
  );
  await end(daemon);
}

async function permissions(): Promise<void> {
  store(authority.issue("third"));
  const strict = await startTailscaled({});
  await logIn(["https"]);
  same("check: an ordinary user", check(nobody), "tailscaled issues no certificates to this user (nobody)");
  run(tailscale, [`--socket=${socket}`, "set", "--operator=nobody"]);
  same("check: the operator", check(nobody).replace(/ until.*/, ""), "valid");
  await end(strict);
  const permitting = await startTailscaled({ TS_PERMIT_CERT_UID: "nobody" });
  await logIn(["https"]);
  same("check: with TS_PERMIT_CERT_UID", check(nobody).replace(/ until.*/, ""), "valid");
  await end(permitting);
}

/** Starts without a certificate, and has one issued and renewed over real ACME. */
async function issuance(): Promise<void> {
  rmSync(join(directory, "state"), { recursive: true, force: true });
  const acme = await startAcme();
  const daemon = await startTailscaled({ TS_DEBUG_ACME_DIRECTORY_URL: acme, SSL_CERT_FILE: trusted });
  await logIn(["https"]);
  const port = await freePort();
  const program = start([], { TS2OTEL_STREAMING__LISTEN: `127.0.0.1:${port}` });
  const shown = () =>
    spawnSync("openssl", ["s_client", "-connect", `localhost:${port}`, "-showcerts"], { input: "", encoding: "utf8" })
      .stdout;
  await until(() => shown().includes("issuer=CN = Pebble Intermediate CA"));
  const names = spawnSync("openssl", ["x509", "-noout", "-ext", "subjectAltName"], {
    input: shown(),
    encoding: "utf8",
  });
  same("run: a new certificate, issued over ACME", names.stdout.includes(`DNS:${name}`), true);
  const leaf = () => /-----BEGIN CERTIFICATE-----[^-]+/.exec(shown())?.[0];
  const first = leaf();
  program.kill("SIGHUP");
  await new Promise((resolve) => setTimeout(resolve, 2000));
  same("run: asked again, tailscaled gives the one that it has", leaf() === first, true);
  await until(() => {
    // SIGHUP instead of waiting for an hour.
    program.kill("SIGHUP");
    return leaf() !== first;
  });
  same("run: renewed towards its end, and served", shown().includes("issuer=CN = Pebble Intermediate CA"), true);
  await end(program);
  await end(daemon);
}

/** Starts an ACME server. Returns the address of its directory. */
async function startAcme(): Promise<string> {
  const files = { cert: join(directory, "acme.pem"), key: join(directory, "acme.key") };
  install(authority.issue("acme"), files);
  const [port, managementPort] = [await freePort(), await freePort()];
  const listen = { listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${managementPort}` };
  const profiles = { default: { description: "short", validityPeriod: 30 } };
  const settings = { ...listen, certificate: files.cert, privateKey: files.key, httpPort: 9, tlsPort: 9, profiles };
  const file = join(directory, "pebble.json");
  writeFileSync(file, JSON.stringify({ pebble: settings }));
  // It does not validate the name, which is between the authority and Tailscale's DNS.
  const env = {
    PATH: process.env["PATH"],
    PEBBLE_VA_ALWAYS_VALID: "1",
    PEBBLE_VA_NOSLEEP: "1",
    PEBBLE_WFE_NONCEREJECT: "0",
  };
  running.push(spawn(pebble, ["-config", file], { stdio: "ignore", env }));
  const address = `https://localhost:${port}/dir`;
  await until(() => run("curl", ["--silent", "--cacert", authority.file, address]).includes("newOrder"));
  const root = run("curl", ["--silent", "--cacert", authority.file, `https://localhost:${managementPort}/roots/0`]);
  writeFileSync(trusted, readFileSync(authority.file, "utf8") + root);
  return address;
}

async function startTailscaled(variables: Record<string, string>): Promise<ChildProcess> {
  const flags = ["--no-logs-no-support", "--tun=userspace-networking", "--state=mem:", "--port=0"];
  const child = spawn(tailscaled, [...flags, `--socket=${socket}`, `--statedir=${join(directory, "state")}`], {
    stdio: "ignore",
    env: { PATH: process.env["PATH"], SSL_CERT_FILE: authority.file, ...variables },
  });
  running.push(child);
  await until(() => spawnSync(tailscale, [`--socket=${socket}`, "status", "--json"]).status === 0);
  return child;
}

/** Logs in to a control server on loopback, and waits until there is a network map. */
async function logIn(flags: readonly string[]): Promise<void> {
  const server = spawn(control, flags, { stdio: ["pipe", "pipe", "ignore"] });
  running.push(server);
  const address = await new Promise<string>((resolve) =>
    server.stdout.once("data", (line) => resolve(String(line).trim())),
  );
  // The control server has no relays, so the node never finishes coming up.
  spawnSync(tailscale, [`--socket=${socket}`, "up", `--login-server=${address}`, "--hostname=node", "--timeout=3s"]);
  await until(() =>
    spawnSync(tailscale, [`--socket=${socket}`, "status", "--json"]).stdout.includes("tail1234.ts.net"),
  );
}

/** Stores a certificate where tailscaled keeps those that it has obtained. */
function store({ certificate, key }: IssuedPair): void {
  const folder = join(directory, "state/certs");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.crt`), certificate);
  writeFileSync(join(folder, `${name}.key`), key);
}

function asUser(uid: number, command: readonly string[]): readonly string[] {
  return uid === 0 ? command : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", ...command];
}

/** The status and the text of the response to a request for the certificate and its key. */
function ask(uid: number): string {
  const url = `http://local-tailscaled.sock/localapi/v0/cert/${name}?type=pair`;
  const out = run("", asUser(uid, ["curl", "--silent", "--unix-socket", socket, "--write-out", "\n%{http_code}", url]));
  const at = out.lastIndexOf("\n");
  return `${out.slice(at + 1)} ${out.slice(0, at).trim()}`;
}

/** What `check --online` says about the certificate. */
function check(uid: number): string {
  const command = asUser(uid, [binary, "check", "--online", "--json"]);
  const { stdout } = spawnSync(command[0] ?? "", command.slice(1), { encoding: "utf8", cwd: "/", env: environment });
  const { online } = JSON.parse(stdout) as { online: readonly { subject: string; detail: string }[] };
  return online.find(({ subject }) => subject === "streaming.tls")?.detail ?? "nothing";
}

function start(flags: readonly string[], settings: Record<string, string>): ChildProcess {
  const child = spawn(binary, ["run", ...flags], {
    stdio: "ignore",
    cwd: directory,
    env: { ...environment, ...settings },
  });
  running.push(child);
  return child;
}

/** The status of a health check over TLS, and the common name of the certificate. */
function health(port: number): string {
  const host = `localhost:${port}`;
  const url = `https://${host}/services/collector/health`;
  const args = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert", authority.file, url];
  const { stdout } = spawnSync("openssl", ["s_client", "-connect", host], { input: "", encoding: "utf8" });
  return `${run("curl", args)} ${/subject=CN ?= ?(\S+)/.exec(stdout)?.[1] ?? ""}`;
}

function run(command: string, args: readonly string[]): string {
  const [program = "", ...rest] = command === "" ? args : [command, ...args];
  return spawnSync(program, rest, { encoding: "utf8" }).stdout;
}

async function end(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill();
  await ended;
}

function same(what: string, found: unknown, expected: unknown): void {
  if (found !== expected) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  report(`${what}: ${String(found)}`);
}

function report(line: string): void {
  process.stdout.write(`ok  ${line}\n`);
}
