/** Quarantine, dead letters and replays over real sockets and a real journal: access, validation and limits. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { privacyCategories, type PrivacySettings } from "../../src/catalogue/logs.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { type Admin, createAdmin } from "../../src/admin/index.ts";
import { createOperations, type ItemList, type ItemWithTexts, type Operations } from "../../src/admin/operations.ts";
import type { OperationsDeps } from "../../src/admin/operations.ts";
import { resumeRedeliveries } from "../../src/admin/redeliveries.ts";
import type { QuarantineLine, Redelivery } from "../../src/journal/index.ts";
import { createRetry } from "../../src/pipeline/index.ts";
import { adminWith } from "../support/admin.ts";
import { connection, flowValue } from "../support/records.ts";
import {
  badFlow,
  createStore,
  lineOf,
  markOf,
  markRows,
  numberedFlow,
  quarantine,
  take,
  type TestStore,
} from "../support/store.ts";
import { until } from "../support/wait.ts";

let store: TestStore;
let admin: Admin | undefined;
let redelivered: [Redelivery["name"], Redelivery | undefined][];
let cannotSend: string | undefined;
let base: string;
let operations: Operations;
let deps: OperationsDeps;

beforeEach(() => {
  store = createStore();
  redelivered = [];
  cannotSend = undefined;
});
afterEach(async () => {
  await admin?.stop(0);
  admin = undefined;
  store.remove();
});

const nothingHidden = Object.fromEntries(privacyCategories.map((name) => [name, "keep"])) as PrivacySettings["actions"];

async function start({ token = "", privacy = undefined as PrivacySettings | undefined } = {}): Promise<void> {
  const clock = () => store.now;
  deps = {
    journal: store.journal,
    retryRecord: createRetry(store.pipeline, store.journal, clock),
    privacy,
    clock,
    cannotSend: () => cannotSend,
    redeliver: (name, redelivery) => redelivered.push([name, redelivery]),
    troubleOf: () => undefined,
  };
  operations = createOperations(deps);
  admin = createAdmin(
    { listen: "127.0.0.1:0", token },
    adminWith({
      operations,
    }),
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

const ids = async () => (await store.journal.quarantine.page({}, { limit: 1000 })).map(({ id }) => id);
const idsOf = async (itemClass: "invalid" | "sample" | "note" | "dead_letter") =>
  (await store.journal.quarantine.page({ class: itemClass }, { limit: 1000 })).map(({ id }) => id);

/** Lines with distinct texts. */
const linesOf = (amount: number) =>
  Array.from({ length: amount }, (_, n) => lineOf({ text: JSON.stringify({ event: numberedFlow(n + 1) }) }));

/** Stores two rows of one record each, marked as dead letters. */
async function deadLetters(): Promise<void> {
  await take(store, [numberedFlow(1)], store.now);
  await take(store, [numberedFlow(2)], store.now);
  await markRows(store, [markOf(1), markOf(2, { why: "too_large" })]);
}

/** Valid requests; `2.0` is the id of the first quarantined line in a new journal, whose row follows that of the batch's tally. */
const changes: [string, object][] = [
  ["/api/v1/quarantine/retry", { ids: ["2.0"] }],
  ["/api/v1/quarantine/purge", { ids: ["2.0"] }],
  ["/api/v1/replay", { since: 0 }],
  ["/api/v1/replay/cancel", {}],
];

