/** Tests terms: what a leader has committed counts once, and the next one continues from it, whatever fails in between. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Unavailable } from "../../../src/errors.ts";
import { openJournal, openReader } from "../../../src/journal/index.ts";
import { Database } from "../../../src/journal/postgres/connection.ts";
import { openPostgresJournal } from "../../../src/journal/postgres/index.ts";
import { quoted } from "../../../src/journal/postgres/schema.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { type CuttingProxy, startCuttingProxy } from "../../support/cutting-proxy.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { createPostgresState, type PostgresState } from "../postgres-state.ts";
import {
  appendNumbers,
  appendOf,
  configOf,
  cursorAt,
  depsOf,
  hourMs,
  keyOf,
  markOn,
  numbersIn,
  quarantineOf,
} from "../support.ts";

const forever = new AbortController().signal;

describe.skipIf(!canHavePostgres)("a term", () => {
  let cluster: Cluster;
  let proxy: CuttingProxy;
  let state: PostgresState;

  beforeAll(async () => {
    cluster = await startCluster();
    proxy = await startCuttingProxy(cluster.port);
  }, timeoutMs);
  afterAll(async () => {
    await proxy.end();
    await cluster.end();
  }, timeoutMs);
  beforeEach(() => {
    state = createPostgresState(cluster);
  }, timeoutMs);
  afterEach(async () => {
    await proxy.pass();
    await state.remove();
  }, timeoutMs);

  const stored = async (name: string, of = state): Promise<unknown> => {
    const sql = `SELECT convert_from(value, 'UTF8') AS value FROM ${quoted(of.schema)}.state WHERE name = '${name}'`;
    const [row] = await cluster.query<{ value: string }>(sql);
    return row && JSON.parse(row.value);
  };
  const marks = async (of = state): Promise<number> => {
    const [row] = await cluster.query<{ marks: number }>(
      `SELECT COUNT(*)::int AS marks FROM ${quoted(of.schema)}.mark`,
    );
    return row?.marks ?? 0;
  };

  test(
    "writes a commit once even if its answer was lost",
    async () => {
      const behind = createPostgresState(cluster, proxy.port);
      try {
        const journal = await behind.open();
        await appendNumbers(journal, [1, 2]);
        await journal.writeState("devices", Uint8Array.of(1));
        // From here on, every answer of the database is cut off.
        proxy.cutAfter(1, "to client");
        journal.progress({ cursor: cursorAt(2, 1, 1), marks: [markOn(1)] });
        await until(async () => (await marks(behind)) === 1);
        await proxy.pass();
        await until(() => journal.cursor.seq === 2);
        expect(await marks(behind)).toBe(1);
        expect(journal.cursor).toEqual(cursorAt(2, 1, 1));
        expect(journal.pendingRecords).toBe(0);
      } finally {
        await proxy.pass();
        await behind.remove();
      }
    },
    timeoutMs,
  );

  test(
    "that another leader has ended writes nothing",
    async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1, 2]);
      await cluster.query(`UPDATE ${quoted(state.schema)}.lease SET holder = 'another', fence = fence + 1`);
      journal.progress({ cursor: cursorAt(2, 2), marks: [markOn(1)] });
      await expect((async () => journal.writeSnapshot({ measuredSeq: 1, blobs: new Map() }))()).rejects.toBeInstanceOf(
        Unavailable,
      );
      expect(journal.lost.aborted).toBe(true);
      expect([await stored("cursor"), await stored("measured"), await marks()]).toEqual([undefined, undefined, 0]);
      const poll = { type: "flow" as const, readUntil: 1000, unverifiableSeconds: 0 };
      await expect(journal.append(appendOf([], { source: "poll", poll }), () => undefined)).rejects.toBeInstanceOf(
        Unavailable,
      );
    },
    timeoutMs,
  );

  test(
    "continues reading over another connection if one was lost",
    async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      const reader = journal.openReader();
      const read = async () =>
        [await reader.heads(1, 9), await journal.minutes.totals(0, 9, 9)].map(({ length }) => length);
      expect(await read()).toEqual([1, 0]);
      const ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailscale2otel'";
      await cluster.query(ended);
      expect(await read()).toEqual([1, 0]);
      reader.close();
    },
    timeoutMs,
  );

  test(
    "lets a reader in another thread wait for a database that is down, until it is closed",
    async () => {
      const behind = createPostgresState(cluster, proxy.port);
      try {
        const journal = await behind.open();
        await appendNumbers(journal, [1]);
        const reader = openReader(journal.location);
        const length = async () => (await reader.heads(1, 9)).length;
        expect(await length()).toBe(1);
        await proxy.refuse();
        proxy.cut();
        const waiting = length();
        for (const _ of Array(3)) {
          const here = journal.openReader();
          await expect((async () => here.heads(1, 9))()).rejects.toBeInstanceOf(Unavailable);
          here.close();
        }
        await proxy.pass();
        expect(await waiting).toBe(1);
        await proxy.refuse();
        proxy.cut();
        const given = length();
        reader.close();
        await expect(given).rejects.toBeInstanceOf(Unavailable);
      } finally {
        await proxy.pass();
        await behind.remove();
      }
    },
    timeoutMs,
  );

  test(
    "begins with what the previous one committed, at once after a release",
    async () => {
      const [first, second] = [await state.join(), await state.join()];
      const led = await first.lead(forever);
      await appendNumbers(led, [1, 2, 3]);
      await second.append(appendOf([], { quarantine: [quarantineOf(["a"])] }), () => undefined);
      led.progress({ cursor: cursorAt(2, 2, 1), marks: [markOn(1, { to: 1 })] });
      await led.writeState("devices", Uint8Array.of(7));
      await led.release();
      const next = await second.lead(forever);
      expect(next.cursor).toEqual(cursorAt(2, 2, 1));
      expect([...(next.readState("devices") ?? [])]).toEqual([7]);
      expect((await next.quarantine.page({}, { limit: 9 })).map(({ class: kind }) => kind)).toEqual([
        "invalid",
        "dead_letter",
      ]);
      await expect((async () => led.setPollCursor("flow", undefined))()).rejects.toBeInstanceOf(Unavailable);
    },
    timeoutMs,
  );

  test(
    "is notified of what other instances append, in the order of rows",
    async () => {
      const [first, second] = [await state.join(), await state.join()];
      const led = await first.lead(forever);
      const grown: [seq: number, records: number][] = [];
      if (led.tail === undefined) throw new Error("no tail");
      led.tail.onGrowth = (seq, records) => grown.push([seq, records]);
      await Promise.all([appendNumbers(led, [1, 2]), appendNumbers(second, [3]), appendNumbers(second, [4])]);
      await until(() => grown.at(-1)?.[0] === 3);
      expect(grown.map(([seq]) => seq)).toEqual(grown.map(([seq]) => seq).toSorted((a, b) => a - b));
      expect(grown.reduce((sum, [, records]) => sum + records, 0)).toBe(4);
      expect([led.lastSeq, led.pendingRecords]).toEqual([3, 4]);
      await until(() => led.pendingSince !== undefined);
    },
    timeoutMs,
  );

  test(
    "counts pending records exactly, over terms and series that begin anew while others append",
    async () => {
      const [first, second] = [await state.join(), await state.join()];
      const led = await first.lead(forever);
      let number = 0;
      const storm = async (): Promise<void> => {
        for (let n = 0; n < 20; n++) await appendNumbers(second, [++number, ++number]);
      };
      const storming = storm();
      await led.useDestinations([{ name: "lake", types: ["flow"], isRequired: true }], () => undefined);
      for (let at = 1; at < 6; at++) await led.beginSeriesAnew(at);
      await storming;
      await until(() => led.lastSeq === 20);
      await led.release();
      const next = await second.lead(forever);
      expect(next.pendingRecords).toBe(40);
      const [lake] = next.destinations;
      const reader = next.openReader();
      const rows = await reader.heads(lake?.cursor.seq ?? 0, 100);
      reader.close();
      expect(lake?.pending).toBe(rows.reduce((sum, { records }) => sum + records, 0));
    },
    timeoutMs,
  );

  test(
    "does not drop a day that has received a row since it was checked",
    async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1], { receivedAt: state.now });
      await journal.maintain();
      const day = Math.floor(state.now / (24 * hourMs));
      const s = quoted(state.schema);
      await appendNumbers(journal, [2], { receivedAt: state.now });
      await cluster.query(`SELECT ${s}.drop_rows(${day}, 1, 300)`);
      expect(await numbersIn(journal)).toEqual([1, 2]);
      await cluster.query(`SELECT ${s}.drop_rows(${day}, 2, 600)`);
      expect(await numbersIn(journal)).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "does not forget a day of keys that has received one since it was checked",
    async () => {
      const journal = await state.open({ flowWindowMs: hourMs });
      await appendNumbers(journal, [1], { receivedAt: state.now });
      const s = quoted(state.schema);
      await cluster.query(
        `CREATE FUNCTION ${s}.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          UPDATE ${s}.key_day SET latest_at = latest_at + ${100 * hourMs}; RETURN NEW; END $$;
         CREATE TRIGGER later AFTER INSERT ON ${s}.state FOR EACH ROW WHEN (NEW.name = 'horizon.flow') EXECUTE FUNCTION ${s}.later()`,
      );
      state.now += 2 * hourMs;
      await journal.maintain();
      await cluster.query(`DROP TRIGGER later ON ${s}.state`);
      expect(await state.holds(journal, "flow", keyOf(1))).toBe(true);
      state.now += 1000 * hourMs;
      await until(async () => {
        state.now += hourMs;
        await journal.maintain();
        return !(await state.holds(journal, "flow", keyOf(1)));
      });
    },
    timeoutMs,
  );

  test(
    "does not begin if its lease is lost meanwhile, but the next one does",
    async () => {
      const config = configOf({});
      const url = cluster.url("postgres");
      const settings = { ...config.state, url, schema: state.schema, lease: 1500 };
      const journal = await openPostgresJournal({ ...config, state: settings }, depsOf(state));
      const s = quoted(state.schema);
      const holding = new Database(settings, silentLogger).connect(timeoutMs);
      try {
        await holding.query("BEGIN");
        await holding.query(`LOCK TABLE ${s}.state`);
        const leading = journal.lead(forever);
        const fence = async () =>
          (await cluster.query<{ fence: number }>(`SELECT fence::int AS fence FROM ${s}.lease`))[0]?.fence;
        await until(async () => (await fence()) === 1);
        await cluster.query(`UPDATE ${s}.lease SET holder = 'other', fence = 2, until_at = ${s}.now_ms() + 1000`);
        await until(() => journal.cluster?.isLeading === false);
        await holding.query("COMMIT");
        const led = await leading;
        expect([led.lost.aborted, await fence()]).toEqual([false, 3]);
        await led.writeState("devices", Uint8Array.of(1));
      } finally {
        holding.close();
        await journal.close();
      }
    },
    timeoutMs,
  );

  test(
    "does not begin in a schema that is being filled",
    async () => {
      await (await state.open()).close();
      const s = quoted(state.schema);
      await cluster.query(`INSERT INTO ${s}.state (name, value) VALUES ('moving', '{}')`);
      await expect(state.open()).rejects.toThrow("run the same move again");
    },
    timeoutMs,
  );

  test(
    "has its state directory to itself, and reports what is left in it",
    async () => {
      const parent = mkdtempSync(join(tmpdir(), "term-test-"));
      const open = (url: string) => {
        const config = configOf({ path: join(parent, "state") });
        return openJournal({ ...config, state: { ...config.state, url, schema: state.schema } }, depsOf(state));
      };
      const alone = await open("");
      await alone.close();
      const url = cluster.url("postgres");
      const shared = await open(url);
      expect(state.log.join("\n")).toContain(
        "holds a journal of its own, of which nothing is delivered while state.url is set",
      );
      await expect(open(url)).rejects.toThrow("another process");
      await shared.close();
      await (await open(url)).close();
      rmSync(parent, { recursive: true, force: true });
    },
    timeoutMs,
  );
});
