/** A real PostgreSQL server with its own data directory, on a loopback port that it keeps across restarts. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SQL } from "bun";
import type { IssuedPair } from "../certificates.ts";
import { freePort } from "../port.ts";
import { until } from "../wait.ts";
import {
  asDatabaseUser,
  databaseUser,
  type Edition,
  type Installation,
  installationOf,
  run,
  runAsDatabaseUser,
} from "./programs.ts";

export interface ClusterOptions {
  /** Default: `debian`. */
  readonly edition?: Edition;
  /**
   * Whether commits are flushed to disk. Default: `off`, because a killed process loses nothing that the kernel already has.
   */
  readonly fsync?: "on" | "off";
  /** Its certificate, to accept TLS as well as plain text; see `createAuthority`. */
  readonly tls?: IssuedPair;
  /** Lines of `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface Cluster {
  readonly port: number;
  /** A superuser; its password is required. */
  readonly user: string;
  readonly password: string;
  /** Process id of the running postmaster, for SIGSTOP and SIGCONT. @throws {Error} if it is not running. */
  readonly pid: number;
  /** Ids of its other processes: one per connection, and the background processes. */
  children(): readonly number[];
  /** A `postgres://` URL with user and password. `port`: the port of a pooler or proxy in front of it. */
  url(database?: string, port?: number): string;
  /** Creates an empty database and returns its name. */
  createDatabase(): Promise<string>;
  /** Creates an empty database and returns its URL. */
  databaseUrl(): Promise<string>;
  /** Runs SQL on its own connection. */
  query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<readonly Row[]>;
  /** Resolves when it accepts connections, on the same port with the same data; after a kill, once it has recovered. */
  start(): Promise<void>;
  /** `fast`: ends sessions and writes everything; `immediate`: recovery is necessary at the next start. */
  stop(how: "fast" | "immediate"): Promise<void>;
  /** Kills all its processes with SIGKILL. Resolves when all are gone. */
  kill(): Promise<void>;
  /** Copies its files as they are now. The server is stopped meanwhile. */
  keepCopy(): Promise<void>;
  /** Loses everything committed since `keepCopy`, as when a standby that lags behind takes over at the same address. */
  failOver(): Promise<void>;
  /** Its log so far. */
  log(): string;
  /** Stops it and removes its files. */
  end(): Promise<void>;
  /** Stops it and returns the directory of its files, which stay. */
  leave(): Promise<string>;
}

const user = "owner";
const password = "database-password";