describe("a request that changes something", () => {
  test.each(changes)(
    "to %s is refused from other origins, and with the content types of a form",
    async (path, body) => {
      const quarantined = await quarantine(store, "invalid", [lineOf()]);
      await start();
      expect((await post(path, body, { origin: "https://evil.example.com" })).status).toBe(403);
      expect((await post(path, body, { "sec-fetch-site": "cross-site" })).status).toBe(403);
      expect((await post(path, body, { "content-type": "text/plain" })).status).toBe(415);
      expect(await ids()).toEqual([...quarantined]);
      expect(redelivered).toEqual([]);
    },
  );

  test.each(changes.filter(([path]) => path !== "/api/v1/replay"))("to %s with GET gets 405", async (path) => {
    await start();
    expect((await fetch(base + path)).status).toBe(405);
  });

  test.each(changes)("to %s requires the token", async (path, body) => {
    const quarantined = await quarantine(store, "invalid", [lineOf()]);
    await start({ token: "admin-token" });
    expect((await post(path, body)).status).toBe(401);
    expect((await post(path, body, { authorization: "Bearer wrong" })).status).toBe(401);
    expect(await ids()).toEqual([...quarantined]);
  });

  test("is accepted from a page of this listener", async () => {
    const quarantined = await quarantine(store, "invalid", [lineOf()]);
    await start();
    const own = { origin: base, "sec-fetch-site": "same-origin" };
    expect((await post("/api/v1/quarantine/purge", { ids: quarantined }, own)).answer).toMatchObject({ purged: 1 });
  });

  test("gets an answer that says what is wrong with it", async () => {
    await start();
    const many = Array.from({ length: 1001 }, (_, n) => `${n + 1}.0`);
    const cases: [string, unknown, number, string][] = [
      ["/api/v1/quarantine/retry", "{", 400, "The body is not JSON"],
      ["/api/v1/quarantine/retry", [], 400, "the body must be an object"],
      ["/api/v1/quarantine/retry", {}, 400, "nothing is selected"],
      ["/api/v1/quarantine/retry", { ids: [] }, 400, "ids must be 1 to 1000"],
      ["/api/v1/quarantine/retry", { ids: [1] }, 400, "ids must be 1 to 1000"],
      ["/api/v1/quarantine/retry", { ids: ["1"] }, 400, "ids must be 1 to 1000"],
      ["/api/v1/quarantine/retry", { ids: ["m0"] }, 400, "ids must be 1 to 1000"],
      ["/api/v1/quarantine/retry", { ids: many }, 400, "ids must be 1 to 1000"],
      ["/api/v1/quarantine/retry", { class: "invalid", beforeId: "x" }, 400, "beforeId must be the id of an item"],
      ["/api/v1/quarantine/retry", { class: "other" }, 400, "class must be one of invalid, sample, note, dead_letter"],
      ["/api/v1/quarantine/retry", { clas: "invalid" }, 400, '"clas" is unknown'],
      ["/api/v1/quarantine/purge", { ids: ["m1"], deadLetters: true }, 400, 'deadLetters must be "keep" or "delete"'],
      ["/api/v1/replay", {}, 400, "since is missing"],
      ["/api/v1/replay", { since: 5, until: 4 }, 400, "until is before since"],
      ["/api/v1/replay", { since: 0, until: 8.64e15 + 1 }, 400, "until must be a whole number of milliseconds"],
      ["/api/v1/replay/cancel", { name: "other" }, 400, "name must be one of replay, retry"],
      ["/api/v1/quarantine/retry", " ".repeat(70_000), 413, "The body is larger than 65536 bytes"],
      ["/api/v1/quarantine/retry", { class: "note" }, 409, "only the classes invalid and dead_letter"],
    ];
    for (const [path, body, status, text] of cases) {
      const { status: got, answer } = await post(path, body);
      expect([path, got, answer["text"]]).toEqual([path, status, expect.stringContaining(text)]);
    }
  });
});

