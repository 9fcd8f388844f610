/** Installs the service under a real systemd, as process 1 of its own namespaces, and checks that it starts, reloads, restarts and stops. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../../test/support/binary.ts";
import { createAuthority } from "../../test/support/certificates.ts";
import { freePort } from "../../test/support/port.ts";
import { startTailscaled } from "../../test/support/tailscaled.ts";
import { until } from "../../test/support/wait.ts";

const systemd = "/lib/systemd/systemd";
const program = "/usr/local/bin/tailscale2otel";
const config = "/usr/local/etc/config.toml";
const directory = mkdtempSync(join(tmpdir(), "ts2otel-service-"));
/** Visible to the service, unlike a temporary directory. */
const visible = mkdtempSync("/srv/ts2otel-service-");
chmodSync(visible, 0o755);
const pidFile = join(directory, "pid");

/** Targets that systemd needs to start, none of which would change this machine. */
const targets = ["sysinit", "basic", "shutdown", "network-online", "multi-user", "default"];

/** Writable folders are in memory, and the new user exists only in these namespaces. */
const boot = `set -e
mount --make-rprivate / && mount --make-rshared /
mount -t tmpfs tmpfs /run && mkdir /run/upper /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
for folder in /usr/local/bin /usr/local/etc /etc/systemd/system /var/lib; do mount -t tmpfs tmpfs "$folder"; done
mount -t proc proc /proc
cp "${programBinary()}" ${program}
for target in ${targets.join(" ")}; do
  printf '[Unit]\\nDefaultDependencies=no\\n' >"/etc/systemd/system/$target.target"
done
export container=proof SYSTEMD_UNIT_PATH=/etc/systemd/system
exec ${systemd} --system --unit=default.target`;

let init: ChildProcess | undefined;
try {
  if (process.getuid?.() !== 0) throw new Error("run this as root: it makes namespaces");
  const namespaces = ["--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--kill-child"];
  init = spawn("unshare", [...namespaces, "sh", "-c", boot], { stdio: ["ignore", "ignore", "inherit"] });
  const { pid = 0 } = init;
  await until(() => childOf(pid) !== "");
  writeFileSync(pidFile, childOf(pid));
  await until(() => inside("systemctl", "show", "--property=Version").status === 0);
  await prove();
} finally {
  init?.kill("SIGKILL");
  for (const folder of [directory, visible]) rmSync(folder, { recursive: true, force: true });
}

async function prove(): Promise<void> {
  const port = await freePort();
  const admin = await freePort();
  configure(`listen = "127.0.0.1:${port}"`, admin);
  expectCode(0, inside(program, "service", "install", "--config", config));
  const url = `http://127.0.0.1:${port}/services/collector/event`;
  await until(() => send("first-token", url).includes("200 OK"));
  report("install: starts with a dynamic user, credentials and the whole sandbox, and stores a record");
  const main = property("MainPID");
  const status = `/proc/${main}/status`;
  const seen = inside("cat", status).stdout;
  expectMatch(seen, /^Seccomp:\t2$/m);
  expectMatch(seen, /^NoNewPrivs:\t1$/m);
  expectMatch(seen, /^CapEff:\t0+$/m);
  if (/^Uid:\t0/m.test(seen)) throw new Error("it runs as root");
  report("the process has a system call filter, no privileges, and is not root");
  expectCode(0, inside(program, "service", "status", "--config", config));
  report("service status: running and accepting");

  inside("sh", "-c", `printf second-token >/usr/local/etc/token`);
  expectCode(0, inside("systemctl", "reload", "tailscale2otel"));
  await until(() => send("second-token", url).includes("200 OK"));
  expectMatch(send("first-token", url), /403/);
  const received = JSON.parse(inside(program, "status", "--json", "--config", config).stdout) as {
    conservation: { received: number };
  };
  if (received.conservation.received < 4) throw new Error("the records of before are not counted any more");
  report("systemctl reload: the new token counts, the old one does not, and the counters go on");

  inside("sed", "-i", "s/^enabled = true/enabled = 1/", config);
  expectCode(1, inside("systemctl", "reload", "tailscale2otel"));
  expectMatch(send("second-token", url), /200 OK/);
  report("systemctl reload with an invalid configuration: refused, and the program goes on");

  const crashed = property("MainPID");
  inside("kill", "-KILL", crashed);
  inside("sed", "-i", "s/^enabled = 1/enabled = true/", config);
  await until(() => property("MainPID") !== crashed && send("second-token", url).includes("200 OK"));
  report("after a kill -9, it is started again");

  configure(`listen = "127.0.0.1:811"`, admin);
  expectCode(0, inside(program, "service", "install", "--config", config, "--force"));
  await until(() => send("first-token", "http://127.0.0.1:811/services/collector/event").includes("200 OK"));
  report("a port below 1024: bound with one capability");

  await withCertificate(port, admin);

  expectCode(0, inside(program, "service", "uninstall"));
  expectMatch(inside("ls", "/var/lib/tailscale2otel/").stdout, /journal\.db/);
  if (inside("ls", "/etc/systemd/system/tailscale2otel.service").status === 0)
    throw new Error("the unit is still there");
  report("uninstall: stopped and removed, the journal is kept");
}

