/** The settings of the instance that the demo runs. */
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Inspection, loadConfig } from "../config/index.ts";
import { ConfigError } from "../errors.ts";

export interface DemoSettings {
  /** The backend that the user names. */
  readonly endpoint: string | undefined;
  /** The demo's own, for everybody else. */
  readonly backendUrl: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** For its file and its state. */
  readonly directory: string;
  /** Absent: there is no admin listener. */
  readonly adminListen: string | undefined;
  /** What the receivers require of the simulated tailnet. */
  readonly token: string;
  readonly secret: string;
}

/** Variables that say how to reach a backend; all others are the business of a real installation. */
const backendVariable = /^(TS2OTEL_OTLP__|OTEL_EXPORTER_OTLP_)/;

/** @throws {ConfigError} in the words of the demo's flags. */
export function demoConfig({
  endpoint,
  environment,
  directory,
  adminListen,
  token,
  secret,
  backendUrl,
}: DemoSettings): Inspection {
  const backend = Object.entries(environment).filter(([name]) => endpoint !== undefined && backendVariable.test(name));
  const settings = {
    "streaming.enabled": true,
    "streaming.listen": "127.0.0.1:0",
    "streaming.token": token,
    "webhook.enabled": true,
    "webhook.listen": "127.0.0.1:0",
    "webhook.secret": secret,
    "collectors.flowlogs.source": "stream",
    "collectors.auditlogs.source": "stream",
    "otlp.metric_interval": "10s",
    "state.path": join(directory, "state"),
    ...(adminListen === undefined ? { "admin.enabled": false } : { "admin.listen": adminListen }),
    ...(endpoint === undefined && { "otlp.endpoint": backendUrl, "otlp.compression": "none" }),
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
  try {
    return loadConfig({
      // A file of its own keeps those of a real installation out.
      configPath: "demo.toml",
      configText: lines.join(""),
      environment: Object.fromEntries(backend),
      assignments: endpoint === undefined ? [] : [`otlp.endpoint=${endpoint}`],
      workingDirectory: directory,
      system: { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() },
    });
  } catch (error) {
    // In the words of the one flag that its user gives.
    const inFlags = (problem: string): string =>
      problem.replaceAll(/--set otlp\.endpoint(=?)/g, (_, equals) => `--endpoint${equals === "=" ? " " : ""}`);
    throw error instanceof ConfigError ? new ConfigError(error.problems.map(inFlags)) : error;
  }
}
