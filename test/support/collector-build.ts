/**
 * Builds an OpenTelemetry Collector once, with its official builder, as an independent OTLP receiver; run as a script, it
 * prints the path.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const version = "0.155.0";
const modules = {
  receivers: [`go.opentelemetry.io/collector/receiver/otlpreceiver v${version}`],
  exporters: [
    `go.opentelemetry.io/collector/exporter/otlphttpexporter v${version}`,
    `github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v${version}`,
  ],
};

const cacheDir = resolve(import.meta.dirname, "../../.cache/collector");

/** True if a Collector can be started here: it is already built, or Go is available to build it. */
export function canHaveCollector(): boolean {
  return existsSync(binaryPath()) || spawnSync("go", ["version"]).status === 0;
}

/** The path of the Collector's binary; the first build takes a minute or two. @throws {Error} if a step fails. */
export function buildCollector(): string {
  const binary = binaryPath();
  if (existsSync(binary)) return binary;
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, "build-"));
  try {
    run("go", ["install", `go.opentelemetry.io/collector/cmd/builder@v${version}`], { GOBIN: work });
    const source = join(work, "source");
    const manifest = join(work, "manifest.yaml");
    writeFileSync(manifest, manifestText(source));
    // The builder fails in `go mod tidy`, because of a module that only a dependency's tests need, but has written its output
    // by then.
    spawnSync(join(work, "builder"), ["--skip-compilation", "--config", manifest]);
    if (!existsSync(join(source, "go.mod"))) throw new Error("the Collector's builder wrote no go.mod");
    const built = join(work, "otelcol");
    run("go", ["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", built, "."], {}, source);
    renameSync(built, binary);
    return binary;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The name includes the version, so that another version gets another file. */
function binaryPath(): string {
  return join(cacheDir, `otelcol-otlp-http-file-${version}`);
}

function manifestText(outputPath: string): string {
  const sections = Object.entries(modules).map(
    ([kind, names]) => `${kind}:\n${names.map((module) => `  - gomod: ${module}\n`).join("")}`,
  );
  return `dist:\n  name: otelcol\n  version: ${version}\n  output_path: ${outputPath}\n${sections.join("")}`;
}

function run(command: string, args: readonly string[], env: Readonly<Record<string, string>>, cwd = cacheDir): void {
  const { status, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
}

if (import.meta.main) process.stdout.write(`${buildCollector()}\n`);
