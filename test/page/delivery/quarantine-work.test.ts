/** Retries and deletions of all matching items: page by page to the end, with totals over all pages. */
import { beforeEach, expect, test } from "bun:test";
import type { PurgeReport, RetryReport } from "../../../src/admin/operations.ts";
import { ApiError } from "../../../src/page/api.ts";
import {
  dismissWork,
  purgeAll,
  retryAll,
  retryText,
  stopWork,
  work,
} from "../../../src/page/delivery/quarantine-work.ts";

const nothing: RetryReport = { accepted: 0, duplicate: 0, queued: 0, kept: [], missing: [] };

let asked: (readonly [string, object])[];
beforeEach(() => {
  dismissWork();
  asked = [];
});

/** Gives these answers in order. */
function answering(answers: readonly (object | Error)[]) {
  let next = 0;
  return async <Answer>(path: string, body: object): Promise<Answer> => {
    asked.push([path, body]);
    const answer = answers[next++];
    if (answer === undefined || answer instanceof Error) throw answer ?? new Error("asked too often");
    return answer as Answer;
  };
}

test("a retry goes through all pages and selections, and adds up the results", async () => {
  const pages: RetryReport[] = [
    { ...nothing, accepted: 90, kept: [{ id: "1.0", why: "still invalid" }], nextBeforeId: "7.0" },
    { ...nothing, accepted: 5, duplicate: 1 },
    { ...nothing, queued: 12 },
  ];
  await retryAll([{ class: "invalid", before: 5 }, { class: "dead_letter" }], answering(pages));
  expect(asked).toEqual([
    ["/api/v1/quarantine/retry", { class: "invalid", before: 5 }],
    ["/api/v1/quarantine/retry", { class: "invalid", before: 5, beforeId: "7.0" }],
    ["/api/v1/quarantine/retry", { class: "dead_letter" }],
  ]);
  expect(work.value).toEqual({
    isRunning: false,
    text: "95 accepted, 1 duplicate, 1 still in quarantine; 12 records queued for export",
    kept: [{ id: "1.0", why: "still invalid" }],
  });
});

test("a deletion continues until it is done, and says what is kept", async () => {
  const page: PurgeReport = { purged: 500, keptDeadLetters: 0, isDone: false };
  await purgeAll({ before: 7 }, "keep", answering([page, page, { purged: 3, keptDeadLetters: 2, isDone: true }]));
  expect(asked.map(([, body]) => body)).toEqual([1, 2, 3].map(() => ({ before: 7, deadLetters: "keep" })));
  expect(work.value).toEqual({ isRunning: false, text: "1,003 items deleted; 2 dead letters kept", kept: [] });
});

test("one that ends early says how far it got and why", async () => {
  await retryAll(
    [{ class: "invalid" }],
    answering([{ ...nothing, accepted: 4, nextBeforeId: "2.0" }, new TypeError()]),
  );
  expect(work.value).toEqual({
    isRunning: false,
    text: "4 accepted, 0 duplicate, 0 still in quarantine",
    kept: [],
    trouble: "The instance does not answer",
  });
});

test("one that could not start says why, and shows no totals", async () => {
  await retryAll([{ class: "dead_letter" }], answering([new ApiError(409, "a retry has been in progress since 9:15")]));
  expect(work.value).toEqual({
    isRunning: false,
    text: "Nothing was done",
    kept: [],
    trouble: "a retry has been in progress since 9:15",
  });
});

test("only one runs at a time, and it cannot be dismissed", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const slow = retryAll([{ class: "invalid" }], (async () => promise) as Parameters<typeof retryAll>[1]);
  dismissWork();
  expect(work.value?.isRunning).toBe(true);
  await purgeAll({ class: "sample" }, "keep", answering([]));
  expect(asked).toEqual([]);
  resolve({ ...nothing, missing: ["4.0"] });
  await slow;
  expect(work.value?.text).toBe("1 item no longer there");
  dismissWork();
  expect(work.value).toBeUndefined();
});

test("one that is stopped finishes the current page, and starts nothing more", async () => {
  const page = { ...nothing, accepted: 3, nextBeforeId: "2.0" };
  const ask = answering([page]);
  await retryAll([{ class: "invalid" }, { class: "dead_letter" }], async (path, body) => {
    stopWork();
    return ask(path, body);
  });
  expect(asked).toHaveLength(1);
  expect(work.value).toMatchObject({
    isRunning: false,
    text: "3 accepted, 0 duplicate, 0 still in quarantine",
    trouble: "stopped",
  });
  await purgeAll({ class: "sample" }, "keep", answering([{ purged: 1, keptDeadLetters: 0, isDone: true }]));
  expect(work.value).toEqual({ isRunning: false, text: "1 item deleted", kept: [] });
});

test("the wording is that of the command", () => {
  const none = { accepted: 0, duplicate: 0, queued: 0, kept: 0, missing: 0 };
  expect(retryText(none)).toBe("0 accepted, 0 duplicate, 0 still in quarantine");
  expect(retryText({ ...none, queued: 1 })).toBe("1 record queued for export");
});
