/** The packages for Linux distributions, installed into a folder with the tools that users have. */
import { beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { allTargets, hostTarget } from "../../scripts/build/compile.ts";
import { readStamp } from "../../scripts/build/stamp.ts";
import {
  buildPackage,
  configurationFile,
  nfpmProgram,
  type PackageFormat,
  unitFile,
} from "../../scripts/release/packages.ts";
import { programBinary } from "../support/binary.ts";
import { canHave } from "../support/go-build.ts";
import { blocksBelow } from "../support/pages.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs } from "../support/wait.ts";

const isHost = hostTarget().name === "linux-x64" && process.getuid?.() === 0;
const isMissing = (...tools: string[]) =>
  process.env.CI === undefined && !(isHost && canHave(nfpmProgram) && tools.every((tool) => Bun.which(tool) !== null));

const directory = temporaryDirectory();
const stamp = { ...readStamp(), buildDate: "2026-01-02T03:04:05Z" };
const config = "etc/tailscale2otel/config.toml";
const binary = "usr/bin/tailscale2otel";

/** The files that each package installs, with their modes. */
const files = {
  [config]: 0o600,
  [binary]: 0o755,
  "usr/lib/systemd/system/tailscale2otel.service": 0o644,
  "usr/share/bash-completion/completions/tailscale2otel": 0o644,
  "usr/share/fish/vendor_completions.d/tailscale2otel.fish": 0o644,
  "usr/share/doc/tailscale2otel/THIRD-PARTY-NOTICES.txt": 0o644,
  "usr/share/doc/tailscale2otel/configuration.example.toml": 0o644,
  "usr/share/doc/tailscale2otel/copyright": 0o644,
};

interface Installer {
  readonly format: PackageFormat;
  readonly tool: string;
  /** Prepares a folder so that packages can be installed into it. */
  prepare(root: string): void;
  readonly install: (root: string, path: string) => readonly string[];
  readonly remove: (root: string) => readonly string[];
}

const dpkg = (root: string) => ["dpkg", `--root=${root}`, "--force-not-root", "--force-script-chrootless"];
const rpm = (root: string) => ["rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--nodeps"];

const installers: readonly Installer[] = [
  {
    format: "deb",
    tool: "dpkg",
    prepare(root) {
      for (const name of ["info", "updates"]) mkdirSync(join(root, "var/lib/dpkg", name), { recursive: true });
      for (const name of ["status", "available"]) writeFileSync(join(root, "var/lib/dpkg", name), "");
    },
    install: (root, path) => [...dpkg(root), "--force-confold", "-i", path],
    remove: (root) => [...dpkg(root), "-r", "tailscale2otel"],
  },
  {
    format: "rpm",
    tool: "rpm",
    // rpm runs the scripts inside the folder, which therefore needs a shell.
    prepare(root) {
      copyShell(root);
    },
    install: (root, path) => [...rpm(root), "-U", path],
    remove: (root) => [...rpm(root), "-e", "tailscale2otel"],
  },
];

for (const { format, tool, prepare, install, remove } of installers) {
  describe.skipIf(isMissing(tool, "dash"))(`the ${format}`, () => {
    const root = join(directory, format);
    const inRoot = (path: string) => join(root, path);

    beforeAll(() => {
      mkdirSync(root, { recursive: true });
      prepare(root);
      run(install(root, packageOf(format, stamp.version, programBinary())));
    }, timeoutMs);

    test("installs its files, with their modes, for root", () => {
      const found = Object.keys(files).map((path) => [path, statSync(inRoot(path)).mode & 0o777]);
      expect(Object.fromEntries(found)).toEqual(files);
      expect(Object.keys(files).map((path) => statSync(inRoot(path)).uid)).toEqual(Object.keys(files).map(() => 0));
      expect(readdirSync(inRoot("usr/share/doc/tailscale2otel"))).toHaveLength(3);
      const zsh = format === "deb" ? "vendor-completions" : "site-functions";
      expect(readdirSync(inRoot(`usr/share/zsh/${zsh}`))).toEqual(["_tailscale2otel"]);
    });

    test("contains a program that runs, and a configuration that it accepts", () => {
      expect(run([inRoot(binary), "version"])).toContain(`tailscale2otel ${stamp.version}`);
      const set = [
        "streaming.enabled=true",
        "streaming.token=0123456789abcdef0123456789abcdef",
        "otlp.endpoint=http://127.0.0.1:4318",
        `state.path=${join(directory, "state")}`,
      ];
      run([inRoot(binary), "check", "--config", inRoot(config), ...set.flatMap((one) => ["--set", one])]);
    });

    test("an upgrade replaces the program and keeps an edited configuration; a removal keeps it and the state", () => {
      appendFileSync(inRoot(config), "# mine\n");
      const state = inRoot("var/lib/tailscale2otel/journal");
      mkdirSync(dirname(state), { recursive: true });
      writeFileSync(state, "records");

      run(install(root, packageOf(format, "9.0.0", stub("9.0.0"))));
      expect(run(["sh", inRoot(binary)])).toBe("9.0.0\n");
      expect(readFileSync(inRoot(config), "utf8")).toEndWith("# mine\n");

      run(remove(root));
      expect(existsSync(inRoot(binary))).toBe(false);
      const kept = [config, `${config}.rpmsave`].filter((path) => existsSync(inRoot(path)));
      expect(kept.map((path) => readFileSync(inRoot(path), "utf8").endsWith("# mine\n"))).toEqual([true]);
      expect(readFileSync(state, "utf8")).toBe("records");
    });
  });
}

describe.skipIf(isMissing())("packages", () => {
  test("are identical when built again elsewhere and later", () => {
    for (const format of ["deb", "rpm", "apk"] as const) {
      const built = ["a", "b/c"].map((place) => readFileSync(packageOf(format, "1.0.0", stub("1.0.0", place), place)));
      expect(built[0]?.equals(built[1] ?? Buffer.alloc(0))).toBe(true);
    }
    const bytes = readFileSync(packageOf("deb", "1.0.0", stub("1.0.0"))).toString("latin1");
    const seconds = String(Date.parse(stamp.buildDate) / 1000);
    expect(bytes.split(seconds).length - 1).toBe(3);
    expect(run(["rpm", "-qp", "--qf", "%{BUILDTIME}", packageOf("rpm", "1.0.0", stub("1.0.0"))])).toBe(seconds);
  });

  test("for Alpine depend on libstdc++ and contain an OpenRC service", () => {
    const bytes = gunzipSync(readFileSync(packageOf("apk", "1.0.0", stub("1.0.0")))).toString("latin1");
    for (const name of ["libstdc++", "musl>=1.2.4"]) expect(bytes).toContain(`depend = ${name}\n`);
    expect(bytes).toContain("arch = x86_64\n");
    for (const path of [config, binary, "etc/init.d/tailscale2otel"]) expect(bytes).toContain(`${path}\0`);
    expect(bytes).toContain(".pre-install\0");
    expect(bytes).not.toContain("usr/lib/systemd");
    // The timestamps in the headers of all entries.
    const dates = [...bytes.matchAll(/ustar/g)].map(({ index }) =>
      Number.parseInt(bytes.slice(index - 121, index - 110), 8),
    );
    expect(new Set(dates)).toEqual(new Set([0, Date.parse(stamp.buildDate) / 1000]));
  });

  test("have the names that the page about installing uses", () => {
    const [commands = ""] = blocksBelow("docs/install.md", "## Packages");
    const named = [...commands.matchAll(/\S+\.(deb|rpm|apk)\b/g)].map(([name, format]) => ({
      name,
      format: format as PackageFormat,
    }));
    expect(named.map(({ format }) => format)).toEqual(["deb", "rpm", "apk"]);
    for (const { format, name } of named) expect(basename(packageOf(format, "0.1.0", stub("0.1.0")))).toBe(name);
  });

  test("require nothing but the architecture of their binary", () => {
    const arm = allTargets.find(({ name }) => name === "linux-arm64");
    if (arm === undefined) throw new Error("no such target");
    const path = packageOf("deb", "1.0.0", stub("1.0.0"), "arm", arm);
    expect(path).toEndWith("_arm64.deb");
    expect(run(["dpkg", "-f", path, "Architecture"])).toBe("arm64\n");
    expect(run(["dpkg", "-f", path, "Depends"]).trim()).toBe("");
  });
});

function packageOf(
  format: PackageFormat,
  version: string,
  program: string,
  place = ".",
  target = targetOf(format),
): string {
  const folder = join(directory, "built", place);
  mkdirSync(folder, { recursive: true });
  const contents = { binary: program, configuration: configurationOf(version), unit: unitFile() };
  const work = join(folder, "work");
  return join(folder, buildPackage(format, target, contents, { stamp: { ...stamp, version }, folder, work }));
}

function targetOf(format: PackageFormat) {
  const name = format === "apk" ? "linux-x64-musl" : "linux-x64";
  return allTargets.find((target) => target.name === name) ?? hostTarget();
}

/** Writes the configuration of a version; that of another major version differs. */
function configurationOf(version: string): string {
  const path = join(directory, `config-${version}.toml`);
  const remark = version.startsWith("9") ? "# of the new version\n" : "";
  writeFileSync(path, readFileSync(configurationFile, "utf8") + remark);
  return path;
}

/** Writes a program that prints its version and is quick to pack. */
function stub(version: string, place = "."): string {
  const path = join(directory, "stubs", place, version);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\necho ${version}\n`);
  chmodSync(path, 0o700);
  utimesSync(path, place.length, place.length);
  return path;
}

function copyShell(root: string): void {
  const dash = Bun.which("dash") ?? "";
  const libraries = [...run(["ldd", dash]).matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  for (const [from, to] of [[dash, "/bin/sh"] as const, ...libraries.map((path) => [path, path] as const)]) {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  }
}

/** Runs a command and returns its standard output. @throws {Error} if it fails. */
function run([command = "", ...args]: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? ""}${stdout}${stderr}`);
  return stdout;
}
