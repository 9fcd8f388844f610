/** Tests damaged databases: the journal always starts, returns only what was written, and counts what is lost. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createRandom } from "../../src/demo/random.ts";
import { Unavailable } from "../../src/errors.ts";
import { Table } from "../../src/journal/sqlite/tables.ts";
import { type Journal, startOfJournal } from "../../src/journal/index.ts";
import { captureConnection } from "../support/captured.ts";
import { createState, type SqliteState } from "./sqlite-state.ts";
import {
  acceptedIn,
  appendNumbers,
  appendOf,
  cursorAt,
  keyOf,
  markOn,
  numbersIn,
  partOf,
  quarantineOf,
  rowsIn,
  settle,
  finishAll,
} from "./support.ts";

let state: SqliteState;
let path: string;
beforeEach(() => {
  state = createState();
  path = join(state.path, "journal.db");
});
afterEach(() => state.remove());

const padding = "a long text that makes rows that span pages ".repeat(40);

/** 60 rows: 20 delivered and measured, one of them marked; one quarantine row. */
async function filled(): Promise<Journal> {
  const journal = state.open();
  for (let n = 1; n <= 60; n++)
    await journal.append(appendOf([partOf([n, n + 100], { padding: `${n} ${padding}` })]), () => undefined);
  await journal.append(appendOf([], { quarantine: [quarantineOf(["a"])] }), () => undefined);
  journal.progress({ cursor: cursorAt(21, 38, 2), marks: [markOn(5, { to: 2, message: "too old" })] });
  journal.writeSnapshot({ measuredSeq: 30, blobs: new Map([["a", Uint8Array.of(1)]]) });
  journal.setPollCursor("flow", { type: "flow", readUntil: 99 });
  return journal;
}

