/** The PostgreSQL that a journal is in while it is measured: on the same cores, synced to the disk, with its own CPU and size. */
import { type Cluster, startCluster } from "../../test/support/postgres/cluster.ts";
import { cpuSecondsOf } from "./usage.ts";

export interface Database {
  /** Of a fresh database. */
  readonly url: string;
  /** Of all of its processes that run now. */
  cpuSeconds(): number;
  /** Bytes of its files. */
  bytes(): Promise<number>;
  end(): Promise<void>;
}

/** What is usual for a small machine that does nothing else; all else is as it is installed. */
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
