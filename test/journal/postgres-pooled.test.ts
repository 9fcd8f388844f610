/** Tests the contract for the journal over PostgreSQL behind a pooler that assigns each transaction another connection. */
import { afterAll, beforeAll, describe } from "bun:test";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { type Pooler, startPooler } from "../support/postgres/pooler.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { timeoutMs } from "../support/wait.ts";
import { journalContract } from "./contract.ts";
import { destinationsContract } from "./destinations-contract.ts";
import { minutesContract } from "./minutes-contract.ts";
import { createPostgresState } from "./postgres-state.ts";

describe.skipIf(!canHavePostgres)("the journal over PgBouncer and PostgreSQL 18", () => {
  let cluster: Cluster;
  let pooler: Pooler;
  beforeAll(async () => {
    cluster = await startCluster({ edition: "npm" });
    pooler = await startPooler(cluster);
  }, timeoutMs);
  afterAll(async () => {
    await pooler.end();
    await cluster.end();
  });
  const create = () => createPostgresState(cluster, pooler.port);

  journalContract(create);
  destinationsContract(create);
  minutesContract(create);
});
