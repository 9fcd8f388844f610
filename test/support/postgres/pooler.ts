/**
 * A real PgBouncer in transaction mode in front of a cluster: 1.18 of Debian 12, which does not support prepared statements.
 */
import { spawn } from "node:child_process";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isListening } from "../cutting-proxy.ts";
import { freePort } from "../port.ts";
import { until } from "../wait.ts";
import { type Cluster, writeOwned } from "./cluster.ts";
import { asDatabaseUser, pgBouncerPath } from "./programs.ts";

export interface Pooler {
  readonly port: number;
  readonly pid: number;
  /** The URL of a database of the cluster, through the pooler. */
  url(database: string): string;
  log(): string;
  /** Stops it at once; all its connections are lost. */
  end(): Promise<void>;
}

/** `serverConnections`: number of concurrent transactions; with fewer than client connections, clients share them. */
export async function startPooler(
  cluster: Cluster,
  { serverConnections = 3 }: { readonly serverConnections?: number } = {},
): Promise<Pooler> {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-pgbouncer-"));
  chmodSync(directory, 0o711);
  const removed = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", removed);
  const port = await freePort();
  const users = join(directory, "users");
  const configuration = join(directory, "pgbouncer.ini");
  const logPath = join(directory, "log");
  writeOwned(users, `"${cluster.user}" "${cluster.password}"\n`);
  writeOwned(
    configuration,
    `[databases]
* = host=127.0.0.1 port=${cluster.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = ${serverConnections}
max_client_conn = 200
auth_type = scram-sha-256
auth_file = ${users}
server_login_retry = 1
log_stats = 0
`,
  );
  const [executable = "", ...args] = asDatabaseUser([pgBouncerPath() ?? "pgbouncer", configuration], "KILL");
  const output = openSync(logPath, "a");
  const child = spawn(executable, args, { cwd: "/", stdio: ["ignore", output, output] });
  closeSync(output);
  const ended = new Promise<void>((settle) => child.once("exit", () => settle()));
  await until(() => {
    if (child.exitCode !== null) throw new Error(`pgbouncer ended: ${readFileSync(logPath, "utf8")}`);
    return isListening(port);
  });
  return {
    port,
    pid: child.pid ?? 0,
    url: (database) => cluster.url(database, port),
    log: () => readFileSync(logPath, "utf8"),
    async end() {
      child.kill("SIGKILL");
      await ended;
      process.off("exit", removed);
      removed();
    },
  };
}
