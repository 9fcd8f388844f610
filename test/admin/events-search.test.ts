/** Searching accepted events over real sockets and a real journal: by text and severity, backwards, and a single event in full. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type AcceptedEvent, EventFeed, type EventPage } from "../../src/admin/events/index.ts";
import { startOf } from "../../src/admin/events/page.ts";
import { EventReader } from "../../src/admin/events/reader.ts";
import { searchBack } from "../../src/admin/events/search.ts";
import { wantedOf } from "../../src/admin/events/wanted.ts";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { actionWords, eventWords } from "../../src/catalogue/event-words.ts";
import type { LogEvent } from "../../src/catalogue/log-event.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import type { ProcessorSettings } from "../../src/processors/index.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { adminWith } from "../support/admin.ts";
import { auditValue, connection, flowValue } from "../support/records.ts";
import { createStore, take, type TestStore } from "../support/store.ts";
import { timeoutMs, until } from "../support/wait.ts";

let store: TestStore;
let feed: EventFeed;
let admin: Admin;

beforeEach(async () => {
  store = createStore();
  await open(store.settings);
});
afterEach(async () => {
  feed.close();
  await admin.stop(0);
  store.remove();
});

async function open(settings: ProcessorSettings): Promise<void> {
  feed = new EventFeed({ journal: store.journal, settings, telemetry: silentTelemetry, clock: () => store.now });
  admin = createAdmin({ listen: "127.0.0.1:0", token: "" }, adminWith({ events: feed }));
  await admin.start();
}

async function accept(...values: readonly JsonObject[]): Promise<void> {
  await take(store, values, store.now);
  feed.committed();
}

async function get<Answer>(path: string): Promise<{ readonly status: number; readonly answer: Answer }> {
  const response = await fetch(`http://127.0.0.1:${admin.port}/api/v1/${path}`);
  return { status: response.status, answer: (await response.json()) as Answer };
}

async function ask(query: string): Promise<EventPage> {
  const { status, answer } = await get<EventPage & { text?: string }>(`events?${query}`);
  if (status !== 200) throw new Error(answer.text);
  return answer;
}

/** Group ids of audit records and ports of connections. */
const labelsOf = ({ events }: EventPage): unknown[] =>
  events.map(({ attributes: of }) => of["destination.port"] ?? of["tailscale.audit.event_group_id"]);

const audits = (count: number, first = 0): JsonObject[] =>
  Array.from({ length: count }, (_, n) => auditValue({ eventGroupID: `g${first + n}` }));

/** Everything found by reading forward over as many pages as it takes. */
async function readForward(query: string): Promise<unknown[]> {
  let page = await ask(query);
  const rest = query.replace(/(?:^|&)(?:since|last)=\d+/g, "");
  const found = labelsOf(page);
  while (!page.isEnd) {
    page = await ask(`${rest}&from=${page.next}`);
    found.push(...labelsOf(page));
  }
  return found;
}

/** Everything found by going back from a first page, and the number of requests it took. */
async function searchWhole(
  query: string,
  start = "",
): Promise<{ readonly found: unknown[]; readonly requests: number }> {
  let page = await ask(`${query}${start}`);
  let requests = 1;
  const found = labelsOf(page);
  while (page.back?.isStart === false) {
    page = await ask(`${query}&before=${page.back.before}`);
    found.unshift(...labelsOf(page));
    requests++;
  }
  return { found, requests };
}

