/** Tests that a large batch is appended in several small transactions, but counts as one batch. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { zstdCompressSync } from "node:zlib";
import { Unavailable } from "../../src/errors.ts";
import type { Append, Journal } from "../../src/journal/index.ts";
import { type Batch, createPipeline, type Outcome } from "../../src/pipeline/index.ts";
import { maxAppendText } from "../../src/pipeline/append.ts";
import { maxRowRecords } from "../../src/pipeline/parts.ts";
import { silentTelemetry } from "../../src/catalogue/telemetry.ts";
import { flowEnvelope } from "../support/hec-server.ts";
import { badFlow, numberedFlow } from "../support/store.ts";
import { addValue, Restarts, rowsOf } from "./restarts.ts";

let restarts: Restarts;
let appends: Append[];
/** Bytes of the rows of each append; afterwards their buffers are freed. */
let packedBytes: number[];
/** Called before an append with its number from 0; may throw. */
let beforeAppend: (number: number) => void;
beforeEach(() => {
  restarts = new Restarts(["collectors.flowlogs.max_log_records_per_window=30000"]);
  appends = [];
  packedBytes = [];
  beforeAppend = () => undefined;
});
afterEach(() => restarts.remove());

/** Sends values as one batch, and notes what is appended. */
async function send(values: Iterable<unknown>, besides: Pick<Append, "poll"> = {}): Promise<Outcome> {
  const batch = openBatch();
  for (const value of values) addValue(batch, value);
  return batch.commit(1000, besides);
}

/** `keepsText`: true if the text is to be handed over once it is committed. */
function openBatch(keepsText = () => false): Batch {
  const { store } = restarts;
  const journal = Object.create(store.journal) as Journal;
  journal.append = (append, committed) => {
    beforeAppend(appends.length);
    appends.push(append);
    packedBytes.push(append.parts.reduce((sum, { body }) => sum + body.length, 0));
    return store.journal.append(append, committed);
  };
  const { settings, edges, ends, counting } = store;
  const pipeline = createPipeline(store.config, {
    journal,
    settings,
    edges,
    ends,
    telemetry: silentTelemetry,
    committed: counting.committed.bind(counting),
    keepsText,
  });
  return pipeline.open({ source: "poll", receivedAt: restarts.now });
}

function* numbered(count: number, valueOf: (number: number) => unknown): Generator<unknown> {
  for (let number = 1; number <= count; number++) yield valueOf(number);
}

/** Number of records and quarantined lines in each append, in any form. */
const sizes = (): number[] =>
  appends.map(({ parts, quarantine, known }) =>
    [...parts.map(({ records }) => records), ...quarantine.map(({ lines }) => lines)]
      .concat(known.map(({ keys }) => keys.length / 4))
      .reduce((sum, one) => sum + one, 0),
  );
const flow = (number: number) => ({ nodeId: `n${number}`, virtualTraffic: [{}] });

describe("no transaction contains more than a few rows of", () => {
  test("invalid records", async () => {
    expect(await send(numbered(20_000, badFlow))).toMatchObject({ quarantined: 20_000 });
    expect(Math.max(...sizes())).toBeLessThanOrEqual(maxRowRecords);
    expect(sizes().reduce((sum, one) => sum + one)).toBe(20_000);
  });

  test("small records, nor of the same records again", async () => {
    expect(await send(numbered(20_000, flow))).toMatchObject({ accepted: 20_000 });
    expect(await send(numbered(20_000, flow))).toMatchObject({ duplicate: 20_000 });
    expect(Math.max(...sizes())).toBeLessThanOrEqual(maxRowRecords);
    expect(restarts.store.ledger.sum("tailscale2otel.ingest.records", { outcome: "duplicate" })).toBe(20_000);
  });

  test("incompressible text", async () => {
    const padding = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(60_000))).toString("base64");
    await send(numbered(200, (number) => ({ ...flow(number), padding: padding() })));
    expect(appends.length).toBeGreaterThan(2);
    expect(Math.max(...packedBytes)).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(Math.min(...packedBytes)).toBeGreaterThan(0);
  });

  test("text", async () => {
    await send(numbered(300, (number) => ({ ...flow(number), padding: "x".repeat(100_000) })));
    const texts = appends.map(({ parts }) => parts.reduce((sum, { length }) => sum + length, 0));
    expect(Math.max(...texts)).toBeLessThanOrEqual(maxAppendText);
    expect(texts.reduce((sum, one) => sum + one)).toBeGreaterThan(30_000_000);
  });
});

