/**
 * A model test of transactions of several instances that begin, wait for each other and end in random order. It checks what the
 * tables guarantee, whatever the instances do: rows become visible in the order of `seq`, a key is accepted once, and no leader
 * writes after another one has taken its place.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ReservedSQL, SQL } from "bun";
import fc from "fast-check";
import { creation } from "../../../src/journal/postgres/schema.ts";
import { installWitness, testimony } from "../../chaos/cluster-witness.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { longTimeoutMs, until } from "../../support/wait.ts";

interface Appended {
  readonly keys: readonly number[];
  readonly rows: number;
}

/** The next action of an instance. All but the last line leave its transaction open. */
type Action =
  | (Appended & { readonly kind: "append" })
  | { readonly kind: "take lease" | "write as leader" | "commit" | "roll back" | "lose connection" };

const instances = 4;

const append: fc.Arbitrary<Action> = fc.record({
  kind: fc.constant("append" as const),
  keys: fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 4 }),
  rows: fc.integer({ min: 1, max: 3 }),
});

const plain = (...kinds: readonly Exclude<Action["kind"], "append">[]): fc.Arbitrary<Action> =>
  fc.record({ kind: fc.constantFrom(...kinds) });

const steps = fc.array(
  fc.tuple(
    fc.nat(instances - 1),
    fc.oneof(
      { weight: 4, arbitrary: append },
      { weight: 3, arbitrary: plain("take lease") },
      { weight: 6, arbitrary: plain("write as leader") },
      { weight: 6, arbitrary: plain("commit") },
      { weight: 1, arbitrary: plain("roll back", "lose connection") },
    ),
  ),
  { minLength: 30, maxLength: 80 },
);

/** The session of one instance: at most one statement at a time, which may wait for another instance's transaction. */
class Session {
  readonly #url: string;
  readonly #name: string;
  #pool: SQL | undefined;
  #connection: ReservedSQL | undefined;
  #number = 0;
  #open: Appended[] = [];
  #fence: { readonly value: number; readonly isCommitted: boolean } | undefined;
  #writes = 0;
  #openWrites = 0;
  isBusy = false;
  /** Its appends in committed transactions, and the number of its writes as leader in them. */
  readonly committed: Appended[] = [];
  committedWrites = 0;

  constructor(url: string, name: string) {
    this.#url = url;
    this.#name = name;
  }

