/**
 * Tests the compiled program as a service: installed, queried and removed with a strict stand-in for systemctl, and started as
 * its unit says.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  chownSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { freePort } from "../support/port.ts";
import { launchProgram } from "../support/running-program.ts";
import { timeoutMs, until } from "../support/wait.ts";

const directory = mkdtempSync(join(tmpdir(), "service-"));
beforeAll(() => void programBinary(), timeoutMs);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let bin = "";
let home = "";
let config = "";
let admin = "";

beforeEach(async () => {
  const root = mkdtempSync(join(directory, "one-"));
  [bin, home] = [join(root, "bin"), join(root, "home")];
  mkdirSync(bin);
  mkdirSync(home);
  copyFileSync(join(import.meta.dirname, "../support/systemctl.sh"), join(bin, "systemctl"));
  chmodSync(join(bin, "systemctl"), 0o755);
  for (const name of ["useradd", "id"]) symlinkSync("systemctl", join(bin, name));
  config = join(home, "config.toml");
  admin = `127.0.0.1:${await freePort()}`;
  writeConfig("");
});

function writeConfig(more: string): void {
  const sources = ["flowlogs", "auditlogs"].map((log) => `[collectors.${log}]\nsource = "stream"\n`).join("");
  writeFileSync(join(home, "token"), "a-token\n", { mode: 0o600 });
  writeFileSync(
    config,
    `${sources}[admin]\nlisten = "${admin}"\n[streaming]\nenabled = true\ntoken_file = "token"\nlisten = "127.0.0.1:0"\n${more}`,
    { mode: 0o600 },
  );
}

/** Runs the command as in a shell of the user with that home directory. */
function run(args: readonly string[], wrap: readonly string[] = []) {
  const [program = "", ...rest] = [...wrap, programBinary(), "service", ...args];
  const { status, stdout, stderr } = spawnSync(program, rest, {
    encoding: "utf8",
    cwd: home,
    env: { HOME: home, PATH: `${bin}:${process.env["PATH"]}`, TS2OTEL_OTLP__TIMEOUT: "not seen by a service" },
  });
  return { code: status, stdout, stderr };
}

const calls = (): readonly string[] => readFileSync(join(bin, "calls"), "utf8").trimEnd().split("\n");

describe("for a user", () => {
  const install = () => run(["install", "--user", "--config", config]);
  const unit = () => join(home, ".config/systemd/user/tailscale2otel.service");

  test("is installed, shown and removed", () => {
    expect(install()).toEqual({
      code: 0,
      stdout: `written: ${unit()}\nenabled and started; it will also start at boot\nstate: tailscale2otel service status --user\nlog:   journalctl --user --unit=tailscale2otel\nit stops when you log out, unless you run: loginctl enable-linger\n`,
      stderr: "",
    });
    expect(readFileSync(unit(), "utf8")).toContain(`ExecStart=${programBinary()} run --config ${config}\n`);
    expect(calls()).toEqual([
      "systemctl --user show --property=Version",
      "systemctl --user daemon-reload",
      "systemctl --user enable tailscale2otel.service",
      "systemctl --user restart tailscale2otel.service",
    ]);
    expect(run(["status", "--user", "--config", config])).toEqual({
      code: 1,
      stdout: expect.stringMatching(
        /^installed {2}\S+\nenabled {4}enabled\nactive {5}active \(running\), process 42, 3 restarts\nhealth {5}unknown: no instance answers/,
      ),
      stderr: "",
    });
    expect(install().stdout).toStartWith("unchanged: ");
    const removed = run(["uninstall", "--user"]);
    expect([removed.code, removed.stdout.split("\n")[0]]).toEqual([0, `stopped and removed: ${unit()}`]);
    expect(removed.stdout).toContain("kept: the configuration, and the state");
    expect(existsSync(unit())).toBe(false);
    expect(calls().slice(-2)).toEqual([
      "systemctl --user disable --now tailscale2otel.service",
      "systemctl --user daemon-reload",
    ]);
    expect(run(["uninstall", "--user"])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`no service is installed: there is no ${unit()}`),
    });
    const state = run(["status", "--user", "--json"]);
    expect(JSON.parse(state.stdout)).toMatchObject({ installed: false, enabled: "no", active: "inactive (dead)" });
  });

  test("is not written over another file, nor removed if it is foreign", () => {
    mkdirSync(dirname(unit()), { recursive: true });
    writeFileSync(unit(), "[Service]\nExecStart=/bin/true\n");
    expect(install()).toEqual({
      code: 1,
      stdout: "",
      stderr: `tailscale2otel: ${unit()} exists and was not written by tailscale2otel. Compare it with tailscale2otel service install --print, and add --force to overwrite it.\n`,
    });
    expect(run(["uninstall", "--user"]).stderr).toContain("was not written by tailscale2otel. Remove it by hand");
    expect(run(["install", "--user", "--config", config, "--force"]).code).toBe(0);
  });

  test("is also shown if a package has installed it", () => {
    writeFileSync(join(bin, "active"), "");
    const { stdout } = run(["status", "--user", "--config", config]);
    expect(stdout).toContain("installed  /usr/lib/systemd/system/tailscale2otel.service\nenabled    enabled\n");
  });

  test("is refused without a file, with a broken one, and where systemd does not run", () => {
    expect(run(["install", "--user"]).stderr).toContain("there is no configuration file, and a service does not see");
    writeFileSync(config, "[streaming]\nenabled = 1\n");
    expect(install()).toMatchObject({
      code: 78,
      stderr: expect.stringContaining("streaming.enabled: invalid boolean 1"),
    });
    writeConfig("");
    writeFileSync(join(bin, "offline"), "");
    expect(install().stderr).toContain("System has not been booted with systemd as init system");
    expect(existsSync(unit())).toBe(false);
  });

  test("says what systemd said if it does not start", () => {
    writeFileSync(join(bin, "broken"), "");
    expect(install()).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "tailscale2otel: systemctl --user restart tailscale2otel.service: Job for tailscale2otel.service failed because the control process exited with error code. See: journalctl --user --unit=tailscale2otel\n",
    });
  });
});

