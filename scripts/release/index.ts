/** `bun run release`: builds everything that users download into `dist/release/`. The same commit gives the same bytes. */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { allTargets, type BuiltFile, compileProgram, distDir, stagingDir, type Target } from "../build/compile.ts";
import { readStamp, rootDir, type Stamp } from "../build/stamp.ts";
import { packBinary, publishFolder, readInstaller, readSigningKey, releaseKeyOf, sealFolder } from "./folder.ts";
import { formulaOf } from "./formula.ts";
import { buildPackage, configurationFile, formatsOf, unitFile } from "./packages.ts";
import { billOfMaterials } from "./sbom.ts";

const usage = `bun run release [flags]

Builds for all systems, and fills dist/release/: compressed binaries, packages (deb, rpm, apk), a Homebrew formula, the
software bill of materials, licenses, install.sh, checksums and their signature. Needs git, npm and Go.

  --only <target>   only the binary and the packages of this target, without formula and bill of materials; may be repeated
  --out <folder>    another folder

The checksums are signed with the P-256 key in TS2OTEL_SIGNING_KEY (PEM) or in the file that TS2OTEL_SIGNING_KEY_FILE names.
Without either, the release is unsigned.
`;

export interface ReleaseOptions {
  readonly targets: readonly Target[];
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Replaces the folder with a release of the current checkout; returns its files. @throws {Error} with what to do. */
export async function makeRelease({ targets, folder, environment }: ReleaseOptions): Promise<readonly BuiltFile[]> {
  const stamp = readStamp();
  const key = readSigningKey(environment, readInstaller());
  if (key !== undefined && /dirty|unknown/.test(stamp.commit))
    throw new Error(
      `a signed release is made of a commit, and this is ${stamp.commit}: commit or stash what has changed`,
    );
  say(`tailscale2otel ${stamp.version}, commit ${stamp.commit}, ${stamp.buildDate}`);
  const staged = `${folder}.${process.pid}`;
  const work = join(stagingDir, "packages");
  try {
    for (const path of [staged, work]) mkdirSync(path, { recursive: true });
    for (const target of targets) {
      const binary = join(stagingDir, "binaries", target.name, target.executable);
      mkdirSync(dirname(binary), { recursive: true });
      compileProgram(target, stamp, binary);
      say(packBinary(target, binary, stamp, staged));
      const contents = { binary, configuration: configurationFile, unit: unitFile() };
      for (const format of formatsOf(target))
        say(buildPackage(format, target, contents, { stamp, folder: staged, work }));
    }
    for (const name of ["install.sh", "LICENSE", "THIRD-PARTY-NOTICES.txt"])
      cpSync(join(rootDir, name), join(staged, name));
    if (targets.length === allTargets.length) await writeDescriptions(staged, stamp);
    sealFolder(staged, stamp, key);
    const files = publishFolder(staged, folder);
    if (key === undefined) say("UNSIGNED: neither TS2OTEL_SIGNING_KEY nor TS2OTEL_SIGNING_KEY_FILE is set");
    else if (releaseKeyOf(readInstaller()) === "") say("signed, but install.sh has no key to verify it with");
    return files;
  } finally {
    for (const path of [staged, stagingDir]) rmSync(path, { recursive: true, force: true });
  }
}

async function writeDescriptions(folder: string, stamp: Stamp): Promise<void> {
  writeFileSync(join(folder, "tailscale2otel.rb"), formulaOf(folder, stamp));
  writeFileSync(join(folder, `tailscale2otel-${stamp.version}.cdx.json`), await billOfMaterials(stamp));
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        only: { type: "string", multiple: true, default: [] },
        out: { type: "string", default: join(distDir, "release") },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }
    const targets = values.only.length === 0 ? allTargets : values.only.map(targetNamed);
    const files = await makeRelease({ targets, folder: resolve(values.out), environment: process.env });
    for (const { path, bytes } of files) say(`${(bytes / 1e6).toFixed(1).padStart(7)} MB  ${relative(rootDir, path)}`);
    return 0;
  } catch (error) {
    process.stderr.write(`release: ${error instanceof Error ? error.message : String(error)}\n`);
    if (!(error instanceof TypeError)) return 1;
    process.stderr.write(`\n${usage}`);
    return 64;
  }
}

function targetNamed(name: string): Target {
  const target = allTargets.find((known) => known.name === name);
  if (target !== undefined) return target;
  throw new TypeError(`there is no target ${name}, only ${allTargets.map((known) => known.name).join(", ")}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
