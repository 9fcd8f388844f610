/** One target's binary, and the bundle that Deno and Bun run. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { defineFlags, rootDir, type Stamp } from "./stamp.ts";

export const distDir = join(rootDir, "dist");

/** On the file system of `dist/`, so that a finished file is moved there in one step; one folder for each build that runs. */
export const stagingDir = join(rootDir, ".cache/build", String(process.pid));

/** A machine that there is a binary for. */
export interface Target {
  /** As in the names of files: `linux-x64`, `linux-arm64-musl`, `darwin-x64`. `install.sh` forms the same names. */
  readonly name: string;
  /** As the compiler names it. */
  readonly runtime: string;
  /** The name of the program's file. */
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
 * A binary that needs no file beside it. The runtime of another target is downloaded from the package registry, once.
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
  // For its own machine the compiler uses its own runtime; named as a target, it would download a second copy.
  if (target.name !== hostTarget().name) flags.push(`--target=${target.runtime}`);
  return compile(flags, stamp, { path, stagedAs: join(stagingDir, target.name, target.executable) });
}

/** `dist/tailscale2otel.mjs`: one module with every dependency inside, for runtimes that the user brings. */
export function bundleModule(stamp: Stamp): BuiltFile {
  const path = join(distDir, "tailscale2otel.mjs");
  // The target "node" leaves `node:` imports alone and adds nothing of Bun's, so that Deno loads it.
  const flags = ["--target=node", "--format=esm", "--production", "--minify-syntax", "--reject-unresolved"];
  return compile(flags, stamp, { path, stagedAs: join(stagingDir, basename(path)) });
}

/** The file's name goes into the binary: it is staged under one name in a folder of its own, or builds would differ. */
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
