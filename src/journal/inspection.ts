/** Whether a journal could be opened, found out without opening it: nothing is made, locked or changed. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { reasonOf } from "./packing.ts";
import { checkFiles, headerNumber } from "./sqlite/damage.ts";
import { applicationId, schemaVersion } from "./sqlite/schema.ts";
import { databaseName, isBusy, lockName, memoryPath, whyNotPrivate } from "./state-directory.ts";

export type JournalInspection =
  /** Records are kept in a temporary directory: there is nothing to look at. */
  | { readonly kind: "memory" }
  /** The directory or the journal would be made. */
  | { readonly kind: "new" }
  | { readonly kind: "ready"; readonly bytes: number }
  /** A running instance has it. */
  | { readonly kind: "in_use" }
  /** A start would set it aside, and save what can be read of it. */
  | { readonly kind: "damaged"; readonly reason: string }
  /** Written by a newer program. */
  | { readonly kind: "newer"; readonly schema: number }
  | { readonly kind: "unusable"; readonly reason: string };

export function inspectJournal(path: string): JournalInspection {
  if (path === memoryPath) return { kind: "memory" };
  try {
    if (!existsSync(path)) {
      accessSync(existingParent(path), constants.W_OK | constants.X_OK);
      return { kind: "new" };
    }
    if (!statSync(path).isDirectory()) return { kind: "unusable", reason: `${path} is not a directory` };
    const why = whyNotPrivate(path);
    if (why !== undefined) return { kind: "unusable", reason: why };
    if (isHeld(join(path, lockName))) return { kind: "in_use" };
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return inspectDatabase(join(path, databaseName));
  } catch (error) {
    return { kind: "unusable", reason: reasonOf(error) };
  }
}

function inspectDatabase(path: string): JournalInspection {
  if (existsSync(path)) accessSync(path, constants.R_OK | constants.W_OK);
  try {
    checkFiles(path);
  } catch (error) {
    return { kind: "damaged", reason: reasonOf(error) };
  }
  if (!existsSync(path)) return { kind: "new" };
  /** As they stand in the header, without what waits in the write-ahead log. */
  const schema = headerNumber(path, "user_version");
  if (schema > schemaVersion) return { kind: "newer", schema };
  if (schema > 0 && headerNumber(path, "application_id") !== applicationId) {
    return { kind: "unusable", reason: `${path} was written by an unreleased first form, or by another program` };
  }
  return { kind: "ready", bytes: statSync(path).size };
}

/** Reading a file that another process has locked exclusively fails, and leaves it as it is. */
function isHeld(path: string): boolean {
  if (!existsSync(path)) return false;
  const lock = new DatabaseSync(path, { readOnly: true });
  try {
    lock.prepare("SELECT COUNT(*) FROM sqlite_schema").get();
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    throw error;
  } finally {
    lock.close();
  }
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (!existsSync(parent) && parent !== dirname(parent)) parent = dirname(parent);
  return parent;
}
