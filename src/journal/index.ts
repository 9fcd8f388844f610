/** The journal: what it does, what goes into it and comes back, and how one is opened over SQLite. Others import only this file. */
export * from "./batch.ts";
export * from "./journal.ts";
export {
  inspectJournal,
  isDamage,
  type JournalConfig,
  type JournalDeps,
  openSqliteJournal,
  openSqliteReader,
} from "./sqlite/index.ts";
