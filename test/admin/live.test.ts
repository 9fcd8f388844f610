/** The live stream over real sockets: whole messages in order, bounded memory, and no cost while nobody is connected. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { EventFeed } from "../../src/admin/events/index.ts";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { Live, type LiveDeps } from "../../src/admin/live.ts";
import type { Overview } from "../../src/admin/overview.ts";
import type { TrafficSample } from "../../src/admin/traffic/index.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { Committed } from "../../src/journal/index.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { adminWith } from "../support/admin.ts";
import { head } from "../support/raw-http.ts";
import { auditValue, flowValue } from "../support/records.ts";
import { createStore, take, type TestStore } from "../support/store.ts";
import { timeoutMs, until } from "../support/wait.ts";

interface Message {
  readonly event: string;
  readonly data: unknown;
}

let store: TestStore;
let feed: EventFeed;
let live: Live;
let admin: Admin;
let overviews = 0;
let reads = 0;
let trouble: Error | undefined;
const counts = new Map<string, number>();
let pages = (): number => 0;
let sample: (value: object) => void;
const sockets: Socket[] = [];
const ending = { controller: new AbortController() };

const counted = (name: string): number => counts.get(name) ?? 0;

async function start(limits: Pick<LiveDeps, "maxPages" | "stalledMs"> = {}): Promise<void> {
  const telemetry: LiveDeps["telemetry"] = {
    ...silentTelemetry,
    add: (metric, value, attributes) => {
      const name = [metric.split(".").at(-1), ...Object.values(attributes)].join(" ");
      counts.set(name, counted(name) + value);
    },
    observe: (metric, read) => {
      if (metric === "tailscale2otel.admin.live.open") pages = () => read()[0]?.value ?? 0;
    },
  };
  live = new Live({
    overview() {
      if (trouble !== undefined) throw trouble;
      return { entries: ++overviews } as Overview;
    },
    traffic: {
      onSample(listener) {
        sample = (value) => listener(value as TrafficSample);
      },
    },
    events: { read: (query) => (reads++, feed.read(query)) },
    journal: store.journal,
    telemetry,
    ...limits,
  });
  admin = createAdmin({ listen: "127.0.0.1:0", token: "" }, adminWith({ live }));
  await admin.start();
}

beforeEach(() => {
  store = createStore();
  feed = new EventFeed({ ...store, telemetry: silentTelemetry, clock: () => store.now });
  counts.clear();
  trouble = undefined;
  overviews = reads = 0;
  ending.controller = new AbortController();
});
afterEach(async () => {
  ending.controller.abort();
  for (const socket of sockets.splice(0)) socket.destroy();
  await admin.stop(0);
  feed.close();
  store.remove();
});

const ask = (): Promise<Response> =>
  fetch(`http://127.0.0.1:${admin.port}/api/v1/live`, { signal: ending.controller.signal });

/** A page that reads everything. */
async function openPage() {
  const response = await ask();
  const page = { response, messages: [] as Message[], isEnded: false };
  void (async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      const parts = (text + decoder.decode(chunk, { stream: true })).split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts.filter((one) => !one.startsWith("retry: "))) {
        const [, event = "", data = ""] = /^event: (\w+)\ndata: (.+)$/.exec(part) ?? [];
        page.messages.push({ event, data: JSON.parse(data) });
      }
    }
    page.isEnded = text === "";
  })().catch(() => {});
  return page;
}

/** A page that reads nothing, like a browser whose process is stopped. */
async function openStuck(): Promise<Socket> {
  const socket = connect(admin.port, "127.0.0.1");
  sockets.push(socket);
  socket.on("error", () => {});
  const before = pages();
  await new Promise((resolve) => socket.once("connect", resolve));
  socket.pause();
  socket.write(head("GET", "/api/v1/live", {}));
  await until(() => pages() > before);
  return socket;
}

test(
  "a page gets the state at once, then every second, and all pages get the same message",
  async () => {
    await start();
    const [first, second] = await Promise.all([openPage(), openPage()]);
    expect(first.response.headers.get("content-type")).toBe("text/event-stream");
    expect(first.response.headers.get("cache-control")).toBe("no-store");
    await until(() => first.messages.length >= 3 && second.messages.length >= 3);
    const numbers = first.messages.slice(0, 3).map(({ data }) => (data as Overview).entries);
    expect(numbers).toEqual([1, 2, 3]);
    expect(second.messages.slice(0, 3)).toEqual(first.messages.slice(0, 3));
    sample({ at: 5 });
    await until(() => first.messages.some(({ event }) => event === "sample"));
    expect(first.messages.find(({ event }) => event === "sample")?.data).toEqual({ at: 5 });
  },
  timeoutMs,
);

