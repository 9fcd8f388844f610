/** Accepted events over real sockets and a real journal: order, filters, waiting, gaps, and the limits of a reader. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { EventFeed, type EventPage, type EventQuery } from "../../src/admin/events/index.ts";
import { newPage, startOf } from "../../src/admin/events/page.ts";
import { EventReader } from "../../src/admin/events/reader.ts";
import { wantedOf } from "../../src/admin/events/wanted.ts";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { ProcessorSettings } from "../../src/processors/index.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { adminWith } from "../support/admin.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { createStore, lineOf, quarantine, take, type TestStore } from "../support/store.ts";
import { aWhile, until } from "../support/wait.ts";

let store: TestStore;
let feed: EventFeed;
let admin: Admin | undefined;
let rejected: number;

beforeEach(() => {
  store = createStore();
  rejected = 0;
  open(store.settings);
});
afterEach(async () => {
  feed.close();
  await admin?.stop(0);
  admin = undefined;
  store.remove();
});

function open(settings: ProcessorSettings): void {
  const telemetry = { ...silentTelemetry, add: () => void rejected++ };
  feed = new EventFeed({ journal: store.journal, settings, telemetry, clock: () => store.now });
}

/** Commits values as one batch, as the program does. */
async function accept(...values: readonly JsonObject[]): Promise<void> {
  await take(store, values, store.now);
  feed.committed();
}

async function start(token = ""): Promise<void> {
  admin = createAdmin(
    { listen: "127.0.0.1:0", token },
    adminWith({
      events: feed,
    }),
  );
  await admin.start();
}

async function ask(query: string): Promise<{ readonly status: number; readonly page: EventPage & { text?: string } }> {
  const response = await fetch(`http://127.0.0.1:${admin?.port}/api/v1/events?${query}`);
  return { status: response.status, page: (await response.json()) as EventPage };
}

const everything = { types: [], nodes: [], limit: 500, waitMs: 0 };

/** All pages of a query together. */
async function readWhole(query: EventQuery): Promise<EventPage> {
  let page = await feed.read(query);
  const { gap, oldest } = page;
  const { since: _, last: __, ...rest } = query;
  const events = [...page.events];
  while (!page.isEnd) {
    page = await feed.read({ ...rest, from: page.next });
    events.push(...page.events);
  }
  return { ...page, events, ...(gap && { gap }), ...(oldest && { oldest }) };
}

const portsOf = ({ events }: EventPage): unknown[] => events.map(({ attributes }) => attributes["destination.port"]);

/** A flow record with this many connections, distinguished by their ports from `first` on. */
function flows(connections: number, first: number, members: JsonObject = {}): JsonObject {
  const virtualTraffic = Array.from({ length: connections }, (_, n) => connection({ dst: `100.64.1.2:${first + n}` }));
  return flowValue({ virtualTraffic, nodeId: `n${first}CNTRL`, ...members });
}

/** Follows from the journal's start to its end, a few events at a time. */
async function readAll(limit: number): Promise<unknown[]> {
  const ports: unknown[] = [];
  let page = await feed.read({ ...everything, limit, since: 0 });
  for (;;) {
    ports.push(...portsOf(page));
    if (page.isEnd) return ports;
    page = await feed.read({ ...everything, limit, from: page.next });
  }
}

