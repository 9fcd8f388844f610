/** Release folders made of small executables, so that installing takes no time. */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export const targets = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
] as const;

export interface ReleaseOptions {
  readonly directory: string;
  readonly version: string;
  /** The lines that each target's executable runs; the default names version and target. */
  readonly script?: (target: string) => string;
}

/** What an installed executable of the default script prints. */
export function outputOf(version: string, target: string): string {
  return `tailscale2otel ${version} ${target}\n`;
}

/** Writes a folder as `bun run build --release` does. */
export function writeRelease({ directory, version, script }: ReleaseOptions): void {
  mkdirSync(directory, { recursive: true });
  const sums = targets.map((target) => {
    const name = `tailscale2otel-${version}-${target}.gz`;
    const lines = script?.(target) ?? `printf '%s' '${outputOf(version, target)}'`;
    const bytes = gzipSync(`#!/bin/sh\n${lines}\n`);
    writeFileSync(join(directory, name), bytes);
    return `${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`;
  });
  writeFileSync(join(directory, "SHA256SUMS"), sums.join(""));
  writeFileSync(join(directory, "VERSION"), `${version}\n`);
}