  /** Does nothing while an earlier statement waits. After a failure, everything is rolled back. */
  start(action: Action): void {
    if (this.isBusy) return;
    this.isBusy = true;
    void this.#act(action)
      .catch(() => this.#end("ROLLBACK"))
      .finally(() => (this.isBusy = false));
  }

  async close(): Promise<void> {
    await this.#pool?.close({ timeout: 0 });
  }

  async #act(action: Action): Promise<void> {
    switch (action.kind) {
      case "append": {
        const [row] = await this.#run<{ outcome: string }>(appendOf(this.#name, ++this.#number, action));
        if (row?.outcome === "done") this.#open.push(action);
        return;
      }
      case "take lease": {
        const sql = `UPDATE journal.lease SET fence = fence + 1, holder = '${this.#name}' RETURNING fence::int`;
        const [row] = await this.#run<{ fence: number }>(sql);
        this.#fence = { value: row?.fence ?? 0, isCommitted: false };
        return;
      }
      case "write as leader": {
        if (this.#fence?.isCommitted !== true) return;
        const { value } = this.#fence;
        const cursor = JSON.stringify({ seq: value * 1000 + ++this.#writes });
        await this.#run(`SELECT journal.fenced(${value}); INSERT INTO journal.state VALUES ('cursor', '${cursor}')
          ON CONFLICT (name) DO UPDATE SET value = excluded.value`);
        this.#openWrites++;
        return;
      }
      case "commit":
        return this.#end("COMMIT");
      case "roll back":
        return this.#end("ROLLBACK");
      case "lose connection":
        this.#connection = undefined;
        this.#forget();
        await this.#pool?.close({ timeout: 0 });
        this.#pool = undefined;
    }
  }

  async #run<Result>(sql: string): Promise<readonly Result[]> {
    this.#pool ??= new SQL(this.#url, { max: 1, prepare: false });
    if (this.#connection === undefined) {
      this.#connection = await this.#pool.reserve();
      await this.#connection.unsafe("BEGIN");
    }
    return [...((await this.#connection.unsafe(sql)) as readonly Result[])];
  }

  async #end(how: "COMMIT" | "ROLLBACK"): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    await connection.unsafe(how);
    connection.release();
    if (how === "COMMIT") {
      this.committed.push(...this.#open);
      this.committedWrites += this.#openWrites;
      if (this.#fence !== undefined) this.#fence = { ...this.#fence, isCommitted: true };
    }
    this.#forget();
  }

  #forget(): void {
    this.#open = [];
    this.#openWrites = 0;
    if (this.#fence?.isCommitted === false) this.#fence = undefined;
  }
}

/** Each key is that of a flow record of the same day. */
function appendOf(member: string, number: number, { keys, rows }: Appended): string {
  const packed = Buffer.alloc(16 * keys.length);
  for (const [at, key] of keys.toSorted((a, b) => a - b).entries()) packed.writeUInt32BE(key, 16 * at);
  const days = Buffer.alloc(2 * keys.length, 1);
  const row = { at: 0, records: 1, length: 0, bytes: 1, source: "stream", type: "flow" };
  const list = JSON.stringify(Array.from({ length: rows }, (_, at) => ({ place: at + 1, ...row })));
  return `SELECT outcome FROM journal.append('${member}', ${number}, NULL, journal.history(), '\\x${days.toString("hex")}',
    '\\x${packed.toString("hex")}', '', '[]', '', '[]', '${list}', '', '[]', NULL, NULL)`;
}

describe.skipIf(!canHavePostgres)("transactions that end in any order", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster({ settings: { deadlock_timeout: "20ms" } });
  }, longTimeoutMs);
  afterAll(() => cluster.end());

  /** Returns how many appends and leader's writes were committed. */
  async function play(given: readonly (readonly [number, Action])[]) {
    const database = await cluster.createDatabase();
    const query = <Row>(sql: string) => cluster.query<Row>(sql, database);
    await query(creation("journal", "schema is new"));
    await installWitness(query, "journal");
    const sessions = Array.from({ length: instances }, (_, at) => new Session(cluster.url(database), `instance ${at}`));
    await using reader = new SQL(cluster.url(database), { max: 1, prepare: false });
    let seen = 0;
    const look = async (): Promise<void> => {
      const [head] = (await reader.unsafe("SELECT seq::int FROM journal.head")) as readonly { seq: number }[];
      const last = head?.seq ?? 0;
      const rows = (await reader.unsafe("SELECT seq::int FROM journal.batch ORDER BY seq")) as readonly {
        seq: number;
      }[];
      const numbers = [...rows].map(({ seq }) => seq);
      expect(numbers.slice(0, last)).toEqual(Array.from({ length: last }, (_, at) => at + 1));
      expect(last).toBeGreaterThanOrEqual(seen);
      seen = last;
    };
    /** True if every statement under way waits for another transaction. */
    const isStill = async (): Promise<boolean> => {
      const [locks] = await reader.unsafe("SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted");
      return sessions.filter(({ isBusy }) => isBusy).length <= (locks as { waiting: number }).waiting;
    };
    for (const [place, action] of given) {
      sessions[place]?.start(action);
      await until(isStill);
      await look();
    }
    // A waiting statement continues once the transactions it waits for have ended.
    for (let quiet = 0; quiet < 2; quiet++) {
      await until(() => {
        const busy = sessions.filter(({ isBusy }) => isBusy);
        for (const session of sessions) session.start({ kind: "commit" });
        return busy.length === 0;
      });
    }
    await until(() => sessions.every(({ isBusy }) => !isBusy));
    await look();
    await Promise.all(sessions.map((session) => session.close()));
    const appends = sessions.flatMap(({ committed }) => committed);
    const keys = appends.flatMap((one) => one.keys);
    const rows = appends.reduce((sum, one) => sum + one.rows, 0);
    expect(new Set(keys).size).toBe(keys.length);
    const [found] = await query(
      `SELECT seq::int, accepted_flow::int AS records, (SELECT count(*)::int FROM journal.flow_key) AS keys FROM journal.head`,
    );
    expect(found).toEqual({ seq: rows, records: rows, keys: keys.length });
    expect(await testimony(query)).toEqual([]);
    return { appends: appends.length, writes: sessions.reduce((sum, one) => sum + one.committedWrites, 0) };
  }

  test(
    "show rows in order, accept keys once, and let no leader write after the next one",
    async () => {
      const sums = { appends: 0, writes: 0 };
      const property = fc.asyncProperty(steps, async (given) => {
        const { appends, writes } = await play(given);
        sums.appends += appends;
        sums.writes += writes;
      });
      await fc.assert(property, { numRuns: 15, endOnFailure: true });
      expect([sums.appends > 15, sums.writes > 0], JSON.stringify(sums)).toEqual([true, true]);
    },
    longTimeoutMs,
  );
});
