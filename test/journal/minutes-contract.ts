/** The contract of every journal about the history by minute: committed with the counters, and limited by age and size. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Journal, MinuteGap, StoredMinute } from "../../src/journal/index.ts";
import { appendNumbers, finishAll, hourMs, mebibyte, type TestState } from "./support.ts";

const minuteMs = 60_000;

export function minutesContract(create: () => TestState): void {
  let state: TestState;
  beforeEach(() => {
    state = create();
  });
  afterEach(() => state.remove());

  const minuteAt = (at: number, fill = 1, bytes = 100): StoredMinute => ({
    at,
    totals: new Uint8Array(256).fill(fill),
    detail: new Uint8Array(bytes).fill(fill),
  });
  const ats = async ({ minutes }: Journal) =>
    (await minutes.totals(0, Number.MAX_SAFE_INTEGER, 10_000)).map(({ at }) => at);

  async function write(journal: Journal, changed: readonly StoredMinute[], gap?: MinuteGap): Promise<void> {
    await journal.writeSnapshot({ measuredSeq: journal.lastSeq, blobs: new Map(), minutes: { changed, gap } });
  }

  describe("minutes", () => {
    test("are kept over a restart, in order of time, and can be replaced", async () => {
      const at = state.now - (state.now % minuteMs);
      const journal = await state.open();
      await write(journal, [minuteAt(at), minuteAt(at - minuteMs), minuteAt(at - 9 * minuteMs)]);
      await write(journal, [minuteAt(at, 7)]);
      await journal.close();
      const { minutes } = await state.open();
      expect(await minutes.totals(at - minuteMs, at + 1, 10)).toEqual([
        { at: at - minuteMs, totals: minuteAt(at).totals },
        { at, totals: minuteAt(at, 7).totals },
      ]);
      expect(await minutes.totals(0, at, 1)).toHaveLength(1);
      expect(await minutes.read(at)).toEqual(minuteAt(at, 7));
      expect(await minutes.read(at + minuteMs)).toBeUndefined();
    });

    test("have no gap as long as each snapshot includes them, and keep one that is not filled yet", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      await write(journal, []);
      expect(journal.minutes.gap).toBeUndefined();
      const gap = { from: 1, until: 1, since: 5, before: 9 };
      await write(journal, [], gap);
      await journal.close();
      expect((await state.open()).minutes.gap).toEqual(gap);
    });

    test("lack exactly the rows of a snapshot that did not include them", async () => {
      const journal = await state.open();
      await appendNumbers(journal, [1]);
      await write(journal, [minuteAt(minuteMs)]);
      await appendNumbers(journal, [2]);
      await appendNumbers(journal, [3]);
      await finishAll(journal);
      await appendNumbers(journal, [4]);
      await journal.close();
      const again = await state.open();
      expect(again.minutes.gap).toEqual({ from: 2, until: 3, since: 0, before: Number.MAX_SAFE_INTEGER });
      expect(await ats(again)).toEqual([minuteMs]);
    });

    test("expire with the retention, but not within an hour", async () => {
      const at = state.now - (state.now % minuteMs);
      const old = [minuteAt(at - 2 * hourMs), minuteAt(at - hourMs / 2), minuteAt(at)];
      for (const [retentionMs, left] of [
        [3 * hourMs, 3],
        [hourMs, 2],
        [0, 2],
      ] as const) {
        const journal = await state.open({ retentionMs });
        await write(journal, old);
        await journal.maintain();
        expect(await ats(journal)).toEqual(old.slice(3 - left).map((minute) => minute.at));
        await journal.close();
      }
    });

    test("from days ahead are deleted too, because the clock was wrong", async () => {
      const journal = await state.open();
      await write(journal, [minuteAt(state.now), minuteAt(state.now + 48 * hourMs)]);
      await journal.maintain();
      expect(await ats(journal)).toEqual([state.now]);
    });

    test("take at most a sixteenth of state.max_bytes: the oldest are evicted", async () => {
      const journal = await state.open({ maxBytes: 64 * mebibyte });
      const first = state.now - 600_000;
      for (let n = 0; n < 5; n++)
        await write(
          journal,
          Array.from({ length: 100 }, (_, place) => minuteAt(first + (n * 100 + place) * 1000, 1, 10_000)),
        );
      await journal.maintain();
      await journal.maintain();
      const left = await ats(journal);
      expect(left.length * 10_000).toBeLessThan(4 * mebibyte);
      expect(left.length * 10_400).toBeGreaterThan(3 * mebibyte);
      expect(left.at(-1)).toBe(first + 499_000);
      expect(await journal.minutes.read(first)).toBeUndefined();
    });
  });
}
