/** Whether the journal could be opened. */
import { formatBytes } from "../lib/bytes.ts";
import type { Config } from "../config/index.ts";
import { inspectJournal } from "../journal/inspection.ts";
import type { OnlineFinding } from "./check-finding.ts";

const subject = "journal";

export function checkJournal({ state }: Pick<Config, "state">): OnlineFinding {
  const found = inspectJournal(state.path);
  switch (found.kind) {
    case "memory":
      return { subject, outcome: "ok", detail: "records are kept in memory alone" };
    case "new":
      return { subject, outcome: "ok", detail: `it will be made in ${state.path}` };
    case "ready":
      return { subject, outcome: "ok", detail: `${formatBytes(found.bytes)} in ${state.path}` };
    case "in_use":
      return { subject, outcome: "ok", detail: `${state.path} is in use by a running instance` };
    case "damaged":
      return {
        subject,
        outcome: "warning",
        detail: `it is damaged: ${found.reason}`,
        remedy: `The next start sets it aside in ${state.path}, and saves what can be read of it.`,
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
