/** Log delivery against any sequence of answers: at least once, and a cursor that passes nothing unanswered. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Answer } from "../../src/export/answer.ts";
import { type LogCursor, startOfJournal } from "../../src/journal/types.ts";
import { channelOf, numbered, rowOf, startDelivery } from "./delivery.ts";

const verdict = fc.constantFrom<Answer>(
  { kind: "taken" },
  { kind: "taken" },
  { kind: "taken", partial: { rejected: 1, message: "one" } },
  { kind: "retry", why: "503" },
  { kind: "rejected", status: 400, message: "no" },
  { kind: "rejected", status: 413, message: "large" },
);

describe("whatever the backend answers", () => {
  test("every event arrives or is set aside, and the cursor passes none before", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat({ max: 6 }), { maxLength: 5 }), { minLength: 1, maxLength: 4 }),
        fc.array(verdict, { maxLength: 40 }),
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 9 }),
        async (sizes, verdicts, concurrency, maxRecords) => {
          let next = 0;
          const records = sizes.map((row) => row.map((size) => Array.from({ length: size }, () => `e${next++}`)));
          const taken = new Set<string>();
          const script = [...verdicts];
          const channel = channelOf((request) => {
            const answer = script.shift() ?? { kind: "taken" };
            if (answer.kind === "taken") for (const name of request) taken.add(name);
            return answer;
          });
          const rows = records.map((row, index) => rowOf(index + 1, row));
          const delivery = startDelivery(rows, { channel, concurrency, maxRecords });
          await delivery.drained();
          await delivery.delivery.stop(1_000_000);
          const dead = new Set(
            delivery.setAside.flatMap((item) =>
              item.class === "dead_letter" ? (JSON.parse(item.text) as string[]) : [],
            ),
          );
          for (const name of records.flat(2)) expect(taken.has(name) || dead.has(name)).toBe(true);
          let before = startOfJournal;
          for (const cursor of delivery.cursors) {
            expect(isAfter(cursor, before)).toBe(true);
            before = cursor;
          }
          const { cursor } = delivery;
          expect(cursor.records.delivered + cursor.records.deadLettered).toBe(records.flat().length);
          expect(cursor.events.delivered + cursor.events.rejected + cursor.events.deadLettered).toBe(next);
        },
      ),
      { numRuns: 150 },
    );
  }, 60_000);

  test("a restart at any reported cursor loses nothing", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat({ max: 7 }), { minLength: 1, maxLength: 8 }),
        fc.array(verdict, { maxLength: 20 }),
        fc.nat(),
        async (sizes, verdicts, stopAfter) => {
          const records = numbered(sizes);
          const taken = new Set<string>();
          const script = [...verdicts];
          const channel = channelOf((request) => {
            const answer = script.shift() ?? { kind: "taken" };
            if (answer.kind === "taken") for (const name of request) taken.add(name);
            return answer;
          });
          const settings = { channel, maxRecords: 3 };
          const first = startDelivery([rowOf(1, records)], settings);
          await first.drained();
          await first.delivery.stop(1_000_000);
          const at = stopAfter % first.cursors.length;
          const from = first.cursors[at] as LogCursor;
          taken.clear();
          const second = startDelivery([rowOf(1, records)], { ...settings, from });
          await second.drained();
          await second.delivery.stop(1_000_000);
          const before = new Set(
            records.flatMap((events, record) =>
              events.filter(
                (_, event) => from.seq > 1 || record < from.record || (record === from.record && event < from.event),
              ),
            ),
          );
          const dead = new Set(
            second.setAside.flatMap((item) =>
              item.class === "dead_letter" ? (JSON.parse(item.text) as string[]) : [],
            ),
          );
          for (const name of records.flat()) expect(taken.has(name) || dead.has(name) || before.has(name)).toBe(true);
          expect(second.cursor.records.delivered + second.cursor.records.deadLettered).toBe(records.length);
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);
});

function isAfter(a: LogCursor, b: LogCursor): boolean {
  return a.seq !== b.seq ? a.seq > b.seq : a.record !== b.record ? a.record > b.record : a.event > b.event;
}
