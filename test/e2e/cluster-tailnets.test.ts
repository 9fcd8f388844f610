/** Tests two instances with two tailnets each on one database: tailnets stay separate, even after the leader is killed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, startOtlpSink } from "../support/otlp-sink.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import type { RunningProgram } from "../support/running-program.ts";
import {
  brokenCounters,
  post,
  serials,
  startInstance,
  statusOf,
  total,
  untilLeads,
} from "../support/shared-journal.ts";
import { timeoutMs, until } from "../support/wait.ts";

const names = ["acme", "globex"] as const;
type Name = (typeof names)[number];

describe.skipIf(!canHavePostgres)("two instances with two tailnets", () => {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-cluster-tailnets-"));
  let database: Cluster;
  let name: string;
  let sink: OtlpSink;
  let one: RunningProgram;
  let two: RunningProgram;

  const begin = (which: "one" | "two"): Promise<RunningProgram> =>
    startInstance({
      directory: join(directory, which),
      endpoint: sink.url,
      settings: {
        TS2OTEL_STATE__URL: database.url(name),
        TS2OTEL_STATE__SCHEMA: "shared",
        TS2OTEL_OTLP__LOGS__RECORD_UID: "true",
        TS2OTEL_STREAMING__TOKEN: "",
        TS2OTEL_TAILNET__0__NAME: "acme",
        TS2OTEL_TAILNET__0__STREAMING__TOKEN: "token-acme",
        TS2OTEL_TAILNET__0__RESOURCE__ATTRIBUTES__TEAM: "red",
        TS2OTEL_TAILNET__1__NAME: "globex",
        TS2OTEL_TAILNET__1__STREAMING__TOKEN: "token-globex",
        TS2OTEL_TAILNET__1__RESOURCE__ATTRIBUTES__TEAM: "blue",
      },
    });

  beforeAll(async () => {
    programBinary();
    [sink, database] = await Promise.all([startOtlpSink(), startCluster()]);
    name = await database.createDatabase();
    [one, two] = await Promise.all([begin("one"), begin("two")]);
  }, timeoutMs);
  afterAll(async () => {
    await Promise.all([one.kill(), two.kill()]);
    await Promise.all([database.end(), sink.stop()]);
    rmSync(directory, { recursive: true, force: true });
  }, timeoutMs);

  const send = async (to: RunningProgram, tailnet: Name, body: string): Promise<void> => {
    await until(async () => (await post(to, body, { token: `token-${tailnet}` })).status === 200);
  };
  const uids = (tailnet: Name): ReadonlySet<unknown> =>
    new Set(
      sink.logs.flatMap(({ attributes }) =>
        attributes["tailscale.tailnet"] === tailnet ? [attributes["log.record.uid"]] : [],
      ),
    );
  const flows = (tailnet: Name): number =>
    total(sink.points, "tailscale.network.flows", { "tailscale.tailnet": tailnet });

  /** Each tailnet has exactly that many, by its logs, its counters and its leader's status. */
  async function settled(expected: Readonly<Record<Name, number>>): Promise<void> {
    for (const tailnet of names) {
      const records = expected[tailnet];
      await until(() => uids(tailnet).size >= records && flows(tailnet) >= records);
      expect([uids(tailnet).size, flows(tailnet)]).toEqual([records, records]);
      await until(async () => {
        const statuses = await Promise.all(
          [one, two].map((each) => statusOf(each, `?tailnet=${tailnet}`).catch(() => undefined)),
        );
        const sums = statuses.flatMap((status) =>
          status !== undefined && "conservation" in status ? [status.conservation] : [],
        );
        return sums.some(({ accepted, delivered }) => accepted === records && delivered === records);
      });
    }
    expect(brokenCounters(sink.points)).toEqual([]);
    const teams = new Set(
      sink.logs.map(({ attributes, resource }) => `${attributes["tailscale.tailnet"]} ${resource["team"]}`),
    );
    expect([...teams].toSorted()).toEqual(["acme red", "globex blue"]);
  }

  test(
    "each count and deliver what is theirs, whichever instance gets it, also what both tailnets have",
    async () => {
      await Promise.all([
        send(one, "acme", serials(0, 60)),
        send(two, "globex", serials(0, 40)),
        send(two, "acme", serials(30, 90)),
        send(one, "globex", serials(0, 40)),
      ]);
      await settled({ acme: 90, globex: 40 });
      const schemas = await database.query<{ name: string; rows: number }>(
        `SELECT 'acme' AS name, seq::int AS rows FROM shared_acme.head UNION ALL SELECT 'globex', seq::int FROM shared_globex.head`,
        name,
      );
      expect(schemas.map((schema) => schema.name).toSorted()).toEqual(["acme", "globex"]);
    },
    timeoutMs,
  );

  test(
    "go on apart when an instance that leads is killed",
    async () => {
      const leads = await Promise.all(
        names.map(async (tailnet) => (await statusOf(one, `?tailnet=${tailnet}`)).cluster?.isLeading),
      );
      const [leader, other] = leads.includes(true) ? [one, two] : [two, one];
      const sending = Promise.allSettled(
        names.flatMap((tailnet) =>
          [leader, other].map((to) => post(to, serials(100, 120), { token: `token-${tailnet}` })),
        ),
      );
      await leader.kill();
      await sending;
      for (const tailnet of names) await untilLeads(other, `?tailnet=${tailnet}`);
      await send(other, "acme", serials(100, 120));
      await send(other, "globex", serials(100, 125));
      await settled({ acme: 110, globex: 65 });
      const again = await begin(leader === one ? "one" : "two");
      if (leader === one) one = again;
      else two = again;
      await send(again, "acme", serials(80, 121));
      await settled({ acme: 121, globex: 65 });
    },
    timeoutMs,
  );

  test(
    "name each tailnet on every point of it, and none on those of a process",
    () => {
      const unnamed = new Set(
        sink.points.flatMap(({ attributes, metric }) =>
          attributes["tailscale.tailnet"] === undefined ? [metric] : [],
        ),
      );
      expect(unnamed.has("process.uptime")).toBe(true);
      expect([...unnamed].filter((metric) => /network|ingest|journal|cluster|export\./.test(metric))).toEqual([]);
    },
    timeoutMs,
  );
});
