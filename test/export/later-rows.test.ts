/** Tests rows that a journal returns asynchronously: each is read once, in order, and a failed read is not blamed on a row. */
import { expect, test } from "bun:test";
import { DeliveryRow, Unread } from "../../src/export/requests.ts";
import { RowSource } from "../../src/export/rows.ts";
import { StepQueue, taken } from "../../src/export/steps.ts";
import type { Awaitable, JournalReader, Row } from "../../src/journal/index.ts";
import { contextWith, flowOf, readerOf, rowOf } from "./journal-rows.ts";

const rows: readonly Row[] = Array.from({ length: 6 }, (_, place) => rowOf(place + 1, [flowOf(1, place + 1)]));

/** A reader that answers when told to. */
function laterReader() {
  const { read: answer } = readerOf(rows);
  const asked: (() => void)[] = [];
  const read: JournalReader["read"] = (...given) =>
    new Promise<readonly Row[]>((resolve) => asked.push(() => resolve(answer(...given))));
  return { read, asked };
}

test("waiters for the same row share one read, and all get it", async () => {
  const reader = laterReader();
  const source = new RowSource(reader, contextWith());
  const both = Promise.all([source.next(1), source.next(2)]);
  expect(reader.asked).toHaveLength(1);
  reader.asked[0]?.();
  expect((await both).map((row) => row?.seq)).toEqual([1, 2]);
  expect(reader.asked).toHaveLength(1);
  expect(source.next(3)).toBeInstanceOf(DeliveryRow);
});

test("rows read while names change are decoded with the new ones", async () => {
  const reader = laterReader();
  const source = new RowSource(reader, contextWith());
  const first = source.next(1);
  source.forget();
  reader.asked[0]?.();
  const row = await first;
  expect(row?.seq).toBe(1);
  expect(row?.open()).not.toBeInstanceOf(Promise);
});

test("a journal that cannot be read is distinguished from a row that has left it", async () => {
  const failing = new RowSource({ read: () => Promise.reject(new Error("the server is gone")) }, contextWith());
  await expect(failing.next(1) as Promise<unknown>).rejects.toBeInstanceOf(Unread);
});

test("steps run at once, in order if an earlier one waits, and failures are reported", async () => {
  const done: string[] = [];
  const failures: unknown[] = [];
  const queue = new StepQueue((error) => failures.push(error));
  const { promise, resolve } = Promise.withResolvers<string>();
  const add = (name: string, wait: Awaitable<string>) =>
    queue.add(function* () {
      done.push(`${name} ${yield* taken(wait)}`);
    });
  add("a", "now");
  expect(done).toEqual(["a now"]);
  add("b", promise);
  add("c", "now");
  expect(done).toEqual(["a now"]);
  resolve("later");
  await new Promise(setImmediate);
  expect(done).toEqual(["a now", "b later", "c now"]);
  add("d", Promise.reject(new Error("unread")));
  await new Promise(setImmediate);
  expect(failures).toEqual([new Error("unread")]);
});
