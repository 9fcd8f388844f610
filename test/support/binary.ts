/** The program as shipped: the compiled binary and the bundle, rebuilt if the source is newer. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");
const binaryPath = join(root, "dist/tailscale2otel");
const bundlePath = join(root, "dist/tailscale2otel.mjs");

/** The path of `dist/tailscale2otel`. @throws {Error} if the build fails. */
export function programBinary(): string {
  build(binaryPath, []);
  return binaryPath;
}

/** The path of `dist/tailscale2otel.mjs`. @throws {Error} if the build fails. */
export function programBundle(): string {
  build(bundlePath, ["--esm"]);
  return bundlePath;
}

function build(path: string, flags: readonly string[]): void {
  if (existsSync(path) && statSync(path).mtimeMs > newestSourceMs()) return;
  const { status, stderr } = spawnSync(process.execPath, [join(root, "scripts/build/index.ts"), ...flags], {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the build failed: ${stderr}`);
}

function newestSourceMs(): number {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  return Math.max(...[...files.map((name) => join(root, "src", name)), join(root, "bun.lock")].map(modifiedMs));
}

function modifiedMs(path: string): number {
  return statSync(path).mtimeMs;
}
