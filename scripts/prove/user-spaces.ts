/** Runs the Linux binaries for other platforms on this machine: arm64 under QEMU, musl in a root folder with nothing else in it. */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { allTargets, compileProgram } from "../build/compile.ts";
import { readStamp } from "../build/stamp.ts";
import { startOtlpSink } from "../../test/support/otlp-sink.ts";
import { type RunningProgram, startProgram } from "../../test/support/running-program.ts";
import { until } from "../../test/support/wait.ts";

interface UserSpace {
  readonly target: string;
  /** Puts the binary and what it needs into the folder, and returns the command that starts it. */
  readonly prepare: (binary: string, root: string) => readonly string[];
  /** The state directory as the program sees it; if absent, a directory of this machine is used. */
  readonly state?: string;
}

/** The names of a processor in Debian and PyPI. */
interface Processor {
  readonly machine: "x86_64" | "aarch64";
  readonly debian: "amd64" | "arm64";
}

const cache = resolve(import.meta.dirname, "../../.cache/prove");

/** The Debian release whose musl is new enough for the runtime, which needs 1.2.4. */
const muslSuite = "trixie";

/** A musl wheel carries the libstdc++ that it was built with, which Debian does not have. */
const wheelWithLibstdcxx = "numpy==2.5.5";

const x64: Processor = { machine: "x86_64", debian: "amd64" };
const arm64: Processor = { machine: "aarch64", debian: "arm64" };

const userSpaces: readonly UserSpace[] = [
  { target: "linux-arm64", prepare: (binary, root) => [...emulatorIn(crossLibraries(root)), binary] },
  {
    target: "linux-x64-musl",
    state: "/state",
    prepare(binary, root) {
      fillMuslRoot(root, x64);
      copyFileSync(binary, join(root, "tailscale2otel"));
      return ["/usr/sbin/chroot", root, "/tailscale2otel"];
    },
  },
  {
    target: "linux-arm64-musl",
    prepare(binary, root) {
      fillMuslRoot(root, arm64);
      return [...emulatorIn(root), binary];
    },
  },
];

