/** A disk that fills at random moments: nothing that was acknowledged is lost, senders are told to come back, and it ends without a restart. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { createRandom, type Random } from "../../src/cli/demo/random.ts";
import { Unavailable } from "../../src/errors.ts";
import type { Journal } from "../../src/journal/index.ts";
import { captureConnection } from "../support/captured.ts";
import { appendOf, createState, keyOf, mebibyte, partOfNumbers, type TestState } from "../support/journal.ts";
import { canMount, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";

/** Text that does not compress to nothing. */
function noise(random: Random, length: number): string {
  return Array.from({ length: length / 6 }, () => random.below(2 ** 31).toString(36)).join("");
}

/** What is acknowledged and what is not, as its senders see it. */
class Senders {
  readonly acknowledged: number[] = [];
  refused = 0;
  #next = 1;
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Some batches that share a turn. What is refused is no sender's any more. */
  async send(journal: Journal, batches: number, length = 20_000): Promise<void> {
    const sent = Array.from({ length: batches }, () => {
      const numbers = [this.#next++, this.#next++];
      const padding = noise(this.#random, this.#random.below(length));
      return { numbers, answer: journal.append(appendOf([partOfNumbers(numbers, padding)])) };
    });
    const answers = await Promise.allSettled(sent.map(({ answer }) => answer));
    answers.forEach((answer, place) => {
      const { numbers } = sent[place] as { numbers: number[] };
      if (answer.status === "fulfilled") this.acknowledged.push(...numbers);
      else {
        expect(answer.reason).toBeInstanceOf(Unavailable);
        for (const n of numbers) expect(journal.knows("flow", keyOf(n))).toBe(false);
        this.refused++;
      }
    });
  }
}

/** All but one record that was acknowledged, in steps, since a reader must be short. */
function numbersIn(journal: Journal): number[] {
  const reader = journal.openReader();
  const numbers: number[] = [];
  for (let seq = 1; seq <= journal.lastSeq;) {
    const rows = reader.read(seq, { rows: 1000, bytes: 8 * mebibyte });
    if (rows.length === 0) break;
    seq = (rows.at(-1)?.seq ?? seq) + 1;
    for (const { text } of rows)
      if (text !== "")
        numbers.push(...text.split("\n").map((line) => (JSON.parse(line) as { event: { n: number } }).event.n));
  }
  reader.close();
  return numbers;
}

function delivered(journal: Journal, seq: number, records: number): void {
  const { cursor } = journal;
  journal.progress({
    cursor: { ...cursor, seq, records: { delivered: cursor.records.delivered + records, deadLettered: 0 } },
    setAside: [],
  });
}

describe("a limit of SQLite's own", () => {
  let state: TestState;
  beforeEach(() => {
    state = createState();
  });
  afterEach(() => state.remove());

  test("that comes and goes at a thousand random moments loses nothing", async () => {
    const random = createRandom(7);
    const { journal, database } = captureConnection(() => state.open());
    const senders = new Senders(random);
    const { page_count: unlimited } = database.prepare("PRAGMA max_page_count").get() as { page_count: number };
    let failedSnapshots = 0;
    let blob = "";
    for (let moment = 0; moment < 1000; moment++) {
      const isLimited = random.chance(0.7);
      if (isLimited) {
        const { page_count: pages } = database.prepare("PRAGMA page_count").get() as { page_count: number };
        database.exec(`PRAGMA max_page_count = ${pages + random.below(6)}`);
      }
      await senders.send(journal, 1 + random.below(3), 12_000);
      if (random.chance(0.2)) {
        const next = noise(random, random.below(40_000));
        try {
          journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", next]]) });
          blob = next;
        } catch (error) {
          expect(error).toBeInstanceOf(Unavailable);
          failedSnapshots++;
        }
        expect(journal.readSnapshot().blobs.get("a") ?? "").toBe(blob);
      }
      database.exec(`PRAGMA max_page_count = ${unlimited ?? 2 ** 30}`);
    }
    expect(numbersIn(journal)).toEqual(senders.acknowledged);
    expect(journal.pendingRecords).toBe(senders.acknowledged.length);
    expect(senders.refused).toBeGreaterThan(300);
    expect(failedSnapshots).toBeGreaterThan(20);
    const { refused } = senders;
    await senders.send(journal, 3);
    expect(senders.refused).toBe(refused);
    journal.close();
    const again = state.open();
    expect(numbersIn(again)).toEqual(senders.acknowledged);
    expect(senders.acknowledged.every((n) => again.knows("flow", keyOf(n)))).toBe(true);
    expect(again.readSnapshot().blobs.get("a")).toBe(blob);
  }, 60_000);
});

/** Only who may mount has a disk to fill. */
describe.skipIf(!canMount)("a small disk", () => {
  let state: TestState;
  let disk: SmallDisk;
  beforeEach(() => {
    disk = mountSmallDisk(40);
    state = createState();
  });
  afterEach(() => {
    state.remove();
    disk.remove();
  });

  const open = () => state.open({ path: join(disk.path, "state"), ballastBytes: 8 * mebibyte });

  test("that others fill at random moments loses nothing, and is used again when it is free", async () => {
    const random = createRandom(11);
    const journal = open();
    const senders = new Senders(random);
    let failedSnapshots = 0;
    for (let moment = 0; moment < 60; moment++) {
      await senders.send(journal, random.below(4));
      disk.fill();
      for (let time = 0; time < 5; time++) await senders.send(journal, 1 + random.below(3), 200_000);
      try {
        journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", noise(random, 100_000)]]) });
      } catch {
        failedSnapshots++;
      }
      disk.free();
      /** What is delivered leaves, and the ballast comes back. */
      delivered(journal, journal.lastSeq + 1, journal.pendingRecords);
      journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", "b"]]) });
      const known = numbersIn(journal);
      expect(senders.acknowledged.slice(-known.length)).toEqual(known);
      state.now += 2 * 3_600_000;
      for (let time = 0; time < 3; time++) journal.maintain();
      expect(journal.space.isFull).toBe(false);
    }
    expect(senders.refused).toBeGreaterThan(60);
    expect(failedSnapshots).toBeLessThan(60);
    expect(journal.cursor.records.delivered).toBe(senders.acknowledged.length);
  }, 60_000);

  test("is left again by way of the ballast: the snapshot and the position are written, and rows leave", async () => {
    const random = createRandom(12);
    const journal = open();
    const senders = new Senders(random);
    for (let time = 0; time < 40; time++) await senders.send(journal, 3);
    disk.fill();
    while (!journal.space.isFull) await senders.send(journal, 1, 400_000);
    expect(existsSync(join(disk.path, "state/ballast"))).toBe(false);
    await expect(journal.append(appendOf([partOfNumbers([999_999])]))).rejects.toThrow(
      "disk of the state directory is full",
    );
    delivered(journal, journal.lastSeq + 1, journal.pendingRecords);
    journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", noise(random, 1_000_000)]]) });
    expect(journal.pendingRecords).toBe(0);
    journal.maintain();
    expect(numbersIn(journal)).toEqual([]);
    disk.free();
    journal.maintain();
    expect(existsSync(join(disk.path, "state/ballast"))).toBe(true);
    await senders.send(journal, 3);
    expect(journal.pendingRecords).toBe(6);
  }, 60_000);

  test("that the journal has filled itself is free again when what waits is delivered", async () => {
    const random = createRandom(13);
    const journal = open();
    const senders = new Senders(random);
    while (!journal.space.isFull) await senders.send(journal, 2, 400_000);
    expect(statfsSync(disk.path).bavail * statfsSync(disk.path).bsize).toBeLessThan(10 * mebibyte);
    journal.maintain();
    expect(numbersIn(journal)).toEqual(senders.acknowledged);
    delivered(journal, journal.lastSeq + 1, journal.pendingRecords);
    journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map([["a", "b"]]) });
    for (let time = 0; time < 5; time++) journal.maintain();
    expect(journal.space).toMatchObject({ isFull: false });
    await senders.send(journal, 3);
    expect(journal.pendingRecords).toBe(6);
  }, 60_000);
});
