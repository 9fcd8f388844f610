/** The schema that a journal is copied into: each step is one statement that also stores the progress of the copy. */
import { setTimeout as wait } from "node:timers/promises";
import { Unavailable } from "../../errors.ts";
import type { KeyClass, LogCursor } from "../journal.ts";
import type { Connection } from "../postgres/connection.ts";
import { DatabaseError } from "../postgres/errors.ts";
import { makeTables } from "../postgres/prepare.ts";
import { keyBytes, unknownDay } from "../postgres/storage.ts";
import { quoted } from "../postgres/schema.ts";

/** Sums that both sides must agree on. */
export interface Sums {
  /** Records since the series began, as delivery counts them. */
  readonly accepted: number;
  readonly delivered: number;
  readonly pending: number;
  readonly deadLettered: number;
  /** What is stored: rows, bytes of their bodies, accepted records in them. */
  readonly rows: number;
  readonly bytes: number;
  readonly records: number;
  readonly keys: number;
  readonly marks: number;
  readonly minutes: number;
}

type Stored = Omit<Sums, "accepted" | "delivered" | "pending" | "deadLettered">;

/** Progress of the copy: the last number of each table, and the number of key steps. */
export interface Copied {
  readonly instanceId: string;
  readonly from: string;
  readonly fingerprint: string;
  readonly batch: number;
  readonly bytes: number;
  readonly mark: number;
  readonly minute: number;
  readonly keys: number;
  readonly keySteps: number;
}

/** How long the database may be unavailable before this run of the copy fails. */
const patienceMs = 60_000;
const pauseMs = 500;

const encoder = new TextEncoder();

export class Target {
  readonly #connection: Connection;
  readonly #schema: string;
  readonly #name: string;

  constructor(connection: Connection, schema: string) {
    this.#connection = connection;
    this.#name = schema;
    this.#schema = quoted(schema);
  }