describe("a page", () => {
  test("has events in the order of their acceptance, as they would be exported", async () => {
    await accept(flows(1, 443), auditValue());
    const { events, isEnd, gap } = await readWhole({ ...everything, since: 0 });
    expect([isEnd, gap]).toEqual([true, undefined]);
    expect(events.map(({ type, source, name }) => [type, source, name])).toEqual([
      ["flow", "stream", "tailscale.network.flow"],
      ["audit", "stream", "tailscale.config.audit"],
    ]);
    expect(events[0]).toMatchObject({
      acceptedAt: "2026-11-02T09:15:00.000Z",
      time: "2026-11-02T09:15:00Z",
      severity: "INFO",
      body: "tcp virtual 100.64.1.1:40000 -> 100.64.1.2:443 tx=300B rx=200B",
      attributes: { "destination.port": 443, "tailscale.tx.bytes": 300 },
    });
    expect(new Set(events.map(({ id }) => id)).size).toBe(2);
  });

  test("ends inside a record if it is full, and the next one continues there", async () => {
    await accept(flows(5, 1), flows(150, 100), flows(3, 300));
    await accept(flows(2, 400));
    const all = [...Array(5).keys()].map((n) => 1 + n);
    all.push(...[...Array(150).keys()].map((n) => 100 + n), 300, 301, 302, 400, 401);
    expect(await readAll(7)).toEqual(all);
    expect(await readAll(500)).toEqual(all);
  });

  test("begins with the event whose id is given", async () => {
    await accept(flows(5, 1));
    const { events } = await readWhole({ ...everything, since: 0 });
    expect(portsOf(await readWhole({ ...everything, from: events[3]?.id ?? "" }))).toEqual([4, 5]);
  });

  test("ends after a megabyte of text", async () => {
    const values = Array.from({ length: 300 }, (_, n) =>
      auditValue({ eventGroupID: `g${n}`, old: "o".repeat(6000), new: "n".repeat(6000) }),
    );
    await accept(...values);
    const page = await feed.read({ ...everything, since: 0 });
    expect(page.events.length).toBeLessThan(200);
    expect(JSON.stringify(page).length).toBeLessThan(2 * 1024 * 1024);
    expect(page.isEnd).toBe(false);
  });

  test("shows connections even if none are exported, and applies privacy", async () => {
    const actions = Object.fromEntries(
      ["emails", "user_ids", "hostnames", "node_ids", "tailscale_ips", "internal_ips"].map((name) => [name, "drop"]),
    );
    const privacy = {
      actions: { ...actions, external_ips: "keep", tailnet_name: "keep", free_text: "keep" },
      salt: "s",
    };
    feed.close();
    open({ ...store.settings, flowLogMode: "off", privacy } as ProcessorSettings);
    await accept(flows(2, 443), auditValue());
    const page = await readWhole({ ...everything, since: 0 });
    expect(page.events).toHaveLength(3);
    expect(JSON.stringify(page)).not.toMatch(/100\.64|alice|nCNTRL|n443/);
  });
});

describe("reading begins", () => {
  test("with events accepted from then on by default", async () => {
    await accept(flows(1, 1));
    const { events, next, isEnd } = await feed.read(everything);
    expect([events, isEnd]).toEqual([[], true]);
    await accept(flows(1, 2));
    expect(portsOf(await readWhole({ ...everything, from: next }))).toEqual([2]);
  });

  test("with the last events that match", async () => {
    await accept(flows(5, 1), auditValue());
    await accept(flows(2, 10));
    await accept(auditValue({ eventGroupID: "other" }));
    expect(portsOf(await readWhole({ ...everything, types: ["flow"], last: 3 }))).toEqual([5, 10, 11]);
    expect((await readWhole({ ...everything, types: ["audit"], last: 2 })).events).toHaveLength(2);
    expect(portsOf(await readWhole({ ...everything, types: ["flow"], last: 100 }))).toHaveLength(7);
    expect((await readWhole({ ...everything, types: ["webhook"], last: 10 })).events).toEqual([]);
  });

  test("with the last events that match, however far apart they are", async () => {
    await accept(auditValue({ target: { id: "n1", name: "rare", type: "NODE", property: "" } }), flows(400, 1));
    for (let n = 1; n < 6; n++) {
      const others = Array.from({ length: 300 }, (_, at) => auditValue({ eventGroupID: `g${n}-${at}` }));
      await accept(...others, flows(400, 1 + n * 1000, { nodeId: `n${n}CNTRL` }));
    }
    const names: unknown[] = [];
    // A search ends after two seconds, and the next one continues there.
    for (let before: string | undefined, isStart = false; !isStart;) {
      const { events, back } = await feed.read({
        ...everything,
        nodes: ["rare"],
        last: 3,
        ...(before !== undefined && { before }),
      });
      names.push(...events.map(({ attributes }) => attributes["tailscale.target.name"]));
      ({ before, isStart = true } = back ?? {});
    }
    expect(names).toEqual(["rare"]);
    expect(portsOf(await readWhole({ ...everything, types: ["flow"], last: 500 }))).toEqual([
      ...Array.from({ length: 100 }, (_, n) => 4301 + n),
      ...Array.from({ length: 400 }, (_, n) => 5001 + n),
    ]);
  });

  test("with the first row accepted since a time", async () => {
    const begun = store.now;
    for (let minute = 0; minute < 30; minute++) {
      store.now = begun + minute * 60_000;
      await accept(flows(1, 1 + minute));
    }
    const page = await readWhole({ ...everything, since: begun + 20 * 60_000 });
    expect(portsOf(page)).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
    expect(page.oldest).toBeUndefined();
    expect((await readWhole({ ...everything, since: begun + 31 * 60_000 })).events).toEqual([]);
  });

  test("with the first row of this journal, and a gap, if the position belongs to another journal", async () => {
    await accept(flows(1, 1));
    const { next } = await feed.read(everything);
    for (const from of [next.replace(/^\w+/, "abc"), next.replace(/\.\d+\./, ".99.")]) {
      const page = await readWhole({ ...everything, from });
      expect([portsOf(page), page.gap]).toEqual([[1], { reason: "other_journal", rows: 0 }]);
    }
  });
});