describe("backwards", () => {
  test("pages follow each other without an event left out or shown twice", async () => {
    await accept(
      ...audits(5),
      flowValue({ virtualTraffic: [1, 2, 3].map((n) => connection({ dst: `100.64.1.2:${n}` })) }),
    );
    await accept(...audits(4, 5));
    const all = await readForward("since=0");
    expect(all).toHaveLength(12);
    for (const last of [1, 2, 3, 5, 100]) {
      const { found, requests } = await searchWhole(`last=${last}`);
      expect(found).toEqual(all);
      expect(requests).toBeGreaterThanOrEqual(Math.ceil(all.length / last));
    }
    const { found } = await searchWhole("last=2&types=audit");
    expect(found).toEqual(all.filter((label) => typeof label === "string"));
  });

  test("a page ends before the position, and reading forward from there continues with it", async () => {
    await accept(...audits(9));
    const last = await ask("last=3");
    expect([labelsOf(last), last.isEnd, last.back?.isStart]).toEqual([["g6", "g7", "g8"], true, false]);
    const before = await ask(`last=2&before=${last.back?.before}`);
    expect([labelsOf(before), before.isEnd]).toEqual([["g4", "g5"], false]);
    expect(await readForward(`from=${before.next}`)).toEqual(["g6", "g7", "g8"]);
    const neighbours = await ask(`last=10&before=${before.events[0]?.id}`);
    expect([labelsOf(neighbours), neighbours.back?.isStart]).toEqual([["g0", "g1", "g2", "g3"], true]);
  });

  test("a page may be limited to events received before a time, and says how far back it has searched", async () => {
    const begun = store.now;
    for (let minute = 0; minute < 6; minute++) {
      store.now = begun + minute * 60_000;
      await accept(...audits(2, minute * 2));
    }
    const page = await ask(`last=3&until=${begun + 3 * 60_000}`);
    expect(labelsOf(page)).toEqual(["g3", "g4", "g5"]);
    expect(page.back?.to).toBe(new Date(begun + 60_000).toISOString());
    expect((await searchWhole("last=2&types=audit", `&until=${begun + 60_000}`)).found).toEqual(["g0", "g1"]);
  });

  test(
    "a page ends after a megabyte of text, and the next one continues there",
    async () => {
      const big = { old: "o".repeat(6000), new: "n".repeat(6000) };
      await accept(...audits(300).map((value) => ({ ...value, ...big })));
      const { next } = await ask("");
      const page = await ask(`last=300&before=${next}`);
      expect(page.events.length).toBeLessThan(200);
      const { found } = await searchWhole("last=300", `&before=${next}`);
      expect(found).toEqual(audits(300).map(({ eventGroupID }) => eventGroupID));
    },
    timeoutMs,
  );

  test(
    "the last events are complete even if they are long: a page begins with the first of them",
    async () => {
      const big = { old: "o".repeat(6000), new: "n".repeat(6000) };
      await accept(...audits(300).map((value) => ({ ...value, ...big })));
      // A search ends after two seconds, in which a busy machine may not get that far.
      await until(async () => {
        const found = await readForward("last=290");
        expect(found).toEqual(audits(found.length, 300 - found.length).map(({ eventGroupID }) => eventGroupID));
        return found.length === 290;
      });
    },
    timeoutMs,
  );

  test("a position of another journal is a gap", async () => {
    await accept(...audits(1));
    const { next } = await ask("");
    const page = await ask(`last=5&before=${next.replace(/^\w+/, "abc")}`);
    expect([page.events, page.gap]).toEqual([[], { reason: "other_journal", rows: 0 }]);
  });
});

