/** What was set aside and can be looked at: bounded for everything but what was accepted and could not be delivered. */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { pack } from "./pack.ts";
import type { EvictedCount, QuarantineItem } from "./types.ts";

/** Bytes that classes other than `dead_letter` share; the oldest leave first. */
const maxBytes = 64 * 1024 * 1024;

/** Characters kept of a text that was never accepted. */
export const maxCharacters = 64 * 1024;

export class Quarantine {
  readonly #insert: StatementSync;
  readonly #oldest: StatementSync;
  readonly #find: StatementSync;
  readonly #delete: StatementSync;
  readonly #measure: StatementSync;
  #bytes: number;
  readonly #evicted = new Map<string, EvictedCount>();

  constructor(database: DatabaseSync) {
    this.#insert = database.prepare(
      "INSERT INTO quarantine (class, type, seq, at, source, reason, detail, bytes, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    this.#oldest = database.prepare(
      "SELECT id, bytes, class, reason FROM quarantine WHERE class <> 'dead_letter' ORDER BY id LIMIT 1",
    );
    this.#find = database.prepare("SELECT bytes, class FROM quarantine WHERE id = ?");
    this.#delete = database.prepare("DELETE FROM quarantine WHERE id = ?");
    this.#measure = database.prepare(
      "SELECT COALESCE(SUM(bytes), 0) AS bytes FROM quarantine WHERE class <> 'dead_letter'",
    );
    this.#bytes = this.#sum();
  }

  /** Items that left for want of space, since the start. */
  get evicted(): readonly EvictedCount[] {
    return [...this.#evicted.values()];
  }

  /** Sets an item aside, inside the caller's transaction. */
  add(item: QuarantineItem): void {
    const isBounded = item.class !== "dead_letter";
    const packed = pack(isBounded ? item.text.slice(0, maxCharacters) : item.text);
    this.#insert.run(
      item.class,
      item.type,
      item.seq ?? null,
      item.at,
      item.source,
      item.reason,
      item.detail,
      packed.length,
      packed,
    );
    if (!isBounded) return;
    this.#bytes += packed.length;
    while (this.#bytes > maxBytes) this.#evictOldest();
  }

  /** Deletes an item, inside the caller's transaction. Whether it was there. */
  remove(id: number): boolean {
    const found = this.#find.get(id) as { bytes: number; class: string } | undefined;
    if (found === undefined) return false;
    this.#delete.run(id);
    if (found.class !== "dead_letter") this.#bytes -= found.bytes;
    return true;
  }

  /** Measures again: after a rollback what was added is gone. */
  recount(): void {
    this.#bytes = this.#sum();
  }

  #evictOldest(): void {
    const oldest = this.#oldest.get() as (Omit<EvictedCount, "items"> & { id: number; bytes: number }) | undefined;
    if (oldest === undefined) {
      this.#bytes = 0;
      return;
    }
    this.#delete.run(oldest.id);
    this.#bytes -= oldest.bytes;
    const name = `${oldest.class} ${oldest.reason}`;
    const items = (this.#evicted.get(name)?.items ?? 0) + 1;
    this.#evicted.set(name, { class: oldest.class, reason: oldest.reason, items });
  }

  #sum(): number {
    return (this.#measure.get() as { bytes: number }).bytes;
  }
}
