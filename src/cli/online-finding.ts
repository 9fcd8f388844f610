/** Findings of `check --online` and `init`: what was tested, the outcome, and what to do. */
import { messageOf } from "../lib/system-error.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { type Output, paint } from "./terminal.ts";

export interface OnlineFinding {
  /** What was checked, in a word or two. */
  readonly subject: string;
  /** `skipped`: nothing in use depends on it, or another finding prevented the check. */
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found, without a full stop. */
  readonly detail: string;
  /** What to do, as sentences. */
  readonly remedy?: string;
}

/** A finding from a thrown error. */
export function failure(subject: string, error: unknown): OnlineFinding {
  const failed = { subject, outcome: "failed", detail: messageOf(error) } as const;
  return error instanceof TailscaleError ? { ...failed, remedy: error.remedy } : failed;
}

/** One line per finding, followed by its remedy; findings in a row with the same remedy share it. */
export function findingLines(findings: readonly OnlineFinding[], output: Pick<Output, "hasColor">): readonly string[] {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  return findings.flatMap(({ subject, outcome, detail, remedy }, index) => {
    const line = `${paint(colors[outcome], outcome.padEnd(7), output)}  ${subject.padEnd(width)}  ${detail}`;
    const isBelow = remedy !== undefined && findings[index + 1]?.remedy !== remedy;
    return isBelow ? [line, `${" ".repeat(width + 11)}${remedy}`] : [line];
  });
}

const colors: Readonly<Record<OnlineFinding["outcome"], number>> = { ok: 32, warning: 33, failed: 31, skipped: 90 };
