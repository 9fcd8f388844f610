/** Journals over SQLite for tests, each in its own directory. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Journal } from "../../src/journal/index.ts";
import { openSqliteJournal } from "../../src/journal/sqlite/index.ts";
import { configOf, depsOf, newState, type TestSettings, type TestState } from "./support.ts";

export interface SqliteSettings extends TestSettings {
  readonly path?: string;
  readonly ballastBytes?: number;
}

export interface SqliteState extends TestState {
  readonly path: string;
  open(settings?: SqliteSettings): Journal;
  remove(): void;
}

export function createState(): SqliteState {
  const parent = mkdtempSync(join(tmpdir(), "journal-test-"));
  const opened: Journal[] = [];
  const state: SqliteState = {
    ...newState(),
    leavesByDay: false,
    holds: (journal, keyClass, key) => journal.knows(keyClass, key, 0),
    path: join(parent, "state"),
    open({ ballastBytes = 0, ...settings } = {}) {
      const config = configOf({ path: state.path, ...settings });
      const journal = openSqliteJournal(config, { ...depsOf(state), ballastBytes });
      opened.push(journal);
      return journal;
    },
    remove() {
      for (const journal of opened) void journal.close();
      rmSync(parent, { recursive: true, force: true });
    },
  };
  return state;
}
