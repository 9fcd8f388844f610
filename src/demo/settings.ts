/** The configuration of the instance that the demo runs. */
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Inspection, loadConfig } from "../config/index.ts";
import { ConfigError } from "../errors.ts";

export interface DemoSettings {
  /** The backend given by the user. */
  readonly endpoint: string | undefined;
  /** The demo's own backend, used if the user gives none. */
  readonly backendUrl: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Directory of its configuration file and its state. */
  readonly directory: string;
  /** Absent: no admin listener. */
  readonly adminListen: string | undefined;
  /** Credentials that the receivers require from the simulated tailnet. */
  readonly token: string;
  readonly secret: string;
}

/** Variables that say how to reach a backend; all others belong to a real installation. */
const backendVariable = /^(TS2OTEL_OTLP__|OTEL_EXPORTER_OTLP_)/;

/** @throws {ConfigError} worded in terms of the demo's flags. */
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
      // An explicit file, so that those of a real installation are not read.
      configPath: "demo.toml",
      configText: lines.join(""),
      environment: Object.fromEntries(backend),
      assignments: endpoint === undefined ? [] : [`otlp.endpoint=${endpoint}`],
      workingDirectory: directory,
      system: { platform: process.platform, homeDirectory: homedir(), uid: process.getuid?.() },
    });
  } catch (error) {
    // Names the demo's flag that the user gave.
    const inFlags = (problem: string): string =>
      problem.replaceAll(/--set otlp\.endpoint(=?)/g, (_, equals) => `--endpoint${equals === "=" ? " " : ""}`);
    throw error instanceof ConfigError ? new ConfigError(error.problems.map(inFlags)) : error;
  }
}
