/** What the journal knows about itself, by name: identity, secrets, birth. Each value is sealed; a damaged one is no value. */
import type { DatabaseSync } from "node:sqlite";
import { DamagedBlob, seal, unseal } from "./pack.ts";

/** Sets a value inside the caller's transaction, or in one of its own. */
export function writeMeta(database: DatabaseSync, name: string, value: string): void {
  database
    .prepare("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
    .run(name, seal(value));
}

/** The value of that name, if there is one. @throws {DamagedBlob} */
export function readMeta(database: DatabaseSync, name: string): string | undefined {
  const row = database.prepare("SELECT value FROM meta WHERE name = ?").get(name) as { value: string } | undefined;
  return row === undefined ? undefined : unseal(row.value);
}

/** A value that is there since the journal was made. @throws {DamagedBlob} also where it is missing. */
export function requireMeta(database: DatabaseSync, name: string): string {
  const value = readMeta(database, name);
  if (value === undefined) throw new DamagedBlob(`${name} is missing`);
  return value;
}
