/**
 * Tests two instances of the compiled program on one PostgreSQL, one of them through PgBouncer: both receive, one delivers, and
 * no kill or restart loses or repeats a record.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClusterStatus } from "../../src/admin/cluster.ts";
import { conservationAt } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { type Pooler, startPooler } from "../support/postgres/pooler.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import type { RunningProgram } from "../support/running-program.ts";
import {
  type Answer,
  brokenCounters,
  post,
  runCommand,
  serials,
  startInstance,
  statusOf,
  total,
  untilLeads,
} from "../support/shared-journal.ts";
import { timeoutMs, until } from "../support/wait.ts";

describe.skipIf(!canHavePostgres)("two instances on one database", () => {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-cluster-"));
  let database: Cluster;
  let pooler: Pooler;
  let name: string;
  let sink: OtlpSink;
  let one: RunningProgram;
  let two: RunningProgram;

  /** The first start overrides the lease with one too long to wait for. */
  const settingsOf = (which: "one" | "two"): Readonly<Record<string, string>> => ({
    TS2OTEL_STATE__URL: which === "one" ? database.url(name) : pooler.url(name),
    TS2OTEL_OTLP__LOGS__RECORD_UID: "true",
  });
  const begin = (which: "one" | "two", more: Readonly<Record<string, string>> = {}): Promise<RunningProgram> =>
    startInstance({
      directory: join(directory, which),
      endpoint: sink.url,
      settings: { ...settingsOf(which), ...more },
    });

  /** Number of distinct records sent so far. */
  let distinct = 0;
  const uids = (): number => new Set(sink.logs.map(({ attributes }) => attributes["log.record.uid"])).size;
  const flows = (): number => total(sink.points, "tailscale.network.flows");

  /** Everything has arrived and is counted exactly once. */
  async function settled(leader: RunningProgram): Promise<void> {
    await until(() => uids() >= distinct && flows() >= distinct);
    await until(async () => (await conservationAt(leader.admin)).pending === 0);
    expect([uids(), flows()]).toEqual([distinct, distinct]);
    expect(brokenCounters(sink.points)).toEqual([]);
    expect(await conservationAt(leader.admin)).toMatchObject({ accepted: distinct, delivered: distinct, pending: 0 });
  }

  beforeAll(async () => {
    programBinary();
    [sink, database] = await Promise.all([startOtlpSink(), startCluster()]);
    pooler = await startPooler(database);
    name = await database.createDatabase();
    one = await begin("one", { TS2OTEL_STATE__LEASE: "60s" });
    await untilLeads(one);
    two = await begin("two");
  }, timeoutMs);

  afterAll(async () => {
    await Promise.all([one.kill(), two.kill()]);
    await pooler.end();
    await Promise.all([database.end(), sink.stop()]);
    rmSync(directory, { recursive: true, force: true });
  }, timeoutMs);

  test(
    "each record is delivered once, whichever instances get it and however often",
    async () => {
      const bodies = Array.from({ length: 10 }, (_, part) => serials(part * 30, part * 30 + 30));
      const answers = await Promise.all([
        ...bodies.map((body) => post(one, body)),
        ...bodies.slice(2, 8).map((body) => post(two, body)),
      ]);
      expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 16 }, () => 200));
      distinct = 300;
      await settled(one);
      // The first 60 again, to the instance that has not seen them, and 20 new ones.
      expect((await post(two, serials(0, 60) + serials(300, 320))).status).toBe(200);
      distinct = 320;
      await settled(one);
      expect(sink.logs).toHaveLength(320);
      expect(await conservationAt(one.admin)).toMatchObject({ received: 560, accepted: 320, duplicate: 240 });
    },
    timeoutMs,
  );

  test(
    "both name the members, the leader, its term and the lag",
    async () => {
      const [ofOne, ofTwo] = await Promise.all([statusOf(one), statusOf(two)]);
      const addresses = ({ members = [] }: ClusterStatus) =>
        members.map(({ adminAddress, isLeader }) => [adminAddress, isLeader]);
      expect(addresses(ofOne.cluster as ClusterStatus)).toEqual([
        [one.admin, true],
        [two.admin, false],
      ]);
      expect(ofTwo.cluster?.members?.map(({ id }) => id)).toEqual(ofOne.cluster?.members?.map(({ id }) => id));
      expect([ofOne.cluster?.isLeading, ofTwo.cluster?.isLeading]).toEqual([true, false]);
      expect([ofOne.cluster?.lease?.fence, ofTwo.cluster?.lease?.fence]).toEqual([1, 1]);
      expect(ofOne.cluster?.rows?.toDeliver).toBe((ofOne.cluster?.rows?.last ?? 0) + 1);
      const shown = await Promise.all(
        (["one", "two"] as const).map((which) =>
          runCommand(["status"], { directory: join(directory, which), settings: settingsOf(which) }),
        ),
      );
      for (const { code, stdout } of shown) {
        expect(stdout).toMatch(/^lease +held by .*, term 1$/m);
        expect(stdout).toMatch(/^lag +\d+ rows? to count, 0 rows to deliver$/m);
        expect(stdout.match(/^member .*$/gm)).toHaveLength(2);
        expect(code).toBe(0);
      }
      expect(shown[0]?.stdout).toMatch(/^member .* leads .*\(this instance\)$/m);
      expect(shown[0]?.stdout).toMatch(/^accepted +320 = 320 delivered \+ 0 pending/m);
      expect(shown[1]?.stdout).toMatch(/^member .* follows .*\(this instance\)$/m);
      expect(shown[1]?.stdout).not.toMatch(/^accepted/m);
    },
    timeoutMs,
  );

  test(
    "a follower answers what only the leader knows by naming it, and its own health by itself",
    async () => {
      const overview = await fetch(`${two.admin}/api/v1/overview`);
      expect([overview.status, ((await overview.json()) as { text: string }).text]).toEqual([
        503,
        expect.stringMatching(new RegExp(`^this instance is a follower: ask the leader, .*, at ${one.admin}$`)),
      ]);
      const ready = await Promise.all(["readyz", "healthz", "metrics"].map((path) => fetch(`${two.admin}/${path}`)));
      expect(ready.map(({ status }) => status)).toEqual([200, 200, 200]);
      const listing = await runCommand(["quarantine", "list"], {
        directory: join(directory, "two"),
        settings: settingsOf("two"),
      });
      expect(listing).toMatchObject({ code: 1, stdout: "" });
      expect(listing.stderr).toMatch(new RegExp(`ask the leader, .*, at ${one.admin}\n$`));
    },
    timeoutMs,
  );

  test(
    "a leader that is stopped hands over at once, and the other goes on counting and delivering",
    async () => {
      expect((await post(two, serials(320, 340))).status).toBe(200);
      expect(await one.stop()).toBe(0);
      // Its lease would have lasted another minute.
      const [lease] = await database.query<{ isGivenBack: boolean }>(
        `SELECT fence > 1 OR until_at = 0 AS "isGivenBack" FROM tailscale2otel.lease`,
        name,
      );
      expect(lease?.isGivenBack).toBe(true);
      await untilLeads(two);
      expect(two.output()).toContain("this instance leads");
      expect((await post(two, serials(330, 350))).status).toBe(200);
      distinct = 350;
      await settled(two);
      expect((await statusOf(two)).cluster?.members).toHaveLength(1);
    },
    timeoutMs,
  );

  test(
    "a leader that is killed is replaced once its lease is over, whatever was under way",
    async () => {
      one = await begin("one");
      const parts = Array.from({ length: 20 }, (_, part) => serials(350 + part * 5, 355 + part * 5));
      const sending = Promise.all(
        parts.map((body, part) => post(part % 2 === 0 ? one : two, body).catch(() => "lost")),
      );
      await two.kill();
      await sending;
      await untilLeads(one);
      // Requests to the killed instance may or may not be in the journal.
      for (const body of parts) expect((await post(one, body)).status).toBe(200);
      distinct = 450;
      await settled(one);
      two = await begin("two");
    },
    timeoutMs,
  );

  test(
    "while the database is away senders are told to come back, and afterwards nothing is missing",
    async () => {
      await database.kill();
      const refused = (answer: Answer): void => {
        expect(answer).toMatchObject({ status: 503, code: 9 });
        expect(Number(answer.retryAfter)).toBeGreaterThan(0);
      };
      const answers = await Promise.all([post(one, serials(450, 460)), post(two, serials(460, 470))]);
      for (const answer of answers) refused(answer);
      await until(async () => (await fetch(`${two.admin}/readyz`)).status === 503);
      const { stdout, code } = await runCommand(["status"], {
        directory: join(directory, "two"),
        settings: settingsOf("two"),
      });
      expect(stdout).toMatch(/^health +.*the database at 127\.0\.0\.1:\d+: /m);
      expect(code).toBe(1);
      await database.start();
      await until(async () => (await post(one, serials(450, 460))).status === 200);
      await until(async () => (await post(two, serials(440, 470))).status === 200);
      distinct = 470;
      let leader: RunningProgram | undefined;
      await until(async () => {
        const leads = await Promise.all([one, two].map(async (each) => (await statusOf(each)).cluster?.isLeading));
        leader = [one, two][leads.indexOf(true)];
        return leader !== undefined;
      });
      await untilLeads(leader as RunningProgram);
      await settled(leader as RunningProgram);
      expect((await fetch(`${two.admin}/readyz`)).status).toBe(200);
    },
    timeoutMs,
  );

  test(
    "an address that leads nowhere ends a start with what to correct, and without the password",
    async () => {
      const refusals = [
        [
          database.url("missing"),
          `database "missing" does not exist (3D000). Create the database, or name another one`,
        ],
        [
          database.url(name).replace(database.password, "another-password"),
          `password authentication failed for user "${database.user}" (28P01). Correct user and password in state.url.`,
        ],
      ] as const;
      const ended = await Promise.all(
        refusals.map(([url]) => {
          const settings = {
            TS2OTEL_STATE__URL: url,
            TS2OTEL_STREAMING__ENABLED: "true",
            TS2OTEL_STREAMING__TOKEN: "a-token",
            TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
            TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0",
            TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
            TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
          };
          const own = mkdtempSync(join(directory, "refused-"));
          return runCommand(["run"], { directory: own, settings });
        }),
      );
      for (const [at, { code, stderr }] of ended.entries()) {
        expect(stderr).not.toContain("retrying");
        const last = stderr.trimEnd().split("\n").at(-1);
        expect(last).toStartWith(`tailscale2otel: the database at 127.0.0.1:${database.port}: ${refusals[at]?.[1]}`);
        expect(stderr).not.toContain("password@");
        expect(stderr).not.toMatch(/another-password|database-password|retrying/);
        expect(code).toBe(1);
      }
    },
    timeoutMs,
  );
});
