/** The timeline of the page with a real journal: searching backwards, following, links, and limits. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EventFeed } from "../../../src/admin/events/index.ts";
import { eventQueryOf } from "../../../src/admin/requests.ts";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { ApiError, type Parameters } from "../../../src/page/api.ts";
import { daysOf } from "../../../src/page/events/days.ts";
import { type EventFilter, filterOf } from "../../../src/page/events/query.ts";
import { maxEvents, Timeline } from "../../../src/page/events/timeline.ts";
import type { JsonObject } from "../../../src/records/types.ts";
import { auditValue, connection, flowValue } from "../../support/records.ts";
import { createStore, take, type TestStore } from "../../support/store.ts";
import { timeoutMs, until } from "../../support/wait.ts";

let store: TestStore;
let feed: EventFeed;
let asked: string[];
let opened: Timeline[];

beforeEach(() => {
  store = createStore();
  asked = [];
  opened = [];
  feed = new EventFeed({
    journal: store.journal,
    settings: store.settings,
    telemetry: silentTelemetry,
    clock: () => store.now,
  });
});
afterEach(() => {
  for (const timeline of opened) timeline.close();
  feed.close();
  store.remove();
});

async function accept(...values: readonly JsonObject[]): Promise<void> {
  await take(store, values, store.now);
  feed.committed();
}

const audits = (count: number, first = 0): JsonObject[] =>
  Array.from({ length: count }, (_, n) => auditValue({ eventGroupID: `g${first + n}` }));

/** Answers as the listener does, without a socket. */
async function ask<Answer>(path: string, parameters: Parameters = {}): Promise<Answer> {
  const given = new URLSearchParams(Object.entries(parameters).map(([name, value]) => [name, String(value)]));
  asked.push(`${path}?${given}`);
  return feed.read(eventQueryOf(given)) as Promise<Answer>;
}

async function open(more: Readonly<Record<string, string>> = {}): Promise<Timeline> {
  const filter: EventFilter = filterOf({ nodes: [], more });
  const timeline = new Timeline(filter, ask);
  opened.push(timeline);
  await timeline.open();
  return timeline;
}

const labels = ({ state }: Timeline, which: "events" | "waiting" = "events"): unknown[] =>
  state.value[which].map(({ attributes: of }) => of["tailscale.audit.event_group_id"] ?? of["destination.port"]);

const names = (from: number, to: number): string[] => Array.from({ length: from - to + 1 }, (_, n) => `g${from - n}`);

describe("a timeline", () => {
  test("shows the newest first, and older ones on request", async () => {
    await accept(...audits(120));
    const timeline = await open();
    expect(labels(timeline)).toEqual(names(119, 70));
    expect(timeline.state.value).toMatchObject({ phase: "idle", isStart: false, isEnd: true });
    await timeline.older();
    await timeline.older();
    expect(labels(timeline)).toEqual(names(119, 0));
    expect(timeline.state.value.isStart).toBe(true);
  });

  test("is ordered by the time of each event, whenever it was received", async () => {
    const at = (...seconds: readonly number[]): JsonObject[] =>
      seconds.map((second) =>
        auditValue({
          eventGroupID: `at ${second}`,
          eventTime: new Date(store.now - 1e6 + second * 1000).toISOString(),
        }),
      );
    await accept(...at(7, 3, 9, 1));
    await accept(...at(...Array.from({ length: 49 }, (_, n) => 100 + n)), ...at(5));
    const timeline = await open();
    const shown = (): unknown[] =>
      daysOf(timeline.state.value.events)
        .flatMap(({ events }) => events)
        .map(({ attributes: of }) => of["tailscale.audit.event_group_id"]);
    expect(shown().slice(-2)).toEqual(["at 100", "at 5"]);
    await timeline.older();
    expect(shown().slice(-6)).toEqual([100, 9, 7, 5, 3, 1].map((second) => `at ${second}`));
    await accept(...at(8, 2000, 4));
    await timeline.follow();
    timeline.showWaiting();
    expect(shown()[0]).toBe("at 2000");
    expect(shown().slice(-7)).toEqual([9, 8, 7, 5, 4, 3, 1].map((second) => `at ${second}`));
  });

  test("holds back new events until they are asked for, each exactly once", async () => {
    await accept(...audits(3));
    const timeline = await open();
    await accept(...audits(2, 3));
    await Promise.all([timeline.follow(), timeline.follow(), timeline.follow()]);
    await timeline.follow();
    expect([labels(timeline), labels(timeline, "waiting")]).toEqual([names(2, 0), names(4, 3)]);
    timeline.showWaiting();
    expect([labels(timeline), labels(timeline, "waiting")]).toEqual([names(4, 0), []]);
  });

  test("reads events that arrived while its first page was loading", async () => {
    await accept(...audits(3));
    const answered = async <Answer>(path: string, parameters: Parameters = {}): Promise<Answer> => {
      const page = await ask<Answer>(path, parameters);
      if (asked.length === 1) {
        await accept(...audits(2, 3));
        await timeline.follow();
      }
      return page;
    };
    const timeline = new Timeline(filterOf({ nodes: [], more: {} }), answered);
    opened.push(timeline);
    await timeline.open();
    await until(() => timeline.state.value.waiting.length === 2);
    expect([labels(timeline), labels(timeline, "waiting")]).toEqual([names(2, 0), names(4, 3)]);
  });

  test(
    "never holds more than a thousand events, and does not request more beyond that",
    async () => {
      await accept(...audits(900));
      const timeline = await open();
      while (!timeline.state.value.isStart) await timeline.older();
      await accept(...audits(150, 900));
      await timeline.follow();
      timeline.showWaiting();
      expect(labels(timeline)).toEqual(names(1049, 50));
      expect(timeline.state.value).toMatchObject({ isStart: false });
      expect(timeline.state.value.events).toHaveLength(maxEvents);
      const before = asked.length;
      await timeline.older();
      expect(asked.length).toBe(before);
    },
    timeoutMs,
  );

  test(
    "skips to the newest if more arrive than can be read, and continues backwards from there",
    async () => {
      await accept(...audits(5));
      const timeline = await open();
      await accept(...audits(1500, 5));
      await timeline.follow();
      expect(labels(timeline, "waiting")).toEqual(names(1504, 1455));
      timeline.showWaiting();
      await timeline.older();
      expect(labels(timeline)).toEqual(names(1504, 1405));
    },
    timeoutMs,
  );

  test("shows only events that match, including new ones", async () => {
    const by = (loginName: string, eventGroupID: string) => auditValue({ actor: { loginName }, eventGroupID });
    await accept(by("bob@example.com", "a"), by("eve@example.com", "bob"), flowValue());
    const timeline = await open({ actor: "bob" });
    await accept(by("eve@example.com", "c"), by("bob@example.com", "d"));
    await timeline.follow();
    timeline.showWaiting();
    expect(labels(timeline)).toEqual(["d", "a"]);
    expect(labels(await open({ types: "flow" }))).toEqual([443]);
  });

  test("between two times shows nothing else, and is not followed", async () => {
    const begun = store.now;
    for (let minute = 0; minute < 9; minute++) {
      store.now = begun + minute * 60_000;
      await accept(...audits(1, minute));
    }
    const timeline = await open({ since: String(begun + 3 * 60_000), until: String(begun + 6 * 60_000) });
    expect([labels(timeline), timeline.state.value.isStart]).toEqual([["g5", "g4", "g3"], true]);
    await timeline.follow();
    expect(labels(timeline, "waiting")).toEqual([]);
  });

  test("reports a failure, and retries", async () => {
    await accept(...audits(1));
    let isDown = true;
    const timeline = new Timeline(filterOf({ nodes: [], more: {} }), (path, parameters) =>
      isDown ? Promise.reject(new ApiError(503, "the journal is not usable")) : ask(path, parameters),
    );
    opened.push(timeline);
    await timeline.open();
    expect(timeline.state.value).toMatchObject({ phase: "failed", trouble: "the journal is not usable" });
    isDown = false;
    await timeline.older();
    expect([labels(timeline), timeline.state.value.phase]).toEqual([["g0"], "idle"]);
  });

  test("ends a search that is stopped, and can continue it", async () => {
    await accept(...audits(3));
    const { promise, resolve } = Promise.withResolvers<void>();
    let isHeld = true;
    const timeline = new Timeline(filterOf({ nodes: [], more: {} }), async (path, parameters) => {
      if (isHeld) await promise;
      return ask(path, parameters);
    });
    opened.push(timeline);
    const opening = timeline.open();
    await until(() => timeline.state.value.phase === "searching");
    timeline.stop();
    expect(timeline.state.value.phase).toBe("stopped");
    isHeld = false;
    resolve();
    await opening;
    expect([labels(timeline), timeline.state.value.phase]).toEqual([[], "stopped"]);
    await timeline.older();
    expect(labels(timeline)).toEqual(names(2, 0));
  });
});