/**
 * Starts a cluster and resolves when it is ready. Call `end`, for example in `afterAll`; if this process dies first, the server
 * stops by itself.
 */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { edition = "debian", fsync = "off", tls, settings = {} } = options;
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-postgres-"));
  chmodSync(directory, 0o711);
  const removed = () => rmSync(directory, { recursive: true, force: true });
  process.once("exit", removed);
  const installation = installationOf(edition, directory);
  const data = join(directory, "data");
  run(["cp", "-a", templateOf(installation, directory), data]);
  const logPath = join(directory, "log");
  const pidPath = join(data, "postmaster.pid");
  const port = await freePort();
  const lines = {
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: "",
    fsync,
    full_page_writes: fsync,
    shared_buffers: "32MB",
    max_connections: 100,
    log_line_prefix: "%m [%p] ",
    ...(tls === undefined ? {} : { ssl: "on", ssl_cert_file: "server.crt", ssl_key_file: "server.key" }),
    ...settings,
  };
  const text = Object.entries(lines).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'\n`);
  writeFileSync(join(data, "postgresql.auto.conf"), text.join(""));
  if (tls !== undefined) {
    writeOwned(join(data, "server.crt"), tls.certificate);
    writeOwned(join(data, "server.key"), tls.key);
  }

  let postmaster: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let databases = 0;

  const log = () => (existsSync(logPath) ? readFileSync(logPath, "utf8") : "");

  function launch(): ChildProcess {
    const [executable = "", ...args] = asDatabaseUser([join(installation.bin, "postgres"), "-D", data]);
    const output = openSync(logPath, "a");
    const child = spawn(executable, args, { cwd: "/", stdio: ["ignore", output, output] });
    closeSync(output);
    ended = new Promise((settle) => child.once("exit", () => settle()));
    return child;
  }

  const cluster: Cluster = {
    port,
    user,
    password,
    get pid() {
      if (postmaster?.pid === undefined) throw new Error("the cluster is stopped");
      return postmaster.pid;
    },
    children: () => (postmaster?.pid === undefined ? [] : childrenOf(postmaster.pid)),
    url: (database = "postgres", at = port) => `postgres://${user}:${password}@127.0.0.1:${at}/${database}`,
    async createDatabase() {
      const name = `test_${++databases}`;
      await cluster.query(`CREATE DATABASE ${name}`);
      return name;
    },
    databaseUrl: async () => cluster.url(await cluster.createDatabase()),
    async query<Row>(sql: string, database?: string) {
      await using connection = new SQL(cluster.url(database), { max: 1, prepare: false });
      return Array.from((await connection.unsafe(sql)) as readonly Row[]);
    },
    async start() {
      if (postmaster !== undefined) throw new Error("the cluster is running");
      const child = launch();
      postmaster = child;
      // The last line of the file is the status. The first is the process id, needed because a killed server leaves its file
      // behind.
      const isReady = () => {
        const [pid, ...rest] = existsSync(pidPath) ? readFileSync(pidPath, "utf8").split("\n") : [];
        return Number(pid) === child.pid && rest.some((line) => line.trim() === "ready");
      };
      await until(() => {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`postgres ended: ${log().slice(-5000)}`);
        return isReady();
      });
    },
    async stop(how) {
      process.kill(cluster.pid, how === "fast" ? "SIGINT" : "SIGQUIT");
      // A stopped process receives the signal only once it continues.
      process.kill(cluster.pid, "SIGCONT");
      await ended;
      postmaster = undefined;
    },
    async kill() {
      const all = [cluster.pid, ...cluster.children()];
      for (const pid of all) killIfRunning(pid);
      await ended;
      await until(() => !all.some((pid) => existsSync(`/proc/${pid}`)));
      postmaster = undefined;
    },
    async keepCopy() {
      await cluster.stop("fast");
      run(["cp", "-a", data, `${data}-copy`]);
      await cluster.start();
    },
    async failOver() {
      await cluster.kill();
      rmSync(data, { recursive: true });
      renameSync(`${data}-copy`, data);
      // A server that recovers from an archive, even an empty one, begins a new timeline.
      writeOwned(join(data, "recovery.signal"), "");
      const set = readFileSync(join(data, "postgresql.auto.conf"), "utf8");
      writeOwned(join(data, "postgresql.auto.conf"), `${set}restore_command = 'false'\n`);
      await cluster.start();
    },
    log,
    async end() {
      if (postmaster !== undefined) await cluster.stop("immediate");
      process.off("exit", removed);
      removed();
    },
    async leave() {
      if (postmaster !== undefined) await cluster.stop("fast");
      process.off("exit", removed);
      return directory;
    },
  };
  await cluster.start().catch(async (error: unknown) => {
    removed();
    throw error;
  });
  return cluster;
}

/** The data directory of a new cluster, made once per installation because `initdb` takes a second or more. */
function templateOf({ bin, version }: Installation, directory: string): string {
  const cache = resolve(import.meta.dirname, "../../../.cache/postgres");
  const template = join(cache, `${version}-${databaseUser?.uid ?? process.getuid?.()}`);
  if (existsSync(template)) return template;
  mkdirSync(cache, { recursive: true });
  const fresh = join(directory, "template");
  const passwordFile = join(directory, "password");
  mkdirSync(fresh, { mode: 0o700 });
  own(fresh);
  writeOwned(passwordFile, password);
  const sparing = ["--no-sync", "--wal-segsize=4"];
  const place = ["--encoding=UTF8", "--locale=C", "-D", fresh];
  const access = [`--username=${user}`, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"];
  runAsDatabaseUser([join(bin, "initdb"), ...sparing, ...place, ...access]);
  const copy = mkdtempSync(join(cache, "new-"));
  try {
    run(["cp", "-a", fresh, join(copy, "data")]);
    renameSync(join(copy, "data"), template);
  } catch (error) {
    // Another process may have created it first.
    if (!existsSync(template)) throw error;
  } finally {
    for (const path of [copy, fresh]) rmSync(path, { recursive: true, force: true });
  }
  return template;
}

/** Readable only by the database's user, as PostgreSQL requires for keys. */
export function writeOwned(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  own(path);
}

function own(path: string): void {
  if (databaseUser !== undefined) chownSync(path, databaseUser.uid, databaseUser.gid);
}

function childrenOf(parent: number): readonly number[] {
  const list = readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8");
  return list.trim().split(" ").filter(Boolean).map(Number);
}

function killIfRunning(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
