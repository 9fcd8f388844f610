/** Tests the lease by which one of several instances leads: the next one follows at once after a stop, or when it expires. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "../../src/journal/postgres/connection.ts";
import { Heads } from "../../src/journal/postgres/head.ts";
import { Membership } from "../../src/journal/postgres/lease.ts";
import { creation, quoted } from "../../src/journal/postgres/schema.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { timeoutMs, until } from "../support/wait.ts";

const schema = "journal";
const s = quoted(schema);
const nobody = { seq: 0, accepted_flow: 0, accepted_audit: 0, accepted_webhook: 0, used_bytes: 0, history: "" };
const forever = new AbortController().signal;

describe.skipIf(!canHavePostgres)("instances that share a database", () => {
  let cluster: Cluster;
  let name: string;
  let database: Database;
  let members: Membership[];
  let said: string[];

  beforeAll(async () => {
    cluster = await startCluster();
  }, timeoutMs);
  afterAll(() => cluster.end());

  beforeEach(async () => {
    const tls = { ca_file: "", cert_file: "", key_file: "" };
    name = await cluster.createDatabase();
    database = new Database({ url: cluster.url(name), tls }, silentLogger);
    [members, said] = [[], []];
    const connection = database.connect(5000);
    await connection.run([creation(schema, "schema is new")]);
    connection.close();
  });
  afterEach(async () => {
    await Promise.all(members.map((member) => member.close()));
  });

  async function join(id: string, leaseMs: number): Promise<Membership> {
    const member = { id, host: `${id}.example.com`, version: "1.0.0", adminAddress: "" };
    const connection = database.connect(5000);
    const joined = new Membership({
      connection,
      looking: database.connect(5000),
      schema: s,
      member,
      leaseMs,
      heads: new Heads(nobody),
      logger: { ...silentLogger, info: (message) => said.push(`${id}: ${message}`) },
    });
    members.push(joined);
    await joined.register();
    return joined;
  }

  /** A leader's first statement, in a transaction of its own. */
  async function write(fence: number): Promise<void> {
    const connection = database.connect(5000);
    try {
      await connection.query(`SELECT ${s}.fenced($1)`, [fence]);
    } finally {
      connection.close();
    }
  }

  test(
    "have one leader, and another as soon as it stops",
    async () => {
      const [one, two] = [await join("one", 60_000), await join("two", 60_000)];
      const leases = [one.lead(forever), two.lead(forever)];
      const first = await Promise.race(leases);
      expect([one.isLeading, two.isLeading].filter(Boolean)).toHaveLength(1);
      const [leader, other] = one.isLeading ? [one, two] : [two, one];
      const { members: shown, fence } = await other.view();
      expect(shown.filter(({ isLeader }) => isLeader).map(({ id }) => id)).toEqual([leader.member]);
      expect([shown.length, fence]).toEqual([2, first.fence]);
      await leader.close();
      const second = await leases[leader === one ? 1 : 0];
      expect(second?.fence).toBe(first.fence + 1);
      expect((await other.view()).members.map(({ id }) => id)).toEqual([other.member]);
    },
    timeoutMs,
  );

  test(
    "refuse the writes of a leader that was replaced, and notify it",
    async () => {
      const one = await join("one", 1000);
      const lease = await one.lead(forever);
      await write(lease.fence);
      await cluster.query(`UPDATE ${s}.lease SET holder = 'two', fence = fence + 1`, name);
      await expect(write(lease.fence)).rejects.toMatchObject({ code: "TS001" });
      await until(() => lease.lost.aborted);
      expect(one.isLeading).toBe(false);
    },
    timeoutMs,
  );

  test(
    "stop waiting for the lease when told to",
    async () => {
      const [one, two] = [await join("one", 60_000), await join("two", 60_000)];
      await one.lead(forever);
      const stop = new AbortController();
      const waiting = two.lead(stop.signal);
      await until(() => said.length > 0);
      expect(said).toEqual([
        "two: another instance holds the lease: this one accepts records, and leads once the lease ends",
      ]);
      stop.abort(new Error("stopped"));
      await expect(waiting).rejects.toThrow("stopped");
    },
    timeoutMs,
  );

  test(
    "lead no longer than the lease if the database is down",
    async () => {
      const one = await join("one", 1000);
      const lease = await one.lead(forever);
      await cluster.stop("immediate");
      await until(() => lease.lost.aborted);
      await cluster.start();
    },
    timeoutMs,
  );

  test("lead despite a lease from before the database's clock was set back, and drop members from then", async () => {
    const one = await join("one", 30_000);
    await cluster.query(`UPDATE ${s}.lease SET holder = 'gone', fence = 7, until_at = ${s}.now_ms() + 86400000`, name);
    await cluster.query(
      `INSERT INTO ${s}.member SELECT 'gone', 'gone.example.com', '1.0.0', '', at, at FROM (SELECT ${s}.now_ms() + 86400000) AS n(at)`,
      name,
    );
    expect((await one.lead(forever)).fence).toBe(8);
    await join("other", 30_000);
    expect((await one.view()).members.map(({ id }) => id)).toEqual(["one", "other"]);
  });
});
