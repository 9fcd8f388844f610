/** Tests that the database, pooler and proxy used by tests behave like a user's. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { SQL } from "bun";
import { createAuthority } from "../certificates.ts";
import { startCuttingProxy } from "../cutting-proxy.ts";
import { temporaryDirectory } from "../temporary.ts";
import { timeoutMs, until } from "../wait.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { startPooler } from "./pooler.ts";
import { canHavePostgres, editions } from "./programs.ts";

describe.skipIf(!canHavePostgres).each(editions)("PostgreSQL: %s", (edition) => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster({ edition, tls: createAuthority(temporaryDirectory()).issue("postgres") });
  }, timeoutMs);
  afterAll(() => cluster.end());

  test("keeps what was committed over a stop, a kill of all its processes, and a kill of one", async () => {
    const database = await cluster.createDatabase();
    await cluster.query("CREATE TABLE kept (n int)", database);
    const ends = [() => cluster.stop("fast"), () => cluster.stop("immediate"), () => cluster.kill()];
    for (const [n, end] of ends.entries()) {
      await cluster.query(`INSERT INTO kept VALUES (${n})`, database);
      await end();
      await cluster.start();
    }
    expect(await cluster.query("SELECT n FROM kept ORDER BY n", database)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
    expect(cluster.log()).toContain("automatic recovery in progress");
  });

  test("wants the password, and gives each test a database of its own", async () => {
    const [one, other] = [await cluster.createDatabase(), await cluster.createDatabase()];
    await cluster.query("CREATE TABLE own ()", one);
    await cluster.query("CREATE TABLE own ()", other);
    await using stranger = new SQL(cluster.url().replace(cluster.password, "wrong"), { max: 1 });
    await expect(stranger.unsafe("SELECT 1").execute()).rejects.toThrow("password authentication failed");
  });

  test("speaks TLS", async () => {
    await using connection = new SQL(`${cluster.url()}?sslmode=require`, { max: 1 });
    const [session] = await connection.unsafe("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    expect(session).toEqual({ ssl: true });
  });
});

describe.skipIf(!canHavePostgres)("in front of PostgreSQL", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startCluster();
  }, timeoutMs);
  afterAll(() => cluster.end());

  test("PgBouncer gives a transaction whatever connection is free", async () => {
    const pooler = await startPooler(cluster, { serverConnections: 1 });
    const url = pooler.url(await cluster.createDatabase());
    const clients = [1, 2].map(() => new SQL(url, { max: 1, prepare: false }));
    const backends = await Promise.all(clients.map((client) => client.unsafe("SELECT pg_backend_pid() AS pid")));
    expect(backends[0]).toEqual(backends[1]);
    await Promise.all(clients.map((client) => client.close()));
    await pooler.end();
  });

  test("the proxy cuts after the byte that it was told, in both directions, and refuses and holds until told otherwise", async () => {
    const proxy = await startCuttingProxy(cluster.port);
    const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
    /** Sends a TLS request repeatedly and counts the answers, each one byte. */
    const answers = async () => {
      const socket = connect(proxy.port, "127.0.0.1").on("error", () => undefined);
      let received = 0;
      socket.on("data", (data) => (received += data.length));
      socket.write(sslRequest);
      await new Promise((resolve) => socket.once("close", resolve));
      return received;
    };
    proxy.cutAfter(7, "to server");
    expect(await answers()).toBe(0);
    proxy.cutAfter(1, "to client");
    expect(await answers()).toBe(1);
    expect(proxy.cuts).toBe(2);
    await proxy.pass();
    await proxy.refuse();
    await using refused = new SQL(cluster.url("postgres", proxy.port), { max: 1 });
    await expect(refused.unsafe("SELECT 1").execute()).rejects.toThrow();
    await proxy.pass();
    await using held = new SQL(cluster.url("postgres", proxy.port), { max: 1 });
    expect(await numberOf(held.unsafe("SELECT 1 AS n"))).toBe(1);
    proxy.hold();
    const answer = numberOf(held.unsafe("SELECT 2 AS n").execute());
    expect(await Promise.race([answer, numberOf(cluster.query("SELECT 3 AS n"))])).toBe(3);
    await proxy.pass();
    expect(await answer).toBe(2);
    await proxy.end();
  });

  test("nothing is left running if the process that started it is killed", async () => {
    const script = `
      const { startCluster } = await import(${JSON.stringify(`${import.meta.dirname}/cluster.ts`)});
      const { startPooler } = await import(${JSON.stringify(`${import.meta.dirname}/pooler.ts`)});
      const cluster = await startCluster();
      const pooler = await startPooler(cluster);
      console.log(JSON.stringify([pooler.pid, cluster.pid, ...cluster.children()]));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await new Promise<string[]>((resolve) =>
      createInterface({ input: child.stdout }).once("line", (text) => resolve([text])),
    );
    const pids = JSON.parse(line ?? "") as readonly number[];
    expect(pids.length).toBeGreaterThan(5);
    expect(pids.every(isRunning)).toBe(true);
    child.kill("SIGKILL");
    await until(() => !pids.some(isRunning));
  });
});

async function numberOf(rows: Promise<readonly { readonly n?: number }[]>): Promise<number | undefined> {
  return (await rows)[0]?.n;
}

/** False for a zombie, whose parent may never collect its exit code. */
function isRunning(pid: number): boolean {
  const path = `/proc/${pid}/stat`;
  return existsSync(path) && !/\) Z /.test(readFileSync(path, "utf8"));
}