describe("a link to an event", () => {
  test("shows it with the events around it, and more in both directions", async () => {
    await accept(...audits(100));
    const { events } = (await open()).state.value;
    const linked = events.find(({ attributes }) => attributes["tailscale.audit.event_group_id"] === "g60");
    const timeline = await open({ id: linked?.id ?? "" });
    expect(labels(timeline)).toEqual(names(75, 45));
    expect(timeline.state.value).toMatchObject({ isEnd: false, isStart: false, isLost: false });
    while (!timeline.state.value.isEnd) await timeline.newer();
    await timeline.older();
    expect(labels(timeline)).toEqual(names(99, 0));
    expect(timeline.state.value).toMatchObject({ isEnd: true, isStart: true });
  });

  test("says why newer events cannot be read, and reads them once they can be", async () => {
    await accept(...audits(100));
    const id = (await open()).state.value.events.at(-1)?.id ?? "";
    let isDown = false;
    const timeline = new Timeline(filterOf({ nodes: [], more: { id } }), async (path, parameters) => {
      if (isDown) throw new ApiError(503, "the program is stopping");
      return ask(path, parameters);
    });
    opened.push(timeline);
    await timeline.open();
    isDown = true;
    await timeline.newer();
    expect(timeline.state.value).toMatchObject({ phase: "idle", newerTrouble: "the program is stopping" });
    isDown = false;
    while (!timeline.state.value.isEnd) await timeline.newer();
    expect(timeline.state.value.newerTrouble).toBeUndefined();
    expect(labels(timeline)[0]).toBe("g99");
  });

  test("that has left the journal says so and shows the newest", async () => {
    await accept(...audits(3));
    const [{ id: last = "" } = {}] = (await open()).state.value.events;
    for (const id of ["abc.1.0.0", "nonsense", last.replace(/\d+$/, "7"), `${last}0`]) {
      const timeline = await open({ id });
      expect(timeline.state.value.isLost).toBe(true);
      expect(labels(timeline)).toEqual(names(2, 0));
    }
    expect(asked.filter((one) => one.includes("nonsense"))).toEqual([]);
  });

  test("to a connection shows it among the changes around it", async () => {
    await accept(...audits(1));
    await accept(flowValue({ virtualTraffic: [connection({ dst: "100.64.1.2:22" })] }));
    await accept(...audits(1, 1));
    const [flow] = (await open({ types: "flow" })).state.value.events;
    expect(labels(await open({ id: flow?.id ?? "" }))).toEqual(["g1", 22, "g0"]);
  });
});
