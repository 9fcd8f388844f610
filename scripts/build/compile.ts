/** One target's binary, and the bundle that Deno and Bun run. */
import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { distDir, entryFile, rootDir, stagingDir } from "./paths.ts";
import { defineFlags } from "./stamp.ts";
import type { Stamp } from "./stamp.ts";
import { hostTarget } from "./targets.ts";
import type { Target } from "./targets.ts";

export interface BuiltFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * A binary that needs no file beside it. The runtime of another target comes through the package registry, once.
 *
 * - `--production`: without it NODE_ENV is compiled in as "development".
 * - the autoload flags: without them the binary runs a `bunfig.toml` and reads a `.env` that lie where it is started.
 * - `--reject-unresolved`: an import that is not known at build time would fail on the user's machine.
 * - `--disallow-code-generation-from-strings`: nothing that arrives can become code.
 *
 * @throws {Error} when the compiler fails; its own output has been shown.
 */
export function compileProgram(target: Target, stamp: Stamp, path: string): BuiltFile {
  const flags = [
    "--compile",
    "--production",
    "--minify",
    "--sourcemap",
    "--bytecode",
    "--format=esm",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--compile-exec-argv=--disallow-code-generation-from-strings=strict",
    "--reject-unresolved",
  ];
  // The compiler uses itself for its own machine: named as a target, it would fetch a second copy.
  if (target.name !== hostTarget().name) flags.push(`--target=${target.runtime}`);
  return compile(flags, stamp, { path, stagedAs: join(stagingDir, target.name, "tailscale2otel") });
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
  mkdirSync(join(stagedAs, ".."), { recursive: true });
  const args = ["build", ...flags, ...defineFlags(stamp), `--outfile=${stagedAs}`, entryFile];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: rootDir, encoding: "utf8" });
  if (status !== 0) {
    process.stderr.write(`\n${stdout}${stderr}`);
    throw new Error(`the compiler failed for ${basename(path)}`);
  }
  renameSync(stagedAs, path);
  return { path, bytes: statSync(path).size };
}