describe("a list", () => {
  test("comes in pages, newest first, with the counts of all that match", async () => {
    const [third, ...others] = linesOf(3).toReversed();
    const [oldest, older] = await quarantine(store, "invalid", others);
    await quarantine(store, "sample", [lineOf({ type: "unknown", reason: "unclassified" })]);
    const [newest] = await quarantine(store, "invalid", [third as QuarantineLine]);
    await start();
    const first = await get<ItemList>("/api/v1/quarantine?class=invalid&limit=2");
    expect(first.answer.items.map(({ id }) => id)).toEqual([newest as string, older as string]);
    expect(first.answer.counts).toEqual([{ class: "invalid", reason: "decode_error", items: 3 }]);
    const next = await get<ItemList>(`/api/v1/quarantine?class=invalid&limit=2&beforeId=${older}`);
    expect(next.answer.items).toMatchObject([{ id: oldest, line: 0, records: 1, source: "stream" }]);
    expect(Object.keys(first.answer.items[0] ?? {})).not.toContain("texts");
  });

  test("refuses a page that is too large, and invalid ids", async () => {
    await start();
    for (const query of ["?limit=1001", "?limit=x", "?beforeId=17", "/item?id=17", "/item"])
      expect([query, (await get<object>(`/api/v1/quarantine${query}`)).status]).toEqual([query, 400]);
  });
});

test("a dead letter is shown with its range, the backend's message and its texts", async () => {
  await take(store, [numberedFlow(1), numberedFlow(2), numberedFlow(3)], store.now);
  await markRows(store, [markOf(1, { from: 1, to: 3, logRecords: 2, message: "timestamp too old" })]);
  await start();
  const [id = ""] = await idsOf("dead_letter");
  const { answer } = await get<ItemWithTexts>(`/api/v1/quarantine/item?id=${id}`);
  expect(answer).toMatchObject({ id, class: "dead_letter", type: "flow", reason: "rejected", isCut: false });
  expect(answer).toMatchObject({ row: 1, line: 1, records: 2, detail: "timestamp too old" });
  expect(answer.texts.map((text) => JSON.parse(text) as object)).toEqual([
    { event: numberedFlow(2) },
    { event: numberedFlow(3) },
  ]);
});

test("privacy applies to texts, details and reasons", async () => {
  const line = lineOf({ detail: "of alice@example.com", text: '{"user":"alice@example.com"}' });
  const [id] = await quarantine(store, "invalid", [line]);
  await start({ privacy: { actions: { ...nothingHidden, emails: "drop" }, salt: "salt" } });
  const shown = await get<object>(`/api/v1/quarantine/item?id=${id}`);
  expect(shown.answer).toMatchObject({ detail: "of [dropped]", texts: ['{"user":"[dropped]"}'] });
  expect(JSON.stringify((await get<object>("/api/v1/quarantine")).answer)).not.toContain("alice");
  expect((await get<object>("/api/v1/quarantine/item?id=99.0")).status).toBe(409);
  const text = JSON.stringify({ event: flowValue({ virtualTraffic: [connection({ src: "alice@example.com" })] }) });
  const invalid = await quarantine(store, "invalid", [lineOf({ text })]);
  const { kept: items } = (await post("/api/v1/quarantine/retry", { ids: invalid })).answer as {
    kept: { why: string }[];
  };
  expect(items).toHaveLength(1);
  expect(items[0]?.why).not.toContain("alice");
});

