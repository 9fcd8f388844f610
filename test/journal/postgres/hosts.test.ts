/** Tests a database with several hosts: the first that accepts writes is used; if none does, each one's fault is reported. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "../../../src/journal/postgres/connection.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { freePort } from "../../support/port.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs } from "../../support/wait.ts";

const tls = { ca_file: "", cert_file: "", key_file: "" };

describe.skipIf(!canHavePostgres)("a database with several hosts", () => {
  let cluster: Cluster;
  let nobody: number;
  beforeAll(async () => {
    cluster = await startCluster();
    nobody = await freePort();
    await cluster.query("CREATE ROLE reader LOGIN PASSWORD 'word'");
    await cluster.query("ALTER ROLE reader SET default_transaction_read_only = on");
    await cluster.query("CREATE ROLE crowd LOGIN PASSWORD 'word' CONNECTION LIMIT 0");
  }, timeoutMs);
  afterAll(() => cluster.end());

  function databaseFor(user: string, password: string, ports: readonly number[]): Database {
    const hosts = ports.map((port) => `127.0.0.1:${port}`).join(",");
    return new Database({ url: `postgres://${user}:${password}@${hosts}/postgres?sslmode=disable`, tls }, silentLogger);
  }

  test(
    "is used through the first that accepts writes",
    async () => {
      const connection = databaseFor(cluster.user, cluster.password, [nobody, cluster.port]).connect(5000);
      expect(await connection.query("SELECT 1 AS one")).toEqual([{ one: 1 }]);
      connection.close();
    },
    timeoutMs,
  );

  test(
    "reports the fault of each of them",
    async () => {
      const database = databaseFor("reader", "word", [cluster.port, nobody]);
      const connection = database.connect(5000);
      await expect(connection.query("SELECT 1")).rejects.toThrow(/it accepts no writes.*; the database at .*REFUSED/);
      expect(database.failure?.reason).toContain(`127.0.0.1:${cluster.port}: it accepts no writes`);
      connection.close();
    },
    timeoutMs,
  );

  test(
    "reports a host without free connections as such, whatever the other host says",
    async () => {
      const database = databaseFor("crowd", "word", [cluster.port, nobody]);
      const connection = database.connect(5000);
      await expect(connection.query("SELECT 1")).rejects.toMatchObject({ kind: "away", code: "53300" });
      expect(database.failure).toBeUndefined();
      expect(connection.refused?.reason).toMatch(/use a pooler.*; the database at .*REFUSED/);
      connection.close();
    },
    timeoutMs,
  );
});