describe("only events are found", () => {
  beforeEach(async () => {
    await accept(
      auditValue({
        eventGroupID: "failed",
        error: "Nameserver does not ANSWER",
        actor: { loginName: "bob@example.com" },
      }),
      auditValue({ eventGroupID: "policy", old: 'a\n"tag:web"', new: 'a\n"tag:Prod"\n' }),
      flowValue({ virtualTraffic: [443, 22].map((port) => connection({ dst: `100.64.1.2:${port}` })) }),
      auditValue({ eventGroupID: "hostile", target: { name: "<img src=x onerror=alert(1)>", type: "NODE" } }),
    );
  });

  test.each([
    ["text=answer", ["failed"]],
    ["text=BOB%20nameserver", ["failed"]],
    ["text=bob%20policy", ["failed"]],
    ["text=bob%20tag:prod", []],
    ["text=tag:prod", ["policy"]],
    ["text=%22tag:web%22", ["policy"]],
    ["text=<img%20onerror", ["hostile"]],
    ["text=.*", []],
    ["text=a%00b", []],
    ["text=100.64.1.2:443", [443]],
    ["text=virtual%20ssh", [22]],
    ["text=virtual&types=audit", []],
    ["text=%20%20", ["failed", "policy", 443, 22, "hostile"]],
    ["severity=warn", ["failed"]],
    ["severity=warn&types=flow", []],
    ["severity=info&types=audit", ["failed", "policy", "hostile"]],
    ["severity=warn&text=alice", []],
    ["nodes=100.64.1.2&text=ssh", [22]],
  ])("that match %s", async (query, labels) => {
    const { found } = await searchWhole(`${query}&last=100`);
    expect(found.toSorted()).toEqual(labels.toSorted());
    expect((await readForward(`${query}&since=0`)).toSorted()).toEqual(labels.toSorted());
  });

  test.each([
    ["before=17&last=1", "before must be the id of an event, or a position of an answer"],
    ["before=a.1.0.0", "before and until require last"],
    ["until=5&since=1", "before and until require last"],
    ["until=5&before=a.1.0.0&last=1", "only one of before and until can be given"],
    ["severity=error", "severity must be one of info, warn"],
    [`text=${"a".repeat(257)}`, "text must be at most 256 characters"],
  ])("and %s is refused: %s", async (query, text) => {
    expect(await get<object>(`events?${query}`)).toEqual({ status: 400, answer: { text } });
  });
});

describe("events are found by the words that the page shows", () => {
  test.each(Object.entries(actionWords))("%s is %s", async (action, words) => {
    const target = { id: "T1", name: "the-target", type: "TAILNET", property: "ACL" };
    await accept(
      auditValue({ eventGroupID: "wanted", action, target }),
      auditValue({ eventGroupID: "other", action: "ENTANGLE", target: { ...target, property: "SPIN" } }),
    );
    const [event] = (await ask("last=2")).events;
    const shown = eventWords(event as AcceptedEvent);
    expect(shown.what.startsWith(words)).toBe(true);
    const text = `${shown.actor} ${shown.what} ${shown.target}`.toUpperCase();
    expect(labelsOf(await ask(`last=9&text=${encodeURIComponent(text)}`))).toEqual(["wanted"]);
  });

  test("including the reason for a failure", async () => {
    await accept(auditValue({ eventGroupID: "failed", error: "no answer" }), auditValue());
    expect(labelsOf(await ask("last=9&text=which+failed:+answer"))).toEqual(["failed"]);
  });

  test("including several actors, together with other words", () => {
    const attributes = { "tailscale.webhook.actor": ["ann@example.com", "bob@example.com"] };
    const name = "tailscale.webhook.nodeApproved";
    const event = { name, severity: "INFO", body: "Node approved" } as const;
    const times = { time: [0, 0], observedTime: [0, 0] } satisfies Partial<LogEvent>;
    const isFound = (text: string) =>
      wantedOf({ types: [], nodes: [], text }).event?.({ ...event, ...times, attributes });
    expect(isFound("node ann@example.com, bob@example.com")).toBe(true);
    expect(isFound("node ann@example.com, eve@example.com")).toBe(false);
  });
});

