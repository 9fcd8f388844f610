/** Fresh logs go first; what is sent once more takes what they leave, and a request a second beside a steady stream. */
import { expect, test } from "bun:test";
import type { Answer } from "../../src/export/answer.ts";
import { createLanes } from "../../src/export/lanes.ts";
import type { Channel } from "../../src/export/protocol.ts";

const encode = () => new Uint8Array(0);
const neverStop = new AbortController().signal;
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Lanes whose requests are answered, and whose time passes, when the test says so. */
function lanesOf(slots: number) {
  const underWay: (() => void)[] = [];
  const timers = new Set<() => void>();
  const channel: Channel = {
    encoding: "json",
    post: () =>
      new Promise<Answer>((resolve) => {
        underWay.push(() => resolve({ kind: "taken" }));
      }),
  };
  const lanes = createLanes(channel, slots, (_, callback) => {
    timers.add(callback);
    return () => timers.delete(callback);
  });
  const sent: string[] = [];
  const post = (lane: "fresh" | "again", name: string, stop = neverStop) =>
    lanes[lane].post(encode, stop).then((answer) => sent.push(`${name} ${answer.kind}`));
  return {
    lanes,
    post,
    sent,
    get underWay() {
      return underWay.length;
    },
    async answerOne() {
      underWay.shift()?.();
      await settled();
    },
    async passASecond() {
      for (const callback of timers) callback();
      await settled();
    },
  };
}

test("both lanes together never have more requests under way than there are slots", async () => {
  const all = lanesOf(2);
  for (let n = 0; n < 3; n++) void all.post("again", `again-${n}`);
  void all.post("fresh", "fresh");
  await settled();
  expect(all.underWay).toBe(2);
  await all.answerOne();
  await all.answerOne();
  expect(all.underWay).toBe(2);
});

test("a fresh request goes before all that waits to be sent once more", async () => {
  const all = lanesOf(1);
  void all.post("again", "first");
  void all.post("again", "second");
  void all.post("fresh", "fresh");
  await settled();
  for (let n = 0; n < 3; n++) await all.answerOne();
  expect(all.sent).toEqual(["first taken", "fresh taken", "second taken"]);
});

test("while fresh logs are being delivered it waits, at most a second for each request", async () => {
  const all = lanesOf(2);
  all.lanes.freshIs({ kind: "delivering" });
  void all.post("again", "again");
  await settled();
  expect(all.underWay).toBe(0);
  await all.passASecond();
  expect(all.underWay).toBe(1);
});

test("it goes on as soon as nothing fresh is left", async () => {
  const all = lanesOf(2);
  all.lanes.freshIs({ kind: "delivering" });
  void all.post("again", "again");
  await settled();
  all.lanes.freshIs({ kind: "idle" });
  await settled();
  expect(all.underWay).toBe(1);
});

test("during an outage of the backend it waits, however long", async () => {
  const all = lanesOf(2);
  all.lanes.freshIs({ kind: "waiting", why: "503", since: 1 });
  void all.post("again", "again");
  await all.passASecond();
  expect(all.underWay).toBe(0);
  all.lanes.freshIs({ kind: "idle" });
  await settled();
  expect(all.underWay).toBe(1);
});

test("what is stopped while it waits is not sent, and leaves its place", async () => {
  const all = lanesOf(1);
  const stop = new AbortController();
  void all.post("again", "first");
  void all.post("again", "stopped", stop.signal);
  void all.post("again", "last");
  stop.abort();
  void all.post("again", "late", stop.signal);
  await settled();
  await all.answerOne();
  await all.answerOne();
  expect(all.sent).toEqual(["stopped retry", "late retry", "first taken", "last taken"]);
});
