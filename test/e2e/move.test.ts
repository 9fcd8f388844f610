/**
 * Tests moving a journal from SQLite to PostgreSQL: the compiled program continues with equal sums, and recognizes repeated
 * records.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conservationAt } from "../support/admin.ts";
import { programBinary } from "../support/binary.ts";
import { type OtlpSink, refusing, startOtlpSink } from "../support/otlp-sink.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import type { RunningProgram } from "../support/running-program.ts";
import {
  brokenCounters,
  post,
  runCommand,
  serials,
  startInstance,
  total,
  untilLeads,
} from "../support/shared-journal.ts";
import { timeoutMs, until } from "../support/wait.ts";

/** A record with a negative counter. */
const invalid = serials(900, 901).replace('"txBytes":1000', '"txBytes":-1');

/** The minimal settings for a start. */
const received = {
  TS2OTEL_STREAMING__ENABLED: "true",
  TS2OTEL_STREAMING__LISTEN: "127.0.0.1:0",
  TS2OTEL_COLLECTORS__FLOWLOGS__SOURCE: "stream",
  TS2OTEL_COLLECTORS__AUDITLOGS__SOURCE: "stream",
  TS2OTEL_ADMIN__LISTEN: "127.0.0.1:0",
};

describe.skipIf(!canHavePostgres)("a journal that moves to PostgreSQL", () => {
  const directory = mkdtempSync(join(tmpdir(), "ts2otel-move-"));
  let database: Cluster;
  let url: string;
  let sink: OtlpSink;
  let program: RunningProgram;

  const begin = (settings: Readonly<Record<string, string>> = {}): Promise<RunningProgram> =>
    startInstance({ directory, endpoint: sink.url, settings });
  const run = (args: readonly string[], settings: Readonly<Record<string, string>> = {}) =>
    runCommand(args, { directory, settings });

  beforeAll(async () => {
    programBinary();
    [sink, database] = await Promise.all([startOtlpSink(), startCluster()]);
    url = await database.databaseUrl();
    program = await begin();
  }, timeoutMs);
  afterAll(async () => {
    await program.kill();
    await Promise.all([database.end(), sink.stop()]);
    rmSync(directory, { recursive: true, force: true });
  }, timeoutMs);

  test(
    "goes on there with the same sums, delivers what was pending, and knows what is sent again",
    async () => {
      expect(invalid).toContain("-1");
      expect((await post(program, serials(0, 100))).status).toBe(200);
      await until(() => sink.logs.length === 100 && total(sink.points, "tailscale.network.flows") === 100);
      // A record the backend rejects, an invalid one, and some that stay pending during an outage.
      sink.behave(refusing(({ attributes }) => Object.values(attributes).some((value) => Number(value) === 205)));
      expect((await post(program, serials(100, 110))).status).toBe(200);
      await until(async () => (await conservationAt(program.admin)).deadLettered === 1);
      sink.behave(({ logs }) => (logs.length > 0 ? { kind: "status", status: 503 } : { kind: "take" }));
      expect((await post(program, serials(110, 150) + invalid)).status).toBe(200);
      await until(async () => (await conservationAt(program.admin)).pending === 40);
      const before = await conservationAt(program.admin);
      const items = (await run(["quarantine", "list", "--json"])).stdout;
      const busy = await run(["move", "--to", url]);
      expect([busy.code, busy.stderr]).toEqual([1, expect.stringContaining("stop it first")]);
      expect(await program.stop()).toBe(0);

      const moved = await run(["move", "--to", url]);
      expect([moved.code, moved.stderr]).toEqual([0, expect.any(String)]);
      const refused = await run(["run"]);
      expect(refused.code).not.toBe(0);
      expect(refused.stdout + refused.stderr).toContain("was moved to");

      const settings = { TS2OTEL_STATE__URL: url };
      program = await begin(settings);
      await untilLeads(program);
      expect(await conservationAt(program.admin)).toEqual(before);
      expect((await run(["quarantine", "list", "--json"], settings)).stdout).toBe(items);
      sink.behave(() => ({ kind: "take" }));
      expect((await post(program, serials(0, 160))).status).toBe(200);
      await until(() => sink.logs.length === 159 && total(sink.points, "tailscale.network.flows") === 160);
      await until(async () => (await conservationAt(program.admin)).pending === 0);
      expect(await conservationAt(program.admin)).toMatchObject({
        accepted: before.accepted + 10,
        duplicate: before.duplicate + 150,
        quarantined: before.quarantined,
        delivered: 159,
        deadLettered: 1,
      });
      expect(brokenCounters(sink.points)).toEqual([]);
      expect(await program.stop()).toBe(0);
      const again = await run(["move", "--to", url]);
      expect([again.code, again.stdout]).toEqual([0, expect.stringContaining("before: nothing is left to do")]);
    },
    timeoutMs,
  );

  test(
    "is not begun on where it is half filled",
    async () => {
      const [, name] = /\/([^/]+)$/.exec(url) ?? [];
      await database.query("INSERT INTO tailscale2otel.state (name, value) VALUES ('moving', '{}')", name);
      const { code, stdout, stderr } = await run(["run"], { ...received, TS2OTEL_STATE__URL: url });
      expect(code).not.toBe(0);
      expect(stdout + stderr).toContain("is being filled by tailscale2otel move: run the same move again to finish it");
    },
    timeoutMs,
  );
});
