/** install.sh under the shells that small systems have. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { createSandbox, isMissing, shells } from "./installer.ts";
import type { Sandbox } from "./installer.ts";
import { outputOf, writeRelease } from "./release-folder.ts";

/** Tests run by root use another user; any other user runs them as itself. */
const mayWriteToUsrLocal = process.getuid?.() !== 0 && isWritable("/usr/local/bin");

for (const shell of shells) {
  describe.skipIf(isMissing(shell))(`install.sh under ${shell}`, () => {
    let sandbox: Sandbox;
    let release: string;
    let prefix: string;
    const binary = () => join(prefix, "bin/tailscale2otel");

    beforeEach(() => {
      sandbox = createSandbox(shell);
      release = join(sandbox.directory, "release");
      prefix = join(sandbox.directory, "deep/prefix");
      writeRelease({ directory: release, version: "1.2.3" });
    });

    afterEach(() => sandbox.stop());

    test("installs the version in the folder, leaves nothing else, and says what to do next", async () => {
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix]);
      expect([status, output]).toEqual([0, expect.stringContaining(`tailscale2otel 1.2.3 (linux-x64) to ${binary()}`)]);
      expect(output).toContain(`export PATH="${prefix}/bin:$PATH"`);
      expect(output).toContain(`${binary()} demo`);
      expect(spawnSync(binary(), ["version"], { encoding: "utf8" }).stdout).toBe(outputOf("1.2.3", "linux-x64"));
      expect(readdirSync(join(prefix, "bin"))).toEqual(["tailscale2otel"]);
      expect(statSync(binary()).mode & 0o777).toBe(0o755);
    });

    test("accepts values after an equals sign, and relative folders", async () => {
      const { status, output } = await sandbox.run([`--from=${release}`, "--prefix=./here"]);
      expect(status).toBe(0);
      expect(output).toContain(`to ${join(sandbox.directory, "here/bin/tailscale2otel")}\n`);
    });

    test("replaces an older version", async () => {
      await sandbox.run(["--from", release, "--prefix", prefix]);
      writeRelease({ directory: release, version: "1.3.0" });
      const env = { PATH: `${join(sandbox.directory, "tools")}:${prefix}/bin` };
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix, "--version", "v1.3.0"], env);
      expect(status).toBe(0);
      expect(output).not.toContain("export PATH");
      expect(readFileSync(binary(), "utf8")).toContain("1.3.0");
    });

    test.skipIf(mayWriteToUsrLocal)("installs under the home folder if it may not write to /usr/local", async () => {
      const { status } = await sandbox.runAsStranger(["--from", release]);
      expect(status).toBe(0);
      const home = join(sandbox.directory, "home");
      expect(readdirSync(join(home, ".local/bin"))).toEqual(["tailscale2otel"]);
      expect((await sandbox.runAsStranger(["--uninstall"])).output).toContain(`Removed ${home}`);
      expect(readdirSync(join(home, ".local/bin"))).toEqual([]);
    });

    test("refuses a file whose checksum differs, and keeps the installed binary", async () => {
      await sandbox.run(["--from", release, "--prefix", prefix]);
      const packed = join(release, "tailscale2otel-1.2.3-linux-x64.gz");
      const bytes = readFileSync(packed);
      bytes[12] = (bytes[12] ?? 0) ^ 1;
      writeFileSync(packed, bytes);
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix]);
      expect(status).toBe(1);
      expect(output).toContain("is not what was released");
      expect(readFileSync(binary(), "utf8")).toContain("1.2.3");
      expect(readdirSync(join(prefix, "bin"))).toEqual(["tailscale2otel"]);
    });

    test.each([
      ["a version that is not there", ["--version", "9.9.9"], "there is no tailscale2otel-9.9.9-linux-x64.gz"],
      ["a folder that is not there", ["--from", "nope"], "there is no folder nope"],
      ["a version that is a path", ["--version", "1/../../x"], "is not a version"],
      ["a prefix that is a file", ["--prefix", "release/VERSION/x"], "cannot make the folder"],
    ])("refuses %s, and creates no folder", async (_, args, message) => {
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix, ...args]);
      expect([status, output]).toEqual([1, expect.stringContaining(message)]);
      expect(existsSync(join(sandbox.directory, "deep"))).toBe(false);
    });

    test("refuses a file without a checksum", async () => {
      writeFileSync(join(release, "SHA256SUMS"), "");
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix]);
      expect([status, output]).toEqual([1, expect.stringContaining("SHA256SUMS does not name")]);
      expect(existsSync(prefix)).toBe(false);
    });

    test("refuses a binary that does not start here", async () => {
      writeRelease({ directory: release, version: "1.2.3", script: () => "echo no library >&2; exit 127" });
      const { status, output } = await sandbox.run(["--from", release, "--prefix", prefix]);
      expect([status, output]).toEqual([1, expect.stringContaining("no library")]);
      expect(output).toContain("does not start here");
      expect(existsSync(prefix)).toBe(false);
    });

    test.each([
      ["sha256sum", ["--from", "release"], "no program to compute SHA-256 is installed"],
      ["gzip", ["--from", "release"], "gzip is not installed"],
      ["curl", [], "neither curl nor wget is installed"],
    ])("says which tool is missing without %s", async (tool, args, message) => {
      sandbox.hide(tool);
      const { status, output } = await sandbox.run([...args, "--prefix", prefix]);
      expect([status, output]).toEqual([1, expect.stringContaining(message)]);
      expect(existsSync(prefix)).toBe(false);
    });

    test.each([
      [["--frobnicate"], "unknown option '--frobnicate'"],
      [["--prefix"], "--prefix needs a value"],
      [["1.2.3"], "unexpected argument '1.2.3'; did you mean --version 1.2.3?"],
      [["release"], "unexpected argument 'release'"],
      [["--prefix="], "--prefix needs a value"],
      [["--key"], "--key needs a value"],
    ])("refuses the flags %p with exit code 64", async (args, message) => {
      expect(await sandbox.run(args)).toEqual({ status: 64, output: expect.stringContaining(message) });
    });

    test("uninstalls the binary and nothing else", async () => {
      await sandbox.run(["--from", release, "--prefix", prefix]);
      writeFileSync(join(prefix, "bin/other"), "");
      const { status, output } = await sandbox.run(["--uninstall", "--prefix", prefix]);
      expect([status, output]).toEqual([0, expect.stringContaining(`Removed ${binary()}`)]);
      // The machine may have an installation of its own.
      const left = ["/var/lib/tailscale2otel", "/etc/tailscale2otel"].find((place) => existsSync(place));
      expect(output).toContain(left ?? "no state and no configuration");
      expect(readdirSync(join(prefix, "bin"))).toEqual(["other"]);
      expect((await sandbox.run(["--uninstall", "--prefix", prefix])).status).toBe(1);
    });

    test("names the state and the configuration that it keeps", async () => {
      await sandbox.run(["--from", release, "--prefix", prefix]);
      const state = join(sandbox.directory, "home/.local/state/tailscale2otel");
      const other = join(sandbox.directory, "xdg/tailscale2otel");
      for (const path of [state, other]) mkdirSync(path, { recursive: true });
      writeFileSync(join(sandbox.directory, "tailscale2otel.toml"), "");
      const env = { XDG_STATE_HOME: join(sandbox.directory, "xdg") };
      const { output } = await sandbox.run(["--uninstall", "--prefix", prefix], env);
      expect(output).toContain(`Kept the state: ${state}\n`);
      expect(output).toContain(`Kept the state: ${other}\n`);
      expect(output).toContain(`Kept the configuration: ${sandbox.directory}/tailscale2otel.toml\n`);
      expect(existsSync(state)).toBe(true);
    });

    test("says how to stop a user's service, which would try to start the binary forever", async () => {
      await sandbox.run(["--from", release, "--prefix", prefix]);
      const home = join(sandbox.directory, "home");
      const units = [".config/systemd/user/tailscale2otel.service", "Library/LaunchAgents/tailscale2otel.plist"];
      const [unit = "", agent = ""] = units.map((name) => join(home, name));
      for (const path of [unit, agent]) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, "");
      }
      const { output } = await sandbox.run(["--uninstall", "--prefix", prefix]);
      expect(output).toContain(`systemctl --user disable --now tailscale2otel && rm ${unit}\n`);
      expect(output).toContain(`launchctl unload ${agent}; rm ${agent}\n`);
    });
  });
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