describe("of several transactions", () => {
  test("the last one includes the size, what was skipped, and the poll's position", async () => {
    const values = [{ hello: 1 }, ...numbered(20_000, flow)];
    const poll = { type: "flow", readUntil: 1_700_000_000, unverifiableSeconds: 0 } as const;
    expect(await send(values, { poll })).toEqual({ accepted: 20_000, duplicate: 0, skipped: 1, quarantined: 0 });
    expect(appends.map(({ bytes, skipped, poll: moved }) => [bytes, skipped.unclassified, moved?.readUntil])).toEqual([
      [0, undefined, undefined],
      [1000, 1, 1_700_000_000],
    ]);
    expect(restarts.store.journal.pollCursor("flow")).toEqual({ type: "flow", readUntil: 1_700_000_000 });
    expect(restarts.store.ledger.sum("tailscale2otel.ingest.size")).toBe(1000);
  });

  test("all share the limit on log records", async () => {
    await send(numbered(40_000, flow));
    expect(appends).toHaveLength(3);
    expect(restarts.store.ledger.sum("tailscale.network.flow.logs_dropped")).toBe(10_000);
  });

  test("those before a failed one are recognized when the batch is sent again, and count once", async () => {
    beforeAppend = (number) => {
      if (number === 1) throw new Unavailable("the journal is full");
    };
    await expect(send(numbered(20_000, flow))).rejects.toThrow("the journal is full");
    beforeAppend = () => undefined;
    const { accepted, duplicate } = await send(numbered(20_000, flow));
    expect([accepted + duplicate, duplicate > 0, accepted > 0]).toEqual([20_000, true, true]);
    expect((await rowsOf(restarts.store)).reduce((sum, { records }) => sum + records, 0)).toBe(20_000);
    expect(restarts.store.ledger.sum("tailscale2otel.ingest.records", { outcome: "accepted" })).toBe(20_000);
  });
});

test("a row larger than a transaction should be has its own", async () => {
  /** All printable characters except the two that need an escape: zstd can save no more than a fifth. */
  const alphabet = Buffer.from(Array.from({ length: 95 }, (_, place) => 0x20 + place))
    .toString()
    .replaceAll(/["\\]/g, "");
  const padding = (length: number): string =>
    Array.from(new Uint8Array(length), () => alphabet[Math.floor(Math.random() * alphabet.length)]).join("");
  await send([{ ...flow(1), padding: padding(1_000_000) }, { ...flow(2), padding: padding(4_190_000) }, flow(3)]);
  expect(appends.map(({ parts }) => parts.map(({ records }) => records))).toEqual([[2], [1]]);
  expect(packedBytes[0]).toBeGreaterThan(4 * 1024 * 1024);
});

test("a usual batch is one transaction", async () => {
  await send([...numbered(2000, numberedFlow), badFlow(1), { hello: 1 }]);
  expect(appends).toHaveLength(1);
});

test("the rows' buffers are freed once they are on disk", async () => {
  await send(numbered(2000, numberedFlow));
  expect(packedBytes[0]).toBeGreaterThan(1024);
  expect(appends.map(({ parts }) => parts.map(({ body }) => body.byteLength))).toEqual([[0]]);
});

test.each([
  ["is given back with its row", () => false, 0],
  ["is left alone if it is handed over", () => true, 1],
])("a body that became a row as it was received %s", async (_, keepsText, held) => {
  const text = new Uint8Array(Buffer.from(Array.from({ length: 100 }, (__, n) => flowEnvelope(n)).join("")));
  const { byteLength } = text;
  const batch = openBatch(keepsText);
  batch.whole = { frame: new Uint8Array(zstdCompressSync(text)), text };
  for (let at = 0; at < byteLength;) at = batch.scan(text, at, byteLength);
  expect(await batch.commit(byteLength)).toMatchObject({ accepted: 100 });
  expect(text.byteLength).toBe(byteLength * held);
});
