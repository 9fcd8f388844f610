/** The flags that say where settings come from, shared by the commands that read them. */
import type { ConfigSources } from "../config/index.ts";
import type { Flags } from "./flags.ts";
import type { Host } from "./terminal.ts";

export const configFlags = {
  config: {
    type: "string",
    valueHint: "path",
    description: "The configuration file, instead of $TS2OTEL_CONFIG and the usual places.",
  },
  set: {
    type: "string",
    valueHint: "key=value",
    description: "One setting, which wins over file and environment. May be repeated.",
  },
} as const;

export const repeatableConfigFlags = ["set"];

export function sourcesOf({ values }: Flags, host: Host): ConfigSources {
  const configPath = values.get("config")?.[0];
  return {
    ...(configPath === undefined ? {} : { configPath }),
    assignments: values.get("set") ?? [],
    environment: host.environment,
    workingDirectory: host.workingDirectory,
    system: host.system,
  };
}
