/** Builds sources of settings: a real file in a directory of its own, and everything else from arguments. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ConfigSources, describeFinding, inspectConfig } from "../../src/config/index.ts";

export { temporaryDirectory } from "../support/temporary.ts";

export interface Given {
  readonly toml?: string;
  readonly mode?: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly set?: readonly string[];
}

/** A receiver with a token and both logs streamed to a backend: valid, without warnings. */
export const soundSettings: readonly string[] = [
  "streaming.enabled=true",
  "collectors.flowlogs.source=stream",
  "collectors.auditlogs.source=stream",
  "otlp.endpoint=http://192.0.2.1:4318",
];

export const soundEnvironment = { TS2OTEL_STREAMING__TOKEN: "a-token" };

export function sourcesIn(directory: string, given: Given): ConfigSources {
  const { toml, environment = {}, set = [], mode = 0o600 } = given;
  if (toml !== undefined) writeFileSync(join(directory, "tailscale2otel.toml"), toml, { mode });
  else rmSync(join(directory, "tailscale2otel.toml"), { force: true });
  return {
    environment,
    assignments: set,
    workingDirectory: directory,
    system: { platform: "linux", homeDirectory: "/home/ann" },
  };
}

/** Inspects the sources, with problems and warnings as displayed text. */
export function inspectIn(directory: string, given: Given) {
  const inspection = inspectConfig(sourcesIn(directory, given));
  return {
    ...inspection,
    problems: inspection.problems.map(describeFinding),
    warnings: inspection.warnings.map(describeFinding),
  };
}
