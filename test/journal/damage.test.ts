/** Damage at any place of database or log: it starts, says what it set aside, accepts, and gives out nothing that was not received. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom } from "../../src/cli/demo/random.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { Unavailable } from "../../src/errors.ts";
import { type Journal, openJournal } from "../../src/journal/index.ts";
import { startOfJournal } from "../../src/journal/types.ts";
import { silentLogger, type LogFields } from "../../src/lib/logger.ts";
import { captureConnection } from "../support/captured.ts";
import { appendOf, hourMs, keyOf, mebibyte, partOfNumbers } from "../support/journal.ts";

const madeAt = Date.UTC(2026, 10, 2, 9, 15);
const damagedAt = madeAt + hourMs;
const rows = 60;
const firstPending = 31;
const snapshots = ["one", "two"].map((said) => "of metrics ".repeat(400) + said);

let parent: string;
let sound: string;
/** The same after a clean end: all of it in the database. */
let closed: string;

/** Deterministic padding that does not compress to nothing, so that rows fill pages of their own. */
const paddingOf = (n: number): string => {
  const random = createRandom(n);
  return Array.from({ length: 400 }, () => random.below(2 ** 32).toString(36)).join("");
};
const textOf = (n: number): string => JSON.stringify({ event: { n, padding: paddingOf(n) } });

function open(path: string, complaints: LogFields[] = [], warnings: LogFields[] = []): Journal {
  const limit = { windowMs: 1000 * hourMs, maxKeys: 100_000 };
  return openJournal(
    {
      path,
      maxBytes: 256 * mebibyte,
      ballastBytes: 0,
      retentionMs: 1000 * hourMs,
      durability: "normal",
      keyLimits: { flow: limit, audit: limit, webhook: limit, quarantined: limit },
    },
    {
      telemetry: silentTelemetry,
      logger: {
        ...silentLogger,
        error: (message, fields) => complaints.push({ message, ...fields }),
        warn: (message, fields) => warnings.push({ message, ...fields }),
      },
      clock: () => damagedAt,
    },
  );
}

/** A journal as a kill leaves it: half of it in the database, the rest in its log. */
beforeAll(async () => {
  parent = mkdtempSync(join(tmpdir(), "damage-test-"));
  const path = join(parent, "made");
  sound = join(parent, "sound");
  closed = join(parent, "closed");
  const deliveredTo = (journal: Journal, seq: number): void =>
    journal.progress({
      cursor: { ...startOfJournal, seq, records: { delivered: seq - 1, deadLettered: 0 } },
      setAside: [],
    });
  let journal = open(path);
  for (let n = 1; n <= rows / 2; n++) await journal.append(appendOf([partOfNumbers([n], paddingOf(n))]));
  deliveredTo(journal, 20);
  journal.writeSnapshot({ measuredSeq: 20, blobs: new Map([["a", snapshots[0] as string]]) });
  journal.close();
  journal = open(path);
  for (let n = rows / 2 + 1; n <= rows; n++) await journal.append(appendOf([partOfNumbers([n], paddingOf(n))]));
  deliveredTo(journal, firstPending);
  journal.writeSnapshot({ measuredSeq: 40, blobs: new Map([["a", snapshots[1] as string]]) });
  cpSync(path, sound, { recursive: true });
  journal.close();
  cpSync(path, closed, { recursive: true });
});

afterAll(() => rmSync(parent, { recursive: true, force: true }));

interface Found {
  readonly numbers: readonly number[];
  readonly damagedRows: number;
}

/** Every row that can be read. A text that was not received fails the test. */
function read(journal: Journal): Found {
  const reader = journal.openReader();
  const numbers: number[] = [];
  let damagedRows = 0;
  for (const { text, damage } of reader.read(1, { rows: 1000, bytes: Number.MAX_SAFE_INTEGER })) {
    if (damage !== undefined) damagedRows++;
    if (text === "") continue;
    const { n } = (JSON.parse(text) as { event: { n: number } }).event;
    expect(text).toBe(textOf(n));
    numbers.push(n);
  }
  reader.close();
  return { numbers, damagedRows };
}

