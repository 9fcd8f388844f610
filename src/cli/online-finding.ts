/** A finding of `check --online` and of `init`: what was tried, how it went, and what to do. */
import { messageOf } from "../lib/system-error.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { type Output, paint } from "./terminal.ts";

export interface OnlineFinding {
  /** What was checked: a word or two. */
  readonly subject: string;
  /** `skipped`: nothing that is in use depends on it, or another finding kept it from being checked. */
  readonly outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found, without a full stop. */
  readonly detail: string;
  /** What to do: sentences. */
  readonly remedy?: string;
}

/** A finding from a thrown error. */
export function failure(subject: string, error: unknown): OnlineFinding {
  const failed = { subject, outcome: "failed", detail: messageOf(error) } as const;
  return error instanceof TailscaleError ? { ...failed, remedy: error.remedy } : failed;
}

/** A line each, and what to do below it; of the same for several in a row, below the last of them. */
export function findingLines(findings: readonly OnlineFinding[], output: Pick<Output, "hasColor">): readonly string[] {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  return findings.flatMap(({ subject, outcome, detail, remedy }, index) => {
    const line = `${paint(colors[outcome], outcome.padEnd(7), output)}  ${subject.padEnd(width)}  ${detail}`;
    const isBelow = remedy !== undefined && findings[index + 1]?.remedy !== remedy;
    return isBelow ? [line, `${" ".repeat(width + 11)}${remedy}`] : [line];
  });
}

const colors: Readonly<Record<OnlineFinding["outcome"], number>> = { ok: 32, warning: 33, failed: 31, skipped: 90 };
