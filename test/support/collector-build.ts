/** Builds a real OpenTelemetry Collector with its official builder, once: an OTLP receiver that is not ours. Run as a script it builds and names the file. */
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

/** Whether a Collector can be started here: it is built already, or Go is there to build it. */
export function canHaveCollector(): boolean {
  return existsSync(binaryPath()) || spawnSync("go", ["version"]).status === 0;
}

/** The path of the Collector's binary; the first call of a machine takes a minute or two. @throws {Error} when a step fails. */
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
    // It ends with an error in `go mod tidy`, about a module that only the tests of a dependency need; what it has to write is written.
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

/** Named after what it is made of, so that another version is another file. */
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