/** Runs SQL on the closed database. */
function edit(sql: string): void {
  const database = new DatabaseSync(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

function checksumOf(row: { name: string; value: Uint8Array }): number {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return new Table(database, "state").checksum(row);
  } finally {
    database.close();
  }
}

function overwrite(offset: number, bytes: Uint8Array): void {
  const file = readFileSync(path);
  file.set(bytes, offset);
  writeFileSync(path, file);
}

const asideIn = (): string[] => readdirSync(state.path).filter((name) => name.startsWith("damaged-"));

describe("one damaged value", () => {
  test("of a row loses only that row, which is read as damaged", async () => {
    (await filled()).close();
    edit("UPDATE batch SET records = 3 WHERE seq = 40; UPDATE batch SET body = zeroblob(LENGTH(body)) WHERE seq = 41");
    const journal = state.open();
    const damaged = (await rowsIn(journal)).filter(({ damage }) => damage !== undefined);
    expect(damaged.map(({ seq, text }) => [seq, text.length])).toEqual([
      [40, 0],
      [41, 0],
    ]);
    expect(asideIn()).toEqual([]);
  });

  test("of the snapshot makes all series begin anew, whichever value it is", async () => {
    for (const sql of [
      () => "UPDATE state SET value = x'02' WHERE name = 'ledger/a'",
      () =>
        `UPDATE state SET value = x'02', crc = ${checksumOf({ name: "ledger/a", value: Uint8Array.of(2) })} WHERE name = 'ledger/a'`,
      () => "DELETE FROM state WHERE name = 'ledger/a'",
      () => "UPDATE state SET crc = crc + 1 WHERE name = 'measured'",
    ]) {
      const journal = await filled();
      journal.close();
      edit(sql());
      state.now += 1000;
      const again = state.open();
      expect(again.readSnapshot()).toEqual({ measuredSeq: 62, blobs: new Map() });
      expect(again.identity.createdAt).toBe(state.now);
      expect([again.pendingRecords, again.cursor.records.delivered]).toEqual([80, 0]);
      again.close();
      rmSync(state.path, { recursive: true });
    }
  });

  test("of the keys moves the horizon to the start that detected it", async () => {
    const first = await filled();
    await first.append(appendOf([partOf([900], { keysAt: state.now + 3_600_000 })]), () => undefined);
    first.close();
    edit("UPDATE keys SET at = at - 1 WHERE id = 1");
    const journal = state.open();
    expect(journal.horizon("flow")).toEqual({ until: state.now, streamed: state.now });
    expect([journal.knows("flow", keyOf(3), 0), journal.knows("flow", keyOf(900), 0)]).toEqual([false, true]);
  });

  test("of the cursor sets the database aside, and the remaining rows are delivered again", async () => {
    (await filled()).close();
    edit("UPDATE state SET value = x'7b7d' WHERE name = 'cursor'");
    const journal = state.open();
    expect(asideIn()).toHaveLength(1);
    expect([journal.cursor.seq, journal.pendingRecords, journal.lastSeq]).toEqual([1, 120, 62]);
    expect(journal.pollCursor("flow")).toEqual({ type: "flow", readUntil: 99 });
  });

  test("before anything was delivered keeps the counters, and delivery begins with the first row", async () => {
    const journal = state.open();
    for (let n = 1; n <= 3; n++) await journal.append(appendOf([partOf([n])]), () => undefined);
    journal.writeSnapshot({ measuredSeq: 2, blobs: new Map([["a", Uint8Array.of(1)]]) });
    journal.setPollCursor("flow", { type: "flow", readUntil: 99 });
    const { identity } = journal;
    journal.close();
    edit("UPDATE state SET crc = crc + 1 WHERE name = 'poll.flow'");
    const again = state.open();
    expect(again.identity).toEqual(identity);
    expect(again.readSnapshot()).toEqual({ measuredSeq: 2, blobs: new Map([["a", Uint8Array.of(1)]]) });
    expect([again.pendingRecords, again.cursor, again.loss.rows]).toEqual([3, startOfJournal, 0]);
    expect(state.log.join()).toContain('"delivery_position":"kept","counters":"kept"');
  });

  test("that is a seq of 2^62 does not prevent the start", async () => {
    (await filled()).close();
    edit(
      "INSERT INTO batch SELECT 4611686018427387904, accepted_at, source, tailnet, type, records, length, crc, tally, left_out, body FROM batch WHERE seq = 50",
    );
    const journal = state.open();
    expect((await numbersIn(journal)).slice(-2)).toEqual([60, 160]);
    expect(acceptedIn(await appendNumbers(journal, [500]))).toBe(1);
    journal.close();
    expect((await numbersIn(state.open())).at(-1)).toBe(500);
  });
});

describe("a damaged file", () => {
  test("loses no state, keys, undelivered rows, marks with their rows, or quarantine", async () => {
    const journal = await filled();
    const { identity, lastSeq } = journal;
    journal.damaged("a test says so");
    journal.close();
    const again = state.open();
    expect(again.identity).toEqual(identity);
    expect([again.lastSeq, again.pendingRecords, again.cursor.seq]).toEqual([lastSeq, 80, 21]);
    expect((await numbersIn(again)).slice(0, 4)).toEqual([5, 105, 21, 121]);
    expect((await again.quarantine.page({}, { limit: 9 })).map(({ id, detail }) => [id, detail])).toEqual([
      ["62.0", "about a"],
      ["m2", "too old"],
    ]);
    expect(again.readSnapshot().measuredSeq).toBe(30);
    expect(again.loss).toMatchObject({ rows: 0 });
    expect(acceptedIn(await appendNumbers(again, [1, 60, 500]))).toBe(1);
    expect(existsSync(join(state.path, asideIn()[0] as string, "journal.db"))).toBe(true);
    expect(state.log.join()).toContain("the journal was damaged: its files were moved to the directory below");
  });

  test("whose header, first page or entire content is gone still starts", async () => {
    const damages: (() => void)[] = [
      () => overwrite(0, new Uint8Array(16)),
      () => overwrite(0, new Uint8Array(4096)),
      () => overwrite(100, new Uint8Array(3000).fill(0xff)),
      () => overwrite(60, Uint8Array.of(0, 0, 0, 9)),
      () => overwrite(68, Uint8Array.of(1, 2, 3, 4)),
      () => truncateSync(path, 0),
      () => truncateSync(path, 50),
      () => truncateSync(path, 5000),
      () => writeFileSync(path, "not a database at all".repeat(300)),
    ];
    for (const damage of damages) {
      (await filled()).close();
      damage();
      const journal = state.open();
      expect(acceptedIn(await appendNumbers(journal, [700]))).toBe(1);
      journal.close();
      expect(await numbersIn(state.open())).toContain(700);
      rmSync(state.path, { recursive: true });
    }
  });

  test("with bytes flipped anywhere starts, returns nothing that was not written, and counts what is lost", async () => {
    const journal = await filled();
    journal.close();
    const sound = readFileSync(path);
    const random = createRandom(5);
    for (let round = 0; round < 25; round++) {
      const damaged = Uint8Array.from(sound);
      for (let flip = 0; flip < 40; flip++) {
        const at = random.below(damaged.length);
        damaged[at] = (damaged[at] as number) ^ (1 << random.below(8));
      }
      rmSync(state.path, { recursive: true, force: true });
      mkdirSync(state.path, { mode: 0o700 });
      writeFileSync(path, damaged);
      let again = state.open();
      let rows: Awaited<ReturnType<typeof rowsIn>>;
      try {
        rows = await rowsIn(again);
      } catch {
        expect(state.damages).toBeGreaterThan(0);
        again.close();
        again = state.open();
        rows = await rowsIn(again);
      }
      for (const row of rows) {
        if (row.damage !== undefined || row.type !== "flow") continue;
        const [n] = /\d+/.exec(new TextDecoder().decode(row.text)) ?? [];
        expect(Number(n)).toBe(row.seq);
      }
      expect(acceptedIn(await appendNumbers(again, [900 + round]))).toBe(1);
      again.close();
    }
  }, 120_000);

  test("that is being set aside survives a kill at each step", async () => {
    const rescued = join(state.path, "rescued.db");
    const aside = (suffix: string): void => {
      mkdirSync(join(state.path, "damaged-2026"), { recursive: true });
      renameSync(`${path}${suffix}`, join(state.path, "damaged-2026", `journal.db${suffix}`));
    };
    const steps: readonly (() => void)[] = [
      () => edit("PRAGMA user_version = 4"),
      () => (edit("PRAGMA user_version = 4"), writeFileSync(`${rescued}.part`, "half of it")),
      () => copyFileSync(path, rescued),
      () => (copyFileSync(path, rescued), writeFileSync(`${path}-wal`, ""), aside("-wal")),
      () => (copyFileSync(path, rescued), aside("")),
    ];
    for (const step of steps) {
      (await filled()).close();
      step();
      const journal = state.open();
      expect([journal.pendingRecords, (await numbersIn(journal)).at(-1)]).toEqual([80, 160]);
      journal.close();
      const again = state.open();
      expect(again.pendingRecords).toBe(80);
      expect(existsSync(rescued)).toBe(false);
      again.close();
      rmSync(state.path, { recursive: true });
    }
  });

  test("detected in use stops the journal once, and everything readable is saved for the next start", async () => {
    const journal = await filled();
    journal.damaged("a reader found page 7 malformed");
    journal.damaged("and again");
    expect(state.damages).toBe(1);
    expect(journal.space.refusal).toContain("a reader found page 7 malformed");
    expect(appendNumbers(journal, [500])).rejects.toBeInstanceOf(Unavailable);
    journal.close();
    expect(state.open().pendingRecords).toBe(80);
    expect(asideIn()).toHaveLength(1);
  });

  test("detected in use is reported with the remedy if no copy can be written, and nothing is lost", async () => {
    const journal = await filled();
    mkdirSync(join(state.path, "rescued.db.part"));
    journal.damaged("a reader found page 7 malformed");
    const line = state.log.find((one) => one.startsWith("error")) as string;
    expect(line).toContain("the journal is damaged: no more records are accepted");
    expect(line).toContain('"saved":"nothing, because no copy could be written');
    expect(line).toContain(`"remedy":"make sure that files can be written in ${state.path}, then start again"`);
    journal.close();
    expect(state.open().pendingRecords).toBe(80);
  });

  test("settles the difference between what was counted and what is left as lost", async () => {
    (await filled()).close();
    edit("DELETE FROM batch WHERE seq IN (50, 51, 52); PRAGMA user_version = 4");
    const journal = state.open();
    expect(journal.loss.rows).toBe(3);
    journal.settleLoss(120);
    expect(journal.loss).toMatchObject({ rows: 3, records: 6, uncounted: 0 });
    journal.settleLoss(999);
    expect(journal.loss.records).toBe(6);
  });
});

describe("a further destination", () => {
  const rule = { name: "lake", types: ["flow"], isRequired: true } as const;
  const noMove = (): void => undefined;

  test("keeps its position and its pending records", async () => {
    const journal = state.open();
    journal.useDestinations([rule], noMove);
    await appendNumbers(journal, [1, 2]);
    await appendNumbers(journal, [3, 4, 5]);
    await appendNumbers(journal, [6]);
    journal.progress({ cursor: cursorAt(4, 6), marks: [] });
    journal.progress({ cursor: cursorAt(2, 2), marks: [] }, "lake");
    journal.writeSnapshot({ measuredSeq: 3, blobs: new Map() });
    journal.close();
    edit("PRAGMA user_version = 4");
    const again = state.open();
    again.useDestinations([rule], noMove);
    expect(asideIn()).toHaveLength(1);
    expect(again.destinations).toMatchObject([{ cursor: cursorAt(2, 2), accepted: 6, pending: 4 }]);
    expect(again.loss.rows).toBe(0);
  });

  test("whose position cannot be read gets everything that is left", async () => {
    const journal = state.open();
    journal.useDestinations([rule], noMove);
    await appendNumbers(journal, [1, 2]);
    journal.progress({ cursor: cursorAt(2, 2), marks: [] }, "lake");
    journal.close();
    edit("UPDATE state SET crc = crc + 1 WHERE name = 'destination.lake'");
    const again = state.open();
    again.useDestinations([rule], noMove);
    expect(again.destinations).toMatchObject([{ cursor: { seq: 1 }, accepted: 2, pending: 2 }]);
  });
});

const withoutMinutes = "DROP TABLE minute; DROP TABLE minute_detail; DELETE FROM state WHERE name = 'minutes'";

test("a database of version 2 is upgraded: its minutes are to be rebuilt from all measured rows", async () => {
  const journal = state.open();
  await appendNumbers(journal, [1, 2]);
  await finishAll(journal);
  await appendNumbers(journal, [3]);
  journal.close();
  edit(`${withoutMinutes}; PRAGMA user_version = 2`);
  const again = state.open();
  expect(asideIn()).toEqual([]);
  expect(again.minutes.gap).toEqual({ from: 1, until: 1, since: 0, before: Number.MAX_SAFE_INTEGER });
  again.close();
  expect(state.open().minutes.gap).toMatchObject({ from: 1, until: 1 });
});

test.each(["DROP TABLE minute", "DELETE FROM minute"])(
  "lost minutes are to be rebuilt from all measured rows: %s",
  async (loss) => {
    const minutes = { changed: [{ at: 60_000, totals: Uint8Array.of(1), detail: Uint8Array.of(2) }], gap: undefined };
    const before = await filled();
    before.writeSnapshot({ measuredSeq: 40, blobs: new Map(), minutes });
    await settle(before);
    before.close();
    edit(loss);
    const journal = state.open();
    expect(journal.minutes.gap).toMatchObject({ from: 1, until: 40 });
    journal.close();
  },
);

test("a database of version 1 is upgraded, with its marks", async () => {
  const journal = state.open();
  await appendNumbers(journal, [1, 2]);
  journal.progress({ marks: [markOn(1, { message: "too old" })] });
  journal.close();
  edit(`ALTER TABLE mark DROP COLUMN destination; ${withoutMinutes}; PRAGMA user_version = 1`);
  const again = state.open();
  expect(asideIn()).toEqual([]);
  const [item] = await again.quarantine.page({}, { limit: 2 });
  expect(item).toMatchObject({ class: "dead_letter", detail: "too old" });
  expect(item).not.toHaveProperty("destination");
  again.close();
  expect(await state.open().quarantine.counts({ destination: "primary" })).toHaveLength(1);
});

describe("a database of another kind", () => {
  test("of the original format is refused in one line that names the directory", async () => {
    mkdirSync(state.path, { mode: 0o700 });
    edit(
      "CREATE TABLE meta (name TEXT PRIMARY KEY); CREATE TABLE journal (seq INTEGER PRIMARY KEY); PRAGMA user_version = 1",
    );
    expect(() => state.open()).toThrow(
      `the state directory ${state.path} was written by an unreleased first form; move it away or set another state.path`,
    );
    expect(asideIn()).toEqual([]);
  });

  test("from a newer program is refused and left unchanged", async () => {
    (await filled()).close();
    edit("CREATE TABLE later (id INTEGER); PRAGMA user_version = 4");
    expect(() => state.open()).toThrow("newer version");
    expect(asideIn()).toEqual([]);
  });

  test("is salvaged if only its version is damaged", async () => {
    (await filled()).close();
    edit("PRAGMA user_version = 4");
    expect(state.open().pendingRecords).toBe(80);
    expect(asideIn()).toHaveLength(1);
  });
});

test("pages of delivered rows are not read at a start: damage in one is detected by its reader", async () => {
  const filling = state.open();
  for (let n = 1; n <= 200; n++) {
    const noise = crypto.getRandomValues(new Uint8Array(1000)).toHex();
    await filling.append(appendOf([partOf([n], { padding: noise })]), () => undefined);
  }
  filling.progress({ cursor: cursorAt(200, 199), marks: [] });
  filling.writeSnapshot({ measuredSeq: 199, blobs: new Map() });
  filling.close();
  const pageBytes = 4096;
  const file = readFileSync(path);
  const roots = new DatabaseSync(path, { readOnly: true });
  const { rootpage } = roots.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'batch'").get() as {
    rootpage: number;
  };
  roots.close();
  /** Offset of the root, an inner page: its cells begin with the numbers of the pages below. */
  const root = (rootpage - 1) * pageBytes;
  expect(file[root]).toBe(5);
  const cell = root + file.readUInt16BE(root + 12 + 2 * 10);
  overwrite((file.readUInt32BE(cell) - 1) * pageBytes, new Uint8Array(16).fill(0xff));
  const journal = state.open();
  expect([asideIn(), state.damages]).toEqual([[], 0]);
  expect(acceptedIn(await appendNumbers(journal, [500]))).toBe(1);
  await expect(rowsIn(journal)).rejects.toThrow("malformed");
});

