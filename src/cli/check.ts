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
import { type OnlineFinding, findingsText } from "./check-finding.ts";
import { checkOnline } from "./check-online.ts";
import { command } from "./command.ts";
import { configFlags, repeatableConfigFlags, sourcesOf } from "./sources.ts";
import type { Output } from "./terminal.ts";

export const checkCommand = command({
  name: "check",
  description: "Validate the configuration, and show every value with its origin",
  args: {
    ...configFlags,
    json: { type: "boolean", description: "One JSON object instead of text." },
    online: {
      type: "boolean",
      description: "Also try the API and each scope, the backend, the certificates, the clock and the journal.",
    },
  },
  repeatable: repeatableConfigFlags,
  examples: [
    ["tailscale2otel check", "the configuration that run would use"],
    ["tailscale2otel check --config new.toml", "another file"],
    ["tailscale2otel check --online", "with Tailscale and the backend asked"],
    ["tailscale2otel check --json | jq .problems", "for programs"],
  ],
  notes:
    "Exit code 0 where run could start, 78 where it could not, 1 where something that --online tries fails. It writes nothing; without --online it opens no connection. With it, Tailscale's API is only read, and the backend is sent an empty export.",
  async run({ args, flags, host }) {
    const inspection = inspectConfig(sourcesOf(flags, host));
    const isValid = inspection.problems.length === 0;
    if (!args.json) await host.out.write(textReport(inspection, host.out));
    const findings = args.online && isValid ? await checkOnline(inspection) : [];
    if (args.json) await host.out.write(jsonReport(inspection, findings));
    else if (findings.length > 0) await host.out.write(`\n${findingsText(findings, host.out)}`);
    if (!isValid) return 78;
    return findings.some(({ outcome }) => outcome === "failed") ? 1 : 0;
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

function jsonReport(inspection: Inspection, findings: readonly OnlineFinding[]): string {
  const { problems, warnings, configFile } = inspection;
  const report = {
    valid: problems.length === 0,
    configFile: configFile ?? null,
    problems: problems.map(({ origin, ...problem }) => ({ where: describeOrigin(origin), ...problem })),
    warnings,
    settings:
      problems.length > 0 ? [] : effectiveRows(inspection).map(({ key, value, origin }) => ({ key, value, origin })),
    ...(findings.length === 0 ? {} : { online: findings }),
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