/** What must hold however the state directory was damaged. */
async function check(path: string, harmed: "database" | "log"): Promise<{ isSetAside: boolean; salvaged: number }> {
  const complaints: LogFields[] = [];
  const warnings: LogFields[] = [];
  const journal = open(path, complaints, warnings);
  const isSetAside = complaints.length > 0;
  const [{ directory = "", lost_rows: lost = 0, rows: salvaged = 0 } = {}] = complaints;
  expect(readdirSync(path).some((name) => name.startsWith("damaged-"))).toBe(isSetAside);
  if (isSetAside) expect(readdirSync(String(directory))).not.toContain("unfinished");

  const { numbers, damagedRows } = read(journal);
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  if (harmed === "database" && journal.cursor.seq === firstPending && lost !== "unknown") {
    const pending = numbers.filter((n) => n >= firstPending).length;
    expect(pending + damagedRows + Number(lost)).toBeGreaterThanOrEqual(rows - firstPending + 1);
  }
  if (harmed === "log" && !isSetAside) expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, n) => n + 1));
  const isSilent = !isSetAside && warnings.length === 0;
  if (isSilent) expect(numbers.filter((n) => !journal.knows("flow", keyOf(n)))).toEqual([]);
  expect([1, 20, firstPending]).toContain(journal.cursor.seq);

  const { measuredSeq, blobs } = journal.readSnapshot();
  if (blobs.size === 0) expect([madeAt, damagedAt]).toContain(journal.identity.createdAt);
  else expect([snapshots[measuredSeq === 20 ? 0 : 1]]).toEqual([...blobs.values()]);

  const { lastSeq } = journal;
  expect(lastSeq).toBeGreaterThanOrEqual(harmed === "database" ? rows : Math.max(0, ...numbers));
  const taken = await journal.append(appendOf([partOfNumbers([1001], paddingOf(1001))]));
  expect(taken.lastSeq).toBeGreaterThan(lastSeq);
  journal.close();

  const again = open(path, complaints);
  expect(complaints.length).toBe(isSetAside ? 1 : 0);
  expect(read(again).numbers).toEqual([...numbers, 1001]);
  expect(again.knows("flow", keyOf(1001))).toBe(true);
  again.close();
  return { isSetAside, salvaged: Number(salvaged) };
}

describe("bytes that are", () => {
  const kinds = ["flipped", "overwritten", "cut off"] as const;

  test.each(kinds)(
    "%s, at random places",
    async (kind) => {
      const random = createRandom(kinds.indexOf(kind) + 1);
      const seen = { setAside: 0, salvaged: 0, silent: 0 };
      for (let time = 0; time < 80; time++) {
        const path = join(parent, `${kind}-${time}`);
        const harmed = random.chance(0.7) ? "database" : "log";
        cpSync(harmed === "database" && random.chance(0.7) ? closed : sound, path, { recursive: true });
        const file = join(path, harmed === "database" ? "journal.db" : "journal.db-wal");
        const bytes = readFileSync(file);
        /** Every other time near the beginning, where the structure of all else lies; never where nothing lies. */
        const limit = time % 2 === 0 ? 16 * 4096 : bytes.length;
        let offset = random.below(limit);
        while (bytes[offset] === 0) offset = random.below(limit);
        if (kind === "cut off") truncateSync(file, offset);
        else {
          const length = kind === "flipped" ? 1 : 1 + random.below(8192);
          for (let at = offset; at < Math.min(bytes.length, offset + length); at++)
            bytes[at] = kind === "flipped" ? (bytes[at] as number) ^ (1 << random.below(8)) : random.below(256);
          writeFileSync(file, bytes);
        }
        const { isSetAside, salvaged } = await check(path, harmed);
        if (isSetAside) seen.setAside++;
        else seen.silent++;
        if (salvaged > 0) seen.salvaged++;
        rmSync(path, { recursive: true });
      }
      expect(seen.setAside).toBeGreaterThan(1);
      expect(seen.salvaged).toBeGreaterThan(1);
      expect(seen.silent).toBeGreaterThan(5);
    },
    60_000,
  );
});