test(
  "nothing is computed while nobody is connected, and HEAD does not connect",
  async () => {
    await start();
    expect((await fetch(`http://127.0.0.1:${admin.port}/api/v1/live`, { method: "HEAD" })).status).toBe(200);
    const unread = { toJSON: () => expect.unreachable() };
    sample(unread);
    live.committed({ parts: [{ seq: 1, accepted: 1, part: { type: "audit" } }] } as unknown as Committed);
    expect([overviews, reads, pages()]).toEqual([0, 0, 0]);
    const page = await openPage();
    await until(() => page.messages.length > 0);
    ending.controller.abort();
    await until(() => pages() === 0);
    const made = overviews;
    sample(unread);
    expect(overviews).toBe(made);
  },
  timeoutMs,
);

test(
  "new audit and webhook events are sent; those of flow records are not even read",
  async () => {
    await start();
    const page = await openPage();
    await until(() => page.messages.length > 0);
    const accept = async (values: readonly JsonObject[]): Promise<void> => {
      const before = store.journal.lastSeq;
      await take(store, values, store.now);
      const type = values[0]?.["nodeId"] === undefined ? "audit" : "flow";
      live.committed({ parts: [{ seq: before + 1, accepted: values.length, part: { type } }] } as unknown as Committed);
    };
    await accept([flowValue()]);
    const ticks = page.messages.length;
    await until(() => page.messages.length > ticks + 1);
    expect(reads).toBe(0);
    await accept(Array.from({ length: 60 }, (_, number) => auditValue({ eventGroupID: `group-${number}` })));
    await until(() => page.messages.some(({ event }) => event === "events"));
    const { data } = page.messages.find(({ event }) => event === "events") ?? {};
    const { events, more } = data as { readonly events: readonly { type: string }[]; readonly more: number };
    expect([events.length, more, new Set(events.map(({ type }) => type))]).toEqual([50, 10, new Set(["audit"])]);
  },
  timeoutMs,
);

test(
  "of 100 pages, those that read get whole messages in order; those that do not skip messages and are then closed",
  async () => {
    await start({ stalledMs: 1500 });
    const readers = await Promise.all(Array.from({ length: 50 }, openPage));
    const stuck: Socket[] = [];
    for (let number = 0; number < 50; number++) stuck.push(await openStuck());
    expect(pages()).toBe(100);
    const text = "x".repeat(64 * 1024);
    let sent = 0;
    const numbersOf = ({ messages }: { readonly messages: readonly Message[] }): number[] =>
      messages.flatMap(({ event, data }) => (event === "sample" ? [(data as { number: number }).number] : []));
    // Each reader has received the last message before the next is sent, so none may miss any.
    while (counted("skipped") < 50 || pages() > 50) {
      sample({ number: ++sent, text });
      await until(() => readers.every((page) => numbersOf(page).at(-1) === sent));
    }
    expect(counted("closed stalled")).toBe(50);
    const all = Array.from({ length: sent }, (_, number) => number + 1);
    for (const page of readers) expect(numbersOf(page)).toEqual(all);
    // Their connections end although they never read, which shows when something is written to them.
    await until(() => {
      for (const socket of stuck) if (!socket.closed) socket.write("x");
      return stuck.every((socket) => socket.closed);
    });
  },
  timeoutMs,
);

test(
  "if the state cannot be read, streams end, and a new connection is told why",
  async () => {
    await start();
    const page = await openPage();
    trouble = new Error("the journal is damaged");
    await until(() => page.isEnded && pages() === 0);
    const refused = await ask();
    expect([refused.status, await refused.json()]).toEqual([
      500,
      { text: "the request failed: the journal is damaged" },
    ]);
    trouble = undefined;
    expect((await openPage()).response.status).toBe(200);
  },
  timeoutMs,
);

test(
  "refuses a page over the limit until another leaves",
  async () => {
    await start({ maxPages: 2 });
    await Promise.all([openPage(), openPage()]);
    const refused = await ask();
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "30"]);
    expect(await refused.json()).toEqual({ text: "2 pages are open already" });
    expect(counted("rejected too_many_pages")).toBe(1);
    ending.controller.abort();
    ending.controller = new AbortController();
    await until(() => pages() === 0);
    expect((await openPage()).response.status).toBe(200);
  },
  timeoutMs,
);

test(
  "a new token ends every stream, and so does a stop, without waiting for pages that do not read",
  async () => {
    await start();
    const page = await openPage();
    await openStuck();
    await admin.reload({ token: "another" });
    await until(() => page.isEnded && pages() === 0);
    expect((await ask()).status).toBe(401);
    await admin.reload({ token: "" });
    const last = await openPage();
    await openStuck();
    const beganAt = performance.now();
    await admin.stop(60_000);
    await until(() => last.isEnded);
    // Well below the minute that requests would get.
    expect(performance.now() - beganAt).toBeLessThan(30_000);
    expect(live.answer({ request: new Request("http://localhost/"), close() {} }).status).toBe(503);
  },
  timeoutMs,
);
