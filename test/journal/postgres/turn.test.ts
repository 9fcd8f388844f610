/** Tests appends of instances that share a database: accepted once, whatever fails, and read in the order of commits. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { SQL } from "bun";
import fc from "fast-check";
import { Unavailable } from "../../../src/errors.ts";
import type { Append, Committed } from "../../../src/journal/index.ts";
import { Database } from "../../../src/journal/postgres/connection.ts";
import { type HeadRow, headColumns, Heads } from "../../../src/journal/postgres/head.ts";
import { AppendKeys } from "../../../src/journal/postgres/keys.ts";
import { locationOf, openPostgresReader } from "../../../src/journal/postgres/rows.ts";
import { creation, quoted } from "../../../src/journal/postgres/schema.ts";
import { Turn } from "../../../src/journal/postgres/turn.ts";
import { type CuttingProxy, startCuttingProxy } from "../../support/cutting-proxy.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { acceptedIn, appendOf, keyInWindow, keyOf, linesOf, mebibyte, partOf, quarantineOf } from "../support.ts";

const said: string[] = [];
const say = (message: string): void => void said.push(message);
const logger = { debug: () => undefined, info: say, warn: say, error: say };
const tls = { ca_file: "", cert_file: "", key_file: "" };

describe.skipIf(!canHavePostgres)("appends to PostgreSQL", () => {
  let cluster: Cluster;
  let proxy: CuttingProxy;
  let schema: string;
  let schemas = 0;
  const opened: { close(): void }[] = [];

  beforeAll(async () => {
    cluster = await startCluster();
    proxy = await startCuttingProxy(cluster.port);
  }, timeoutMs);
  beforeEach(async () => {
    schema = `journal_${++schemas}`;
    await cluster.query(creation(schema, "schema is new"));
  });
  afterAll(async () => {
    for (const one of opened) one.close();
    await proxy.end();
    await cluster.end();
  });

  /** An instance that appends, connected through the given port. */
  async function instance(port = cluster.port) {
    const database = new Database({ url: cluster.url("postgres", port), tls }, logger);
    const connection = database.connect(5000);
    opened.push(connection);
    const [head] = await connection.query<HeadRow>(`SELECT ${headColumns(quoted(schema))} FROM ${quoted(schema)}.head`);
    const keys = new AppendKeys();
    const seqs: number[] = [];
    const turn = new Turn({
      database,
      connection,
      schema: quoted(schema),
      member: crypto.randomUUID(),
      keys,
      heads: new Heads(head as HeadRow),
      logger,
      admit: () => undefined,
      committed: () => undefined,
    });
    const append = (given: Append): Promise<Committed> => turn.append(given, ({ lastSeq }) => seqs.push(lastSeq));
    const numbers = (list: readonly number[], more: Partial<Append> = {}) => append(appendOf([partOf(list)], more));
    return { turn, keys, append, numbers, seqs, database, connection };
  }

  function reader() {
    const own = openPostgresReader(locationOf({ url: cluster.url(), tls, schema }));
    opened.push(own);
    return own;
  }

  async function numbersStored(): Promise<number[]> {
    const own = reader();
    const rows = await own.read(1, { rows: 10_000, bytes: 64 * mebibyte });
    own.close();
    const accepted = rows.filter(({ type }) => type === "flow" || type === "audit" || type === "webhook");
    return accepted.flatMap((row) =>
      linesOf(row).map((line) => (JSON.parse(line) as { event: { n: number } }).event.n),
    );
  }

  test("lose nothing if a backend is killed in the middle of a transaction, and are repeated", async () => {
    const { numbers, connection } = await instance();
    await numbers([1]);
    const [own] = await connection.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    await cluster.query(
      `CREATE FUNCTION ${schema}.die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF pg_backend_pid() = ${own?.pid} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$;
       CREATE TRIGGER die BEFORE INSERT ON ${schema}.batch_default FOR EACH ROW EXECUTE FUNCTION ${schema}.die()`,
    );
    expect(acceptedIn(await numbers([1, 2, 3]))).toBe(2);
    expect(await numbersStored()).toEqual([1, 2, 3]);
  });

  test("are not repeated if their answer is lost after the commit", async () => {
    const { numbers, seqs } = await instance(proxy.port);
    await numbers([1]);
    // From here on, every answer of the database is cut off.
    proxy.cutAfter(1, "to client");
    const waiting = numbers([2, 3]);
    await until(async () => (await numbersStored()).length === 3);
    await proxy.pass();
    expect(acceptedIn(await waiting)).toBe(2);
    expect(await numbersStored()).toEqual([1, 2, 3]);
    expect(seqs).toEqual([1, 2]);
  });

  test("accept each record once between two instances that append the same at once", async () => {
    const instances = await Promise.all([instance(), instance()]);
    const list = Array.from({ length: 300 }, (_, n) => n);
    const answers = await Promise.all(
      instances.flatMap(({ numbers }, one) =>
        Array.from({ length: 10 }, (_, round) => numbers(list.slice(round * 20, round * 20 + 40 + one * 30))),
      ),
    );
    expect(answers.reduce((sum, answer) => sum + acceptedIn(answer), 0)).toBe(250);
    expect((await numbersStored()).toSorted((a, b) => a - b)).toEqual(list.slice(0, 250));
    for (const { seqs } of instances) expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
  });

  test("find what another instance has, with its counters and its sources", async () => {
    const [one, other] = await Promise.all([instance(), instance()]);
    await one.append(appendOf([partOf([1], { keys: [keyOf(1, 5)] })]));
    const { tally } = await other.append(appendOf([partOf([1], { keys: [keyOf(1, 6)] })]));
    expect(tally).toMatchObject({ duplicates: { flow: 1 }, conflicts: { counters: 1, entries: 0 } });
    other.turn.fence = 0;
    await other.numbers([2, 3], { source: "poll", repairs: true });
    expect((await one.numbers([2])).tally.late).toEqual({ flow: 1 });
    expect((await other.numbers([2])).tally.late).toBeUndefined();
    expect((await other.numbers([3])).tally.late).toEqual({ flow: 1 });
    expect(other.keys.knows("flow", keyOf(1), 0)).toBe(true);
  });

  test("count a known window with other entries as a conflict", async () => {
    const { append } = await instance();
    await append(appendOf([partOf([1], { keys: [keyInWindow(9, 1)] })]));
    const { tally } = await append(appendOf([partOf([2], { keys: [keyInWindow(9, 2)] })]));
    expect(tally.conflicts).toEqual({ counters: 0, entries: 1 });
  });

  test("are refused alone if they retry a missing line, poll without leading, or were fenced", async () => {
    const { append, numbers, turn } = await instance();
    await append(appendOf([], { quarantine: [quarantineOf(["a", "b"])] }));
    const retries = { seq: 2, line: 0, reason: "decode_error" };
    await expect(numbers([1], { retries })).rejects.toThrow("does not lead");
    turn.fence = 0;
    expect((await numbers([1], { retries })).tally.retried).toEqual({ decode_error: 1 });
    const [gone, sound] = await Promise.allSettled([numbers([2], { retries }), numbers([3])]);
    expect([gone.status, sound.status]).toEqual(["rejected", "fulfilled"]);
    turn.fence = 7;
    const poll = { type: "flow" as const, readUntil: 1000, unverifiableSeconds: 0 };
    await expect(numbers([4], { source: "poll", poll })).rejects.toThrow("another instance leads");
    turn.fence = 0;
    await numbers([4], { source: "poll", poll });
    const [state] = await cluster.query<{ value: string }>(
      `SELECT convert_from(value, 'UTF8') AS value FROM ${schema}.state WHERE name = 'poll.flow'`,
    );
    expect(JSON.parse(state?.value ?? "")).toEqual({ type: "flow", readUntil: 1000 });
    expect(await numbersStored()).toEqual([1, 3, 4]);
  });

  test("that the database cannot store do not fail those that arrive with them", async () => {
    const { append, numbers } = await instance();
    const bad = { ...partOf([1]), type: "flow" as const, records: 1, length: 2 ** 40 };
    const answers = await Promise.allSettled([numbers([2]), append(appendOf([bad])), numbers([3])]);
    expect(answers.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await numbersStored()).toEqual([2, 3]);
  });

  test(
    "are refused in time while the database is down, later ones at once, and its password is not revealed",
    async () => {
      const { numbers, database } = await instance(proxy.port);
      const looking = database.connect(5000);
      opened.push(looking);
      await numbers([1]);
      await proxy.refuse();
      proxy.cut();
      const refusal = await numbers([2]).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(Unavailable);
      expect(database.failure?.reason).toContain(`127.0.0.1:${proxy.port}`);
      expect(`${String(refusal)} ${database.failure?.reason}`).not.toContain(cluster.password);
      await expect(numbers([2])).rejects.toThrow(Unavailable);
      await proxy.pass();
      // It does not ask the database; detecting the recovery is up to others.
      await expect(numbers([2])).rejects.toThrow(database.failure?.reason ?? "");
      await until(() =>
        looking.query("SELECT 1").then(
          () => true,
          () => false,
        ),
      );
      expect(acceptedIn(await numbers([2]))).toBe(1);
      expect(database.failure).toBeUndefined();
    },
    timeoutMs,
  );

  test(
    "are tried once each and refused while the database has no room, which is logged once, and others are served",
    async () => {
      const { numbers, turn, database } = await instance();
      const looking = database.connect(5000);
      opened.push(looking);
      await numbers([1]);
      await cluster.query(
        `CREATE SEQUENCE ${schema}.tries;
         CREATE FUNCTION ${schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           PERFORM nextval('${schema}.tries'); RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON ${schema}.batch_default FOR EACH ROW EXECUTE FUNCTION ${schema}.refuse()`,
      );
      const tries = async () =>
        (await looking.query<{ n: number }>(`SELECT last_value AS n FROM ${schema}.tries`))[0]?.n;
      said.length = 0;
      await expect(numbers([2])).rejects.toThrow("No space left on device");
      const before = (await tries()) as number;
      for (const n of [3, 4, 5]) await expect(numbers([n])).rejects.toThrow("No space left on device");
      expect(await tries()).toBe(before + 3);
      expect(turn.refusal).toContain("No space left on device");
      expect(database.failure).toBeUndefined();
      expect(said).toEqual(["the database refuses statements; retrying"]);
      await cluster.query(`DROP TRIGGER refuse ON ${schema}.batch_default`);
      expect(acceptedIn(await numbers([2, 3, 4, 5]))).toBe(4);
      expect(turn.refusal).toBeUndefined();
    },
    timeoutMs,
  );

  test("accept again what a restored backup lacks, without a restart of the instance", async () => {
    const { numbers } = await instance();
    await numbers([1, 2]);
    await cluster.query(`DROP SCHEMA ${schema} CASCADE`);
    await cluster.query(creation(schema, "schema is new"));
    expect(acceptedIn(await numbers([1, 2, 3]))).toBe(3);
    expect(await numbersStored()).toEqual([1, 2, 3]);
  });

  test("leave no statement waiting for a lock at the server once it is given up here", async () => {
    const { database } = await instance();
    await using other = new SQL(cluster.url(), { max: 1, prepare: false });
    const held = await other.reserve();
    await held.unsafe(`BEGIN; LOCK TABLE ${schema}.head IN ACCESS EXCLUSIVE MODE`);
    const hasty = database.connect(300);
    opened.push(hasty);
    for (let n = 0; n < 3; n++)
      await expect(hasty.query(`SELECT ${n} FROM ${schema}.head`)).rejects.toThrow("no answer within");
    await until(async () => {
      const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${schema}.head'`;
      return (await cluster.query(waiting)).length === 0;
    });
    await held.unsafe("ROLLBACK");
    held.release();
    expect(await hasty.query(`SELECT seq FROM ${schema}.head`)).toEqual([{ seq: 0 }]);
  });

  test(
    "are never passed by a reader if they are committed later",
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 25 }), async (order) => {
          schema = `journal_${++schemas}`;
          await cluster.query(creation(schema, "schema is new"));
          const instances = await Promise.all([instance(), instance(), instance()]);
          const rows = reader();
          let [isOver, next] = [false, 1];
          const reading = (async () => {
            for (let isLast = false; !isLast;) {
              isLast = isOver;
              for (const { seq } of await rows.heads(next, 100)) {
                expect(seq).toBe(next);
                next++;
              }
            }
          })();
          await Promise.all(order.map((one, n) => instances[one]?.numbers([n, n + 1])));
          isOver = true;
          await reading;
          expect((await numbersStored()).length).toBe(order.length + 1);
          for (const { connection } of instances) connection.close();
          rows.close();
        }),
        { numRuns: 8 },
      );
    },
    timeoutMs,
  );
});
