/** The `check` command: prints the effective configuration, the origin of each value, and every problem with its fix. */
import {
  describeFinding,
  describeOrigin,
  effectiveRows,
  type EffectiveRow,
  type Inspection,
  inspectConfig,
} from "../config/index.ts";
import { checkTailnets } from "./check-online.ts";
import { whyUnusableState } from "./check-state.ts";
import { command } from "./command.ts";
import { configFlags, jsonFlag, option, toggle, UsageError } from "./flags.ts";
import { findingLines, type OnlineFinding } from "./online-finding.ts";
import { counted, type Output, paint } from "./terminal.ts";

export const checkCommand = command({
  name: "check",
  description: "Validate the configuration and show every value with its origin",
  args: {
    ...configFlags,
    ...jsonFlag,
    changed: toggle("Show only values that differ from the defaults."),
    strict: toggle("Fail on warnings too."),
    online: toggle(
      "Also test the API and each scope, the backend, the certificates, the clock and the journal. The text then leaves defaults out.",
    ),
    tailnet: option("name", "With --online: test only this tailnet of [[tailnet]]. (Default: all)"),
  },
  examples: [
    ["tailscale2otel check", "the configuration that run would use"],
    ["tailscale2otel check --config new.toml", "another file"],
    ["tailscale2otel check --changed --strict", "only what differs from the defaults; warnings fail"],
    ["tailscale2otel check --online", "also contacts Tailscale and the backend"],
    ["tailscale2otel check --json | jq .problems", "for scripts"],
  ],
  notes:
    "Exit code 0 if run could start (whether its ports are free is not tested), 78 if it could not or, with --strict, if there are warnings, 1 if something that --online tries fails. It writes nothing, and opens no connection without --online. With --online, it only reads from Tailscale's API, asks tailscaled for its certificate if a receiver uses that, and sends an empty export to the backend.",
  async run({ args, sources, host }) {
    if (args.tailnet !== undefined && args.online !== true) throw new UsageError("--tailnet goes with --online");
    const inspection = inspectConfig({ ...sources, whyUnusableState });
    const { problems, warnings } = inspection;
    const isStrict = args.strict === true;
    const rows = effectiveRows(inspection).filter(({ isDefault }) => !isDefault || args.changed !== true);
    // With `--online`, its findings come last, where nobody would read them after a hundred defaults.
    const shown = args.online === true ? rows.filter(({ isDefault }) => !isDefault) : rows;
    const findings =
      args.online === true && problems.length === 0 ? await checkTailnets(inspection.config, args.tailnet) : [];
    const failed = findings.some(({ outcome }) => outcome === "failed" || (isStrict && outcome === "warning"));
    const isWrong = problems.length > 0 || (isStrict && warnings.length > 0);
    return {
      text: textReport(inspection, shown, host.out) + findingsText(findings, host.out),
      json: jsonReport(inspection, rows, findings),
      code: isWrong ? 78 : failed ? 1 : 0,
    };
  },
});

/** A value with a problem of its own is shown as invalid; the problem listed below it says why. */
function textReport(inspection: Inspection, rows: readonly EffectiveRow[], out: Output): string {
  const { problems, warnings, configFile, isUnread } = inspection;
  const table = isUnread ? [] : tableLines(rows);
  const lines = table.map((line, index) => (rows[index]?.isDefault === true ? paint(90, line, out) : line));
  if (lines.length > 0) lines.push("");
  lines.push(...warnings.map((warning) => `${paint(33, "warning", out)}: ${describeFinding(warning)}`));
  lines.push(...problems.map((problem) => `${paint(31, "error", out)}: ${describeFinding(problem)}`));
  const verdict = problems.length === 0 ? paint(32, "valid", out) : paint(31, "not valid", out);
  const counts = `${counted(problems.length, "problem")}, ${counted(warnings.length, "warning")}`;
  lines.push(`${configFile ?? "configuration (no file)"}: ${verdict}, ${counts}`);
  return `${lines.join("\n")}\n`;
}

function tableLines(rows: readonly EffectiveRow[]): readonly string[] {
  const keyWidth = Math.max(...rows.map(({ key }) => key.length));
  const valueWidth = Math.min(48, Math.max(...rows.map(({ value }) => value.length)));
  return rows.map(({ key, value, origin }) => `${key.padEnd(keyWidth)}  ${value.padEnd(valueWidth)}  ${origin}`);
}

function jsonReport(inspection: Inspection, rows: readonly EffectiveRow[], findings: readonly OnlineFinding[]) {
  const { problems, warnings, configFile, isUnread } = inspection;
  return {
    valid: problems.length === 0,
    configFile: configFile ?? null,
    problems: problems.map(({ origin = { from: "default" }, key, message, remedy }) => ({
      where: describeOrigin(origin),
      key,
      message,
      remedy,
    })),
    warnings: warnings.map(({ key, message, remedy }) => ({ key, message, remedy })),
    settings: isUnread ? [] : rows.map(({ key, value, origin }) => ({ key, value, origin })),
    ...(findings.length === 0 ? {} : { online: findings }),
  };
}

/** The findings, followed by the number of each outcome. */
function findingsText(findings: readonly OnlineFinding[], out: Output): string {
  if (findings.length === 0) return "";
  const counts = (["failed", "warning", "ok", "skipped"] as const).flatMap((outcome) => {
    const amount = findings.filter((finding) => finding.outcome === outcome).length;
    return amount === 0 ? [] : [outcome === "warning" ? counted(amount, outcome) : `${amount} ${outcome}`];
  });
  return `\n${[...findingLines(findings, out), `online: ${counts.join(", ")}`].join("\n")}\n`;
}