test("a search that finds nothing ends after two seconds and continues where it stopped", async () => {
  for (let n = 0; n < 20; n++) await accept(...audits(2, n * 2));
  const reader = new EventReader({ journal: store.journal, settings: store.settings });
  const wanted = wantedOf({ types: [], nodes: [], text: "nowhere" });
  const realNow = performance.now;
  let now = 0;
  const pace = {
    async step<Result>(work: () => Result | Promise<Result>): Promise<Result> {
      now += 300;
      return work();
    },
  };
  performance.now = () => now;
  try {
    let from = startOf(store.journal.lastSeq + 1);
    const reached: number[] = [];
    for (let isStart = false; !isStart;) {
      const searched = await searchBack({ from, wanted, most: 5, beyondPage: "end", reader: () => reader, pace });
      expect(searched.found).toEqual([]);
      ({ reached: from, isStart } = searched);
      reached.push(from.seq);
    }
    expect(reached).toEqual([15, 9, 3, 1]);
  } finally {
    performance.now = realNow;
    reader.close();
  }
});

describe("one event", () => {
  const policy = (port: number): string =>
    `{\n${Array.from({ length: 2000 }, (_, n) => `  "line ${n}": ${n === 1000 ? port : 0},\n`).join("")}}`;

  test("is returned with its texts in full, up to 2 MiB", async () => {
    await accept(
      auditValue({ old: policy(443), new: policy(22) }),
      auditValue({ eventGroupID: "big", new: "é".repeat(3_000_000) }),
    );
    const [cut, big] = (await ask("last=2")).events;
    expect(String(cut?.attributes["tailscale.audit.new"]).length).toBeLessThan(4097);
    const { status, answer } = await get<AcceptedEvent>(`events/item?id=${cut?.id}`);
    expect([status, answer.id]).toEqual([200, cut?.id as string]);
    expect(answer.attributes["tailscale.audit.old"]).toBe(policy(443));
    expect(answer.attributes["tailscale.audit.new"]).toBe(policy(22));
    const { answer: bigWhole } = await get<AcceptedEvent>(`events/item?id=${big?.id}`);
    const text = String(bigWhole.attributes["tailscale.audit.new"]);
    expect([Buffer.byteLength(text) <= 2 * 1024 * 1024, text.endsWith("…[truncated]")]).toEqual([true, true]);
  });

  test("has privacy applied", async () => {
    const actions = Object.fromEntries(
      "emails user_ids hostnames node_ids tailscale_ips internal_ips external_ips tailnet_name free_text"
        .split(" ")
        .map((name) => [name, name === "emails" ? "drop" : "keep"]),
    );
    feed.close();
    await admin.stop(0);
    await open({ ...store.settings, privacy: { actions, salt: "s" } } as ProcessorSettings);
    await accept(auditValue({ new: "carol@example.com may\n".repeat(9000) }));
    const [event] = (await ask("last=1")).events;
    const { answer } = await get<AcceptedEvent>(`events/item?id=${event?.id}`);
    const text = String(answer.attributes["tailscale.audit.new"]);
    expect([text.length > 8000, text.endsWith("…[truncated]")]).toEqual([true, true]);
    expect(text).not.toMatch(/carol|example\.com/);
  });

  test("of a flow record is one connection", async () => {
    await accept(flowValue({ virtualTraffic: [443, 22].map((port) => connection({ dst: `100.64.1.2:${port}` })) }));
    const [, second] = (await ask("last=2")).events;
    const { answer } = await get<AcceptedEvent>(`events/item?id=${second?.id}`);
    expect(answer).toEqual(second as AcceptedEvent);
  });

  test.each([
    ["id=x", 400, "id must be the id of an event, or a position of an answer"],
    ["", 400, "id is missing"],
    ["id=a.1.0.0", 409, "the event has left the journal"],
    ["id=a.1.0.0&x=1", 400, '"x" is unknown'],
  ])("with %s gets %i: %s", async (query, status, text) => {
    expect(await get<object>(`events/item?${query}`)).toEqual({ status, answer: { text } });
  });

  test("that is not in its row has left the journal", async () => {
    await accept(...audits(1), flowValue());
    const { events } = await ask("last=100");
    for (const { id } of events) {
      const { status } = await get<object>(`events/item?id=${id.replace(/\.\d+$/, ".999")}`);
      expect(status).toBe(409);
    }
  });
});
