/** Tests copying a SQLite journal into a schema of PostgreSQL: completely, once, and resumed after any interruption. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { inspectDatabase, openReader } from "../../src/journal/index.ts";
import { type MoveProgress, moveJournal } from "../../src/journal/move/index.ts";
import { locationOf } from "../../src/journal/postgres/rows.ts";
import { type Cluster, startCluster } from "../support/postgres/cluster.ts";
import { canHavePostgres } from "../support/postgres/programs.ts";
import { timeoutMs } from "../support/wait.ts";
import {
  appendNumbers,
  appendOf,
  configOf,
  cursorAt,
  finishAll,
  keyOf,
  markOn,
  partOf,
  quarantineOf,
} from "./support.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";

describe.skipIf(!canHavePostgres && process.env.CI === undefined)("a move to PostgreSQL", () => {
  let cluster: Cluster;
  let state: SqliteState;
  let database: string;

  beforeAll(async () => {
    cluster = await startCluster();
  }, timeoutMs);
  afterAll(() => cluster.end());
  beforeEach(async () => {
    state = createState();
    database = await cluster.createDatabase();
  });
  afterEach(() => state.remove());

  const read = async <Row>(sql: string) => cluster.query<Row>(sql.replaceAll("@", "tailscale2otel."), database);

  function move(onProgress: (progress: MoveProgress) => void = () => undefined, stop = new AbortController().signal) {
    const { state: settings } = configOf({ path: state.path });
    return moveJournal({ state: { ...settings, url: cluster.url(database) } }, { now: state.now, onProgress, stop });
  }

  /** Some of everything: 9 records of all types, 3 delivered, one dead letter, a quarantined text, a poll's position. */
  async function fill(): Promise<void> {
    const journal = state.open();
    await journal.useDestinations([{ name: "archive", types: ["audit"], isRequired: true }], () => undefined);
    await appendNumbers(journal, [1, 2, 3]);
    journal.progress({ cursor: cursorAt(2, 2, 1), marks: [markOn(1)] });
    await journal.writeSnapshot({
      measuredSeq: 1,
      blobs: new Map([["a", Uint8Array.of(1, 2, 3)]]),
      minutes: { changed: [{ at: 60_000, totals: Uint8Array.of(4), detail: Uint8Array.of(5, 6) }], gap: undefined },
    });
    await journal.append(
      appendOf([partOf([4, 5], { type: "audit" }), partOf([6], { type: "webhook" })], {
        source: "poll",
        poll: { type: "audit", readUntil: 1000, unverifiableSeconds: 0 },
        quarantine: [quarantineOf(["broken"])],
      }),
      () => undefined,
    );
    await appendNumbers(journal, [7, 8, 9]);
    await journal.close();
  }

  test(
    "copies rows, keys, marks, minutes, state and sums, and locks the journal",
    async () => {
      await fill();
      const { sums, to } = await move();
      expect(sums).toMatchObject({ accepted: 9, delivered: 2, deadLettered: 1, pending: 6, records: 9, marks: 2 });
      expect(sums).toMatchObject({ keys: 10, minutes: 1, rows: 5 });
      expect(to).toBe(`postgres://127.0.0.1:${cluster.port}/${database}, schema tailscale2otel`);
      const [head] = await read<Record<string, unknown>>(
        "SELECT seq, accepted_flow, accepted_audit, accepted_webhook FROM @head",
      );
      expect(head).toMatchObject({ seq: "5", accepted_flow: "6", accepted_audit: "2", accepted_webhook: "1" });
      const names = await read<{ name: string }>("SELECT name FROM @state ORDER BY name");
      expect(names.map(({ name }) => name)).toEqual(
        expect.arrayContaining([
          "cursor",
          "destination.archive",
          "identity",
          "ledger/a",
          "measured",
          "moved",
          "poll.audit",
        ]),
      );
      expect(names.map(({ name }) => name)).not.toContain("moving");
      expect(() => state.open()).toThrow(/was moved to postgres:.* Set state\.url to use it there/);
    },
    timeoutMs,
  );

  test(
    "stores each key as it is looked up, with its source",
    async () => {
      await fill();
      await move();
      const { buffer } = keyOf(7);
      const packed = Buffer.from(buffer).subarray(0, 12).toString("hex");
      const [found] = await read<{ day: number; word: Uint8Array }>(
        `SELECT day, encode(word, 'hex') AS word FROM @flow_key WHERE key = '\\x${packed}'`,
      );
      expect(found).toEqual({ day: -1, word: "01000000" } as never);
      const [day] = await read<Record<string, unknown>>("SELECT day, keys FROM @key_day");
      expect(day).toMatchObject({ day: -1, keys: "6" });
    },
    timeoutMs,
  );

  test(
    "recognizes a record that is sent again, whatever its day",
    async () => {
      await fill();
      await move();
      const hex = (...numbers: readonly number[]) =>
        numbers.map((n) => Buffer.from(keyOf(n).buffer).subarray(0, 12).toString("hex") + "01000000").join("");
      const days = (count: number) => Buffer.from(new Uint16Array(count).fill(20_759).buffer).toString("hex");
      const append = (number: number, ...of: readonly number[]) =>
        read<{ outcome: string; known: string | null }>(
          `SELECT outcome, encode(known_flow, 'hex') AS known FROM @append('me', ${number}, NULL, @history(), '\\x${days(of.length)}', '\\x${hex(...of)}', '', '[]', '', '[]', '[]', '', '[]', NULL, NULL)`,
        );
      expect(await append(1, 7, 1000)).toEqual([{ outcome: "known", known: hex(7) }]);
      expect(await append(2, 1000)).toEqual([{ outcome: "done", known: null }]);
      expect(await append(3, 1000, 8)).toEqual([{ outcome: "known", known: expect.stringContaining(hex(8)) }]);
      const found = await read<{ known: string }>(
        `SELECT encode(known_flow, 'hex') AS known FROM @look_up('\\x${days(2)}', '\\x${hex(9, 2000)}', '', '[]')`,
      );
      expect(found).toEqual([{ known: hex(9) }]);
    },
    timeoutMs,
  );

  test(
    "shows from outside whether it has not begun, is under way or is complete",
    async () => {
      await fill();
      const look = () =>
        inspectDatabase({ state: { ...configOf({ path: state.path }).state, url: cluster.url(database) } });
      const server = expect.stringMatching(/^PostgreSQL \d+/);
      expect(await look()).toEqual({ kind: "new", server });
      const stop = new AbortController();
      await move(() => stop.abort(), stop.signal).catch(() => undefined);
      expect(await look()).toEqual({
        kind: "unusable",
        reason: "the schema tailscale2otel is being filled by tailscale2otel move",
        remedy: "Run the same move again to finish it, or drop the schema to begin anew.",
      });
      await move();
      expect(await look()).toEqual({ kind: "ready", server, rows: 5, members: 0 });
    },
    timeoutMs,
  );

  test(
    "resumes after an interruption; until then an instance may continue with the old journal",
    async () => {
      await fill();
      for (let steps = 1; steps < 4; steps++) {
        const stop = new AbortController();
        let seen = 0;
        const interrupted = move(() => ++seen === 1 && stop.abort(), stop.signal);
        expect(await interrupted.catch(() => "interrupted")).toBe("interrupted");
        expect(await read("SELECT FROM @state WHERE name = 'moving'")).toHaveLength(1);
      }
      // No record has been added here yet, so a move that is given up leaves the old journal usable.
      await state.open().close();
      rmSync(join(state.path, "ballast"), { force: true });
      expect((await move()).sums).toBeDefined();
      expect((await move()).sums).toBeUndefined();
    },
    timeoutMs,
  );

  test(
    "starts over if the journal was used in between",
    async () => {
      await fill();
      const stop = new AbortController();
      await move(() => stop.abort(), stop.signal).catch(() => undefined);
      const journal = state.open();
      await appendNumbers(journal, [10]);
      await finishAll(journal);
      await journal.close();
      const { sums } = await move();
      expect(sums).toMatchObject({ accepted: 10, pending: 0, records: 10 });
    },
    timeoutMs,
  );

  test(
    "omits damaged marks and minutes, and keeps damaged rows damaged",
    async () => {
      await fill();
      const journal = state.open();
      await appendNumbers(journal, [1]);
      await journal.close();
      const sqlite = new DatabaseSync(join(state.path, "journal.db"));
      for (const table of ["mark", "minute", "batch"]) sqlite.exec(`UPDATE ${table} SET crc = crc + 1`);
      sqlite.close();
      expect((await move()).sums).toMatchObject({ accepted: 9, records: 9, rows: 6, marks: 0, minutes: 0 });
      const { state: settings } = configOf({ path: state.path });
      const reader = openReader(
        locationOf({ url: cluster.url(database), tls: settings.tls, schema: "tailscale2otel" }),
      );
      const rows = await reader.read(1, { rows: 10, bytes: 1e6 });
      reader.close();
      const texts = Array<string>(5).fill(expect.stringMatching(/^its text has \d+ bytes instead of \d+$/));
      expect(rows.map(({ damage }) => damage)).toEqual([...texts, "its tally is not what was written"]);
    },
    timeoutMs,
  );

  test(
    "refuses a schema with another journal, a used directory and a missing one",
    async () => {
      await fill();
      await move();
      rmSync(state.path, { recursive: true });
      await expect(move()).rejects.toThrow(`there is no journal in ${state.path}`);
      const other = state.open();
      await expect(move()).rejects.toThrow(/an instance is using .*: stop it first/);
      await other.close();
      await expect(move()).rejects.toThrow(/the schema tailscale2otel already holds a journal/);
    },
    timeoutMs,
  );

  test(
    "refuses a different destination than the one it was moved to",
    async () => {
      await fill();
      await move();
      database = await cluster.createDatabase();
      await expect(move()).rejects.toThrow(/was moved to postgres:.*\/test_\d+, schema tailscale2otel before/);
      expect(await read("SELECT FROM pg_namespace WHERE nspname = 'tailscale2otel'")).toHaveLength(0);
    },
    timeoutMs,
  );
});