  /**
   * Creates the tables unless they exist, and begins or continues the copy. Returns `moved` if it was completed before.
   * @throws {Unavailable} if the schema holds something else.
   */
  async begin(copy: Copied): Promise<Copied | "moved"> {
    await makeTables(this.#connection, this.#name);
    const before = await this.#read<Copied>("moving");
    if (before === undefined) {
      const moved = await this.#read<Copied>("moved");
      const identity = await this.#read<{ readonly instanceId: string }>("identity");
      if (moved?.fingerprint === copy.fingerprint && identity?.instanceId === copy.instanceId) return "moved";
      if (identity !== undefined)
        throw new Unavailable(
          `the schema ${this.#name} already holds a journal (instance ${identity.instanceId}): name another one with state.schema, or drop it if nobody needs it`,
        );
      await this.#query(`INSERT INTO ${this.#schema}.state (name, value) VALUES ('moving', $1)`, [bytesOf(copy)]);
      return copy;
    }
    if (before.instanceId !== copy.instanceId)
      throw new Unavailable(
        `the schema ${this.#name} is being filled from another journal (${before.from}): finish that move, or drop the schema`,
      );
    if (before.fingerprint === copy.fingerprint) return before;
    // An instance has used the journal since the copy began.
    const s = this.#schema;
    await this.#connection.run([
      `TRUNCATE ${["batch", "flow_key", "key_day", "other_key", "mark", "minute"].map((name) => `${s}.${name}`).join(", ")}`,
      `DELETE FROM ${s}.state WHERE name <> 'moving'`,
    ]);
    await this.#query(`UPDATE ${s}.state SET value = $1 WHERE name = 'moving'`, [bytesOf(copy)]);
    return copy;
  }

  makeDay(table: "batch" | "flow_key", day: number): Promise<unknown> {
    return this.#query(`SELECT ${this.#schema}.make_day($1, $2)`, [table, day]);
  }

  /** Inserts rows, all or none of them, and stores `copied`. */
  async insert(table: string, columns: string, rows: readonly (readonly unknown[])[], copied: Copied) {
    let place = 1;
    const places = rows.map((row) => `(${row.map(() => `$${++place}`).join(", ")})`);
    const insert = `INSERT INTO ${this.#schema}.${table} (${columns}) VALUES ${places.join(", ")}`;
    await this.#step(insert, rows.flat(), copied);
  }

  /** Inserts keys, four words each. */
  async insertKeys(keyClass: KeyClass, words: Uint32Array, at: number, copied: Copied): Promise<void> {
    const packed = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    const each =
      "substr($2::bytea, 16 * i + 1, 12), substr($2::bytea, 16 * i + 13, 4) FROM generate_series(0, length($2::bytea) / 16 - 1) AS i";
    const [into, values] =
      keyClass === "flow"
        ? [`flow_key (day, key, word) SELECT ${unknownDay}, ${each}`, [packed]]
        : [`other_key (class, at, key, word) SELECT $3::text, $4::bigint, ${each}`, [packed, keyClass, at]];
    await this.#step(`INSERT INTO ${this.#schema}.${into}`, values, copied);
  }

  async setState(name: string, value: Uint8Array): Promise<void> {
    const set = "ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    await this.#lasting(() =>
      this.#query(`INSERT INTO ${this.#schema}.state (name, value) VALUES ($1, $2) ${set}`, [name, value]),
    );
  }

  async sums(accepted: number): Promise<Sums> {
    const s = this.#schema;
    const [sums] = await this.#query<Stored>(
      `SELECT COUNT(*) AS rows, COALESCE(SUM(octet_length(body)), 0)::bigint AS bytes,
        COALESCE(SUM(records) FILTER (WHERE type IN ('flow', 'audit', 'webhook')), 0)::bigint AS records,
        (SELECT COUNT(*) FROM ${s}.flow_key) + (SELECT COUNT(*) FROM ${s}.other_key) AS keys,
        (SELECT COUNT(*) FROM ${s}.mark) AS marks, (SELECT COUNT(*) FROM ${s}.minute) AS minutes FROM ${s}.batch`,
    );
    const cursor = await this.#read<LogCursor>("cursor");
    const { delivered, deadLettered } = cursor?.records ?? { delivered: 0, deadLettered: 0 };
    return { accepted, delivered, pending: accepted - delivered - deadLettered, deadLettered, ...(sums as Stored) };
  }

  /** Completes the copy: sets the totals of the tables, and allows instances to start. */
  async complete(
    copied: Copied,
    last: {
      seq: number;
      mark: number;
      accepted: Readonly<Record<string, number>>;
      latestAt: number;
      streamedAt: number;
    },
  ) {
    const s = this.#schema;
    const { accepted } = last;
    if (last.mark > 0)
      await this.#query("SELECT setval(pg_get_serial_sequence($1, 'id'), $2::bigint)", [`${s}.mark`, last.mark]);
    await this.#lasting(() =>
      this.#query(
        `WITH keys AS (SELECT COUNT(*) AS keys FROM ${s}.flow_key),
          day AS (INSERT INTO ${s}.key_day (day, keys, latest_at, streamed_at)
            SELECT ${unknownDay}, keys, $2::bigint, $3::bigint FROM keys WHERE keys > 0 ON CONFLICT (day) DO NOTHING),
          head AS (UPDATE ${s}.head SET seq = $4, accepted_flow = $5, accepted_audit = $6, accepted_webhook = $7,
            used_bytes = (SELECT COALESCE(SUM(bytes), 0) FROM ${s}.batch) + ${keyBytes} * (SELECT keys FROM keys)),
          moved AS (INSERT INTO ${s}.state (name, value) VALUES ('moved', $1)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value)
        DELETE FROM ${s}.state WHERE name = 'moving'`,
        [
          bytesOf(copied),
          last.latestAt,
          last.streamedAt,
          last.seq,
          accepted["flow"] ?? 0,
          accepted["audit"] ?? 0,
          accepted["webhook"] ?? 0,
        ],
      ),
    );
  }

  /** Executes one statement. If its answer is lost, the stored progress shows whether it was committed. */
  async #step(insert: string, values: readonly unknown[], copied: Copied): Promise<void> {
    const noted = `WITH noted AS (UPDATE ${this.#schema}.state SET value = $1 WHERE name = 'moving') ${insert}`;
    let isRepeat = false;
    await this.#lasting(async () => {
      const now = isRepeat ? await this.#read<Copied>("moving") : undefined;
      isRepeat = true;
      if (JSON.stringify(now) === JSON.stringify(copied)) return;
      await this.#query(noted, [bytesOf(copied), ...values]);
    });
  }

  /** Repeats `act` while the database is temporarily unavailable. */
  async #lasting(act: () => Promise<unknown>): Promise<void> {
    for (const until = performance.now() + patienceMs; ;) {
      try {
        await act();
        return;
      } catch (error) {
        const isPassing = error instanceof DatabaseError && (error.kind === "away" || error.kind === "conflict");
        if (!isPassing || performance.now() > until) throw error;
        await wait(pauseMs);
      }
    }
  }

  async #read<Value>(name: string): Promise<Value | undefined> {
    const [row] = await this.#query<{ value: Uint8Array }>(`SELECT value FROM ${this.#schema}.state WHERE name = $1`, [
      name,
    ]);
    return row && (JSON.parse(new TextDecoder().decode(row.value)) as Value);
  }

  #query<Row extends object>(sql: string, values: readonly unknown[] = []): Promise<Row[]> {
    const given = values.map((value) =>
      value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value,
    );
    return this.#connection.query<Row>(sql, given);
  }
}

function bytesOf(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
