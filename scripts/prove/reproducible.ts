/** Makes a release of the current commit twice, in two clones in different folders, and compares every file. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buildGoProgram } from "../../test/support/go-build.ts";
import { rootDir } from "../build/stamp.ts";
import { sha256 } from "../release/folder.ts";
import { nfpmProgram } from "../release/packages.ts";

const bun = process.execPath;
/** Passed on to `bun run release`, for example `--only linux-x64`. */
const flags = process.argv.slice(2);
const commit = execFileSync("git", ["rev-parse", "HEAD"], { cwd: rootDir, encoding: "utf8" }).trim();
const folder = mkdtempSync(join(tmpdir(), "ts2otel-prove-"));

try {
  const first = releaseIn("first");
  const second = releaseIn("a/second");
  const names = [...new Set([first, second].flatMap((path) => readdirSync(path)))].sort();
  const differing = names.filter((name) => sumOf(first, name) !== sumOf(second, name));
  for (const name of names) {
    const verdict = differing.includes(name) ? "DIFFERS" : "same   ";
    process.stdout.write(`${verdict}  ${sumOf(first, name)?.slice(0, 12) ?? "missing"}  ${name}\n`);
  }
  process.stdout.write(`${names.length - differing.length} of ${names.length} files are the same\n`);
  process.exitCode = differing.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Builds a release in a new clone with newly installed packages and the nfpm already built. Unsigned, because every signature differs. */
function releaseIn(name: string): string {
  const clone = join(folder, name);
  const { TS2OTEL_SIGNING_KEY: _, TS2OTEL_SIGNING_KEY_FILE: __, ...env } = process.env;
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, { cwd: clone, env, stdio: "inherit" });
  mkdirSync(clone, { recursive: true });
  run("git", "clone", "--quiet", rootDir, ".");
  run("git", "checkout", "--quiet", "--detach", commit);
  run(bun, "install", "--frozen-lockfile", "--silent");
  cpSync(buildGoProgram(nfpmProgram), join(clone, ".cache/nfpm", basename(buildGoProgram(nfpmProgram))));
  run(bun, "scripts/release/index.ts", ...flags);
  const release = join(folder, `${name.replaceAll("/", "-")}-release`);
  cpSync(join(clone, "dist/release"), release, { recursive: true });
  rmSync(clone, { recursive: true, force: true });
  return release;
}

function sumOf(release: string, name: string): string | undefined {
  return readdirSync(release).includes(name) ? sha256(join(release, name)) : undefined;
}
