/** Classifies errors of SQLite. */
import { Damaged } from "../batch.ts";

const sqliteError = 1;
const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;

/** True if the error means damage, as opposed to an I/O error, a full disk, a busy database or missing permission. */
export function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true;
  if (!(error instanceof Error)) return false;
  /** A number that JavaScript cannot represent was never written. */
  if ("code" in error && error.code === "ERR_OUT_OF_RANGE") return true;
  const code = errorCode(error);
  /** A damaged schema has another name for a table or column. */
  if (code === sqliteError) return /^no such (table|column)/.test(error.message);
  return code === sqliteCorrupt || code === sqliteNotADatabase;
}

export function errorCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : undefined;
}
