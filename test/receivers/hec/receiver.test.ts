/** The receiver before the real pipeline and a real journal. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { type Journal, openJournal } from "../../../src/journal/index.ts";
import { silentLogger } from "../../../src/lib/logger.ts";
import { createPipeline } from "../../../src/pipeline/index.ts";
import { flowEnvelope, type HecServer, startHecServer } from "../../support/hec-server.ts";

const directory = mkdtempSync(join(tmpdir(), "hec-receiver-"));
let open: { journal: Journal; server: HecServer } | undefined;
let serial = 0;

async function start(): Promise<{ journal: Journal; server: HecServer }> {
  const limits = { windowMs: 3_600_000, maxKeys: 1000 };
  const journal = openJournal(
    {
      path: join(directory, String(serial++)),
      maxBytes: 1 << 30,
      ballastBytes: 0,
      retentionMs: 3_600_000,
      durability: "full",
      keyLimits: { flow: limits, audit: limits, webhook: limits, quarantined: limits },
    },
    { telemetry: silentTelemetry, logger: silentLogger, clock: Date.now },
  );
  const pipeline = createPipeline(journal, { collapseExternal: true });
  open = { journal, server: await startHecServer({}, { pipeline }) };
  return open;
}

afterEach(async () => {
  await open?.server[Symbol.asyncDispose]();
  open?.journal.close();
  open = undefined;
});
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

const sample = (name: string): Buffer => readFileSync(new URL(`../../fixtures/samples/${name}`, import.meta.url));

describe("the receiver, its pipeline and the journal", () => {
  test("commit a body's records before the answer, and a repeated body changes nothing", async () => {
    const { journal, server } = await start();
    const body = new Uint8Array(zstdCompressSync(Buffer.concat([sample("hec-flow.json"), sample("hec-audit.json")])));
    expect((await server.post(body, { "content-encoding": "zstd" })).status).toBe(200);
    const { pendingRecords } = journal;
    expect(pendingRecords).toBeGreaterThan(10);
    expect((await server.post(body, { "content-encoding": "zstd" })).status).toBe(200);
    expect(journal.pendingRecords).toBe(pendingRecords);
  });

  test("take nothing of a body that is damaged after good records", async () => {
    const { journal, server } = await start();
    const answer = await server.post(`${flowEnvelope(1)}${flowEnvelope(2)}{"event":`);
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { text: "Invalid data format", code: 6, "invalid-event-number": 2 },
    ]);
    expect(journal.lastSeq).toBe(0);
  });

  test("take the rest of a body when one record makes no sense", async () => {
    const { journal, server } = await start();
    const negative = flowEnvelope(2).replace('"txBytes":102', '"txBytes":-1');
    expect(negative).toContain(":-1");
    expect((await server.post(flowEnvelope(1) + negative + flowEnvelope(3))).status).toBe(200);
    expect(journal.pendingRecords).toBe(2);
  });

  test("take concurrent bodies, each record once", async () => {
    const { journal, server } = await start();
    const bodies = Array.from({ length: 40 }, (_, at) => flowEnvelope(at % 20) + flowEnvelope(100 + at));
    const answers = await Promise.all(bodies.map((body) => server.post(body)));
    expect(answers.map(({ status }) => status)).toEqual(bodies.map(() => 200));
    expect(journal.pendingRecords).toBe(60);
  });

  test.each([
    ["10,000 levels deep", `{"event":${"[".repeat(10_000)}${"]".repeat(10_000)}}`],
    ["10,000 levels deep in an unknown record", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
    [
      "10,000 levels deep in an audit record",
      `{"event":{"actor":{"id":"u"},"action":"UPDATE","eventGroupID":"g","target":{"id":"t"},"new":${"[".repeat(10_000)}${"]".repeat(10_000)}}}`,
    ],
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
  ])("take a body %s", async (_, body) => {
    const { server } = await start();
    const answer = await server.post(body);
    expect([answer.status, await answer.text()]).toEqual([200, '{"text":"Success","code":0}']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect((await server.post(flowEnvelope(1))).status).toBe(200);
  });
});