/** Uses a stand-in for tailscaled; `prove tailscaled` uses the real one. */
async function withCertificate(port: number, admin: number): Promise<void> {
  const socket = join(visible, "tailscaled.sock");
  const tailscaled = await startTailscaled(socket, { pair: createAuthority(directory).issue("node") });
  chmodSync(socket, 0o666);
  configure(`listen = "127.0.0.1:${port}"\ntls.tailscale = true\n[tailscale]\nsocket = "${socket}"`, admin);
  const installed = inside(program, "service", "install", "--config", config, "--force");
  expectCode(0, installed);
  expectMatch(installed.stdout, /TS_PERMIT_CERT_UID=tailscale2otel/);
  const health = `https://127.0.0.1:${port}/services/collector/health`;
  const asked = () => spawnSync("curl", ["--silent", "--insecure", health], { encoding: "utf8" }).stdout;
  await until(() => asked().includes("HEC is healthy"));
  const uid = inside("id", "--user", "tailscale2otel").stdout.trim();
  expectMatch(inside("cat", `/proc/${property("MainPID")}/status`).stdout, new RegExp(`^Uid:\t${uid}\t`, "m"));
  await tailscaled.stop();
  report("tls.tailscale: runs as the user that tailscaled can permit, with its certificate and the state of before");
}

function configure(listen: string, admin: number): void {
  const sources = ["flowlogs", "auditlogs"].map((log) => `[collectors.${log}]\nsource = "stream"\n`).join("");
  const text = `${sources}[admin]\nlisten = "127.0.0.1:${admin}"\n[streaming]\nenabled = true\ntoken_file = "token"\n${listen}\n`;
  const script = `umask 077; printf first-token >/usr/local/etc/token; cat >${config}`;
  spawnSync("nsenter", enter("sh", "-c", script), { input: text });
}

/** The process forked by unshare. */
function childOf(pid: number): string {
  return spawnSync("pgrep", ["--parent", String(pid)], { encoding: "utf8" }).stdout.trim();
}

function enter(...command: readonly string[]): readonly string[] {
  return [`--target=${readFileSync(pidFile, "utf8")}`, "--mount", "--pid", "--cgroup", "--uts", "--ipc", ...command];
}

/** Runs a command in the namespaces of that systemd. */
function inside(...command: readonly string[]) {
  return spawnSync("nsenter", enter(...command), { encoding: "utf8", cwd: "/" });
}

function property(name: string): string {
  return inside("systemctl", "show", "tailscale2otel", "--value", `--property=${name}`).stdout.trim();
}

function send(token: string, url: string): string {
  const env = { PATH: process.env["PATH"], HOME: directory, TS2OTEL_STREAMING__TOKEN: token };
  const { stdout, stderr } = spawnSync(programBinary(), ["send", "hec", "--url", url], {
    encoding: "utf8",
    cwd: directory,
    env,
  });
  return stdout + stderr;
}

function expectCode(code: number, { status, stdout, stderr }: ReturnType<typeof inside>): void {
  if (status !== code) throw new Error(`exit code ${status}, not ${code}: ${stdout}${stderr}`);
}

function expectMatch(text: string, pattern: RegExp): void {
  if (!pattern.test(text)) throw new Error(`no ${String(pattern)} in: ${text}`);
}

function report(line: string): void {
  process.stdout.write(`ok  ${line}\n`);
}
