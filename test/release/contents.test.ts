/** The contents of a release besides packages: archives, the formula, the bill of materials and the notices. */
import { describe, expect, test } from "bun:test";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { allTargets } from "../../scripts/build/compile.ts";
import { runtimeParts } from "../../scripts/notices/bun.ts";
import { bundledPackages, licensesIn } from "../../scripts/notices/index.ts";
import { packBinary, sealFolder, sha256 } from "../../scripts/release/folder.ts";
import { formulaOf } from "../../scripts/release/formula.ts";
import { type Bom, completeBom } from "../../scripts/release/sbom.ts";
import { programBinary } from "../support/binary.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { timeoutMs } from "../support/wait.ts";

const root = resolve(import.meta.dirname, "../..");
const directory = temporaryDirectory();
const stamp = { version: "1.2.3", commit: "0123456789ab", buildDate: "2026-01-02T03:04:05Z" };
const notices = readFileSync(join(root, "THIRD-PARTY-NOTICES.txt"), "utf8");

/** A folder with a packed binary for every target, which contains the target's name. */
function packedFolder(name: string): string {
  const folder = join(directory, name);
  mkdirSync(folder);
  for (const target of allTargets) {
    const binary = join(directory, `${name}-${target.name}`);
    writeFileSync(binary, `${target.name}\n`.repeat(1000));
    packBinary(target, binary, stamp, folder);
  }
  return folder;
}

describe("a release folder", () => {
  test("has checksums of every file, in order and reproducible", () => {
    const [first = "", second = ""] = ["first", "second"].map(packedFolder);
    for (const folder of [first, second]) sealFolder(folder, stamp);
    const sums = readFileSync(join(first, "SHA256SUMS"), "utf8");
    expect(sums).toBe(readFileSync(join(second, "SHA256SUMS"), "utf8"));
    expect([...sums.matchAll(/  (.*)/g)].map(([, name]) => name)).toEqual([
      "VERSION",
      ...["darwin-arm64", "darwin-x64", "linux-arm64-musl", "linux-arm64", "linux-x64-musl", "linux-x64"].map(
        (target) => `tailscale2otel-1.2.3-${target}.gz`,
      ),
      "tailscale2otel-1.2.3-windows-x64.zip",
    ]);
    expect(spawnSync("sha256sum", ["--check", "--quiet", "SHA256SUMS"], { cwd: first }).status).toBe(0);
  });

  test("has a zip archive for Windows that other programs can read", () => {
    const archive = join(packedFolder("zip"), "tailscale2otel-1.2.3-windows-x64.zip");
    const program = `import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
[entry] = archive.infolist()
print(entry.filename, entry.date_time, archive.read(entry)[:12])`;
    expect(execFileSync("python3", ["-c", program, archive], { encoding: "utf8" })).toBe(
      "tailscale2otel.exe (1980, 1, 1, 0, 0, 0) b'windows-x64\\n'\n",
    );
  });
});

describe("the Homebrew formula", () => {
  const folder = packedFolder("formula");
  const formula = formulaOf(folder, stamp);

  test("lists each binary with its checksum in the block of its system and processor", () => {
    const blocks = [...formula.matchAll(/on_(macos|linux) do\n([\s\S]*?)\n  end\n/g)].flatMap(([, system, text = ""]) =>
      [...text.matchAll(/on_(arm|intel) do\n +url "(.*)"\n +sha256 "(.*)"/g)].map(([, ...found]) => [system, ...found]),
    );
    const expected = [
      ["macos", "arm", "darwin-arm64"],
      ["macos", "intel", "darwin-x64"],
      ["linux", "arm", "linux-arm64"],
      ["linux", "intel", "linux-x64"],
    ].map(([system, processor, target]) => {
      const name = `tailscale2otel-1.2.3-${target}.gz`;
      const url = `https://github.com/tailscale2otel/tailscale2otel/releases/download/v1.2.3/${name}`;
      return [system, processor, url, sha256(join(folder, name))];
    });
    expect(blocks).toEqual(expected);
  });

  test("opens as many blocks as it closes", () => {
    const count = (pattern: RegExp) => [...formula.matchAll(pattern)].length;
    expect(count(/^\s*(?:class|def)\b|\bdo$/gm)).toBe(count(/^\s*end$/gm));
  });

  test.skipIf(Bun.which("ruby") === null)("is valid Ruby", () => {
    const { status, stderr } = spawnSync("ruby", ["-wc", "-"], { input: formula, encoding: "utf8" });
    expect([status, stderr]).toEqual([0, ""]);
  });
});

test("the bill of materials has the runtime and its parts, and excludes what is not in the binary", () => {
  const library = (name: string) => ({ type: "library", name, version: "1.0.0", "bom-ref": name });
  const bom: Bom = {
    metadata: {
      tools: { components: [library("npm"), library("cyclonedx-npm")] },
      component: library("tailscale2otel"),
    },
    components: [{ ...library("api"), group: "@opentelemetry" }, library("citty"), library("unused")],
    dependencies: [{ ref: "tailscale2otel", dependsOn: ["citty"] }],
  };
  const { metadata, components, dependencies } = completeBom(bom, ["@opentelemetry/api", "citty"], stamp);
  expect(metadata.timestamp).toBe("2026-01-02T03:04:05.000Z");
  expect(metadata.tools.components.map(({ name }) => name)).toEqual(["cyclonedx-npm"]);
  expect(components.map(({ name, scope }) => [name, scope])).toEqual([
    ["api", undefined],
    ["citty", undefined],
    ["unused", "excluded"],
    ["bun", undefined],
  ]);
  expect(components.at(-1)?.components).toHaveLength(runtimeParts.length);
  expect(dependencies).toEqual([
    { ref: "tailscale2otel", dependsOn: ["citty", `bun@${Bun.version}`] },
    { ref: `bun@${Bun.version}` },
  ]);
});

describe("the notices", () => {
  test("name every package in the binary with its version, and every part of the runtime with its license", async () => {
    const packages = await bundledPackages();
    expect(packages.length).toBeGreaterThan(10);
    for (const name of packages) {
      const { version } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
      expect(notices).toContain(`${name} ${version} (`);
    }
    for (const { name, license } of runtimeParts) expect(notices).toContain(`${name} (${license})`);
    const licenses = new Set(runtimeParts.flatMap(({ license }) => licensesIn(license)));
    for (const license of licenses) expect(notices).toMatch(new RegExp(`^The license ${license}\\b`, "m"));
  });

  test(
    "are printed by the binary",
    () => {
      expect(execFileSync(programBinary(), ["version", "--licenses"], { encoding: "utf8" })).toBe(notices);
    },
    timeoutMs,
  );
});

test(
  "the same sources give the same binary in another folder",
  async () => {
    const scopes = new Set((await bundledPackages()).map((name) => name.split("/", 1)[0] ?? ""));
    const binaries = ["here", "deeper/there"].map((name) => {
      const folder = join(directory, name);
      mkdirSync(folder, { recursive: true });
      execFileSync("git", ["clone", "--quiet", "--depth=1", `file://${root}`, folder]);
      // Copied, not linked: the compiler records the real location of a file, relative to the program.
      for (const scope of scopes)
        cpSync(join(root, "node_modules", scope), join(folder, "node_modules", scope), { recursive: true });
      execFileSync(process.execPath, ["scripts/build/index.ts"], { cwd: folder, stdio: "ignore" });
      return sha256(join(folder, "dist/tailscale2otel"));
    });
    expect(binaries[0]).toBe(binaries[1] ?? "");
  },
  timeoutMs,
);
