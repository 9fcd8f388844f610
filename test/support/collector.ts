/** A real OpenTelemetry Collector on loopback, which shows what it received as it decoded it. */
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { buildCollector } from "./collector-build.ts";
import { startForeignProgram, statusAt } from "./foreign-program.ts";
import { decodeOtlp } from "./otlp-sink.ts";
import type { SunkLog, SunkPoint } from "./otlp-sink.ts";
import { freePort } from "./port.ts";

export interface Collector {
  /** The base URL for OTLP over HTTP, without a path. */
  readonly endpoint: string;
  /** Every log record so far, in order of arrival. */
  logs(): readonly SunkLog[];
  /** Every point of a metric so far, in order of arrival. */
  metrics(): readonly SunkPoint[];
  /** Resolves once the condition holds. The caller's own timeout bounds the wait. */
  until(condition: (collector: Collector) => boolean): Promise<void>;
  stop(): Promise<void>;
}

/** Builds the Collector if necessary, starts it, and resolves when it listens. @throws {Error} if it exits first. */
export async function startCollector(): Promise<Collector> {
  const binary = buildCollector();
  const directory = mkdtempSync(join(tmpdir(), "collector-"));
  const port = await freePort();
  const configPath = join(directory, "config.json");
  writeFileSync(configPath, JSON.stringify(configOf(directory, port)));
  const endpoint = `http://127.0.0.1:${port}`;
  const isReady = async (): Promise<boolean> => (await statusAt(endpoint)) > 0;
  const program = await startForeignProgram([binary, "--config", configPath], directory, isReady);
  const collector: Collector = {
    endpoint,
    logs: () => linesOf(join(directory, "logs.json")).flatMap((line) => decodeOtlp("logs", "json", line).logs),
    metrics: () =>
      linesOf(join(directory, "metrics.json")).flatMap((line) => decodeOtlp("metrics", "json", line).points),
    async until(condition) {
      while (!condition(collector)) await wait(50);
    },
    stop: () => program.stop(),
  };
  return collector;
}

/** JSON, which is valid YAML. */
function configOf(directory: string, port: number): object {
  const fileExporter = (name: string) => ({ path: join(directory, name), flush_interval: "50ms" });
  return {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    exporters: { "file/logs": fileExporter("logs.json"), "file/metrics": fileExporter("metrics.json") },
    service: {
      telemetry: { metrics: { level: "none" }, logs: { level: "warn" } },
      pipelines: {
        logs: { receivers: ["otlp"], exporters: ["file/logs"] },
        metrics: { receivers: ["otlp"], exporters: ["file/metrics"] },
      },
    },
  };
}

/** One line per request. The last one can be incomplete. */
function linesOf(path: string): readonly Uint8Array[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Buffer.from(line));
}
