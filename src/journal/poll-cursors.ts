/** How far the API has been polled, by type, as it lies on disk: sealed positions. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { seal, unseal } from "./pack.ts";
import type { PollCursor, PolledType } from "./types.ts";

export const polledTypes: readonly PolledType[] = ["flow", "audit"];

export class PollCursors {
  readonly #write: StatementSync;
  readonly #delete: StatementSync;
  readonly #cursors = new Map<PolledType, PollCursor>();

  /** @throws {DamagedBlob} */
  constructor(database: DatabaseSync) {
    this.#write = database.prepare(
      "INSERT INTO cursor (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    this.#delete = database.prepare("DELETE FROM cursor WHERE name = ?");
    const read = database.prepare("SELECT value FROM cursor WHERE name = ?");
    for (const type of polledTypes) {
      const row = read.get(pollCursorName(type)) as { value: string } | undefined;
      if (row !== undefined) this.#cursors.set(type, JSON.parse(unseal(row.value)) as PollCursor);
    }
  }

  /** Nothing where the type has not been polled. */
  get(type: PolledType): PollCursor | undefined {
    return this.#cursors.get(type);
  }

  /** Writes inside the caller's transaction, or in one of its own. Shown only when that is committed: `publish`. */
  write(cursor: PollCursor): void {
    this.#write.run(pollCursorName(cursor.type), seal(JSON.stringify(storedForm(cursor))));
  }

  publish(cursor: PollCursor): void {
    this.#cursors.set(cursor.type, storedForm(cursor));
  }

  drop(type: PolledType): void {
    this.#delete.run(pollCursorName(type));
    this.#cursors.delete(type);
  }
}

/** The name of a position in `cursor`. */
export function pollCursorName(type: PolledType): string {
  return `poll.${type}`;
}

/** Without what else came with it. */
function storedForm({ type, readUntil, isOurClock }: PollCursor): PollCursor {
  return { type, readUntil, ...(isOurClock && { isOurClock }) };
}