describe("a state directory", () => {
  const damagedCopy = (name: string, damage: (path: string) => void): string => {
    const path = join(parent, name);
    cpSync(sound, path, { recursive: true });
    damage(path);
    return path;
  };

  test("whose database is something else starts", async () => {
    const path = damagedCopy("other", (at) => writeFileSync(join(at, "journal.db"), "not a database\n".repeat(1000)));
    expect((await check(path, "log")).isSetAside).toBe(true);
  });

  test.each([
    ["empty", (at: string) => truncateSync(join(at, "journal.db"), 0)],
    ["gone", (at: string) => rmSync(join(at, "journal.db"))],
  ])("whose database is %s keeps its log, which SQLite would delete", async (name, damage) => {
    const path = damagedCopy(name, damage);
    expect((await check(path, "log")).isSetAside).toBe(true);
    const aside = readdirSync(path).find((found) => found.startsWith("damaged-")) ?? "";
    expect(readFileSync(join(path, aside, "journal.db-wal"))).toEqual(readFileSync(join(sound, "journal.db-wal")));
  });

  test("that is damaged while it is open takes nothing more, says so once, and is salvaged at the next start", async () => {
    const path = damagedCopy("open", () => {});
    const complaints: LogFields[] = [];
    const { journal, database } = captureConnection(() => open(path, complaints));
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    const bytes = readFileSync(join(path, "journal.db"));
    writeFileSync(join(path, "journal.db"), bytes.fill(0xa5, 4096), { flag: "r+" });
    database.exec("PRAGMA shrink_memory");
    for (const n of [1001, 1002]) {
      await expect(journal.append(appendOf([partOfNumbers([n])]))).rejects.toBeInstanceOf(Unavailable);
      expect(journal.knows("flow", keyOf(n))).toBe(false);
    }
    expect(complaints.map(({ message }) => message)).toEqual([expect.stringContaining("the next start sets it aside")]);
    journal.close();
    expect((await check(path, "log")).isSetAside).toBe(true);
  });

  test("that was found damaged while it was open is set aside once, though it looks sound when it is opened", async () => {
    const path = damagedCopy("marked", (at) => writeFileSync(join(at, "journal.db-damaged"), ""));
    const { isSetAside, salvaged } = await check(path, "log");
    expect(isSetAside).toBe(true);
    expect(salvaged).toBe(rows - firstPending + 1);
    expect(existsSync(join(path, "journal.db-damaged"))).toBe(false);
    const complaints: LogFields[] = [];
    open(path, complaints).close();
    expect(complaints).toEqual([]);
  });

  test("that was left in the middle of setting aside goes on with it", async () => {
    const path = damagedCopy("middle", (at) => {
      truncateSync(join(at, "journal.db"), 3 * 4096);
      const journal = open(at);
      journal.close();
      const aside = join(at, readdirSync(at).find((found) => found.startsWith("damaged-")) ?? "");
      rmSync(join(at, "journal.db"));
      cpSync(join(aside, "journal.db"), join(at, "journal.db"));
      rmSync(join(aside, "journal.db"));
      writeFileSync(join(aside, "unfinished"), "");
      writeFileSync(join(at, "salvaged.db"), "half of it");
    });
    expect((await check(path, "log")).isSetAside).toBe(true);
    expect(existsSync(join(path, "salvaged.db"))).toBe(false);
    expect(readdirSync(path).filter((name) => name.startsWith("damaged-"))).toHaveLength(1);
  });
});
