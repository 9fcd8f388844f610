/** Tests what every instance does with a database: prepares it, reports its faults, appends, and reads in any thread. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { type Appending, openAppending } from "../../../src/journal/postgres/appending.ts";
import { type Append, inspectDatabase, openReader } from "../../../src/journal/index.ts";
import { quoted } from "../../../src/journal/postgres/schema.ts";
import { readState } from "../../../src/journal/postgres/state.ts";
import { createAuthority } from "../../support/certificates.ts";
import { type Cluster, startCluster } from "../../support/postgres/cluster.ts";
import { startPooler } from "../../support/postgres/pooler.ts";
import { canHavePostgres } from "../../support/postgres/programs.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { timeoutMs, until } from "../../support/wait.ts";
import { acceptedIn, appendOf, configOf, keyOf, mebibyte, partOf } from "../support.ts";

const noTls = { ca_file: "", cert_file: "", key_file: "" };

describe.skipIf(!canHavePostgres)("a journal on PostgreSQL", () => {
  let cluster: Cluster;
  let database: string;
  let log: string[] = [];
  let opened: Appending[] = [];
  const note = (message: string, fields?: object) => void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const authority = createAuthority(temporaryDirectory());

  beforeAll(async () => {
    cluster = await startCluster({ tls: authority.issue("database", "DNS:localhost") });
  }, timeoutMs);
  beforeEach(async () => {
    log = [];
    database = await cluster.createDatabase();
  });
  afterEach(async () => {
    await Promise.all(opened.map((one) => one.close()));
    opened = [];
  });
  afterAll(() => cluster.end());

  async function open(more: { url?: string; schema?: string; maxBytes?: number; tls?: typeof noTls } = {}) {
    const { url = cluster.url(database), schema = "flows", tls = noTls, maxBytes = 256 * mebibyte } = more;
    const config = configOf({ path: "/unused", maxBytes });
    const appending = await openAppending(
      { ...config, state: { ...config.state, url, schema, tls } },
      {
        telemetry: silentTelemetry,
        logger: { debug: note, info: note, warn: note, error: note },
        clock: () => Date.UTC(2026, 10, 2, 9, 15),
      },
    );
    opened.push(appending);
    return appending;
  }

  const numbers = (journal: Appending, list: readonly number[], more: Partial<Append> = {}) =>
    journal.append(appendOf([partOf(list)], more), () => undefined);

  test("is created by several instances at once, and is the same for all of them", async () => {
    const journals = await Promise.all([1, 2, 3, 4].map(() => open()));
    const [first] = journals;
    expect(first?.identity.identitySecret).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(journals.map(({ identity }) => JSON.stringify(identity))).size).toBe(1);
    expect(new Set(journals.map(({ member }) => member)).size).toBe(4);
    await Promise.all(journals.map((journal, n) => numbers(journal, [n])));
    const again = await open();
    expect([again.identity, again.lastSeq, again.keyCount("flow")]).toEqual([first?.identity as never, 4, 4]);
    expect(log.filter((line) => line.includes("cannot be used"))).toEqual([]);
  });

  test("warns at the start what its database may lose", async () => {
    await open();
    expect(log.filter((line) => line.startsWith("fsync is off"))).toHaveLength(1);
    await cluster.query(`ALTER DATABASE ${database} SET synchronous_commit = off`);
    await open();
    expect(log.filter((line) => line.startsWith("synchronous_commit is off"))).toHaveLength(1);
  });

  test("refuses to lead if its identity was deleted, and makes a new one at the next start", async () => {
    const one = await open();
    await numbers(one, [1]);
    await cluster.query("DELETE FROM flows.state WHERE name = 'identity'", database);
    const { state } = await readState(one.looking, quoted("flows"));
    expect(() => state.identity).toThrow("has lost the journal's identity");
    const other = await open();
    expect(other.identity.instanceId).not.toBe(one.identity.instanceId);
    expect(log.filter((line) => line.startsWith("the identity of the journal was missing"))).toHaveLength(1);
  });

  test("keeps schemas apart", async () => {
    const [one, other] = [await open(), await open({ schema: "flows_other" })];
    expect(one.identity.instanceId).not.toBe(other.identity.instanceId);
    expect(acceptedIn(await numbers(one, [1]))).toBe(1);
    expect(acceptedIn(await numbers(other, [1]))).toBe(1);
  });

  test("refuses a schema of a newer program, and one that its user may not create", async () => {
    await open();
    await cluster.query("UPDATE flows.head SET version = 99", database);
    await expect(open()).rejects.toThrow("was written by a newer version (schema 99");
    await cluster.query("CREATE ROLE stranger LOGIN PASSWORD 'strange-word'", database);
    const url = cluster.url(database).replace(`${cluster.user}:${cluster.password}`, "stranger:strange-word");
    const refusal = await open({ url, schema: "mine" }).catch((error: unknown) => String(error));
    expect(refusal).toContain("Grant the user CREATE on the database");
    await cluster.query("CREATE SCHEMA mine AUTHORIZATION stranger", database);
    expect(acceptedIn(await numbers(await open({ url, schema: "mine" }), [1]))).toBe(1);
    const wrong = await open({ url: url.replace("strange-word", "wrong-word") }).catch((error: unknown) =>
      String(error),
    );
    expect(wrong).toContain("Correct user and password in state.url");
    expect(`${String(wrong)}${log.join()}`).not.toContain("wrong-word");
  });

  test("refuses a database that cannot hold every text", async () => {
    await cluster.query("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    await expect(open({ url: cluster.url("latin") })).rejects.toThrow("the encoding of the database is LATIN1");
    const { state } = configOf({ path: "/unused" });
    const found = await inspectDatabase({ state: { ...state, url: cluster.url("latin") } });
    expect(found).toMatchObject({ kind: "unusable", reason: "the encoding of the database is LATIN1" });
  });

  test("is full at its limit, and reports it", async () => {
    const journal = await open({ maxBytes: 32 * mebibyte });
    await cluster.query(`UPDATE flows.head SET used_bytes = ${16 * mebibyte - 500}`, database);
    await numbers(await open(), [1]);
    const other = await open({ maxBytes: 32 * mebibyte });
    await expect(numbers(other, [2])).rejects.toThrow("the journal is full");
    expect(journal.space.limitBytes).toBe(32 * mebibyte);
    expect(other.space.usedBytes).toBeGreaterThan(16 * mebibyte - 500);
  });

  test("tells all instances up to which time keys have expired", async () => {
    await open();
    const horizon = { until: 7, streamed: 5 };
    await cluster.query(
      `INSERT INTO flows.state VALUES ('horizon.flow', convert_to('${JSON.stringify(horizon)}', 'UTF8'))`,
      database,
    );
    const journal = await open();
    expect([journal.horizon("flow"), journal.horizon("audit")]).toEqual([horizon, { until: 0, streamed: 0 }]);
  });

  test("is read in any thread by its location: rows as appended, limited by number and by bytes, with damage per row", async () => {
    const journal = await open();
    for (const n of [1, 2, 3]) await numbers(journal, [n], { source: "poll", receivedAt: 12_345, bytes: 7 });
    await cluster.query("UPDATE flows.batch SET body = substr(body, 1, 9) WHERE seq = 2", database);
    await cluster.query("UPDATE flows.batch SET length = 9 WHERE seq = 3", database);
    const reader = openReader(journal.location);
    const rows = await reader.read(1, { rows: 9, bytes: mebibyte });
    expect(rows[0]).toMatchObject({
      seq: 1,
      acceptedAt: 12_345,
      source: "poll",
      type: "flow",
      records: 1,
      text: new Uint8Array(Buffer.from('{"event":{"n":1}}')) as never,
      tally: { bytes: 7, bytesOf: "flow" },
      damage: undefined,
    });
    expect(rows.map(({ damage }) => damage !== undefined)).toEqual([false, true, true]);
    const seqs = async (from: number, most: number, bytes: number) =>
      (await reader.read(from, { rows: most, bytes })).map(({ seq }) => seq);
    expect(await seqs(1, 2, mebibyte)).toEqual([1, 2]);
    expect(await seqs(1, 9, 1)).toEqual([1]);
    expect(await seqs(4, 9, mebibyte)).toEqual([]);
    expect((await reader.heads(2, 1)).map(({ seq }) => seq)).toEqual([2]);
    reader.close();
  });

  test("connects with TLS according to sslmode", async () => {
    const at = (host: string, mode: string) => `${cluster.url(database).replace("127.0.0.1", host)}?sslmode=${mode}`;
    const trusted = { ...noTls, ca_file: authority.file };
    for (const [url, tls] of [
      [at("localhost", "verify-full"), trusted],
      [at("127.0.0.1", "verify-ca"), trusted],
      [at("127.0.0.1", "require"), noTls],
      [at("127.0.0.1", "prefer"), noTls],
      [at("127.0.0.1", "disable"), noTls],
    ] as const) {
      const journal = await open({ url, tls });
      const [own] = await journal.database
        .connect(1000)
        .query<{ ssl: boolean }>("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
      expect(own?.ssl).toBe(!url.endsWith("disable"));
    }
    await expect(open({ url: at("127.0.0.1", "verify-full"), tls: trusted })).rejects.toThrow("state.tls.ca_file");
    await expect(open({ url: at("localhost", "verify-ca") })).rejects.toThrow("state.tls.ca_file");
  });

  test("works behind a pooler that assigns each transaction another connection", async () => {
    const pooler = await startPooler(cluster);
    const url = cluster.url(database, pooler.port);
    const journals = await Promise.all([open({ url }), open({ url })]);
    const list = Array.from({ length: 40 }, (_, n) => n);
    const answers = await Promise.all(journals.flatMap((journal) => list.map((n) => numbers(journal, [n, n + 1]))));
    expect(answers.reduce((sum, answer) => sum + acceptedIn(answer), 0)).toBe(41);
    const reader = openReader(journals[0]?.location ?? "");
    const rows = await reader.read(1, { rows: 1000, bytes: mebibyte });
    expect(rows.reduce((sum, { records }) => sum + records, 0)).toBe(41);
    reader.close();
    await pooler.end();
  });

  test(
    "continues after its database was killed and has recovered",
    async () => {
      const journal = await open();
      await numbers(journal, [1]);
      await cluster.kill();
      await expect(numbers(journal, [2])).rejects.toThrow("the journal cannot be written");
      expect(journal.space.refusal).toContain("the database at 127.0.0.1");
      await cluster.start();
      await until(() => journal.space.refusal === undefined);
      expect(acceptedIn(await numbers(journal, [1, 2]))).toBe(1);
      expect(journal.knows("flow", keyOf(2), 0)).toBe(true);
      await journal.closeTurn();
      journal.close();
      await expect(numbers(journal, [3])).rejects.toThrow("the journal is closed");
      expect(journal.space.refusal).toBe("the journal is closed");
    },
    timeoutMs,
  );
});
