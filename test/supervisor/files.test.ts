/** The files of a service, as the programs that read them judge them: systemd's own checks, and a parser of property lists. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchdInstallation } from "../../src/supervisor/launchd.ts";
import { type SystemUnit, systemInstallation, unitName, userInstallation } from "../../src/supervisor/systemd.ts";

const directory = mkdtempSync(join(tmpdir(), "units-"));
afterAll(() => rmSync(directory, { recursive: true }));

const plain: SystemUnit = {
  // It has to be there, and every system has it.
  command: ["/bin/true"],
  configPath: "/etc/tailscale2otel/config.toml",
  files: [],
  hasFixedUser: false,
  bindsLowPort: false,
  keepsState: true,
};

const units: readonly [string, Partial<SystemUnit>][] = [
  ["with a dynamic user", {}],
  ["with a fixed user, which tailscaled can permit", { hasFixedUser: true }],
  ["on a port below 1024", { bindsLowPort: true }],
  ["without a state directory", { keepsState: false }],
  [
    "with secrets in files, and odd characters in names",
    {
      configPath: "/etc/tail scale/50%.toml",
      files: [{ key: "streaming.token_file", path: "/etc/tail scale/$token" }],
    },
  ],
];

/** A real systemd-analyze, which exits with 0 although it found an unknown key: every word of it counts. */
function analyze(...args: readonly string[]) {
  const env = { PATH: process.env["PATH"], HOME: directory, XDG_RUNTIME_DIR: directory };
  const { status, stdout, stderr } = spawnSync("systemd-analyze", args, { encoding: "utf8", cwd: directory, env });
  return { status, stdout, stderr };
}

const isMissing = Bun.which("systemd-analyze") === null && process.env["CI"] === undefined;

describe.skipIf(isMissing)("the unit", () => {
  test.each(units)("%s is correct, and exposes little", (_, changes) => {
    const file = join(directory, unitName);
    writeFileSync(file, systemInstallation({ ...plain, ...changes }).text);
    expect(analyze("verify", file)).toEqual({ status: 0, stdout: "", stderr: "" });
    const { status, stdout } = analyze("security", "--offline=true", "--threshold=20", "--no-pager", file);
    expect([status, stdout]).toEqual([0, expect.stringContaining("Overall exposure level")]);
  });

  test("of a user is correct", () => {
    const file = join(directory, unitName);
    writeFileSync(file, userInstallation(plain, "/home/user/.config").text);
    expect(analyze("--user", "verify", file).stderr).toBe("");
  });

  test("with an unknown key would be noticed", () => {
    const file = join(directory, unitName);
    const { text } = systemInstallation(plain);
    writeFileSync(file, text.replace("PrivateTmp=", "PrivateTemp="));
    expect(analyze("verify", file).stderr).toContain("'PrivateTemp' in section");
  });
});

test("the unit names each file as a credential, and each setting that reads it", () => {
  const { text } = systemInstallation({ ...plain, ...units[4]?.[1] });
  expect(text).toContain("LoadCredential=config.toml:/etc/tail scale/50%%.toml\n");
  expect(text).toContain("LoadCredential=streaming-token_file:/etc/tail scale/$token\n");
  expect(text).toContain("--set streaming.token_file=${CREDENTIALS_DIRECTORY}/streaming-token_file\n");
  expect(text).toContain('check --changed --config "/etc/tail scale/50%%.toml" --set state.path=:memory:\n');
});

test("a fixed user is created while nothing runs that has its name", () => {
  const commands = systemInstallation({ ...plain, hasFixedUser: true }).install.map(({ command }) => command.join(" "));
  expect(commands).toEqual([
    "systemctl stop tailscale2otel.service",
    "useradd --system --user-group --no-create-home --home-dir=/var/lib/tailscale2otel --shell=/usr/sbin/nologin tailscale2otel",
    "systemctl daemon-reload",
    "systemctl enable tailscale2otel.service",
    "systemctl restart tailscale2otel.service",
  ]);
});

describe("the property list", () => {
  const parse = (text: string): unknown => {
    const script = "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))";
    const { stdout, stderr } = spawnSync("python3", ["-c", script], { input: text, encoding: "utf8" });
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  };

  test("of a user runs the program while the user is logged in", () => {
    const job = { command: ["/usr/local/bin/tailscale2otel"], homeDirectory: "/Users/ann & <bob>", uid: 501 };
    const { path, text, install, logs } = launchdInstallation({ ...job, configPath: "/Users/ann & <bob>/c.toml" });
    expect(path).toBe("/Users/ann & <bob>/Library/LaunchAgents/tailscale2otel.plist");
    expect(parse(text)).toEqual({
      Label: "tailscale2otel",
      ProgramArguments: ["/usr/local/bin/tailscale2otel", "run", "--config", "/Users/ann & <bob>/c.toml"],
      RunAtLoad: true,
      KeepAlive: true,
      ThrottleInterval: 10,
      ExitTimeOut: 30,
      Umask: 0o077,
      StandardErrorPath: "/Users/ann & <bob>/Library/Logs/tailscale2otel.log",
    });
    expect(install.at(-1)?.command).toEqual(["launchctl", "bootstrap", "gui/501", path]);
    expect(logs).toContain("/Library/Logs/tailscale2otel.log");
  });

  test("of root is a daemon of the machine", () => {
    const { path, install } = launchdInstallation({ ...plain, homeDirectory: "/var/root", uid: 0 });
    expect(path).toBe("/Library/LaunchDaemons/tailscale2otel.plist");
    expect(install.at(-1)?.command).toEqual(["launchctl", "bootstrap", "system", path]);
  });
});