describe("only events are shown", () => {
  test("of the requested types", async () => {
    await accept(flows(2, 1), auditValue());
    await quarantine(store, "invalid", [lineOf()]);
    await accept(auditValue({ eventGroupID: "other" }));
    const page = await readWhole({ ...everything, types: ["audit"], since: 0 });
    expect(page.events.map(({ type }) => type)).toEqual(["audit", "audit"]);
    expect(page.isEnd).toBe(true);
  });

  test.each([
    ["100.64.1.2", [1, 2, 3]],
    ["100.64.1.9", [4]],
    ["100.64.1.*", [1, 2, 3, 4]],
    ["LAPTOP", [4]],
    ["lap*", [4]],
    ["*.example.com", ["audit"]],
    ["l?ptop", [4]],
    ["laptops", []],
  ])("of a node by name or address: %s", async (node, ports) => {
    await accept(flows(3, 1));
    const laptop = { nodeId: "nLAPTOPCNTRL", name: "laptop.tail1234.ts.net.", addresses: ["100.64.1.9"] };
    await accept(
      flowValue({
        nodeId: "nLAPTOPCNTRL",
        srcNode: laptop,
        virtualTraffic: [connection({ src: "100.64.1.9:5000", dst: "100.64.1.3:4" })],
      }),
      auditValue({ target: { id: "n1CNTRL", name: "web.example.com", type: "NODE", property: "" } }),
    );
    const { events } = await readWhole({ ...everything, nodes: [node], since: 0 });
    expect(events.map(({ type, attributes }) => attributes["destination.port"] ?? type)).toEqual(ports);
  });
});

describe("a reader that waits", () => {
  test("gets an accepted event at once", async () => {
    const { next } = await feed.read(everything);
    const waiting = feed.read({ ...everything, from: next, types: ["audit"], waitMs: 20_000 });
    await accept(flows(1, 1));
    await accept(auditValue());
    const { events } = await waiting;
    expect(events.map(({ type }) => type)).toEqual(["audit"]);
  });

  test("gets an empty page when its wait ends", async () => {
    const { events, isEnd, next } = await feed.read({ ...everything, waitMs: 20 });
    expect([events, isEnd]).toEqual([[], true]);
    expect((await feed.read({ ...everything, from: next, waitMs: 1 })).next).toBe(next);
  });

  test("shares an answer with identical requests, as long as nothing new has been accepted", async () => {
    const { next } = await feed.read(everything);
    const query = { ...everything, from: next };
    await accept(auditValue());
    const [one, other] = [feed.read(query), feed.read({ ...query })];
    await accept(auditValue({ eventGroupID: "later" }));
    const [first, second, third] = await Promise.all([one, other, feed.read(query)]);
    expect(second).toBe(first);
    expect(third).not.toBe(first);
    expect(await feed.read(query)).not.toBe(third);
    const all = Array.from({ length: 200 }, () => feed.read(query));
    expect(new Set(await Promise.all(all)).size).toBe(1);
    expect(rejected).toBe(0);
  });

  test("is answered at shutdown, and over HTTP with 503", async () => {
    await start();
    const asked = ask("wait=30s");
    const direct = feed.read({ ...everything, waitMs: 30_000 }).catch((error: unknown) => String(error));
    await aWhile();
    feed.close();
    expect((await asked).status).toBe(503);
    expect(await direct).toContain("the program is stopping");
  });

  test("is refused and counted if 48 wait already, which does not affect reading or searching", async () => {
    await accept(auditValue());
    await start();
    const waiting = Array.from({ length: 48 }, () => feed.read({ ...everything, waitMs: 30_000 }).catch(() => "ended"));
    const { status, page } = await ask("wait=1s");
    expect([status, page.text]).toEqual([503, "48 requests are waiting for events already"]);
    expect(rejected).toBe(1);
    const found = await ask("since=0&text=update");
    expect([found.status, found.page.events.length]).toEqual([200, 1]);
    expect((await feed.whole(found.page.events[0]?.id ?? ""))?.type).toBe("audit");
    feed.close();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(["ended"]));
  });
});

