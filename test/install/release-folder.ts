/** Writes release folders with small executables, so that installing takes no time. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { sealFolder } from "../../scripts/release/folder.ts";

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
  /** Signs the checksums. */
  readonly key?: KeyObject;
}

/** A key to sign releases with, and the text of its public half. */
export function createReleaseKey(): { readonly key: KeyObject; readonly publicText: string } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: privateKey, publicText: publicKey.export({ type: "spki", format: "pem" }).toString() };
}

/** What an installed executable of the default script prints. */
export function outputOf(version: string, target: string): string {
  return `tailscale2otel ${version} ${target}\n`;
}

/** Writes a folder as `bun run release` does. */
export function writeRelease({ directory, version, script, key }: ReleaseOptions): void {
  mkdirSync(directory, { recursive: true });
  for (const name of ["SHA256SUMS", "SHA256SUMS.sig"]) rmSync(join(directory, name), { force: true });
  for (const target of targets) {
    const name = `tailscale2otel-${version}-${target}.gz`;
    const lines = script?.(target) ?? `printf '%s' '${outputOf(version, target)}'`;
    writeFileSync(join(directory, name), gzipSync(`#!/bin/sh\n${lines}\n`));
  }
  sealFolder(directory, { version, commit: "", buildDate: "" }, key);
}
