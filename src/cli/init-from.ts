/** Implements `init --from`: converts the configuration of the Go program to TOML for this one. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { describeFinding, inspectConfig } from "../config/index.ts";
import { writePrivateFile } from "../lib/private-file.ts";
import type { Migration } from "../migration/index.ts";
import { freshToken } from "../setup/answers.ts";
import { programName } from "./command.ts";
import { option } from "./flags.ts";
import { counted, type Host } from "./terminal.ts";

export const fromFlags = {
  from: option(
    "path",
    "Convert the configuration of the Go program: its YAML, a file of variables, or `env` for the environment; several separated by commas.",
  ),
  tailnet: option("name", "With --from: the tailnet to convert, if the file lists several."),
} as const;

interface FromArgs {
  readonly from: string;
  readonly tailnet?: string | undefined;
}

/**
 * Writes the TOML to that path, or to standard output for `-`, and remarks for the user to standard error. Returns the exit
 * code.
 */
export async function initFrom({ from, tailnet }: FromArgs, path: string, host: Host): Promise<number> {
  const { environment, workingDirectory, out, err } = host;
  // Only this command loads the YAML parser.
  const { migrate } = await import("../migration/index.ts");
  const sources = existsSync(resolve(workingDirectory, from)) ? [from] : from.split(",").map((name) => name.trim());
  const migration = migrate({ from: sources, tailnet, environment, workingDirectory, createToken: freshToken });
  const output = path === "-" ? undefined : path;
  if (output === undefined) await out.write(migration.toml);
  else writePrivateFile(output, migration.toml);
  await err.write(report(migration, { output, found: checked(migration.toml, host) }));
  return 0;
}

/** The problems `check` would report. */
function checked(configText: string, { workingDirectory, system }: Host): readonly string[] {
  const configPath = "converted.toml";
  const sources = { configPath, configText, assignments: [], environment: {}, workingDirectory, system };
  const { problems, warnings } = inspectConfig(sources);
  const shown = (text: string): string => text.replaceAll(`${configPath}:`, "line ");
  return [
    ...problems.map((problem) => `error: ${shown(describeFinding(problem))}`),
    ...warnings.map((warning) => `warning: ${shown(describeFinding(warning))}`),
  ];
}

function report(
  { settings, secrets, remarks }: Migration,
  { output, found }: { readonly output: string | undefined; readonly found: readonly string[] },
): string {
  const amount = (kind: string): number => remarks.filter((remark) => remark.kind === kind).length;
  const tasks = amount("task");
  const lines = [
    `${counted(settings, "setting")} converted, ${amount("different")} different from before, ${amount("missing")} without an equivalent, ${tasks} to do by hand${remarks.length > 0 ? ": see the comments" : ""}`,
    ...(secrets.length === 0 ? [] : [`it contains secrets as plain text: ${secrets.join(", ")}`]),
    ...(output === undefined ? [] : [`written to ${output}, which only you can read`]),
    ...found,
    `next: ${programName} check --config ${output ?? "<file>"}`,
  ];
  return lines.map((line) => `${programName}: ${line}\n`).join("");
}
