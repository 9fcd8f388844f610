/** A real PostgreSQL server with a data directory of its own, on a port of the loopback address that it keeps when it is started again. */
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
  /** Whether what was committed is on the disk when that is said. Default: `off`, since a killed process loses nothing that the kernel has. */
  readonly fsync?: "on" | "off";
  /** Its certificate, if it should speak TLS beside plain text; see `createAuthority`. */
  readonly tls?: IssuedPair;
  /** Lines of `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

export interface Cluster {
  readonly port: number;
  /** Who may do everything in it; its password is needed. */
  readonly user: string;
  readonly password: string;
  /** Of the postmaster that runs now: for SIGSTOP and SIGCONT. @throws {Error} if none does. */
  readonly pid: number;
  /** The ids of its other processes: one for each connection, and those in the background. */
  children(): readonly number[];
  /** `postgres://` with user and password; `port`: of a pooler or proxy in front of it. */
  url(database?: string, port?: number): string;
  /** A fresh, empty one. Gives its name. */
  createDatabase(): Promise<string>;
  /** The same, as a URL. */
  databaseUrl(): Promise<string>;
  /** Runs SQL on a connection of its own. */
  query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<readonly Row[]>;
  /** Resolves when it accepts connections, on the same port with the same data: after a kill, once it has recovered. */
  start(): Promise<void>;
  /** `fast`: sessions are ended, everything is written; `immediate`: it needs recovery at the next start. */
  stop(how: "fast" | "immediate"): Promise<void>;
  /** SIGKILL of all of its processes at once. Resolves when none is left. */
  kill(): Promise<void>;
  /** Remembers how its files are now. It is stopped meanwhile. */
  keepCopy(): Promise<void>;
  /** Loses what was committed since `keepCopy`: a standby that had not got it has taken over, at the same address. */
  failOver(): Promise<void>;
  /** What it has logged so far. */
  log(): string;
  /** Ends it, and removes its files. */
  end(): Promise<void>;
  /** Ends it, and gives the directory of its files, which stay. */
  leave(): Promise<string>;
}

const user = "owner";
const password = "database-password";

/** Started and ready. `end` it, in `afterAll` for instance; if this process dies before, the server ends by itself. */
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
      // The last line of the file is how far it is; the first is whose file it is, since a killed one leaves its own.
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
      // A signal to a stopped process waits until it goes on.
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
      // Whoever recovers from an archive, even an empty one, begins a timeline of its own.
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

/** The data directory of a new cluster, made once for each installation: `initdb` takes a second or more. */
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
    // Another process may have been faster.
    if (!existsSync(template)) throw error;
  } finally {
    for (const path of [copy, fresh]) rmSync(path, { recursive: true, force: true });
  }
  return template;
}

/** For the database's user alone, as PostgreSQL demands of keys. */
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
