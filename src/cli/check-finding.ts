/** What a check against the outside found, and how it is shown. */
import { TailscaleError } from "../tailscale/error.ts";
import type { Output } from "./terminal.ts";

export interface OnlineFinding {
  /** What was looked at: a word or two. */
  readonly subject: string;
  /** `skipped`: nothing that is in use depends on it, or it could not be tried for another finding's reason. */
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found, without a full stop. */
  readonly detail: string;
  /** What to do: sentences. */
  readonly remedy?: string;
}

const colours: Readonly<Record<OnlineFinding["outcome"], number>> = { ok: 32, warning: 33, failed: 31, skipped: 90 };

/** A line each, what to do below it, and how many there are of each. */
export function findingsText(findings: readonly OnlineFinding[], out: Output): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const paint = ({ outcome }: OnlineFinding, text: string) =>
    out.hasColour ? `\u001b[${colours[outcome]}m${text}\u001b[39m` : text;
  const lines = findings.flatMap((finding) => {
    const { subject, outcome, detail, remedy } = finding;
    const line = `${paint(finding, outcome.padEnd(7))}  ${subject.padEnd(width)}  ${detail}`;
    return remedy === undefined ? [line] : [line, `${" ".repeat(width + 11)}${remedy}`];
  });
  const counts = (["failed", "warning", "ok", "skipped"] as const).flatMap((outcome) => {
    const amount = findings.filter((finding) => finding.outcome === outcome).length;
    return amount === 0 ? [] : [`${amount} ${outcome}`];
  });
  return `${[...lines, `online: ${counts.join(", ")}`].join("\n")}\n`;
}

/** A finding for what somebody threw. */
export function failure(subject: string, error: unknown): OnlineFinding {
  const detail = error instanceof Error ? error.message : String(error);
  return error instanceof TailscaleError
    ? { subject, outcome: "failed", detail, remedy: error.remedy }
    : { subject, outcome: "failed", detail };
}
