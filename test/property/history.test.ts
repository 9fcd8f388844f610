/** Tests the history by minute: for any input and any kills, it adds up to the counters, and rebuilding changes nothing. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { auditRecordValue, flowRecordValue, seeded } from "../support/random.ts";
import { countedSums, historySums, minutesOf, rebuilt } from "../pipeline/history.ts";
import { Restarts, send } from "../pipeline/restarts.ts";
import { enveloped, flowValue } from "../support/records.ts";

const value = fc.oneof(
  { weight: 6, arbitrary: flowRecordValue.map((record) => enveloped(record)) },
  { weight: 1, arbitrary: auditRecordValue.map((record) => enveloped(record)) },
);

/** Milliseconds by which the clock moves before a batch: mostly forward, sometimes across minutes or back. */
const moved = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 40_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: -130_000, max: 400_000 }) },
);

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ moved, values: fc.array(value, { maxLength: 5 }) }) },
  { weight: 2, arbitrary: fc.constant("fold" as const) },
  { weight: 1, arbitrary: fc.constant("kill" as const) },
);

const lost = ["DELETE FROM minute", "DELETE FROM minute_detail", "DELETE FROM state WHERE name = 'minutes'"];

test("minutes add up to the counters, and rebuilding them from the rows gives the same minutes", async () => {
  let minutes = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 14 }), async (steps) => {
      const restarts = new Restarts(["cardinality.flow.metrics_mode=all"]);
      const fold = () => restarts.store.ledger.fold(restarts.now);
      try {
        // At least one minute, because records without connections make none.
        const first = { moved: 0, values: [enveloped(flowValue())] };
        for (const one of [first, ...steps]) {
          if (one === "fold") await fold();
          else if (one === "kill") await restarts.restart();
          else {
            restarts.now += one.moved;
            await send(restarts.store, one.values, { receivedAt: restarts.now });
          }
        }
        await fold();
        expect(await historySums(restarts.store)).toEqual(countedSums(restarts.store));
        const live = await minutesOf(restarts.store);
        minutes += Object.keys(live).length;
        expect(await minutesOf(await restarts.restart())).toEqual(live);

        await restarts.restart({}, () => restarts.changeDatabase(...lost));
        expect(restarts.store.ledger.minutes.gap).toBeDefined();
        expect(await minutesOf(restarts.store)).toEqual({});
        const rows = await rebuilt(restarts.store);
        expect(await minutesOf(restarts.store)).toEqual(live);
        // Killed with a part of it stored.
        await rebuilt(await restarts.restart(), Math.floor(rows / 3));
        await fold();
        await rebuilt(restarts.store, Math.floor(rows / 3));
        await rebuilt(await restarts.restart());
        expect(await minutesOf(restarts.store)).toEqual(live);
        await fold();
        const again = await restarts.restart();
        expect(again.ledger.minutes.gap).toBeUndefined();
        expect(await minutesOf(again)).toEqual(live);
      } finally {
        restarts.remove();
      }
    }),
    seeded(30),
  );
  expect(minutes).toBeGreaterThan(60);
}, 120_000);
