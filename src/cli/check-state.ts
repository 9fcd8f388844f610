/** Checks what a start would find in the state directory or database, without changing anything. */
import { join } from "node:path";
import { type Config, databaseText, statePathOf } from "../config/index.ts";
import { inspectDatabase, inspectJournal } from "../journal/index.ts";
import { formatBytes } from "../lib/units.ts";
import type { OnlineFinding } from "./online-finding.ts";
import { counted } from "./terminal.ts";

/** Why `run` cannot use a state directory, or those of several tailnets in it; undefined if it can. */
export function whyUnusableState(
  path: string,
  tailnets: readonly string[],
): { readonly message: string; readonly remedy: string } | undefined {
  const shared = checkJournal(path);
  if (tailnets.length > 0 && ["ready", "in_use", "damaged"].includes(shared.kind))
    return {
      message: `${path} is the state directory of a single tailnet, and there are [[tailnet]] sections`,
      remedy: `Stop the instance and move the files into ${join(path, "NAME")}, with the name of that tailnet; or set another state.path.`,
    };
  const own = tailnets.map((name) => checkJournal(statePathOf(path, name)));
  const found = [shared, ...own].find(({ outcome }) => outcome === "failed");
  return found === undefined ? undefined : { message: found.detail, remedy: found.remedy ?? "" };
}

/** Checks the journal, in a directory or a database. */
export async function checkState(config: Config): Promise<OnlineFinding> {
  if (config.state.url === "") return checkJournal(config.state.path);
  const found = await inspectDatabase(config);
  const place = databaseText(config.state);
  const of = { subject: "journal", outcome: "ok" } as const;
  switch (found.kind) {
    case "new":
      return { ...of, detail: `will be created in ${place} (${found.server})` };
    case "ready":
      return {
        ...of,
        detail: `${counted(found.members, "instance")} and ${counted(found.rows, "row")} in ${place} (${found.server})`,
      };
    case "unusable":
      return {
        ...of,
        outcome: "failed",
        detail: found.reason,
        ...(found.remedy !== undefined && { remedy: found.remedy }),
      };
  }
}

/** Checks the state directory without opening, locking or creating anything. */
export function checkJournal(path: string): OnlineFinding & { readonly kind: string } {
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
      return finding("ok", `will be created in ${path}`);
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
      return finding("failed", detail, "Install that version or a later one.");
    }
    case "unusable":
      return finding("failed", `cannot use the state directory: ${found.reason}`, found.remedy);
  }
}
