/**
 * Builds a client of the stand-in that uses Tailscale's official library, once, into `.cache/`; run as a script, it prints the
 * path.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const requirement = "tailscale.com/client/tailscale/v2 v2.9.0";

const source = join(import.meta.dirname, "main.go");

const cacheDir = resolve(import.meta.dirname, "../../../.cache/tailnet-client");

/** True if it is already built, or Go is available to build it. */
export function canHaveTailnetClient(): boolean {
  return existsSync(binaryPath()) || spawnSync("go", ["version"]).status === 0;
}

/** The path of the binary; the first build takes some seconds. @throws {Error} if a step fails. */
export function buildTailnetClient(): string {
  const binary = binaryPath();
  if (existsSync(binary)) return binary;
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, "build-"));
  try {
    cpSync(source, join(work, "main.go"));
    writeFileSync(join(work, "go.mod"), `module build.example/local\n\ngo 1.24\n\nrequire ${requirement}\n`);
    const built = join(work, "program");
    const args = ["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", built, "."];
    const { status, stderr, error } = spawnSync("go", args, { cwd: work, encoding: "utf8" });
    if (status !== 0) throw new Error(`go ${args.join(" ")}: ${error?.message ?? stderr}`);
    renameSync(built, binary);
    return binary;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The name includes a digest of the sources, so that a change gets another file. */
function binaryPath(): string {
  const digest = createHash("sha256").update(requirement).update(readFileSync(source)).digest("hex");
  return join(cacheDir, `tailnet-client-${digest.slice(0, 16)}`);
}

if (import.meta.main) process.stdout.write(`${buildTailnetClient()}\n`);
