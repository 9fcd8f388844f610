/** Tests the contract for the journal over PostgreSQL. */
import { afterAll, beforeAll, describe } from "bun:test";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { timeoutMs } from "../support/wait.ts";
import { journalContract } from "./contract.ts";
import { destinationsContract } from "./destinations-contract.ts";
import { minutesContract } from "./minutes-contract.ts";
import { createPostgresState } from "./postgres-state.ts";

describe.skipIf(!canHavePostgres)("the journal over PostgreSQL", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  }, timeoutMs);
  afterAll(() => cluster.end());
  const create = () => createPostgresState(cluster);

  journalContract(create);
  destinationsContract(create);
  minutesContract(create);
});
