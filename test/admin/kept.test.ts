/** What was kept, over real sockets and a real journal: who may change it, what is asked for, what is bounded. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { createKept, type Kept } from "../../src/admin/kept.ts";
import type { ItemList } from "../../src/admin/kept-types.ts";
import { privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import type { Journal } from "../../src/journal/index.ts";
import type { Redelivery, RedeliveryName } from "../../src/journal/redelivery.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { createRetry } from "../../src/pipeline/retry.ts";
import { createState, type TestState } from "../support/journal.ts";
import { connection, flowValue } from "../support/records.ts";
import { badFlow, itemOf, numberedFlow, setAside, take } from "../support/kept-state.ts";

let state: TestState;
let journal: Journal;
let admin: Admin | undefined;
let redelivered: [RedeliveryName, Redelivery | undefined][];
let cannotSend: string | undefined;
let base: string;
let kept: Kept;

beforeEach(() => {
  state = createState();
  journal = state.open();
  redelivered = [];
  cannotSend = undefined;
});
afterEach(async () => {
  await admin?.stop(0);
  admin = undefined;
  state.remove();
});

const nothingHidden = Object.fromEntries(privacyCategories.map((name) => [name, "keep"])) as PrivacySettings["actions"];

async function start({ token = "", privacy = undefined as PrivacySettings | undefined } = {}): Promise<void> {
  const clock = () => state.now;
  kept = createKept({
    journal,
    retryRecord: createRetry(journal, { collapseExternal: true }, { comparesFacts: false }, clock),
    privacy,
    clock,
    cannotSend: () => cannotSend,
    redeliver: (name, redelivery) => redelivered.push([name, redelivery]),
    troubleOf: () => undefined,
  });
  admin = createAdmin(
    { listen: "127.0.0.1:0", token },
    { readiness: () => [], scrape: async () => "", status: () => ({}), kept, logger: silentLogger },
  );
  await admin.start();
  base = `http://127.0.0.1:${admin.port}`;
}

async function get<Answer>(path: string): Promise<{ status: number; answer: Answer }> {
  const response = await fetch(base + path);
  return { status: response.status, answer: (await response.json()) as Answer };
}

async function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(base + path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

const ids = () => journal.quarantine.page({}, { limit: 1000 }).map(({ id }) => id);
const invalid = itemOf({ class: "invalid", reason: "decode_error", text: JSON.stringify({ event: numberedFlow(1) }) });

const changes: [string, object][] = [
  ["/api/quarantine/retry", { ids: [1] }],
  ["/api/quarantine/purge", { ids: [1] }],
  ["/api/replay", { since: 0 }],
  ["/api/replay/cancel", {}],
];

describe("what changes something", () => {
  test.each(changes)("%s is refused to the pages of others, and to what a form can send", async (path, body) => {
    setAside(journal, [invalid]);
    await start();
    expect((await post(path, body, { origin: "https://evil.example.com" })).status).toBe(403);
    expect((await post(path, body, { "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await post(path, body, { "content-type": "text/plain" })).status).toBe(415);
    expect(ids()).toEqual([1]);
    expect(redelivered).toEqual([]);
  });

  test.each(changes.filter(([path]) => path !== "/api/replay"))("%s is not done by GET", async (path) => {
    await start();
    expect((await fetch(base + path)).status).toBe(405);
  });

  test.each(changes)("%s asks for the token", async (path, body) => {
    setAside(journal, [invalid]);
    await start({ token: "admin-token" });
    expect((await post(path, body)).status).toBe(401);
    expect((await post(path, body, { authorization: "Bearer wrong" })).status).toBe(401);
    expect(ids()).toEqual([1]);
  });

  test("is done for this listener's own page", async () => {
    setAside(journal, [invalid]);
    await start();
    const own = { origin: base, "sec-fetch-site": "same-origin" };
    expect((await post("/api/quarantine/purge", { ids: [1] }, own)).answer).toMatchObject({ purged: 1 });
  });

  test("is told what is wrong with it", async () => {
    await start();
    const cases: [string, unknown, number, string][] = [
      ["/api/quarantine/retry", "{", 400, "The body is not JSON"],
      ["/api/quarantine/retry", [], 400, "the body must be an object"],
      ["/api/quarantine/retry", {}, 400, "nothing is selected"],
      ["/api/quarantine/retry", { ids: [] }, 400, "ids must be 1 to 1000"],
      ["/api/quarantine/retry", { ids: ["1"] }, 400, "ids must be 1 to 1000"],
      ["/api/quarantine/retry", { ids: Array.from({ length: 1001 }, (_, n) => n + 1) }, 400, "ids must be 1 to 1000"],
      ["/api/quarantine/retry", { class: "other" }, 400, "class must be one of invalid, sample, note, dead_letter"],
      ["/api/quarantine/retry", { clas: "invalid" }, 400, '"clas" is unknown'],
      ["/api/quarantine/purge", { ids: [1], deadLetters: true }, 400, 'deadLetters must be "keep" or "delete"'],
      ["/api/replay", {}, 400, "since is missing"],
      ["/api/replay", { since: 5, until: 4 }, 400, "until is before since"],
      ["/api/replay/cancel", { name: "other" }, 400, "name must be one of replay, retry"],
      ["/api/quarantine/retry", " ".repeat(70_000), 413, "The body is larger than 65536 bytes"],
      ["/api/quarantine/retry", { class: "note" }, 409, "only items of the classes invalid and dead_letter"],
    ];
    for (const [path, body, status, text] of cases) {
      const { status: got, answer } = await post(path, body);
      expect([path, got, answer["text"]]).toEqual([path, status, expect.stringContaining(text)]);
    }
  });
});

describe("a list", () => {
  test("comes in pages, newest first, and counts all that match", async () => {
    setAside(journal, [invalid, invalid, itemOf(), invalid]);
    await start();
    const first = await get<ItemList>("/api/quarantine?class=invalid&limit=2");
    expect(first.answer.items.map(({ id }) => id)).toEqual([4, 2]);
    expect(first.answer.counts).toEqual([{ class: "invalid", reason: "decode_error", items: 3 }]);
    const next = await get<ItemList>("/api/quarantine?class=invalid&limit=2&beforeId=2");
    expect(next.answer.items.map(({ id }) => id)).toEqual([1]);
    expect(Object.keys(first.answer.items[0] ?? {})).not.toContain("text");
  });

  test("of more than a page can be is refused", async () => {
    await start();
    expect((await get<object>("/api/quarantine?limit=1001")).status).toBe(400);
    expect((await get<object>("/api/quarantine?limit=x")).status).toBe(400);
  });
});

test("texts, details and why something stays are shown as privacy lets them", async () => {
  setAside(journal, [
    itemOf({ class: "invalid", detail: "of alice@example.com", text: '{"user":"alice@example.com"}' }),
  ]);
  await start({ privacy: { actions: { ...nothingHidden, emails: "drop" }, salt: "salt" } });
  const shown = await get<object>("/api/quarantine/item?id=1");
  expect(shown.answer).toMatchObject({ detail: "of [dropped]", text: '{"user":"[dropped]"}' });
  expect(JSON.stringify((await get<object>("/api/quarantine")).answer)).not.toContain("alice");
  expect((await get<object>("/api/quarantine/item?id=9")).status).toBe(409);
  const text = JSON.stringify({ event: flowValue({ virtualTraffic: [connection({ src: "alice@example.com" })] }) });
  setAside(journal, [itemOf({ class: "invalid", text })]);
  const { kept: left } = (await post("/api/quarantine/retry", { ids: [2] })).answer as { kept: { why: string }[] };
  expect(left[0]?.why).toMatch(/^it is refused again \(invalid_endpoint\): .*\[dropped\]/);
});

describe("a retry", () => {
  test("of a class goes on page by page, and is through with those that stay too", async () => {
    for (let n = 1; n <= 120; n++) await take(journal, [badFlow(n)], state.now);
    setAside(journal, [invalid]);
    await start();
    const first = await post("/api/quarantine/retry", { class: "invalid" });
    expect(first.answer).toMatchObject({ accepted: 0, nextAfter: 100 });
    const second = await post("/api/quarantine/retry", { class: "invalid", after: 100 });
    expect(second.answer).toMatchObject({ accepted: 1, duplicate: 0 });
    expect(second.answer["nextAfter"]).toBeUndefined();
    expect(ids()).toHaveLength(120);
  });

  test("asked for twice at once is one receipt", async () => {
    setAside(journal, [invalid]);
    await start();
    const both = await Promise.all([kept.retry({ ids: [1] }), kept.retry({ ids: [1] })]);
    expect(both).toEqual([
      { accepted: 1, duplicate: 0, kept: [], queued: 0 },
      { accepted: 0, duplicate: 0, kept: [{ id: 1, why: "there is no such item" }], queued: 0 },
    ]);
    expect(journal.pendingRecords).toBe(1);
  });

  test("of dead letters hands them over, once at a time, and not where nothing can be sent", async () => {
    setAside(journal, [itemOf(), itemOf()]);
    await start();
    cannotSend = "no logs leave this program";
    expect(await post("/api/quarantine/retry", { ids: [1] })).toMatchObject({
      status: 409,
      answer: { text: cannotSend },
    });
    cannotSend = undefined;
    expect((await post("/api/quarantine/retry", { class: "dead_letter" })).answer).toMatchObject({ queued: 2 });
    expect(redelivered).toMatchObject([["retry", { untilSeq: 3, total: 2 }]]);
    expect((await post("/api/quarantine/retry", { ids: [2] })).answer["text"]).toContain("a retry is under way since");
  });
});

describe("a purge", () => {
  test("leaves dead letters where they are not meant", async () => {
    setAside(journal, [itemOf(), invalid]);
    await start();
    expect((await post("/api/quarantine/purge", { class: "dead_letter" })).status).toBe(409);
    expect((await post("/api/quarantine/purge", { ids: [1, 2] })).answer).toEqual({
      purged: 1,
      keptDeadLetters: 1,
      isDone: true,
    });
    const all = { before: state.now * 2, deadLetters: "delete" };
    expect((await post("/api/quarantine/purge", all)).answer).toMatchObject({ purged: 1 });
    expect(ids()).toEqual([]);
  });

  test("goes page by page", async () => {
    setAside(
      journal,
      Array.from({ length: 600 }, () => invalid),
    );
    await start();
    expect((await post("/api/quarantine/purge", { class: "invalid" })).answer).toMatchObject({
      purged: 500,
      isDone: false,
    });
    expect((await post("/api/quarantine/purge", { class: "invalid" })).answer).toMatchObject({ purged: 100 });
    expect((await post("/api/quarantine/purge", { class: "invalid" })).answer).toMatchObject({
      purged: 0,
      isDone: true,
    });
  });
});

test("a replay is begun once, told about, and cancelled", async () => {
  await take(journal, [numberedFlow(1), numberedFlow(2)], state.now);
  journal.progress({ cursor: { ...journal.cursor, seq: 2, records: { delivered: 2, deadLettered: 0 } }, setAside: [] });
  journal.writeSnapshot(journal.readSnapshot());
  await start();
  const begun = await post("/api/replay", { since: state.now - 1000 });
  expect(begun.answer).toMatchObject({ name: "replay", state: "under way", total: 2, sent: 0 });
  expect(redelivered).toMatchObject([["replay", { seq: 1, untilSeq: 2 }]]);
  expect((await post("/api/replay", { since: 0 })).status).toBe(409);
  expect((await get<object[]>("/api/replay")).answer).toMatchObject([{ state: "under way" }]);
  expect((await post("/api/replay/cancel", {})).answer).toMatchObject({ state: "cancelled" });
  expect(redelivered.at(-1)).toEqual(["replay", undefined]);
  expect((await post("/api/replay/cancel", {})).status).toBe(409);
  expect((await post("/api/replay", { since: state.now + 1 })).answer["text"]).toContain("state.retention");
});
