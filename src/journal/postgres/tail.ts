/** The tail of the journal: polls the head and reports its growth, whichever instance has appended. */
import { recordTypes } from "../../records/types.ts";
import type { Tail } from "../journal.ts";
import type { Destinations } from "./destinations.ts";
import { acceptedIn, type HeadRow, headColumns } from "./head.ts";
import type { Leading } from "./writer.ts";

/** The connection is used by nothing else. */
interface TailDeps extends Pick<Leading, "connection" | "schema" | "heads"> {
  readonly destinations: Destinations;
}

/** How often the head is polled normally, and while the database is unavailable. */
const everyMs = 100;
const whileAwayMs = 500;

export class HeadTail implements Tail {
  readonly #deps: TailDeps;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;
  onGrowth: Tail["onGrowth"] = () => undefined;

  constructor(deps: TailDeps) {
    this.#deps = deps;
    const { heads } = deps;
    let told = heads.current;
    heads.onGrowth = (head) => {
      const records = acceptedIn(head, recordTypes) - acceptedIn(told, recordTypes);
      told = head;
      if (!this.#isClosed) this.onGrowth(head.seq, records);
    };
  }

  /** Polls once, and continues to poll. @throws {DatabaseError} */
  async begin(): Promise<void> {
    await this.#look();
    this.#plan(everyMs);
  }

  /** Queries the head, and since when destinations wait. */
  async #look(): Promise<void> {
    const { connection, schema: s, heads, destinations } = this.#deps;
    const { waiting } = destinations;
    const positions = waiting.map(({ seq, types }, n) => ({ n, seq, types }));
    const [row] = await connection.query<HeadRow & { since: Readonly<Record<string, number | null>> | null }>(
      `SELECT ${headColumns(s)}, (SELECT json_object_agg(p.n, (SELECT b.accepted_at FROM ${s}.batch b
          WHERE b.seq >= p.seq AND b.records > 0 AND b.type IN (SELECT json_array_elements_text(p.types)) ORDER BY b.seq LIMIT 1))
          FROM json_to_recordset($1) AS p(n integer, seq bigint, types json)) AS since FROM ${s}.head`,
      [JSON.stringify(positions)],
    );
    if (row === undefined || this.#isClosed) return;
    const { since, ...head } = row;
    waiting.forEach(({ name }, n) => destinations.waitsSince(name, since?.[n] ?? undefined));
    heads.see(head);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#deps.heads.onGrowth = () => undefined;
    this.#deps.connection.close();
  }

  #plan(ms: number): void {
    if (this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#look().then(
        () => this.#plan(everyMs),
        () => this.#plan(whileAwayMs),
      );
    }, ms);
    this.#timer.unref();
  }
}