test("at most 64 requests read at once", async () => {
  await accept(flows(1, 1));
  const answers = await Promise.allSettled(
    Array.from({ length: 70 }, (_, n) => feed.read({ ...everything, text: `never ${n}`, since: 0 })),
  );
  const refused = answers.flatMap((answer) => (answer.status === "rejected" ? [String(answer.reason)] : []));
  expect(refused).toEqual(Array(6).fill("Refusal: 64 requests are reading events already"));
  expect(rejected).toBe(6);
});

describe("a gap is reported", () => {
  test("before the events that follow it, if unread rows are deleted", async () => {
    await accept(flows(1, 1));
    const { next } = await feed.read(everything);
    await accept(flows(1, 2));
    await accept(flows(1, 3));
    const { cursor } = store.journal;
    store.journal.progress({ cursor: { ...cursor, seq: 4, records: { delivered: 3, deadLettered: 0 } } });
    await store.ledger.fold(store.now);
    store.now += 48 * 3_600_000;
    const reader = store.journal.openReader();
    await until(async () => {
      await store.journal.maintain();
      store.now += 3_600_000;
      return (await reader.heads(1, 1)).length === 0;
    });
    reader.close();
    await accept(flows(1, 4));
    const page = await readWhole({ ...everything, from: next });
    expect([portsOf(page), page.gap]).toEqual([[4], { reason: "deleted", rows: 2 }]);
    const again = await readWhole({ ...everything, from: page.next });
    expect(again.gap).toBeUndefined();
    const { oldest } = await readWhole({ ...everything, since: 0 });
    expect(Date.parse(oldest ?? "")).toBe(store.now);
  });
});

describe("over HTTP", () => {
  test("a page is JSON, and the token is required", async () => {
    await accept(flows(2, 1), auditValue());
    await start("admin-token");
    expect((await ask("since=0")).status).toBe(401);
    const response = await fetch(`http://127.0.0.1:${admin?.port}/api/v1/events?since=0&types=flow,audit&limit=2`, {
      headers: { authorization: "Bearer admin-token" },
    });
    expect(((await response.json()) as EventPage).events).toHaveLength(2);
  });

  test.each([
    ["from=17", "from must be the id of an event, or a position of an answer"],
    ["limit=0", "limit must be 1 to 2000"],
    ["last=2001", "last must be 1 to 2000"],
    ["since=yesterday", "since must be a whole number of milliseconds, up to 8640000000000000"],
    ["wait=1h", "wait must be a time of up to 30s"],
    ["wait=5", "wait must be a time of up to 30s"],
    ["types=flow,logs", "types must be some of flow, audit, webhook"],
    [`nodes=${"a".repeat(300)}`, "nodes must be up to 20 names or patterns of up to 256 characters"],
    ["since=0&last=3", "only one of from, since and last can be given"],
    ["type=flow", '"type" is unknown'],
  ])("%s is refused: %s", async (query, text) => {
    await start();
    expect(await ask(query)).toEqual({ status: 400, page: { text } as never });
  });

  test("a pathological pattern is matched quickly", async () => {
    await accept(flowValue({ srcNode: { nodeId: "nONECNTRL", name: "a".repeat(4000) } }));
    await start();
    const began = performance.now();
    await ask(`since=0&nodes=${"*a".repeat(120)}b`);
    expect(performance.now() - began).toBeLessThan(5000);
  });
});

test("a reader yields after some milliseconds, however much there is to read", async () => {
  for (let n = 0; n < 4; n++)
    await accept(...Array.from({ length: 1500 }, (_, at) => auditValue({ eventGroupID: `${n}-${at}` })));
  const reader = new EventReader({ journal: store.journal, settings: store.settings });
  const page = newPage(startOf(1));
  const query = { ...everything, nodes: ["nobody"] };
  let steps = 1;
  while (!(await reader.advance(page, query, wantedOf(query)))) steps++;
  reader.close();
  // About ten steps on a usual machine; one if the reader did not yield.
  expect(steps).toBeGreaterThan(1);
  expect(page.place.seq).toBe(store.journal.lastSeq + 1);
});
