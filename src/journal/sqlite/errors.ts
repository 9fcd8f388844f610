/** What errors of SQLite mean. */
import { Damaged } from "../batch.ts";

const sqliteError = 1;
const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;

/** Whether an error means damage: not I/O error, full, busy or no permission. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true;
  if (!(error instanceof Error)) return false;
  /** A number that JavaScript cannot hold was never written. */
  if ("code" in error && error.code === "ERR_OUT_OF_RANGE") return true;
  const code = errorCode(error);
  /** If the schema is damaged, a table or column has another name. */
  if (code === sqliteError) return /^no such (table|column)/.test(error.message);
  return code === sqliteCorrupt || code === sqliteNotADatabase;
}

export function errorCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}
