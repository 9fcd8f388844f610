/** Whether the journal can be opened. */
import type { OnlineFinding } from "./check-finding.ts";
import type { Config } from "../config/index.ts";
import { formatBytes } from "../lib/units.ts";
import { inspectJournal } from "../journal/inspection.ts";

const subject = "journal";

/** Looks at the state directory without opening, locking or creating anything. */
export function checkJournal({ state }: Pick<Config, "state">): OnlineFinding {
  const found = inspectJournal(state.path);
  switch (found.kind) {
    case "memory":
      return { subject, outcome: "ok", detail: "in memory: nothing survives a restart" };
    case "new":
      return { subject, outcome: "ok", detail: `it will be created in ${state.path}` };
    case "ready":
      return { subject, outcome: "ok", detail: `${formatBytes(found.bytes)} in ${state.path}` };
    case "in_use":
      return { subject, outcome: "ok", detail: `${state.path} is in use by a running instance` };
    case "damaged":
      return {
        subject,
        outcome: "warning",
        detail: `it is damaged: ${found.reason}`,
        remedy: `The next start moves its files to a folder in ${state.path} and recovers what can be read of them.`,
      };
    case "newer":
      return {
        subject,
        outcome: "failed",
        detail: `it was written by a newer version (schema ${found.schema})`,
        remedy: "Install that version or a later one.",
      };
    case "unusable":
      return {
        subject,
        outcome: "failed",
        detail: `the state directory cannot be used: ${found.reason}`,
        remedy: "Set state.path to a directory on a local disk that the user of the service may write.",
      };
  }
}
