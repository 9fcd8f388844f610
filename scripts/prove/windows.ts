/** Runs the Windows binary under Wine, as far as that proves anything: it starts, keeps its state, delivers, and survives being killed. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allTargets, compileProgram } from "../build/compile.ts";
import { readStamp } from "../build/stamp.ts";
import { type OtlpSink, startOtlpSink } from "../../test/support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../../test/support/running-program.ts";
import { until } from "../../test/support/wait.ts";

/** A Windows 10 library that Wine before 9 lacks; the runtime takes random bytes from it. */
const missingLibrary = `#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T size) { return SystemFunction036(bytes, (ULONG)size); }
`;

const wine = ["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"].find((path) => existsSync(path));
if (wine === undefined) throw new Error("Wine is missing: install wine64 and gcc-mingw-w64-x86-64-win32");
const folder = mkdtempSync(join(tmpdir(), "ts2otel-wine-"));
const environment = { WINEPREFIX: join(folder, "prefix"), WINEDEBUG: "-all" };
const settings = { ...environment, TS2OTEL_STATE__PATH: "" };
const executable = join(folder, "tailscale2otel.exe");
let program: RunningProgram | undefined;
let sink: OtlpSink | undefined;

try {
  const target = allTargets.find(({ name }) => name === "windows-x64");
  if (target === undefined) throw new Error("there is no target for Windows");
  compileProgram(target, readStamp(), executable);
  addMissingLibrary();
  say(run("version"));
  const backend = (sink = await startOtlpSink());
  const directory = join(folder, "work");
  mkdirSync(directory);
  const start = () =>
    startProgram({ command: [wine, executable], directory, endpoint: backend.url, encoding: "protobuf", settings });

  program = await start();
  const token = { TS2OTEL_STREAMING__TOKEN: program.token };
  say(run("send", "hec", "--url", program.url, token).split("\n").at(-1));
  await until(() => backend.logs.length > 0);
  say(run("status", "--url", program.admin));
  const state = join(
    environment.WINEPREFIX,
    "drive_c/users",
    process.env["USER"] ?? "root",
    "AppData/Local/tailscale2otel",
  );
  for (const name of ["journal.db", "instance.json"])
    if (!existsSync(join(state, name))) throw new Error(`there is no ${name} in %LOCALAPPDATA%\\tailscale2otel`);

  const accepted = acceptedBy(program);
  await program.kill();
  spawnSync(wine.replace(/wine(64)?$/, "wineserver"), ["-k"], { env: { ...process.env, ...environment } });
  program = await start();
  if (acceptedBy(program) !== accepted)
    throw new Error(`the counters were lost: ${acceptedBy(program)}, not ${accepted}`);
  say(`killed and started again: ${acceptedBy(program)}`);
} finally {
  await program?.kill();
  await sink?.stop();
  rmSync(folder, { recursive: true, force: true });
}

/** Wine prefers a library in the program's own folder. */
function addMissingLibrary(): void {
  const source = join(folder, "library.c");
  writeFileSync(source, missingLibrary);
  const args = ["-shared", "-o", join(folder, "bcryptprimitives.dll"), source, "-ladvapi32"];
  const { status, error, stderr } = spawnSync("x86_64-w64-mingw32-gcc", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`cannot compile a library for Windows: ${error?.message ?? stderr}`);
}

function acceptedBy({ admin }: RunningProgram): string {
  return /^accepted +\d+/m.exec(run("status", "--url", admin))?.[0] ?? "";
}

/** Runs the program with the words as arguments and the objects as variables, and returns its output. @throws {Error} if it fails. */
function run(...words: readonly (string | Readonly<Record<string, string>>)[]): string {
  const args = words.filter((word) => typeof word === "string");
  const variables = words.filter((word) => typeof word !== "string");
  const { status, stdout, stderr } = spawnSync(wine ?? "", [executable, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: Object.assign({ ...process.env, ...environment }, ...variables),
  });
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stdout}${stderr}`);
  return stdout.trim();
}

function say(text = ""): void {
  process.stdout.write(`${text.replaceAll(/^/gm, "  ")}\n`);
}
