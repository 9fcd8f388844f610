/** Moves a damaged database out of the way, whole, and puts what could be salvaged in its place. Survives a kill at any step. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { syncDirectory } from "../lib/sync-directory.ts";
import { damageMark } from "./damage.ts";

/** There while the directory it lies in is not finished. */
const marker = "unfinished";

const prefix = "damaged-";

/** The log first: a database without its log would be taken for a sound older one. The database last: it says that all is moved. */
const suffixes = ["-wal", "-shm", damageMark, ""];

/** Where a damaged database has gone. */
export interface SetAside {
  readonly directory: string;
  /** The damaged database, if there was one. */
  readonly databasePath: string;
  /** When it was written last, epoch milliseconds. */
  readonly writtenAt: number;
  /** Where to put what is salvaged, until `finish`. */
  readonly salvagedPath: string;
  /** Puts the salvaged database in the place of the damaged one. */
  finish(): void;
}

/** When a database, or its log, was written last; epoch milliseconds, 0 where there is none. Before it is opened: that writes. */
export function lastWrittenAt(databasePath: string): number {
  const [file, log] = [databasePath, `${databasePath}-wal`].map(
    (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0,
  );
  return Math.max(file ?? 0, log ?? 0);
}

/** Begins to set a database aside. Epoch milliseconds; `now` is for the directory's name. */
export function setAside(
  databasePath: string,
  { now, writtenAt }: { readonly now: number; readonly writtenAt: number },
): SetAside {
  const state = dirname(databasePath);
  const name = `${prefix}${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`;
  let directory = join(state, name);
  for (let again = 2; existsSync(directory); again++) directory = join(state, `${name}-${again}`);
  mkdirSync(directory, { mode: 0o700 });
  writeFileSync(join(directory, marker), String(writtenAt));
  return moveInto(directory, databasePath, writtenAt);
}

/** Goes on with what a kill has interrupted, if anything. */
export function unfinishedSetAside(databasePath: string): SetAside | undefined {
  const state = dirname(databasePath);
  const found = readdirSync(state).find((name) => name.startsWith(prefix) && existsSync(join(state, name, marker)));
  if (found === undefined) return undefined;
  const directory = join(state, found);
  /** The salvaged database is in its place already, or the damaged one has not been moved. */
  if (existsSync(join(directory, "journal.db")) && existsSync(databasePath)) {
    rmSync(join(directory, marker));
    return undefined;
  }
  /** A marker that a kill has left empty says nothing. */
  const written = Number(readFileSync(join(directory, marker), "utf8"));
  const moved = lastWrittenAt(join(directory, "journal.db"));
  return moveInto(directory, databasePath, written || Math.max(moved, lastWrittenAt(databasePath)));
}

function moveInto(directory: string, databasePath: string, writtenAt: number): SetAside {
  for (const suffix of suffixes) {
    const from = `${databasePath}${suffix}`;
    if (existsSync(from)) renameSync(from, join(directory, `journal.db${suffix}`));
  }
  syncDirectory(directory);
  syncDirectory(dirname(databasePath));
  const salvagedPath = join(dirname(databasePath), "salvaged.db");
  for (const suffix of suffixes) rmSync(`${salvagedPath}${suffix}`, { force: true });
  return {
    directory,
    databasePath: join(directory, "journal.db"),
    writtenAt,
    salvagedPath,
    finish() {
      renameSync(salvagedPath, databasePath);
      syncDirectory(dirname(databasePath));
      rmSync(join(directory, marker));
    },
  };
}
