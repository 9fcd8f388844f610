/** One finding of `check --online`, how findings are printed, and the check of the journal. */
import type { Config } from "../config/index.ts";
import { inspectJournal } from "../journal/index.ts";
import { formatBytes } from "../lib/units.ts";
import { TailscaleError } from "../tailscale/index.ts";
import { type Output, paint } from "./terminal.ts";

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
  const lines = findings.flatMap(({ subject, outcome, detail, remedy }) => {
    const line = `${paint(colours[outcome], outcome.padEnd(7), out)}  ${subject.padEnd(width)}  ${detail}`;
    return remedy === undefined ? [line] : [line, `${" ".repeat(width + 11)}${remedy}`];
  });
  const counts = (["failed", "warning", "ok", "skipped"] as const).flatMap((outcome) => {
    const amount = findings.filter((finding) => finding.outcome === outcome).length;
    return amount === 0 ? [] : [`${amount} ${outcome}`];
  });
  return `${[...lines, `online: ${counts.join(", ")}`].join("\n")}\n`;
}

/** A finding from a thrown error. */
export function failure(subject: string, error: unknown): OnlineFinding {
  const detail = error instanceof Error ? error.message : String(error);
  return error instanceof TailscaleError
    ? { subject, outcome: "failed", detail, remedy: error.remedy }
    : { subject, outcome: "failed", detail };
}

interface StateOnly {
  readonly state: Pick<Config["state"], "path">;
}

/** Looks at the state directory without opening, locking or creating anything. */
export function checkJournal({ state: { path } }: StateOnly): OnlineFinding & { readonly kind: string } {
  const found = inspectJournal(path);
  const finding = (outcome: OnlineFinding["outcome"], detail: string, remedy?: string) => ({
    subject: "journal",
    kind: found.kind,
    outcome,
    detail,
    ...(remedy === undefined ? {} : { remedy }),
  });
  switch (found.kind) {
    case "memory":
      return finding("ok", "in memory: nothing survives a restart");
    case "new":
      return finding("ok", `it will be created in ${path}`);
    case "ready":
      return finding("ok", `${formatBytes(found.bytes)} in ${path}`);
    case "in_use":
      return finding("ok", `${path} is in use by a running instance`);
    case "damaged": {
      const remedy = "Start the service: it moves the files to a folder beside it and recovers what can be read.";
      return finding("warning", `the journal in ${path} is damaged: ${found.reason}`, remedy);
    }
    case "newer": {
      const detail = `the journal in ${path} was written by a newer version (schema ${found.schema})`;
      return finding("failed", detail, "Install that version, or a later one.");
    }
    case "unusable": {
      const remedy = "Set state.path to a directory on a local disk that the user of the service may write.";
      return finding("failed", `cannot use the state directory: ${found.reason}`, remedy);
    }
  }
}
