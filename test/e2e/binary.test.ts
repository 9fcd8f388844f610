/** Tests the file that users download: what it contains, what it does not read, and that the installer installs it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readStamp } from "../../scripts/build/stamp.ts";
import { hostTarget } from "../../scripts/build/compile.ts";
import { packBinary, sealFolder } from "../../scripts/release/folder.ts";
import { programBinary } from "../support/binary.ts";
import { timeoutMs } from "../support/wait.ts";

const root = resolve(import.meta.dirname, "../..");
let directory: string;

beforeEach(() => {
  programBinary();
  mkdirSync(join(root, ".cache"), { recursive: true });
  directory = mkdtempSync(join(root, ".cache/binary-test-"));
}, timeoutMs);

afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("is under 125 MB and names its version, commit and date", () => {
  expect(statSync(programBinary()).size).toBeLessThan(125e6);
  const { version } = readStamp();
  expect(versionOf(programBinary())).toMatch(
    new RegExp(`^tailscale2otel ${version}, commit ([0-9a-f]{12}(-dirty)?|unknown), built (20\\S+Z|unknown)$`),
  );
});

test("runs nothing and reads nothing that lies where it is started", () => {
  writeFileSync(join(directory, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
  writeFileSync(join(directory, "preload.ts"), 'process.stdout.write("preloaded");process.exit(9);');
  writeFileSync(join(directory, ".env"), "TS2OTEL_LOG_LEVEL=nonsense\n");
  const check = (env: Record<string, string>) => {
    const { stdout, stderr } = spawnSync(programBinary(), ["check"], { cwd: directory, encoding: "utf8", env });
    return stdout + stderr;
  };
  expect(check({ TS2OTEL_LOG_LEVEL: "nonsense" })).toContain("nonsense");
  expect(check({})).not.toMatch(/nonsense|preloaded/);
});

test(
  "is installed from a release folder, and runs",
  () => {
    const binary = programBinary();
    const release = join(directory, "release");
    mkdirSync(release);
    packBinary(hostTarget(), binary, readStamp(), release);
    sealFolder(release, readStamp());
    const prefix = join(directory, "prefix");
    const args = [join(root, "install.sh"), "--from", release, "--prefix", prefix];
    const { status, stderr } = spawnSync("sh", args, { encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
    expect(versionOf(join(prefix, "bin/tailscale2otel"))).toBe(versionOf(binary));
  },
  timeoutMs,
);

function versionOf(binary: string): string {
  return spawnSync(binary, ["version"], { encoding: "utf8" }).stdout.trim();
}
