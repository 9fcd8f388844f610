/** A real OpenTelemetry Collector on loopback: what it was sent can be read back as it understood it. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { buildCollector } from "./collector-build.ts";
import { decodeOtlp } from "./otlp-sink.ts";
import type { SunkLog, SunkPoint } from "./otlp-sink.ts";
import { freePort } from "./port.ts";

export interface Collector {
  /** The base address for OTLP over HTTP, without a path. */
  readonly endpoint: string;
  /** Every log record so far, in order of arrival. */
  logs(): readonly SunkLog[];
  /** Every point of a metric so far, in order of arrival. */
  metrics(): readonly SunkPoint[];
  /** Resolves once the condition holds. The caller's own timeout bounds the wait. */
  until(condition: (collector: Collector) => boolean): Promise<void>;
  stop(): Promise<void>;
}

/** Builds it where it is missing, starts it, and resolves when it listens. @throws {Error} when it ends before. */
export async function startCollector(): Promise<Collector> {
  const binary = buildCollector();
  const directory = mkdtempSync(join(tmpdir(), "collector-"));
  const port = await freePort();
  const configPath = join(directory, "config.json");
  writeFileSync(configPath, JSON.stringify(configOf(directory, port)));
  const child = spawn(binary, ["--config", configPath], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let messages = "";
  child.stderr.on("data", (text: Buffer) => (messages += text.toString()));
  const endpoint = `http://127.0.0.1:${port}`;
  while (!(await isListening(endpoint))) {
    if (child.exitCode !== null) throw new Error(`the Collector ended: ${messages}`);
    await wait(20);
  }
  const collector: Collector = {
    endpoint,
    logs: () => linesOf(join(directory, "logs.json")).flatMap((line) => decodeOtlp("logs", "json", line).logs),
    metrics: () =>
      linesOf(join(directory, "metrics.json")).flatMap((line) => decodeOtlp("metrics", "json", line).points),
    async until(condition) {
      while (!condition(collector)) await wait(50);
    },
    async stop() {
      child.kill();
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return collector;
}

/** The Collector reads YAML, of which JSON is a part. */
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

/** A line is one request. The last one can be half written. */
function linesOf(path: string): readonly Uint8Array[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  return text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Buffer.from(line));
}

async function isListening(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint);
    return true;
  } catch {
    return false;
  }
}