/** True if a temporary folder can replace /etc/systemd/system in a mount namespace. */
const canUnshare = process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;

describe.skipIf(!canUnshare)("for the machine (needs root and mount namespaces)", () => {
  const units = () => join(dirname(bin), "units");
  const system = (...args: string[]) => {
    mkdirSync(units(), { recursive: true });
    const script = `mkdir -p /etc/systemd/system && mount --bind ${units()} /etc/systemd/system && exec "$@"`;
    return run(args, ["unshare", "--mount", "sh", "-c", script, "sh"]);
  };

  test("is installed with a user that tailscaled can permit, and says how", () => {
    writeConfig("tls.tailscale = true\n");
    const { code, stdout, stderr } = system("install", "--config", config);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(
      "TS_PERMIT_CERT_UID=tailscale2otel to /etc/default/tailscaled, then run: systemctl restart tailscaled",
    );
    expect(calls().slice(1, 4)).toEqual([
      "systemctl stop tailscale2otel.service",
      "id --user tailscale2otel",
      "useradd --system --user-group --no-create-home --home-dir=/var/lib/tailscale2otel --shell=/usr/sbin/nologin tailscale2otel",
    ]);
    const unit = readFileSync(join(units(), "tailscale2otel.service"), "utf8");
    expect(unit).toContain("\nUser=tailscale2otel\n");
    expect(unit).not.toContain("DynamicUser");
    const removed = system("uninstall");
    expect(removed.stdout).toContain("kept: /var/lib/tailscale2otel");
    expect(removed.stdout).toContain("userdel tailscale2otel");
    expect(existsSync(join(units(), "tailscale2otel.service"))).toBe(false);
  });

  test("has that user for the certificate of the admin listener, too", () => {
    writeFileSync(config, readFileSync(config, "utf8").replace("[admin]\n", "[admin]\ntls.tailscale = true\n"));
    const { stdout, stderr } = system("install", "--print", "--config", config);
    expect([stdout, stderr]).toEqual([
      expect.stringContaining("\nUser=tailscale2otel\n"),
      expect.stringContaining("would be written to"),
    ]);
  });

  test("gets a copy of every file that run reads: of the database, and of a listener that is off", () => {
    const [authority, certificate, key] = ["first.cert.pem", "first.cert.pem", "first.key.pem"].map((name, index) => {
      copyFileSync(join(import.meta.dirname, "../support/tls", name), join(home, `${index}.pem`));
      return join(home, `${index}.pem`);
    });
    writeConfig(`[state]
url = "postgres://a@db.example.com/b?sslmode=verify-full"
tls.ca_file = "0.pem"
[webhook]
tls.cert_file = "1.pem"
tls.key_file = "2.pem"
`);
    const { stdout } = system("install", "--print", "--config", config);
    expect(stdout).toContain(`LoadCredential=state-tls-ca_file:${authority}\n`);
    expect(stdout).toContain(`LoadCredential=webhook-tls-cert_file:${certificate}\n`);
    expect(stdout).toContain(`LoadCredential=webhook-tls-key_file:${key}\n`);
    expect(stdout).toContain("--set state.tls.ca_file=${CREDENTIALS_DIRECTORY}/state-tls-ca_file");
  });

  test("is refused if it could not read a file of a further destination", () => {
    const also = (more: string): string =>
      `[otlp]\nendpoint = "http://192.0.2.1:4318"\n[[otlp.also]]\nname = "b"\nendpoint = "https://192.0.2.2"\n${more}`;
    const ca = join(home, "ca.pem");
    copyFileSync(join(import.meta.dirname, "../support/tls/first.cert.pem"), ca);
    writeConfig(also('tls.ca_file = "ca.pem"\n'));
    expect(system("install", "--config", config).stderr).toContain(`cannot read ${ca} (otlp.also.0.tls.ca_file)`);
    writeConfig(also('grafana_cloud.instance_id = "1"\ngrafana_cloud.token_file = "token"\n'));
    expect(system("install", "--config", config).stderr).toContain("(otlp.also.0.grafana_cloud.token_file)");
  });

  test("is refused with a configuration that every user may write, or a name that the unit would read otherwise", () => {
    chmodSync(config, 0o666);
    expect(system("install", "--config", config).stderr).toBe(
      `tailscale2otel: every user may write to ${config}, and the service does what it says. Run: chmod o-w ${config}\n`,
    );
    chmodSync(config, 0o600);
    for (const name of ["a\nExecStartPre=b.toml", "a.toml\\", "a.toml "]) {
      const odd = join(home, name);
      copyFileSync(config, odd);
      const { code, stderr } = system("install", "--config", odd);
      expect(stderr).toStartWith("tailscale2otel: the file of a service cannot name ");
      expect(code).toBe(1);
    }
    expect(readdirSync(units())).toEqual([]);
  });

  test("is refused if another user could replace the program that a reload runs as root", () => {
    const folder = mkdtempSync("/var/lib/service-test-");
    try {
      const program = join(folder, "tailscale2otel");
      copyFileSync(programBinary(), program);
      chmodSync(folder, 0o755);
      const install = () => {
        const env = { HOME: home, PATH: `${bin}:${process.env["PATH"]}` };
        const { stderr } = spawnSync(program, ["service", "install", "--print", "--config", config], { env });
        return String(stderr);
      };
      expect(install()).toStartWith("would be written to");
      chmodSync(folder, 0o777);
      expect(install()).toContain(`other users than root may change ${folder},`);
      chmodSync(folder, 0o755);
      chownSync(program, 65_534, 65_534);
      expect(install()).toContain(`Run: chown root ${program} && chmod o-w ${program}\n`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is refused if the state would be where the service cannot write", () => {
    writeConfig(`[state]\npath = "${home}/state"\n`);
    const { code, stderr } = system("install", "--config", config);
    expect(code).toBe(1);
    expect(stderr).toContain(`state.path is ${home}/state, but the service may write only to /var/lib/tailscale2otel.`);
  });
});

test("for the machine, needs root, or --user", () => {
  const drop = process.getuid?.() === 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  for (const path of [dirname(dirname(bin)), dirname(bin), bin, home, config, join(home, "token")])
    chmodSync(path, 0o755);
  expect(run(["install", "--config", config], drop)).toMatchObject({
    code: 1,
    stderr: `tailscale2otel: to install a system service, run: sudo ${programBinary()} service install; for this user alone, add --user\n`,
  });
});

test(
  "the unit's own command line runs the program with copies of the files, and its reload checks the originals",
  async () => {
    const { stdout: unit } = run(["install", "--print", "--config", config]);
    const credentials = join(dirname(bin), "credentials");
    mkdirSync(credentials);
    for (const [, name = "", path = ""] of unit.matchAll(/^LoadCredential=([^:]+):(.+)$/gm))
      copyFileSync(path, join(credentials, name));
    const line = (key: string): readonly string[] =>
      (new RegExp(`^${key}=\\+?(.+)$`, "m").exec(unit)?.[1] ?? "")
        .replaceAll("${CREDENTIALS_DIRECTORY}", credentials)
        .split(" ");
    const [program = "", , ...flags] = line("ExecStart");
    const { CREDENTIALS_DIRECTORY: _, ...environment } = process.env;
    const started = await launchProgram({
      command: ["env", "-i", `HOME=${home}`, `TS2OTEL_STATE__PATH=${home}/state`, program, ...flags],
      directory: home,
      endpoint: "",
      encoding: "json",
    });
    await until(() => started.output().includes('"message":"ready"'));
    expect(await (await fetch(`http://${admin}/readyz`)).text()).toContain("ready");
    expect(await started.stop()).toBe(0);
    // The check runs as root and finds the state owned by another user, like a dynamic user's.
    if (process.getuid?.() === 0) chownSync(`${home}/state`, 65_534, 65_534);
    const [check = "", ...args] = line("ExecReload");
    const checked = spawnSync(check, args, { cwd: "/", env: { ...environment, TS2OTEL_STATE__PATH: `${home}/state` } });
    expect([checked.status, checked.stdout.toString()]).toEqual([0, expect.stringContaining("0 problems")]);
  },
  timeoutMs,
);
