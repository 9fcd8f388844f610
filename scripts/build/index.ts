/** `bun run build`: compiles the program into single files under `dist/`. */
import { mkdirSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import {
  allTargets,
  type BuiltFile,
  bundleModule,
  compileProgram,
  distDir,
  hostTarget,
  stagingDir,
  type Target,
} from "./compile.ts";
import { readStamp, rootDir, type Stamp } from "./stamp.ts";

const usage = `bun run build [flags]

  (none)       dist/tailscale2otel for this machine, and dist/tailscale2otel.mjs
  --all        linux x64 and arm64 (glibc and musl), darwin x64 and arm64, windows x64, named dist/tailscale2otel-<target>
  --esm        only dist/tailscale2otel.mjs, the bundle for Deno and Bun

What users download is made by: bun run release
`;

interface BuildOptions {
  readonly all: boolean;
  readonly esm: boolean;
}

process.exitCode = main(process.argv.slice(2));

function main(args: readonly string[]): number {
  const options = optionsOf(args);
  if (options === "help") {
    process.stdout.write(usage);
    return 0;
  }
  if (options === "mistake") return 64;
  try {
    build(options, readStamp());
    return 0;
  } catch (error) {
    process.stderr.write(`build: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    rmSync(stagingDir, { recursive: true, force: true });
  }
}

function build(options: BuildOptions, stamp: Stamp): void {
  process.stdout.write(`tailscale2otel ${stamp.version}, commit ${stamp.commit}, ${stamp.buildDate}\n`);
  mkdirSync(distDir, { recursive: true });
  const bundle = bundleModule(stamp);
  if (options.esm) {
    process.stdout.write(sizeTable([bundle]));
    return;
  }
  const targets = options.all ? allTargets : [hostTarget()];
  process.stdout.write(sizeTable([bundle, ...targets.map((target) => compileWithProgress(target, stamp))]));
}

function compileWithProgress(target: Target, stamp: Stamp): BuiltFile {
  const startedAt = performance.now();
  process.stdout.write(`  ${target.name.padEnd(16)} `);
  const file = compileProgram(target, stamp, join(distDir, fileNameOf(target)));
  process.stdout.write(`${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
  return file;
}

/** This machine's own binary has the plain name, so that `dist/tailscale2otel` is always one that runs here. */
function fileNameOf(target: Target): string {
  const { name, executable } = target;
  return name === hostTarget().name ? executable : executable.replace("tailscale2otel", `tailscale2otel-${name}`);
}

function sizeTable(files: readonly BuiltFile[]): string {
  const rows = files.map(({ path, bytes }) => [relative(rootDir, path), `${(bytes / 1e6).toFixed(1)} MB`] as const);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, size]) => `  ${name.padEnd(width)}  ${size.padStart(9)}\n`).join("");
}

function optionsOf(args: readonly string[]): BuildOptions | "help" | "mistake" {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        all: { type: "boolean", default: false },
        esm: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return "help";
    if (values.esm && values.all) throw new TypeError("--esm builds the bundle alone");
    return values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    return "mistake";
  }
}
