/** Checks every file of the release in a folder (`dist/release`) as far as Linux can: `bun run prove release [folder] [public key]`. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gunzipSync, inflateRawSync } from "node:zlib";
import { allTargets, distDir, type Target } from "../build/compile.ts";
import { rootDir } from "../build/stamp.ts";
import { inspectExecutable } from "./executables.ts";

const [folderName = join(distDir, "release"), key = join(rootDir, "release-key.pem")] = process.argv.slice(2);
const folder = resolve(folderName);
const work = mkdtempSync(join(tmpdir(), "ts2otel-prove-"));
let failures = 0;

if (!existsSync(join(folder, "SHA256SUMS")))
  throw new Error(`there is no release in ${folder}; make one: bun run release`);
const version = readFileSync(join(folder, "VERSION"), "utf8").trim();

try {
  check("checksums", () => run("sha256sum", "--check", "--quiet", "SHA256SUMS") || "all files");
  check("signature", () => {
    if (!existsSync(join(folder, "SHA256SUMS.sig"))) return "UNSIGNED";
    if (!existsSync(key)) return "NOT VERIFIED: there is no release-key.pem";
    return run("openssl", "dgst", "-sha256", "-verify", key, "-signature", "SHA256SUMS.sig", "SHA256SUMS");
  });
  for (const target of allTargets) check(target.name, () => inspect(target));
  for (const shell of [["dash"], ["busybox", "sh"], ["bash"]])
    check(`install.sh in ${shell.join(" ")}`, () => install(shell));
  check("deb", () => {
    run("dpkg-deb", "--extract", `tailscale2otel_${version}_amd64.deb`, join(work, "deb"));
    return run(join(work, "deb/usr/bin/tailscale2otel"), "version");
  });
  for (const name of [`tailscale2otel_${version}_arm64.deb`, `tailscale2otel-${version}-1.aarch64.rpm`])
    check(name, () =>
      name.endsWith("deb") ? run("dpkg-deb", "-f", name, "Architecture") : run("rpm", "-qp", "--qf", "%{ARCH}", name),
    );
  check("bill of materials", () => {
    const bom = JSON.parse(readFileSync(join(folder, `tailscale2otel-${version}.cdx.json`), "utf8"));
    return `${bom.bomFormat} ${bom.specVersion}, ${bom.components.length} components`;
  });
  check("formula", () =>
    Bun.which("ruby") === null ? "NOT CHECKED: no ruby" : run("ruby", "-wc", "tailscale2otel.rb"),
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;

/** Checks that the binary is for its target and does not name the folder that it was built in. */
function inspect(target: Target): string {
  const name = join(folder, `tailscale2otel-${version}-${target.name}`);
  const bytes = target.executable.endsWith(".exe")
    ? unzipped(readFileSync(`${name}.zip`))
    : gunzipSync(readFileSync(`${name}.gz`));
  const report = inspectExecutable(bytes);
  if (report.target !== target.name) throw new Error(`is a binary for ${report.target}`);
  if (bytes.includes(`${rootDir}/`)) throw new Error(`contains ${rootDir}`);
  // The compiler leaves an invalid signature on binaries for Intel Macs, which install.sh replaces.
  const isSigned = !report.remarks.some((remark) => remark.includes("INVALID"));
  if (!isSigned && target.name !== "darwin-x64") throw new Error(report.remarks.join(", "));
  return `${(bytes.length / 1e6).toFixed(1)} MB, ${report.remarks.join(", ")}`;
}

/** The only file of an archive written by `packBinary`. */
function unzipped(archive: Buffer): Buffer {
  const begin = 30 + archive.readUInt16LE(26) + archive.readUInt16LE(28);
  return inflateRawSync(archive.subarray(begin, begin + archive.readUInt32LE(18)));
}

function install(shell: readonly string[]): string {
  const [program = "", ...words] = shell;
  const prefix = join(work, shell.join("-"));
  const keyFlags = existsSync(key) ? ["--key", key] : [];
  const said = run(program, ...words, "install.sh", "--from", ".", "--prefix", prefix, ...keyFlags);
  const about = /^.*[Ss]ignature.*$/m.exec(said)?.[0] ?? "nothing about a signature";
  return `${about}; ${run(join(prefix, "bin/tailscale2otel"), "version")}`;
}

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command}: ${error?.message ?? ""}${stdout}${stderr}`.trim());
  return stdout.trim();
}

function check(name: string, prove: () => string): void {
  try {
    process.stdout.write(`ok    ${name}: ${prove()}\n`);
  } catch (error) {
    failures++;
    process.stdout.write(`FAIL  ${name}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}
