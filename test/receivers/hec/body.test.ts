/** Where a body may be split, what may surround its values, and which parser reads its records. */
import { describe, expect, spyOn, test } from "bun:test";
import { readFileSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import { silentTelemetry } from "../../../src/catalogue/telemetry.ts";
import { Refusal } from "../../../src/errors.ts";
import { createLimiter } from "../../../src/http/limiter.ts";
import type { Batch } from "../../../src/pipeline/index.ts";
import { type BodyReading, readBodyInto } from "../../../src/receivers/hec/body.ts";
import { ValueReader } from "../../../src/receivers/hec/values.ts";
import { createTurnQueue } from "../../../src/receivers/intake.ts";
import { freedBy } from "../../support/freed.ts";
import { flowEnvelope } from "../../support/hec-server.ts";
import { createRecordingPipeline } from "../../support/recording-pipeline.ts";
import { createStore } from "../../support/store.ts";
import { readBodySlowly } from "../../support/slow-body.ts";

const fixtures = new URL("../../fixtures/", import.meta.url);
const flows = readFileSync(new URL("samples/hec-flow.json", fixtures));
const audits = readFileSync(new URL("samples/hec-audit.json", fixtures));
const [first = "", second = "", third = ""] = [1, 2, 3].map(flowEnvelope);

/** Records by the parser that read them, the number of values of unknown kinds, and the lines in order. */
interface Read {
  readonly scanner: number;
  readonly reader: number;
  readonly skipped: number;
  readonly lines: readonly string[];
}

let ways = { scanner: 0, reader: 0 };
const pipeline = createRecordingPipeline({
  ...silentTelemetry,
  add(_metric, value, attributes) {
    if ("front_end" in attributes) ways[attributes.front_end as keyof typeof ways] += value;
  },
});
const openBatch = (): Batch => pipeline.open({ source: "stream", receivedAt: 0 });

async function readWith(fill: (batch: Batch) => Promise<void> | void): Promise<Read> {
  ways = { scanner: 0, reader: 0 };
  const batch = openBatch();
  await fill(batch);
  await batch.commit(1);
  const commit = pipeline.commits.at(-1);
  return {
    ...ways,
    skipped: commit?.skippedValues ?? 0,
    lines: (commit?.records ?? []).map(({ line }) => Buffer.from(line).toString()),
  };
}

/** Reads slices that end at these offsets. */
const readSlices = (bytes: Uint8Array, ...ends: readonly number[]): Promise<Read> =>
  readWith((batch) => {
    const values = new ValueReader(batch);
    let from = 0;
    for (const end of [...ends, bytes.length]) {
      drive(values.push(bytes.slice(from, end)));
      from = end;
    }
    drive(values.end());
  });

function drive(work: Iterable<void>): void {
  for (const _ of work);
}

const intake: BodyReading = {
  compression: undefined,
  maxBytes: 1 << 30,
  tooLarge: "too large",
  admission: createLimiter({ maxReading: 1, maxBytes: 1 << 30, maxWorking: 1 }).enter("192.0.2.1"),
  turns: createTurnQueue().open(60_000, "192.0.2.1"),
  enterLarge: () => Promise.resolve(),
};

/** The index of the value that a refusal names, or undefined if it names none. */
function damageOf(text: string | Uint8Array): number | undefined {
  const batch = openBatch();
  const values = new ValueReader(batch);
  try {
    drive(values.push(Buffer.from(text)));
    drive(values.end());
    return undefined;
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    return error.valueIndex;
  } finally {
    batch.drop();
  }
}

describe("a value", () => {
  test("is the same wherever slices end, and a flow record of the usual shape is always scanned", async () => {
    const bytes = Buffer.from(`\uFEFF${first}\n{"logs":[${second},{"é":[1]}],"next":[{}]}[${third}, 17 ,"}{"]`);
    const whole = await readSlices(bytes);
    expect(whole).toEqual({ scanner: 3, reader: 0, skipped: 3, lines: [first, second, third] });
    for (let end = 0; end <= bytes.length; end++) {
      expect([end, await readSlices(bytes, end)]).toEqual([end, whole]);
      expect([end, await readSlices(bytes, end, Math.min(end + 1, bytes.length))]).toEqual([end, whole]);
    }
  });

  test("that crosses the end of a slice of a large body is scanned", async () => {
    const text = Array.from({ length: 4000 }, (_, serial) => flowEnvelope(serial)).join("");
    expect(text.length).toBeGreaterThan(4 * 256 * 1024);
    const read = await readWith(async (batch) => {
      const content = await readBodyInto(batch, { chunks: [Buffer.from(text)], bytes: text.length }, intake);
      expect(content).toBe(text.length);
    });
    expect({ ...read, lines: read.lines.join("") }).toEqual({ scanner: 4000, reader: 0, skipped: 0, lines: text });
  });

  test("that the scanner gives up on is parsed by the reader, with the same record", async () => {
    const spaced = first.replaceAll(":{", ": {");
    const read = await readSlices(Buffer.from(spaced + second), 100);
    expect(read).toMatchObject({ scanner: 1, reader: 1, lines: [spaced, second] });
  });

  test("may have 4 MiB, in one slice or in many", async () => {
    const value = Buffer.from(`{"a":"${"x".repeat((4 << 20) - 8)}"}`);
    const ends = Array.from({ length: 15 }, (_, slice) => (slice + 1) * 256 * 1024);
    expect((await readSlices(value, ...ends)).skipped).toBe(1);
    const larger = Buffer.from(`{"a":"${"x".repeat((4 << 20) - 7)}"}`);
    await expect(readSlices(larger, ...ends)).rejects.toThrow("More than 4194304 bytes in one value");
  });

  test("cut off anywhere is refused with its position, and its bytes are never changed", () => {
    const text = Buffer.concat([flows.subarray(0, 3000), audits.subarray(0, 600)]);
    const wrapped = Buffer.from(`{"logs":[${first},{"a":1}],"b":{"c":["]"]},"d":2}`);
    for (const whole of [text, wrapped]) {
      const before = Buffer.from(whole);
      for (let end = 0; end <= whole.length; end++) {
        const slow = readBodySlowly(whole.subarray(0, end));
        expect([end, damageOf(whole.subarray(0, end))]).toEqual([
          end,
          slow.kind === "damaged" ? slow.index : undefined,
        ]);
      }
      expect(whole).toEqual(before);
    }
  });
});

describe("around values", () => {
  test.each([
    ['{"logs":[]}', undefined],
    ['{"logs":[{}],"logs2":[1,{"a":"}]"}] }{}', undefined],
    ['{"logs":[{},{}]{}', 2],
    ['{"logs":[{}],}', 1],
    ['{"logs":[{}],"a"}', 1],
    ['{"logs":[{}],"a":1', 1],
    ['{"logs":[{}],"a":1,}', 1],
    ['{"logs":[{}],{"a":1}}', 1],
    ['{"logs":[{}],"é":1}', undefined],
    ['{"logs":[1,]}', 1],
    ['{"logs":{}}', undefined],
    ['{ "logs" : [ {} ] }', undefined],
    ["[[{}],[]]", undefined],
    ["{}]", 1],
    ["{} \uFEFF{}", 1],
    ["\uFEFF\uFEFF{}", 0],
  ])("%s is damaged at %p", (text, index) => {
    expect(damageOf(text)).toBe(index as number);
    const slow = readBodySlowly(Buffer.from(text));
    expect(slow.kind === "damaged" ? slow.index : undefined).toBe(index as number);
  });

  test("bytes that are not UTF-8 are damage, both in a value and after a list", () => {
    const invalid = Buffer.from([0xc3, 0x28]);
    expect(damageOf(Buffer.concat([Buffer.from('{}{"a":"'), invalid, Buffer.from('"}')]))).toBe(1);
    expect(damageOf(Buffer.concat([Buffer.from('{"logs":[{}],"a":"'), invalid, Buffer.from('"}')]))).toBe(1);
  });
});

describe("a large body", () => {
  test("that is both damaged and too large is refused as too large", async () => {
    const bytes = Buffer.concat([Buffer.from("}"), Buffer.alloc(2000, " ")]);
    const chunks = [bytes.subarray(0, 1000), bytes.subarray(1000)];
    const batch = openBatch();
    const reading = readBodyInto(batch, { chunks, bytes: 2001 }, { ...intake, maxBytes: 1500 });
    await expect(reading).rejects.toThrow("too large");
  });

  test("is not called damaged because of a bug in this program, compressed or not", async () => {
    for (const compression of [undefined, "zstd"] as const) {
      const batch = openBatch();
      batch.scan = () => {
        throw new TypeError("undefined is not a function");
      };
      const bytes = compression === undefined ? Buffer.from(first) : zstdCompressSync(first);
      const reading = readBodyInto(batch, { chunks: [bytes], bytes: bytes.length }, { ...intake, compression });
      expect(await reading.catch((error: unknown) => error)).toBeInstanceOf(TypeError);
    }
  });

  test("yields between records, however many are in one value", async () => {
    const records = Array.from({ length: 10_000 }, (_, serial) => `{"action":"CREATE","actor":${serial}}`);
    const text = `{"event":[${records.join(",")}]}`;
    const batch = openBatch();
    const perStep: number[] = [];
    const turns: BodyReading["turns"] = {
      checkDeadline() {},
      async run(work) {
        let before = batch.records;
        for (const _ of work) {
          perStep.push(batch.records - before);
          before = batch.records;
        }
      },
    };
    await readBodyInto(batch, { chunks: [Buffer.from(text)], bytes: text.length }, { ...intake, turns });
    expect(batch.records).toBe(10_000);
    expect(Math.max(...perStep)).toBe(1);
    batch.drop();
  });

  test("of one record with 1,000,000 empty entries is refused, whatever its compressed size", async () => {
    const text = `{"event":{"nodeId":"n","virtualTraffic":[${"{},".repeat(1_000_000 - 1)}{}]}}`;
    const batch = openBatch();
    const bytes = zstdCompressSync(text);
    const reading = readBodyInto(batch, { chunks: [bytes], bytes: bytes.length }, { ...intake, compression: "zstd" });
    expect(await reading.catch((error: unknown) => error)).toMatchObject({ name: "Refusal", reason: "too_large" });
    expect(batch.records).toBe(0);
    batch.drop();
  });

  test.each([
    [
      "one list of 60 MiB",
      `{"logs":[${Array(10_000)
        .fill(`{"a":"${"x".repeat(6000)}"}`)
        .join(",")}]}`,
      6008,
    ],
    ["values of the largest size", `{"a":"${"x".repeat((4 << 20) - 8)}"}`.repeat(4), 4 << 20],
    ["one value of 16 MiB of escapes", `{"a":"${"\\n".repeat(8 << 20)}"}`, 0],
    ["one value of 149,000 names", `{${Array.from({ length: 149_000 }, (_, name) => `"${name}":1`).join(",")}}`, 0],
    ["empty objects", "{}".repeat(100_000), 2],
  ])("parses no more than one value per step: %s", async (_name, text, most) => {
    const batch = openBatch();
    const parse = JSON.parse;
    const parsed = [0];
    JSON.parse = (json: string) => {
      parsed.push((parsed.pop() ?? 0) + json.length);
      return parse(json) as unknown;
    };
    const turns: BodyReading["turns"] = {
      checkDeadline() {},
      async run(work) {
        for (const _ of work) parsed.push(0);
      },
    };
    const body = { chunks: [Buffer.from(text)], bytes: text.length };
    await readBodyInto(batch, body, { ...intake, turns }).catch((error: Refusal) =>
      expect(error.reason).toBe("too_large"),
    );
    JSON.parse = parse;
    batch.drop();
    expect(parsed.reduce((max, bytes) => Math.max(max, bytes), 0)).toBe(most);
  });

  test("alternates with another one, and peers alternate however many bodies each has", async () => {
    let nowMs = 0;
    const queue = createTurnQueue(() => nowMs);
    const order: string[] = [];
    const body = async (name: string, peer = "192.0.2.1"): Promise<void> => {
      const work = function* (): Generator<void> {
        for (let step = 0; step < 3; step++) {
          nowMs += 10;
          order.push(name);
          yield;
        }
      };
      await queue.open(60_000, peer).run(work());
    };
    const other = new Promise<void>((resolve) => setImmediate(() => (order.push("other"), resolve())));
    await Promise.all([body("a"), body("b"), other]);
    expect(order.indexOf("other")).toBeLessThan(3);
    expect(order.filter((name) => name !== "other")).toEqual(["a", "b", "a", "b", "a", "b"]);
    order.length = 0;
    await Promise.all([..."abcd"].map((name) => body(name)).concat(body("x", "192.0.2.2")));
    expect(order.join("")).toBe("abcdxaxbxcdabcd");
  });
});

test("the memory of records counts against the limit on bodies, not just the size of their text", async () => {
  const limits = { maxReading: 1, maxBytes: 4 * 1024 * 1024, maxWorking: 1 };
  const record = `{"event":{"nodeId":"n","virtualTraffic":[${"{},".repeat(10_000)}{}]}}`;
  const store = createStore();
  const read = async (records: number): Promise<void> => {
    const admission = createLimiter(limits).enter("192.0.2.1");
    const batch = store.pipeline.open({ source: "stream", receivedAt: 0 });
    const chunks = Array.from({ length: records }, () => Buffer.from(record));
    const bytes = records * record.length;
    expect(bytes).toBeLessThan(limits.maxBytes / 2);
    try {
      await readBodyInto(batch, { chunks, bytes }, { ...intake, admission });
    } finally {
      batch.drop();
      admission.leave();
    }
  };
  await read(1);
  expect(await read(40).catch((error: unknown) => error)).toMatchObject({ name: "Refusal", reason: "body_too_large" });
  store.remove();
});

test("a small body does not count as large because of buffers that a large one left in the pool", async () => {
  const read = async (records: number): Promise<number> => {
    const text = Buffer.from(Array.from({ length: records }, (_, serial) => flowEnvelope(serial)).join(""));
    const batch = openBatch();
    let entered = 0;
    const enterLarge = async (): Promise<void> => void entered++;
    await readBodyInto(batch, { chunks: [text], bytes: text.length }, { ...intake, enterLarge });
    await batch.commit(1);
    return entered;
  };
  expect([await read(20_000), await read(1)]).toEqual([1, 0]);
});

test("a body that becomes large waits for its turn once, and one of the usual size never", async () => {
  const turnsOf = async (bytes: number): Promise<number> => {
    const batch = openBatch();
    const chunk = Buffer.from(`{"event":{"padding":"${"x".repeat(100_000)}"}}`);
    const chunks = Array.from({ length: Math.ceil(bytes / chunk.length) }, () => Buffer.from(chunk));
    let entered = 0;
    const enterLarge = async (): Promise<void> => void entered++;
    await readBodyInto(batch, { chunks, bytes: chunks.length * chunk.length }, { ...intake, enterLarge });
    batch.drop();
    return entered;
  };
  expect([await turnsOf(1_000_000), await turnsOf(20_000_000)]).toEqual([0, 1]);
});

describe("memory", () => {
  const envelopes = (bytes: number): Uint8Array => {
    const text = Array.from({ length: Math.floor(bytes / first.length) }, () => first).join("");
    return new Uint8Array(Buffer.from(text));
  };

  test("of each chunk is freed once its records are read", async () => {
    const chunks = [envelopes(50_000), envelopes(50_000), envelopes(50_000)];
    const all = [...chunks];
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    const batch = openBatch();
    await readBodyInto(batch, { chunks, bytes }, intake);
    expect(batch.records).toBe(3 * Math.floor(50_000 / first.length));
    batch.drop();
    expect(all.map(({ byteLength }) => byteLength)).toEqual([0, 0, 0]);
  });

  test("of an incomplete value is freed when more of it arrives, and when the body ends", async () => {
    const batch = openBatch();
    const values = new ValueReader(batch);
    const value = Buffer.from(`{"a":"${"x".repeat(200_000)}`);
    const freed = await freedBy(() => {
      for (const [from, to] of [
        [0, 30_000],
        [30_000, 60_000],
      ])
        drive(values.push(value.subarray(from, to)));
      values.release();
    });
    batch.drop();
    expect(freed).toEqual([30_000, 60_000]);
  });

  test("of the batch is reserved once, however many steps filled it", async () => {
    const admission = createLimiter({ maxReading: 1, maxBytes: 1 << 30, maxWorking: 1 }).enter("192.0.2.1");
    const text = envelopes(900_000);
    const batch = openBatch();
    await readBodyInto(batch, { chunks: [text], bytes: text.byteLength }, { ...intake, admission });
    expect(admission.bytes).toBe(batch.byteLength);
    batch.drop();
    admission.leave();
  });

  test("is garbage-collected after each 8 MiB of text", async () => {
    const piece = envelopes(1024 * 1024);
    const collectionsOf = async (pieces: number): Promise<number> => {
      const chunks = Array.from({ length: pieces }, () => Buffer.from(" ".repeat(piece.byteLength)));
      const batch = openBatch();
      const collect = spyOn(Bun, "gc").mockReturnValue(undefined);
      await readBodyInto(batch, { chunks, bytes: pieces * piece.byteLength }, intake);
      const { length } = collect.mock.calls;
      collect.mockRestore();
      batch.drop();
      return length;
    };
    expect([await collectionsOf(7), await collectionsOf(9), await collectionsOf(18)]).toEqual([0, 1, 2]);
  });
});
