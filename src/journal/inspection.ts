/** Whether a journal could be opened, found out without opening it: nothing is made, locked, or changed. */
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { checkFiles } from "./damage.ts";
import { memoryPath } from "./directory.ts";
import { schemaVersion } from "./schema.ts";

export type JournalInspection =
  /** Records are kept in memory: there is nothing to look at. */
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
    if (isHeld(join(path, "lock.db"))) return { kind: "in_use" };
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    return inspectDatabase(join(path, "journal.db"));
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
  const schema = schemaIn(path);
  if (schema > schemaVersion) return { kind: "newer", schema };
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
    if (/locked|busy/i.test(reasonOf(error))) return true;
    throw error;
  } finally {
    lock.close();
  }
}

/** `user_version` as it stands in the header (SQLite's file format, 1.3.14), without what waits in the write-ahead log. */
function schemaIn(path: string): number {
  const field = Buffer.alloc(4);
  const file = openSync(path, "r");
  try {
    readSync(file, field, 0, field.length, 60);
  } finally {
    closeSync(file);
  }
  return field.readUInt32BE();
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (!existsSync(parent) && parent !== dirname(parent)) parent = dirname(parent);
  return parent;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
