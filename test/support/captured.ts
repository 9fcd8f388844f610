/** Gives tests the connection a journal writes over, to cause faults that only SQLite itself can produce. */
import { DatabaseSync } from "node:sqlite";
import type { Journal } from "../../src/journal/index.ts";

/** Opens a journal and finds its connection by watching which statements run meanwhile. */
export function captureConnection(open: () => Journal): {
  readonly journal: Journal;
  readonly database: DatabaseSync;
  /** Statements prepared meanwhile. */
  readonly statements: ReadonlySet<string>;
} {
  const { exec, prepare } = DatabaseSync.prototype;
  const seen = new Set<DatabaseSync>();
  const statements = new Set<string>();
  DatabaseSync.prototype.prepare = function noted(sql) {
    statements.add(sql);
    return prepare.call(this, sql);
  };
  DatabaseSync.prototype.exec = function noted(sql) {
    seen.add(this);
    return exec.call(this, sql);
  };
  try {
    const journal = open();
    const database = [...seen].find((one) => one.location()?.endsWith("journal.db"));
    if (database === undefined) throw new Error("the journal has no connection");
    return { journal, database, statements };
  } finally {
    Object.assign(DatabaseSync.prototype, { exec, prepare });
  }
}