test("series begin anew completely or not at all", async () => {
  const { journal, database } = captureConnection(() => state.open());
  await appendNumbers(journal, [1, 2]);
  journal.progress({ cursor: cursorAt(2, 2), marks: [] });
  journal.writeSnapshot({ measuredSeq: 1, blobs: new Map([["a", Uint8Array.of(1)]]) });
  const before = [journal.readSnapshot(), journal.identity, journal.cursor];
  for (const name of ["measured", "identity", "cursor", "loss"]) {
    database.exec(
      `CREATE TEMP TRIGGER failing BEFORE INSERT ON state WHEN NEW.name = '${name}' BEGIN SELECT RAISE(ABORT, 'no'); END`,
    );
    expect(() => journal.beginSeriesAnew(777)).toThrow(Unavailable);
    database.exec("DROP TRIGGER failing");
    expect([journal.readSnapshot(), journal.identity, journal.cursor]).toEqual(before);
  }
  journal.close();
  const again = state.open();
  expect([again.readSnapshot(), again.identity, again.cursor]).toEqual(before);
});

test("a statement that cannot read the state is refused and commits nothing", async () => {
  const journal = await filled();
  const fails = appendOf([partOf([300])], { retries: { seq: 1, line: 0, reason: "x" } });
  expect(journal.append(fails, () => undefined)).rejects.toBeInstanceOf(Unavailable);
  await appendNumbers(journal, [301]);
  await settle(journal);
  expect((await numbersIn(journal)).at(-1)).toBe(301);
});
