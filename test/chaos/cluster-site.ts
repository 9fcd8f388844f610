/**
 * Two instances of the compiled program on one PostgreSQL, each behind its own proxy, and their state according to the
 * database.
 */
import { SQL } from "bun";
import { type CuttingProxy, startCuttingProxy } from "../support/cutting-proxy.ts";
import { startCluster } from "../support/postgres/cluster.ts";
import { startPooler } from "../support/postgres/pooler.ts";
import type { Edition } from "../support/postgres/programs.ts";
import type { Tailnet } from "../support/tailnet/index.ts";
import { programBinary } from "../support/binary.ts";
import type { Site } from "./cluster-faults.ts";
import { until } from "../support/wait.ts";
import { createInstance, type Instance } from "./cluster-instance.ts";
import { installWitness, testimony } from "./cluster-witness.ts";

export interface SiteOptions {
  readonly directory: string;
  /** The base URL of the OTLP receiver. */
  readonly endpoint: string;
  readonly tailnet: Tailnet;
  readonly edition: Edition;
  /** `pooled`: PgBouncer in transaction mode is in front of the database. */
  readonly connections: "direct" | "pooled";
}

export interface ClusterSite extends Site {
  /** Launches both instances and resolves once they accept records. */
  start(): Promise<void>;
  /** Writes by a fenced leader, which must not exist. */
  violations(): Promise<readonly string[]>;
  /** Returns the directory of the database's files if they are kept. */
  end(files: "keep" | "remove"): Promise<string | undefined>;
}

/** Short, so that rounds are short, but long enough that a busy machine does not lose every second lease. */
const lease = "2s";

export async function openSite({
  directory,
  endpoint,
  tailnet,
  edition,
  connections,
}: SiteOptions): Promise<ClusterSite> {
  const cluster = await startCluster({ edition });
  const database = await cluster.createDatabase();
  const pooler = connections === "pooled" ? await startPooler(cluster, { serverConnections: 6 }) : undefined;
  const proxies = new Map<Instance, CuttingProxy>();
  const command = [programBinary()];
  for (const [name, encoding] of [
    ["one", "protobuf"],
    ["two", "json"],
  ] as const) {
    const proxy = await startCuttingProxy(pooler?.port ?? cluster.port);
    const settings = {
      TS2OTEL_STATE__URL: cluster.url(database, proxy.port),
      TS2OTEL_STATE__LEASE: lease,
      ...polledFrom(tailnet),
    };
    proxies.set(await createInstance({ name, command, directory, endpoint, encoding, settings }), proxy);
  }
  const instances = [...proxies.keys()];
  const query = <Row>(sql: string) => cluster.query<Row>(sql, database);
  let connection = new SQL(cluster.url(database), { max: 1, prepare: false });

  /** Undefined while the database is down. */
  async function ask<Row>(sql: string): Promise<readonly Row[] | undefined> {
    try {
      return (await connection.unsafe(sql)) as readonly Row[];
    } catch {
      void connection.close({ timeout: 0 }).catch(() => undefined);
      connection = new SQL(cluster.url(database), { max: 1, prepare: false });
      return undefined;
    }
  }

  return {
    instances,
    database: cluster,
    proxyOf: (instance) => proxies.get(instance) as CuttingProxy,
    async leader() {
      const [row] = (await ask<{ address: string }>(leaderQuery)) ?? [];
      return instances.find(({ admin }) => admin.endsWith(row?.address ?? "nobody"));
    },
    async terms() {
      let terms: number | undefined;
      await until(async () => {
        const [row] = (await ask<{ fence: number }>(`SELECT fence::int FROM ${schema}.lease`)) ?? [];
        terms = row?.fence;
        return terms !== undefined;
      });
      return terms as number;
    },
    async start() {
      await Promise.all(instances.map((instance) => instance.launch()));
      await Promise.all(instances.map((instance) => instance.ready()));
      await installWitness(query, schema);
    },
    violations: () => testimony(query),
    async end(files) {
      await connection.close({ timeout: 0 }).catch(() => undefined);
      for (const proxy of proxies.values()) await proxy.end();
      await pooler?.end();
      if (files === "keep") return cluster.leave();
      await cluster.end();
      return undefined;
    },
  };
}

/** The default of the setting. */
const schema = "tailscale2otel";

const leaderQuery = `
  SELECT admin_address AS address FROM ${schema}.lease JOIN ${schema}.member ON id = holder WHERE until_at > ${schema}.now_ms()`;

/** Settings that poll both logs in addition to the stream, as fast as possible. */
function polledFrom(tailnet: Tailnet): Readonly<Record<string, string>> {
  const settings: Record<string, string> = {
    TS2OTEL_TAILSCALE__BASE_URL: tailnet.url,
    TS2OTEL_TAILSCALE__AUTH__APIKEY: tailnet.apiKey,
  };
  for (const log of ["FLOWLOGS", "AUDITLOGS"]) {
    settings[`TS2OTEL_COLLECTORS__${log}__SOURCE`] = "both";
    settings[`TS2OTEL_COLLECTORS__${log}__INTERVAL`] = "1s";
    settings[`TS2OTEL_COLLECTORS__${log}__LAG`] = "0s";
    settings[`TS2OTEL_COLLECTORS__${log}__REPLAY_OVERLAP`] = "10s";
  }
  return settings;
}