try {
  await prove();
} catch (error) {
  process.stdout.write(`FAILED: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

/** Needs root, and packages from Debian and PyPI. @throws {Error} if a binary does not run, or loses a record. */
async function prove(): Promise<void> {
  if (spawnSync("qemu-aarch64-static", ["--version"]).status !== 0)
    throw new Error("qemu-aarch64-static is missing: install qemu-user-static");
  const stamp = readStamp();
  for (const { target: name, prepare, state } of userSpaces) {
    const target = allTargets.find((candidate) => candidate.name === name);
    if (target === undefined) throw new Error(`there is no target ${name}`);
    const root = join(cache, name);
    mkdirSync(root, { recursive: true });
    const command = prepare(compileProgram(target, stamp, join(cache, `tailscale2otel-${name}`)).path, root);
    say(name, run(command, ["version"]).trim());
    say(name, await smoke(command, state));
    const sums = run(command, ["demo", "--duration", "10s"]).trim().split("\n").slice(-2);
    if (sums.length !== 2 || !sums.every((line) => line.includes(" = "))) throw new Error(sums.join("; "));
    for (const line of sums) say(name, line);
  }
}

/** Runs the service with a receiver and a backend: a sample request must be answered with 200 and delivered, and the stop must be clean. */
async function smoke(command: readonly string[], state: string | undefined): Promise<string> {
  const sink = await startOtlpSink();
  const directory = mkdtempSync(join(tmpdir(), "prove-"));
  const settings = state === undefined ? {} : { TS2OTEL_STATE__PATH: state };
  let program: RunningProgram | undefined;
  try {
    program = await startProgram({ command, directory, endpoint: sink.url, encoding: "protobuf", settings });
    const token = { TS2OTEL_STREAMING__TOKEN: program.token };
    const answer = run(command, ["send", "hec", "--url", program.url], token).trim();
    await until(() => sink.logs.length === 2 && sink.points.length > 0);
    const exitCode = await program.stop();
    if (exitCode !== 0) throw new Error(`run ended with ${exitCode}: ${program.output()}`);
    return `send hec: ${answer.split("\n").at(-1)}; delivered ${sink.logs.length} log records; stopped with 0`;
  } finally {
    await program?.kill();
    await sink.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function emulatorIn(root: string): readonly string[] {
  return ["qemu-aarch64-static", "-L", root];
}

/** The folder with the C libraries for arm64, from the cross compiler's packages. */
function crossLibraries(root: string): string {
  const folder = join(root, "usr/aarch64-linux-gnu");
  if (!existsSync(folder))
    for (const name of ["libc6-arm64-cross", "libgcc-s1-arm64-cross"]) unpackDebian(name, root, []);
  return folder;
}

/** Installs the C library, libstdc++ and libgcc, which are all that the musl binary needs. */
function fillMuslRoot(root: string, processor: Processor): void {
  const { machine } = processor;
  if (existsSync(join(root, "lib"))) return;
  unpackDebian("musl", root, aptFlags(muslSuite, processor));
  const wheels = join(root, "wheels");
  const platform = ["--platform", `musllinux_1_2_${machine}`, "--python-version", "3.12"];
  run(
    ["python3", "-m", "pip"],
    ["download", "--no-deps", "--only-binary=:all:", ...platform, "-d", wheels, wheelWithLibstdcxx],
  );
  const [wheel = ""] = readdirSync(wheels);
  run(["python3", "-m", "zipfile"], ["-e", join(wheels, wheel), wheels]);
  const bundled = join(wheels, "numpy.libs");
  for (const name of readdirSync(bundled)) {
    if (name.startsWith("libstdc++")) copyFileSync(join(bundled, name), join(root, "usr/lib/libstdc++.so.6"));
    if (name.startsWith("libgcc_s")) copyFileSync(join(bundled, name), join(root, "usr/lib", name));
  }
  rmSync(wheels, { recursive: true });
  writeFileSync(join(root, `etc/ld-musl-${machine}.path`), "/lib\n/usr/lib\n");
  symlinkSync(`ld-musl-${machine}.so.1`, join(root, `usr/lib/libc.musl-${machine}.so.1`));
  symlinkSync("usr/lib", join(root, "lib"));
  for (const name of ["state", "tmp"]) mkdirSync(join(root, name));
}

function unpackDebian(name: string, root: string, flags: readonly string[]): void {
  const folder = join(root, "download");
  mkdirSync(folder, { recursive: true });
  run(["apt-get"], [...flags, "download", "-qq", name], {}, folder);
  for (const file of readdirSync(folder)) run(["dpkg-deb"], ["-x", join(folder, file), root]);
  rmSync(folder, { recursive: true });
}

/** Flags for apt to use another release and processor of this machine's Debian mirror, without touching its own package lists. */
function aptFlags(suite: string, { debian }: Processor): readonly string[] {
  const ofDebian = ["Label: Debian", "Component: main"];
  const [mirror = ""] = run(["apt-get"], ["indextargets", "--format", "$(REPO_URI)", ...ofDebian]).split("\n");
  const folder = join(cache, `apt-${debian}`);
  mkdirSync(join(folder, "lists/partial"), { recursive: true });
  mkdirSync(join(folder, "cache/archives/partial"), { recursive: true });
  const sources = join(folder, "sources.list");
  writeFileSync(
    sources,
    `deb [arch=${debian} signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror} ${suite} main\n`,
  );
  writeFileSync(join(folder, "status"), "");
  const settings = {
    "APT::Architecture": debian,
    "APT::Architectures": debian,
    "Dir::State::Lists": join(folder, "lists"),
    "Dir::State::status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "Dir::Etc::SourceList": sources,
    "Dir::Etc::SourceParts": "/dev/null",
  };
  const flags = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  run(["apt-get"], [...flags, "update", "-qq"]);
  return flags;
}

/** Runs a command and returns its standard output. @throws {Error} with its standard error. */
function run(
  command: readonly string[],
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
  cwd = cache,
): string {
  const [executable = "", ...first] = command;
  const { status, stdout, stderr } = spawnSync(executable, [...first, ...args], {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...variables },
  });
  if (status !== 0) throw new Error(`${[...command, ...args].join(" ")} ended with ${status}: ${stderr}`);
  return stdout;
}

function say(target: string, text: string): void {
  process.stdout.write(`  ${target.padEnd(16)} ${text}\n`);
}
