/** A PostgreSQL server for measuring a journal kept there, on the same cores and with fsync; its CPU time and size are measured too. */
import { type Cluster, startCluster } from "../../test/support/postgres/cluster.ts";
import { cpuSecondsOf } from "./usage.ts";

export interface Database {
  /** Address of a fresh database. */
  readonly url: string;
  /** CPU time of all its current processes. */
  cpuSeconds(): number;
  /** Size of the database. */
  bytes(): Promise<number>;
  end(): Promise<void>;
}

/** Usual for a small machine that runs nothing else; everything else has its default. */
const settings = { shared_buffers: "256MB", max_wal_size: "2GB" };

export async function startDatabase(): Promise<Database> {
  const cluster: Cluster = await startCluster({ fsync: "on", settings });
  const name = await cluster.createDatabase();
  return {
    url: cluster.url(name),
    cpuSeconds: () => [cluster.pid, ...cluster.children()].reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
    async bytes() {
      const [size] = await cluster.query<{ bytes: string }>(
        "SELECT pg_database_size(current_database()) AS bytes",
        name,
      );
      return Number(size?.bytes);
    },
    end: () => cluster.end(),
  };
}
