/** Builds packages for Linux distributions with nfpm: deb and rpm of the glibc binary, apk of the musl one. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { buildGoProgram, type GoProgram } from "../../test/support/go-build.ts";
import { mark, systemUnit } from "../../src/supervisor/systemd.ts";
import type { Target } from "../build/compile.ts";
import { rootDir, type Stamp } from "../build/stamp.ts";
import { homepage } from "./folder.ts";

export const nfpmProgram: GoProgram = {
  name: "nfpm",
  module: "github.com/goreleaser/nfpm/v2",
  version: "v2.45.2",
  main: "github.com/goreleaser/nfpm/v2/cmd/nfpm",
};

/** Not the example with all settings: a file that changes with each release would cause a question at each upgrade. */
export const configurationFile = join(rootDir, "scripts/release/package/config.toml");

export type PackageFormat = "deb" | "rpm" | "apk";

export interface PackageContents {
  readonly binary: string;
  /** The initial configuration file; an upgrade keeps an edited one. */
  readonly configuration: string;
  readonly unit: string;
}

/** The formats that a target's binary is packaged in. */
export function formatsOf({ name }: Target): readonly PackageFormat[] {
  if (!name.startsWith("linux")) return [];
  return name.endsWith("-musl") ? ["apk"] : ["deb", "rpm"];
}

/** The unit that `service install` writes for a program in `/usr/bin`, without the line by which it recognizes its own units. */
export function unitFile(): string {
  const command = ["/usr/bin/tailscale2otel"];
  const usual = { files: [], hasFixedUser: false, bindsLowPort: false, keepsState: true };
  return systemUnit({ command, configPath: "/etc/tailscale2otel/config.toml", ...usual }).replace(`${mark}\n`, "");
}

/** Writes one package into a folder, and returns the file's name. @throws {Error} with what nfpm says. */
export function buildPackage(
  format: PackageFormat,
  target: Target,
  contents: PackageContents,
  { stamp, folder, work }: { readonly stamp: Stamp; readonly folder: string; readonly work: string },
): string {
  mkdirSync(work, { recursive: true });
  const instructions = join(work, `${target.name}-${format}.json`);
  writeFileSync(instructions, JSON.stringify(configurationOf(format, target, contents, stamp, work)));
  // nfpm takes a file's owner and date only from the configuration, and the dates of its own files from this variable.
  const environment = { ...process.env, SOURCE_DATE_EPOCH: String(sourceDate(stamp).getTime() / 1000) };
  const args = ["package", "--config", instructions, "--packager", format, "--target", work];
  const { status, stdout, stderr } = spawnSync(buildGoProgram(nfpmProgram), args, {
    cwd: rootDir,
    encoding: "utf8",
    env: environment,
  });
  const [, made = ""] = /^created package: (.*)$/m.exec(stdout) ?? [];
  if (status !== 0 || made === "") throw new Error(`nfpm failed for ${format}: ${stdout}${stderr}`);
  const name = made.slice(made.lastIndexOf("/") + 1);
  renameSync(join(work, name), join(folder, name));
  return name;
}

/** The commit's date; without git, the earliest date that every format supports. */
export function sourceDate({ buildDate }: Stamp): Date {
  const date = new Date(buildDate);
  return Number.isNaN(date.getTime()) ? new Date("1980-01-01T00:00:00Z") : date;
}

const architectures: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

function configurationOf(
  format: PackageFormat,
  { name }: Target,
  { binary, configuration, unit }: PackageContents,
  stamp: Stamp,
  work: string,
) {
  const mtime = sourceDate(stamp).toISOString();
  const file = (src: string, dst: string, mode = 0o644) => ({ src, dst, file_info: { mode, mtime } });
  const text = (content: string, dst: string) => {
    const src = join(work, dst.replaceAll("/", "_"));
    writeFileSync(src, content);
    return file(src, dst);
  };
  const asset = (path: string) => join(rootDir, "scripts/release/package", path);
  const isSystemd = format !== "apk";
  return {
    name: "tailscale2otel",
    arch: architectures[name.split("-")[1] ?? ""],
    platform: "linux",
    version: stamp.version,
    section: "net",
    priority: "optional",
    maintainer: "The tailscale2otel authors <maintainers@tailscale2otel.example>",
    description:
      "Tailscale logs as OpenTelemetry metrics and logs\nReceives flow logs, audit logs and webhooks of a tailnet, keeps them on disk, and exports them over OTLP.",
    homepage,
    license: "Apache-2.0",
    mtime,
    depends: isSystemd ? [] : ["libstdc++", "libgcc", "musl>=1.2.4"],
    contents: [
      file(binary, "/usr/bin/tailscale2otel", 0o755),
      {
        src: configuration,
        dst: "/etc/tailscale2otel/config.toml",
        type: "config|noreplace",
        file_info: { mode: 0o600, mtime },
      },
      file(join(rootDir, "LICENSE"), "/usr/share/doc/tailscale2otel/copyright"),
      ...["THIRD-PARTY-NOTICES.txt", "docs/configuration.example.toml"].map((path) =>
        file(join(rootDir, path), join("/usr/share/doc/tailscale2otel", basename(path))),
      ),
      ...Object.entries(completionsOf(format)).map(([shell, path]) =>
        file(join(rootDir, "src/cli/completion", `${shell}.txt`), path),
      ),
      ...(isSystemd
        ? [text(unit, "/usr/lib/systemd/system/tailscale2otel.service")]
        : [file(asset("openrc"), "/etc/init.d/tailscale2otel", 0o755)]),
    ],
    scripts: isSystemd
      ? { postinstall: asset("postinstall"), preremove: asset("preremove") }
      : { preinstall: dated(asset("preinstall-alpine"), join(work, "preinstall"), mtime) },
    rpm: { group: "System Environment/Daemons", buildhost: "reproducible", compression: "zstd:3" },
    deb: { compression: "gzip" },
  };
}

/** A copy with the source date, because nfpm writes the date of a script's file into an apk. */
function dated(source: string, copy: string, date: string): string {
  copyFileSync(source, copy);
  utimesSync(copy, new Date(date), new Date(date));
  return copy;
}

/** Where each shell looks for completions; Debian's zsh uses a different folder. */
function completionsOf(format: PackageFormat): Readonly<Record<"bash" | "zsh" | "fish", string>> {
  const zshFolder = format === "deb" ? "vendor-completions" : "site-functions";
  return {
    bash: "/usr/share/bash-completion/completions/tailscale2otel",
    zsh: `/usr/share/zsh/${zshFolder}/_tailscale2otel`,
    fish: "/usr/share/fish/vendor_completions.d/tailscale2otel.fish",
  };
}

/** Run as a script, this builds nfpm and prints its path. */
if (import.meta.main) process.stdout.write(`${buildGoProgram(nfpmProgram)}\n`);
