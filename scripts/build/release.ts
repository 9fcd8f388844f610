/** The folder that a release consists of, and that `install.sh` installs from. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { type BuiltFile, stagingDir, type Target } from "./compile.ts";
import type { Stamp } from "./stamp.ts";

/**
 * Compresses the binaries as `tailscale2otel-<version>-<target>.gz` and writes `SHA256SUMS` and `VERSION` beside them.
 * gzip is the one format that every target system can unpack without installing anything; xz would save a quarter.
 * The folder is replaced as a whole.
 */
export function packRelease(
  built: ReadonlyMap<Target, Pick<BuiltFile, "path">>,
  stamp: Stamp,
  releaseDir: string,
): readonly BuiltFile[] {
  const staged = join(stagingDir, "release");
  mkdirSync(staged, { recursive: true });
  const sums: string[] = [];
  const packed: BuiltFile[] = [];
  for (const [target, { path }] of built) {
    const name = `tailscale2otel-${stamp.version}-${target.name}.gz`;
    process.stdout.write(`  packing ${name}\n`);
    const bytes = gzipSync(readFileSync(path), { level: 9 });
    writeFileSync(join(staged, name), bytes);
    sums.push(`${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`);
    packed.push({ path: join(releaseDir, name), bytes: bytes.byteLength });
  }
  writeFileSync(join(staged, "SHA256SUMS"), sums.join(""));
  writeFileSync(join(staged, "VERSION"), `${stamp.version}\n`);
  rmSync(releaseDir, { recursive: true, force: true });
  renameSync(staged, releaseDir);
  return packed;
}