describe("a retry", () => {
  test("of a class proceeds page by page, skipping items that stay invalid", async () => {
    for (let n = 1; n <= 120; n++) await take(store, [badFlow(n)], store.now);
    await quarantine(store, "invalid", [lineOf()]);
    await start();
    const first = await post("/api/v1/quarantine/retry", { class: "invalid" });
    expect(first.answer).toMatchObject({ accepted: 1, duplicate: 0 });
    const beforeId = first.answer["nextBeforeId"];
    expect(beforeId).toBeString();
    const second = await post("/api/v1/quarantine/retry", { class: "invalid", beforeId });
    expect(second.answer).toMatchObject({ accepted: 0, duplicate: 0 });
    expect(second.answer["nextBeforeId"]).toBeUndefined();
    expect((first.answer["kept"] as object[]).length + (second.answer["kept"] as object[]).length).toBe(120);
    expect(await idsOf("invalid")).toHaveLength(120);
  });

  test("requested twice at once accepts a record once", async () => {
    const quarantined = await quarantine(store, "invalid", [lineOf()]);
    await start();
    const both = await Promise.all([operations.retry({ ids: quarantined }), operations.retry({ ids: quarantined })]);
    expect(both).toEqual([
      { accepted: 1, duplicate: 0, kept: [], missing: [], queued: 0 },
      { accepted: 0, duplicate: 0, kept: [], missing: quarantined, queued: 0 },
    ]);
    expect(store.journal.pendingRecords).toBe(1);
  });

  test("reports that samples and notes cannot be retried, and keeps them", async () => {
    await quarantine(store, "sample", [lineOf({ type: "unknown", reason: "unclassified" })]);
    await take(store, [numberedFlow(1)], store.now);
    await markRows(store, [markOf(2, { why: "partial" })]);
    await start();
    const before = await ids();
    const { answer } = await post("/api/v1/quarantine/retry", { ids: before });
    expect(answer).toMatchObject({ accepted: 0, queued: 0 });
    expect((answer["kept"] as { id: string }[]).map(({ id }) => id).toSorted()).toEqual(before.toSorted());
    expect(await ids()).toEqual(before);
  });

  test("of dead letters queues their records, one retry at a time, and only if they can be exported", async () => {
    await deadLetters();
    await start();
    const [second = "", first = ""] = await idsOf("dead_letter");
    cannotSend = "no logs leave this program";
    expect(await post("/api/v1/quarantine/retry", { ids: [first] })).toMatchObject({
      status: 409,
      answer: { text: cannotSend },
    });
    cannotSend = undefined;
    expect((await post("/api/v1/quarantine/retry", { class: "dead_letter" })).answer).toMatchObject({ queued: 2 });
    expect(redelivered).toMatchObject([["retry", { name: "retry", total: 2 }]]);
    const again = await post("/api/v1/quarantine/retry", { ids: [second] });
    expect(again.answer["text"]).toContain("a retry has been in progress since");
  });

  test("of dead letters with one reason queues only those", async () => {
    await deadLetters();
    await start();
    const other = await post("/api/v1/quarantine/retry", { class: "dead_letter", reason: "decode_error" });
    expect(other.answer).toMatchObject({ queued: 0 });
    const { answer } = await post("/api/v1/quarantine/retry", { class: "dead_letter", reason: "too_large" });
    expect(answer).toMatchObject({ queued: 1 });
    expect(redelivered).toMatchObject([["retry", { marks: { class: "dead_letter", reason: "too_large" } }]]);
  });
});

describe("a purge", () => {
  test("keeps dead letters unless they are named explicitly", async () => {
    await take(store, [numberedFlow(1)], store.now);
    await markRows(store, [markOf(1)]);
    await quarantine(store, "invalid", [lineOf()]);
    await start();
    expect((await post("/api/v1/quarantine/purge", { class: "dead_letter" })).status).toBe(409);
    expect((await post("/api/v1/quarantine/purge", { ids: await ids() })).answer).toEqual({
      purged: 1,
      keptDeadLetters: 1,
      isDone: true,
    });
    const all = { before: store.now * 2, deadLetters: "delete" };
    expect((await post("/api/v1/quarantine/purge", all)).answer).toMatchObject({ purged: 1 });
    expect(await ids()).toEqual([]);
  });

  test("proceeds page by page", async () => {
    await quarantine(store, "invalid", linesOf(600));
    await start();
    const purge = async () => (await post("/api/v1/quarantine/purge", { class: "invalid" })).answer;
    expect(await purge()).toMatchObject({ purged: 500, isDone: false });
    expect(await purge()).toMatchObject({ purged: 100 });
    expect(await purge()).toMatchObject({ purged: 0, isDone: true });
  });
});

/** Stores two delivered records in one row. */
async function delivered(): Promise<void> {
  await take(store, [numberedFlow(1), numberedFlow(2)], store.now);
  const { journal } = store;
  journal.progress({ cursor: { ...journal.cursor, seq: 2, records: { delivered: 2, deadLettered: 0 } }, marks: [] });
  await until(() => journal.pendingRecords === 0);
}

