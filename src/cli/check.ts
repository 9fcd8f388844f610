/** `check`: what the configuration comes to, where each value comes from, and every mistake in it. */
import {
  describeOrigin,
  describeProblem,
  describeWarning,
  effectiveRows,
  type EffectiveRow,
  type Inspection,
  inspectConfig,
} from "../config/index.ts";
import { command } from "./command.ts";
import { configFlags, repeatableConfigFlags, sourcesOf } from "./sources.ts";
import type { Output } from "./terminal.ts";

export const checkCommand = command({
  name: "check",
  description: "Validate the configuration, and show every value with its origin",
  args: { ...configFlags, json: { type: "boolean", description: "One JSON object instead of text." } },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel check", "the configuration that run would use"],
    ["tailscale2otel check --config new.toml", "another file"],
    ["tailscale2otel check --json | jq .problems", "for programs"],
  ],
  notes: "Exit code 0 where run could start, 78 where it could not. It opens no connection, and writes nothing.",
  async run({ args, flags, host }) {
    const inspection = inspectConfig(sourcesOf(flags, host));
    await host.out.write(args.json ? jsonReport(inspection) : textReport(inspection, host.out));
    return inspection.problems.length === 0 ? 0 : 78;
  },
});

/** Problems instead of values: of a configuration with mistakes nobody knows what it comes to. */
function textReport(inspection: Inspection, out: Output): string {
  const { problems, warnings, configFile } = inspection;
  const paint = (colour: number, text: string) => (out.hasColour ? `\u001b[${colour}m${text}\u001b[39m` : text);
  const lines: string[] = [];
  if (problems.length === 0) {
    const rows = effectiveRows(inspection);
    lines.push(
      ...tableLines(rows).map((line, index) => (rows[index]?.isDefault === true ? paint(90, line) : line)),
      "",
    );
  }
  lines.push(...warnings.map((warning) => `${paint(33, "warning")}: ${describeWarning(warning)}`));
  lines.push(...problems.map((problem) => `${paint(31, "error")}: ${describeProblem(problem)}`));
  const verdict = problems.length === 0 ? paint(32, "valid") : paint(31, "not valid");
  const counts = `${count(problems.length, "problem")}, ${count(warnings.length, "warning")}`;
  lines.push(`${configFile ?? "configuration without a file"}: ${verdict}, ${counts}`);
  return `${lines.join("\n")}\n`;
}

function tableLines(rows: readonly EffectiveRow[]): readonly string[] {
  const keyWidth = Math.max(...rows.map(({ key }) => key.length));
  const valueWidth = Math.min(48, Math.max(...rows.map(({ value }) => value.length)));
  return rows.map(({ key, value, origin }) => `${key.padEnd(keyWidth)}  ${value.padEnd(valueWidth)}  ${origin}`);
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? "" : "s"}`;
}

function jsonReport(inspection: Inspection): string {
  const { problems, warnings, configFile } = inspection;
  const report = {
    valid: problems.length === 0,
    configFile: configFile ?? null,
    problems: problems.map(({ origin, ...problem }) => ({ where: describeOrigin(origin), ...problem })),
    warnings,
    settings:
      problems.length > 0 ? [] : effectiveRows(inspection).map(({ key, value, origin }) => ({ key, value, origin })),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
