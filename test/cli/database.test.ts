/** Commands for a journal in a database while no instance runs: they only read. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { runToEnd, temporaryDirectory } from "./program.ts";
import { createState } from "../journal/sqlite-state.ts";
import { freePort } from "../support/port.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { timeoutMs } from "../support/wait.ts";

describe.skipIf(!canHavePostgres && process.env.CI === undefined)("a journal in a database", () => {
  const directory = temporaryDirectory();
  let cluster: Cluster;
  let database: string;
  let adminPort: number;

  beforeAll(async () => {
    [cluster, adminPort] = await Promise.all([startCluster(), freePort()]);
  }, timeoutMs);
  afterAll(() => cluster.end());
  beforeEach(async () => {
    database = await cluster.createDatabase();
  });

  const run = (args: readonly string[], url = cluster.url(database)) =>
    runToEnd(directory, args, {
      TS2OTEL_STREAMING__ENABLED: "true",
      TS2OTEL_STREAMING__TOKEN: "a-token",
      TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
      TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
      TS2OTEL_ADMIN__LISTEN: `127.0.0.1:${adminPort}`,
      TS2OTEL_STATE__PATH: join(directory, "state"),
      TS2OTEL_STATE__URL: url,
    });

  async function journalRow(url?: string): Promise<unknown> {
    const { stdout } = await run(["check", "--online", "--json"], url);
    const { online } = JSON.parse(stdout) as { online: readonly { readonly subject: string }[] };
    return online.find(({ subject }) => subject === "journal");
  }

  const schemas = () => cluster.query("SELECT FROM pg_namespace WHERE nspname = 'tailscale2otel'", database);

  test(
    "check --online says where the journal will be, and creates nothing",
    async () => {
      expect(await journalRow()).toMatchObject({
        subject: "journal",
        outcome: "ok",
        detail: expect.stringContaining(
          `will be created in postgres://127.0.0.1:${cluster.port}/${database}, schema tailscale2otel (PostgreSQL `,
        ) as string,
      });
      expect(await schemas()).toHaveLength(0);
    },
    timeoutMs,
  );

  test(
    "check --online fails if the database cannot be used, and says what to do",
    async () => {
      const failed = (detail: RegExp) => ({ outcome: "failed", detail: expect.stringMatching(detail) as string });
      const url = cluster.url(database);
      expect(await journalRow(url.replace(cluster.password, "wrong"))).toMatchObject(
        failed(/Correct user and password/),
      );
      expect(await journalRow(url.replace(`:${cluster.password}`, ""))).toMatchObject(
        failed(/: it asks for a password, and state.url has none. Put it into state.url.$/),
      );
      expect(await journalRow(cluster.url("missing"))).toMatchObject(failed(/Create the database/));
      expect(await journalRow(`${url}?sslmode=require`)).toMatchObject(
        failed(/it offers no TLS. Set up TLS in the database/),
      );
      expect(await journalRow(cluster.url(database, await freePort()))).toMatchObject({
        ...failed(/^the database at .*ECONNREFUSED/),
        remedy: "Start the database, or correct the address in state.url.",
      });
      await cluster.query("CREATE ROLE guest LOGIN PASSWORD 'guest'");
      const guest = `postgres://guest:guest@127.0.0.1:${cluster.port}/${database}`;
      const remedy = "Grant the user CREATE on the database, or let it own the schema.";
      expect(await journalRow(guest)).toMatchObject({ ...failed(/may not create tables in the schema/), remedy });
      await cluster.query("CREATE SCHEMA tailscale2otel", database);
      const { code, stderr } = await run(["run"], guest);
      expect([code, stderr]).toEqual([1, expect.stringContaining("let it own the schema (state.schema)")]);
      expect(stderr).not.toContain("the database can");
      await cluster.query("GRANT USAGE ON SCHEMA tailscale2otel TO guest", database);
      expect(await journalRow(guest)).toMatchObject({ ...failed(/may not create tables in the schema/), remedy });
    },
    timeoutMs,
  );

  test(
    "status, replay and quarantine need a running instance, and create nothing",
    async () => {
      for (const args of [["status"], ["replay", "--since", "1h"], ["quarantine", "list"]]) {
        const { code, stderr } = await run(args);
        expect(stderr).toContain("schema tailscale2otel may be led by an instance elsewhere");
        expect(code).toBe(1);
      }
      expect(await schemas()).toHaveLength(0);
    },
    timeoutMs,
  );

  test(
    "move names the given flags, and says what to do if the database is unreachable",
    async () => {
      const move = (...args: readonly string[]) => run(["move", ...args], "");
      expect((await move("--to-file", "missing")).stderr).toStartWith("tailscale2otel: --to-file: cannot read ");
      expect((await move("--to", "http://x")).stderr).toStartWith(
        "tailscale2otel: --to: invalid address of a database",
      );
      const state = createState();
      await state.open().close();
      const away = cluster.url(database, await freePort());
      const { code, stderr } = await move("--to", away, "--set", `state.path=${state.path}`);
      await state.remove();
      expect(stderr).toEndWith(
        ". Start the database, or correct its address; the same command goes on where this one ended\n",
      );
      expect(code).toBe(1);
    },
    timeoutMs,
  );
});
