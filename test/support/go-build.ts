/** Builds Go programs once into `.cache/`, from the Go module proxy or from a single source file. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

export interface GoProgram {
  /** The folder in `.cache/`, and the start of the file name. */
  readonly name: string;
  readonly module: string;
  readonly version: string;
  /** The package with `main`; or, starting with a slash, a source file in this repository that uses the module. */
  readonly main: string;
  readonly tags?: string;
  /** Edits the source of the package with `main`, for example to remove unneeded imports that take long to build. */
  readonly edit?: (source: string) => string;
}

/** True if the program is already built, or Go is available to build it. */
export function canHave(program: GoProgram): boolean {
  return existsSync(binaryPath(program)) || spawnSync("go", ["version"]).status === 0;
}

/** The path of the binary; the first build takes up to three minutes. @throws {Error} if a step fails. */
export function buildGoProgram(program: GoProgram): string {
  const binary = binaryPath(program);
  const isOurs = program.main.startsWith("/");
  if (existsSync(binary) && !(isOurs && statSync(program.main).mtimeMs > statSync(binary).mtimeMs)) return binary;
  const cache = cacheOf(program);
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "build-"));
  try {
    const requirement = `${program.module} ${program.version}`;
    writeFileSync(join(work, "go.mod"), "module build.example/local\n\ngo 1.26\n");
    const { GoMod, Dir } = JSON.parse(
      run(work, "go", ["mod", "download", "-json", `${program.module}@${program.version}`]),
    ) as { GoMod: string; Dir: string };
    const replacements = replacementsOf(readFileSync(GoMod, "utf8"));
    writeFileSync(
      join(work, "go.mod"),
      `module build.example/local\n\ngo 1.26\n\nrequire ${requirement}\n${replacements}`,
    );
    const tags = program.tags === undefined ? [] : ["-tags", program.tags];
    const built = join(work, "program");
    run(work, "go", [
      "build",
      "-mod=mod",
      "-trimpath",
      ...tags,
      "-ldflags=-s -w",
      "-o",
      built,
      mainOf(program, Dir, work),
    ]);
    renameSync(built, binary);
    return binary;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Builds one source file that needs only the standard library, if it is newer than its binary, and returns the path. */
export function buildGoFile(name: string, source: string): string {
  const cache = resolve(import.meta.dirname, "../../.cache", name);
  const binary = join(cache, name);
  if (existsSync(binary) && statSync(binary).mtimeMs > statSync(source).mtimeMs) return binary;
  mkdirSync(cache, { recursive: true });
  run(cache, "go", ["build", "-trimpath", "-o", `${binary}.new`, source]);
  renameSync(`${binary}.new`, binary);
  return binary;
}

/** The package with `main`: the module's, or an edited copy. */
function mainOf({ module, main, edit }: GoProgram, moduleFolder: string, work: string): string {
  if (main.startsWith("/")) {
    copyFileSync(main, join(work, "main.go"));
    return ".";
  }
  if (edit === undefined) return main;
  const folder = join(moduleFolder, main.slice(module.length));
  for (const file of readdirSync(folder))
    if (file.endsWith(".go") && !file.endsWith("_test.go"))
      writeFileSync(join(work, file), edit(readFileSync(join(folder, file), "utf8")));
  return ".";
}

/** `replace` lines apply only in the main module, so the module's own are copied into it. */
function replacementsOf(goMod: string): string {
  return [...goMod.matchAll(/^replace (?:\([^)]*\)|.*)$/gm)].map(([text]) => `\n${text}\n`).join("");
}

function cacheOf({ name }: GoProgram): string {
  return resolve(import.meta.dirname, "../../.cache", name);
}

/** The name includes the version, so that another version gets another file. */
function binaryPath(program: GoProgram): string {
  return join(cacheOf(program), `${program.name}-${program.version.replace(/^v/, "")}`);
}

function run(cwd: string, command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}
