/** Builds the program that speaks with the stand-in by Tailscale's official client library, once, into `.cache/`. Run as a script it builds and names the file. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const requirement = "tailscale.com/client/tailscale/v2 v2.9.0";

const source = join(import.meta.dirname, "main.go");

const cacheDir = resolve(import.meta.dirname, "../../../.cache/tailnet-client");

/** Whether it can be had here: it is built already, or Go is there to build it. */
export function canHaveTailnetClient(): boolean {
  return existsSync(binaryPath()) || spawnSync("go", ["version"]).status === 0;
}

/** The path of the binary; the first call of a machine takes some seconds. @throws {Error} when a step fails. */
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

/** Named after what it is made of, so that another source is another file. */
function binaryPath(): string {
  const digest = createHash("sha256").update(requirement).update(readFileSync(source)).digest("hex");
  return join(cacheDir, `tailnet-client-${digest.slice(0, 16)}`);
}

if (import.meta.main) process.stdout.write(`${buildTailnetClient()}\n`);
