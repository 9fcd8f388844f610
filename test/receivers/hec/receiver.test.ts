/** The receiver with the real pipeline and a real journal. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { flowEnvelope, type HecServer, startHecServer } from "../../support/hec-server.ts";
import { createStore, openStore, type TestStore } from "../../support/store.ts";

const fixtures = new URL("../../fixtures/", import.meta.url);
const sample = (name: string): Buffer => readFileSync(new URL(`samples/${name}`, fixtures));

let store: TestStore;
let server: HecServer;

beforeEach(async () => {
  store = createStore();
  server = await startHecServer({}, { pipeline: store.pipeline });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  store.remove();
});

describe("the receiver, its pipeline and the journal", () => {
  test("commit a body's records before the answer, and ignore a repeated body", async () => {
    const body = new Uint8Array(zstdCompressSync(Buffer.concat([sample("hec-flow.json"), sample("hec-audit.json")])));
    expect((await server.post(body, { "content-encoding": "zstd" })).status).toBe(200);
    const { pendingRecords } = store.journal;
    expect(pendingRecords).toBeGreaterThan(10);
    expect((await server.post(body, { "content-encoding": "zstd" })).status).toBe(200);
    expect(store.journal.pendingRecords).toBe(pendingRecords);
  });

  test("accept nothing from a body that is damaged after good records", async () => {
    const answer = await server.post(`${flowEnvelope(1)}${flowEnvelope(2)}{"event":`);
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { text: "Invalid data format", code: 6, "invalid-event-number": 2 },
    ]);
    expect(store.journal.lastSeq).toBe(0);
  });

  test("accept the rest of a body if one record is invalid", async () => {
    const inverted = flowEnvelope(2).replace(/"end":"[^"]*"/, '"end":"2001-01-01T00:00:00Z"');
    expect((await server.post(flowEnvelope(1) + inverted + flowEnvelope(3))).status).toBe(200);
    expect(store.journal.pendingRecords).toBe(2);
    expect(await store.journal.quarantine.counts({})).toEqual([
      { class: "invalid", reason: "inverted_window", items: 1 },
    ]);
  });

  test("store a compressed body as received if it holds only new flow records, and anything else line by line", async () => {
    const [one, two, three, four] = [1, 2, 3, 4].map(flowEnvelope);
    const postZstd = async (body: string) =>
      (await server.post(new Uint8Array(zstdCompressSync(body)), { "content-encoding": "zstd" })).status;
    const bodies = [`${one}${two}`, `${two}${three}`, `${four}${four}`, `${flowEnvelope(5)}\n${flowEnvelope(6)}`];
    for (const body of bodies) expect(await postZstd(body)).toBe(200);
    const reader = store.journal.openReader();
    const rows = await reader.read(1, { rows: 10, bytes: 1 << 20 });
    reader.close();
    expect(rows.map(({ text, records }) => [Buffer.from(text).toString(), records])).toEqual([
      [`${one}${two}`, 2],
      [`${three}`, 1],
      [`${four}`, 1],
      [`${flowEnvelope(5)}\n${flowEnvelope(6)}`, 2],
    ]);
    store.close();
    const again = await openStore(store.config, () => store.now);
    expect(again.ledger.sum("tailscale.network.reporter.observations")).toBe(6);
    again.close();
  });

  test("accept one large body after another, each freeing memory for the next", async () => {
    const large = (first: number): string =>
      Array.from({ length: 4_000 }, (_, at) => flowEnvelope(first + at)).join("");
    expect(large(0).length).toBeGreaterThan(1024 * 1024);
    for (const first of [0, 10_000]) expect((await server.post(large(first))).status).toBe(200);
    expect(store.journal.pendingRecords).toBe(8_000);
  });

  test("accept each record of concurrent bodies once", async () => {
    const bodies = Array.from({ length: 40 }, (_, at) => flowEnvelope(at % 20) + flowEnvelope(100 + at));
    const answers = await Promise.all(bodies.map((body) => server.post(body)));
    expect(answers.map(({ status }) => status)).toEqual(bodies.map(() => 200));
    expect(store.journal.pendingRecords).toBe(60);
    expect(store.ledger.sum("tailscale.network.reporter.observations")).toBe(60);
  });

  test.each([
    ["10,000 levels deep in an unknown record", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
    ["10,000 levels deep", `{"event":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    [
      "10,000 levels deep in an audit record",
      `{"event":{"actor":{"id":"u"},"action":"UPDATE","eventGroupID":"g","target":{"id":"t"},"new":${"[".repeat(10_000)}${"]".repeat(10_000)}}}`,
    ],
  ])("refuse a body %s", async (_, body) => {
    const answer = await server.post(body);
    expect([answer.status, ((await answer.json()) as { text: string }).text]).toEqual([
      413,
      "More than 1000 levels of nesting in one value (no setting changes this limit)",
    ]);
    expect((await server.post(flowEnvelope(1))).status).toBe(200);
  });

  test.each([
    [
      "with __proto__ and constructor members",
      '{"event":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"nodeId":"n","virtualTraffic":[]}}',
    ],
    [
      "with a member twice",
      '{"event":{"nodeId":"a","nodeId":"b","virtualTraffic":[]},"event":{"nodeId":"c","virtualTraffic":[]}}',
    ],
    [
      "with numbers past every limit",
      '{"time":1e999,"event":{"nodeId":"n","start":"x","virtualTraffic":[{"proto":1e400,"txBytes":123456789012345678901234567890}]}}',
    ],
    ["with NUL characters in strings", '{"event":{"nodeId":"\\u0000","virtualTraffic":[{"src":"\\u0000:1"}]}}'],
    ["with half a surrogate pair", '{"event":{"nodeId":"\\ud800","virtualTraffic":[{"src":"\\udfff:1"}]}}'],
    ["of nulls", "[null,null]"],
  ])("accept a body %s", async (_, body) => {
    const answer = await server.post(body);
    expect([answer.status, await answer.text()]).toEqual([200, '{"text":"Success","code":0}']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect((await server.post(flowEnvelope(1))).status).toBe(200);
  });
});
