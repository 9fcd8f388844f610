/** The worker's side of what is sent once more, with a backend whose answers the test gives. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Answer } from "../../src/export/answer.ts";
import { createRedeliver, type Redeliver } from "../../src/export/redeliver.ts";
import { createLogEncoder } from "../../src/export/log-encoder.ts";
import { resourceOf, scopeOf } from "../../src/export/resource.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { RedeliveryProgress } from "../../src/journal/redelivery.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createState, type TestState } from "../support/journal.ts";
import { itemOf, setAside } from "../support/kept-state.ts";
import { describeTestLine } from "./delivery.ts";

let state: TestState;
let journal: Journal;
let redeliver: Redeliver;
let reported: RedeliveryProgress[];
let underWay: ((answer: Answer) => void)[];
let stops: AbortSignal[];

beforeEach(() => {
  state = createState();
  journal = state.open();
  reported = [];
  underWay = [];
  stops = [];
  redeliver = createRedeliver(
    { maxRecords: 1, maxBytes: 1e6, concurrency: 1 },
    {
      channel: {
        encoding: "json",
        post: (_, stop) => {
          stops.push(stop);
          return new Promise((resolve) => underWay.push(resolve));
        },
      },
      encode: createLogEncoder(resourceOf({}), scopeOf("1.2.3")),
      clock: Date.now,
      random: () => 0,
      timer(delayMs, callback) {
        const timer = setTimeout(callback, delayMs);
        return () => clearTimeout(timer);
      },
      logger: silentLogger,
      databasePath: journal.databasePath,
      describeLine: describeTestLine,
      newest: () => undefined,
      onProgress: (progress) => reported.push(progress),
      onState() {},
    },
  );
  setAside(journal, [itemOf({ text: '["a"]' }), itemOf({ text: '["b"]' })]);
});
afterEach(async () => {
  await redeliver.stop(0);
  state.remove();
});

const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

async function takeOne(): Promise<void> {
  underWay.shift()?.({ kind: "taken" });
  await settled();
}

test("when it is stopped, what is under way is still heard, and nothing more is begun", async () => {
  redeliver.use("retry", journal.redeliveries.planRetry({}, 7));
  await settled();
  expect(underWay).toHaveLength(1);
  const stopped = redeliver.stop(5000);
  await settled();
  await takeOne();
  await stopped;
  expect(reported).toMatchObject([{ name: "retry", id: 7, cursor: { seq: 2, records: { delivered: 1 } } }]);
  expect(underWay).toHaveLength(0);
});

test("when it is stopped while the last is under way, it comes to its end", async () => {
  redeliver.use("retry", journal.redeliveries.planRetry({ ids: [2] }, 7));
  await settled();
  const stopped = redeliver.stop(5000);
  await takeOne();
  await stopped;
  expect(reported).toMatchObject([{ cursor: { seq: 3, records: { delivered: 1 } } }]);
});

test("one that is ended, or replaced, is cut off and not heard of again", async () => {
  redeliver.use("retry", journal.redeliveries.planRetry({}, 7));
  await settled();
  redeliver.use("retry", journal.redeliveries.planRetry({ ids: [2] }, 8));
  await takeOne();
  expect(reported).toEqual([]);
  await takeOne();
  expect(reported).toMatchObject([{ id: 8, cursor: { seq: 3 } }]);
  redeliver.use("retry", journal.redeliveries.planRetry({}, 9));
  await settled();
  redeliver.use("retry", undefined);
  await new Promise<void>((resolve) => {
    const signal = stops.at(-1) as AbortSignal;
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
  await takeOne();
  expect(reported).toHaveLength(1);
});
