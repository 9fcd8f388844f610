/** Tests what the database's own functions guarantee, whatever their callers do. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SQL } from "bun";
import { creation } from "../../../src/journal/postgres/schema.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs, until } from "../../support/wait.ts";

describe.skipIf(!canHavePostgres)("functions of the database", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.query(creation("journal", "schema is new"));
  }, timeoutMs);
  afterAll(() => cluster.end());

  test("an instance's first append writes its row once if it is resent while it still runs", async () => {
    const row = JSON.stringify([{ place: 1, at: 0, records: 1, length: 0, bytes: 1, source: "stream", type: "audit" }]);
    const append = `SELECT outcome, last_seq::int FROM journal.append('one', 1, NULL, journal.history(), '', '', '', '[]', '', '[]', '${row}', '', '[]', NULL, NULL)`;
    const connect = () => new SQL(cluster.url(), { max: 1, prepare: false });
    await using first = connect();
    await using again = connect();
    const repeated = await first.begin(async (transaction) => {
      expect([...(await transaction.unsafe(append))]).toEqual([{ outcome: "done", last_seq: 1 }]);
      const repeat = again.unsafe(append).execute();
      await until(async () => {
        const waiting = await cluster.query("SELECT FROM pg_locks WHERE NOT granted");
        return waiting.length > 0;
      });
      return { repeat };
    });
    expect([...(await repeated.repeat)]).toEqual([{ outcome: "done", last_seq: 1 }]);
    const [stored] = await cluster.query("SELECT count(*)::int AS rows FROM journal.batch");
    expect(stored).toEqual({ rows: 1 });
  });
});
