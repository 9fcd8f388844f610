/** Compiles one target's binary, and the bundle that Deno and Bun run. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { defineFlags, rootDir, type Stamp } from "./stamp.ts";

export const distDir = join(rootDir, "dist");

/** On the file system of `dist/`, so that a finished file is moved there in one step; one folder per running build. */
export const stagingDir = join(rootDir, ".cache/build", String(process.pid));

/** A platform that binaries are built for. */
export interface Target {
  /** As in file names: `linux-x64`, `linux-arm64-musl`, `darwin-x64`. `install.sh` builds the same names. */
  readonly name: string;
  /** The compiler's name for it. */
  readonly runtime: string;
  /** File name of the program. */
  readonly executable: string;
}

export const allTargets: readonly Target[] = [
  "linux-x64",
  "linux-arm64",
  "linux-x64-musl",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "windows-x64",
].map((name) => ({
  name,
  runtime: `bun-${name}`,
  executable: name.startsWith("windows") ? "tailscale2otel.exe" : "tailscale2otel",
}));

/** @throws {Error} if there is no binary for this machine. */
export function hostTarget(): Target {
  const name = `${process.platform}-${process.arch}${isMusl() ? "-musl" : ""}`;
  const target = allTargets.find((candidate) => candidate.name === name);
  if (target !== undefined) return target;
  throw new Error(`there is no binary for ${name}, only for ${allTargets.map((known) => known.name).join(", ")}`);
}

export interface BuiltFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Compiles a binary that needs no other file. The runtime of another target is downloaded once from the package registry.
 *
 * - `--production`: without it NODE_ENV is compiled in as "development".
 * - `--splitting`: each thread loads its own part of the program, and only `init --from` the part that reads YAML.
 * - the autoload flags: without them the binary runs a `bunfig.toml` and reads a `.env` in the directory that it is started in.
 * - `--reject-unresolved`: an import that is not known at build time would fail on the user's machine.
 * - `--disallow-code-generation-from-strings`: nothing that arrives can become code.
 *
 * @throws {Error} if the compiler fails; its own output has been shown.
 */
export function compileProgram(target: Target, stamp: Stamp, path: string): BuiltFile {
  const flags = [
    "--compile",
    "--production",
    "--minify",
    "--sourcemap",
    "--bytecode",
    "--splitting",
    "--format=esm",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--compile-exec-argv=--disallow-code-generation-from-strings=strict",
    "--reject-unresolved",
  ];
  // For the host, the compiler uses its own runtime; if the host is named as a target, it downloads a second copy.
  if (target.name !== hostTarget().name) flags.push(`--target=${target.runtime}`);
  return compile(flags, stamp, { path, stagedAs: join(stagingDir, target.name, target.executable) });
}

/** `dist/tailscale2otel.mjs`: one module with every dependency inside, for runtimes that the user brings. */
export function bundleModule(stamp: Stamp): BuiltFile {
  const path = join(distDir, "tailscale2otel.mjs");
  // The target "node" leaves `node:` imports alone and adds nothing specific to Bun, so that Deno can load it.
  const flags = ["--target=node", "--format=esm", "--production", "--minify-syntax", "--reject-unresolved"];
  return compile(flags, stamp, { path, stagedAs: join(stagingDir, basename(path)) });
}

/** The output's file name ends up in the binary, so it is staged under a fixed name in its own folder; otherwise builds would differ. */
function compile(
  flags: readonly string[],
  stamp: Stamp,
  { path, stagedAs }: { path: string; stagedAs: string },
): BuiltFile {
  mkdirSync(dirname(stagedAs), { recursive: true });
  const args = ["build", ...flags, ...defineFlags(stamp), `--outfile=${stagedAs}`, join(rootDir, "src/main.ts")];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: rootDir, encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(`\n${stdout}${stderr}`);
    throw new Error(`the compiler failed for ${basename(path)}`);
  }
  renameSync(stagedAs, path);
  return { path, bytes: statSync(path).size };
}

function isMusl(): boolean {
  return process.platform === "linux" && readdirSync("/lib").some((name) => name.startsWith("ld-musl-"));
}