test("a replay is started once, reported, and cancelled", async () => {
  await delivered();
  await start();
  const begun = await post("/api/v1/replay", { since: store.now - 1000 });
  expect(begun.answer).toMatchObject({ name: "replay", state: "in progress", total: 2, delivered: 0, rejected: 0 });
  expect(redelivered).toMatchObject([["replay", { cursor: { seq: 1 }, untilSeq: 2 }]]);
  expect((await post("/api/v1/replay", { since: 0 })).status).toBe(409);
  expect((await get<object[]>("/api/v1/replay")).answer).toMatchObject([{ state: "in progress" }]);
  expect((await post("/api/v1/replay/cancel", {})).answer).toMatchObject({ state: "cancelled" });
  expect(redelivered.at(-1)).toEqual(["replay", undefined]);
  expect((await post("/api/v1/replay/cancel", {})).status).toBe(409);
  expect((await post("/api/v1/replay", { since: store.now + 1 })).answer["text"]).toContain("state.retention");
});

test("a replay in progress resumes at a restart, and is cancelled if nothing can be exported", async () => {
  await delivered();
  await start();
  await post("/api/v1/replay", { since: store.now - 1000 });
  redelivered.length = 0;
  await resumeRedeliveries(deps, silentLogger);
  expect(redelivered).toMatchObject([["replay", { name: "replay", total: 2 }]]);
  redelivered.length = 0;
  cannotSend = "otlp.endpoint is not set";
  const warnings: string[] = [];
  await resumeRedeliveries(deps, { ...silentLogger, warn: (message) => void warnings.push(message) });
  expect(warnings).toEqual(["the replay that was in progress is cancelled"]);
  expect(redelivered).toEqual([]);
  expect((await get<object[]>("/api/v1/replay")).answer).toMatchObject([{ state: "cancelled" }]);
});

describe("with further destinations", () => {
  const rule = (name: string) => ({ name, types: ["flow" as const], isRequired: true });
  const mark = { seq: 1, from: 0, to: 1, why: "rejected" as const, logRecords: 1, message: "no", at: 1 };

  /** Stores a record that every destination rejected. */
  async function rejectedBy(...names: readonly string[]): Promise<void> {
    await store.journal.useDestinations(names.map(rule), () => undefined);
    await take(store, [numberedFlow(1)], store.now);
    for (const name of [undefined, ...names]) store.journal.progress({ marks: [mark] }, name);
    store.journal.writeSnapshot({ measuredSeq: 0, blobs: new Map() });
    await start();
  }

  test("a retry of all dead letters queues each for its own destination", async () => {
    await rejectedBy("lake", "pond");
    expect(await operations.retry({ class: "dead_letter" })).toMatchObject({ queued: 3 });
    expect(redelivered.map(([name, redelivery]) => [name, redelivery?.destination, redelivery?.total])).toEqual([
      ["retry", undefined, 1],
      ["retry", "lake", 1],
      ["retry", "pond", 1],
    ]);
    expect((await operations.redeliveries()).map(({ destination }) => destination)).toEqual([
      undefined,
      "lake",
      "pond",
    ]);
    expect(await operations.cancel("retry", "lake")).toMatchObject({ destination: "lake", state: "cancelled" });
    await expect(operations.cancel("retry", "attic")).rejects.toThrow("there are: primary, lake, pond");
  });

  test("a dead letter of a destination that is no longer configured stays, and says so", async () => {
    await rejectedBy("lake");
    await store.journal.useDestinations([], () => undefined);
    const { items } = await operations.list({ class: "dead_letter", destination: "lake", limit: 10 });
    const lost = items.map(({ id }) => id);
    expect(await operations.retry({ ids: lost })).toMatchObject({
      queued: 0,
      kept: [{ id: lost[0], why: expect.stringContaining('"lake"') }],
    });
    await operations.purge({ class: "dead_letter", destination: "primary" }, "delete");
    await expect(operations.retry({ class: "dead_letter" })).rejects.toThrow("not configured any more");
    expect(await operations.purge({ ids: lost }, "delete")).toMatchObject({ purged: 1 });
  });
});
