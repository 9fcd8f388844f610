/**
 * Any body gives the same records and the same answer as a slow, obvious reading of it. A seeded subset by default;
 * `HEC_PROPERTY_CASES=100000 bun test test/receivers/hec/body.property.test.ts` runs many, with a new seed.
 */
import { describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { Refusal } from "../../../src/errors.ts";
import { createByteBudget } from "../../../src/http/byte-budget.ts";
import { takeBody } from "../../../src/receivers/hec/body.ts";
import { ValueSplitter } from "../../../src/receivers/hec/splitter.ts";
import { createTurns } from "../../../src/receivers/turns.ts";
import { unwrap, type Unwrapped } from "../../../src/records/envelope.ts";
import type { Compression } from "../../../src/runtime/decompress.ts";
import { createRecordingPipeline } from "../../support/recording-pipeline.ts";
import { readBodySlowly, type SlowReading } from "../../support/slow-body.ts";

const cases = Number(process.env["HEC_PROPERTY_CASES"] ?? 0);
const runs = (share: number): fc.Parameters<unknown> =>
  cases > 0 ? { numRuns: Math.ceil(cases * share) } : { numRuns: Math.ceil(1500 * share), seed: 20_261_102 };
const timeoutMs = cases > 0 ? 3_600_000 : 60_000;

const samples = ["hec-flow.json", "hec-audit.json"].flatMap((name) => {
  const reading = readBodySlowly(readFileSync(new URL(`../../fixtures/samples/${name}`, import.meta.url)));
  return reading.kind === "values" ? reading.texts : [];
});

/** Values as they come, and strings made to look like boundaries between values. */
const anyValue = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...samples) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "{}",
      '{"event":{}}',
      '{"a":"}{"}',
      '{"a":"}\\"}{"}',
      '{"a":"}\\n{","b":"\\\\"}',
      '{"ü":"€😀"}',
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 })
      .map((value) => JSON.stringify(value)),
  },
);
const whiteSpace = fc.oneof(
  fc.constantFrom("", "\n", "\r\n"),
  fc.string({ unit: fc.constantFrom(" ", "\t", "\r", "\n"), maxLength: 4 }),
);
const concatenated = fc
  .tuple(whiteSpace, fc.array(fc.tuple(anyValue, whiteSpace), { maxLength: 12 }))
  .map(([before, pairs]) => before + pairs.map((pair) => pair.join("")).join(""));
const regular = fc
  .tuple(fc.array(anyValue, { maxLength: 12 }), whiteSpace)
  .map(([values, separator]) => values.join(separator));
const listed = fc
  .tuple(
    fc.array(
      fc.oneof(
        { weight: 5, arbitrary: anyValue },
        fc.jsonValue().map((value) => JSON.stringify(value)),
      ),
      { maxLength: 8 },
    ),
    whiteSpace,
  )
  .map(([values, separator]) => `[${separator}${values.join(`${separator},${separator}`)}${separator}]`);
const anyText = fc.oneof(
  concatenated,
  regular,
  listed,
  fc.tuple(regular, listed).map((texts) => texts.join("")),
);
const byteOrderMark = fc.constantFrom("", "", "", "\uFEFF");
const anyBody = fc.tuple(byteOrderMark, anyText).map((texts) => new TextEncoder().encode(texts.join("")));

/** How the bytes travel, and how much is worked on at once. */
const anyJourney = fc.record({
  cuts: fc.array(fc.nat(), { maxLength: 6 }),
  sliceBytes: fc.oneof(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 5, max: 64 }),
    fc.integer({ min: 64, max: 8192 }),
  ),
  compression: fc.constantFrom<(Compression | undefined)[]>(undefined, undefined, "gzip", "zstd"),
});
type Journey = typeof anyJourney extends fc.Arbitrary<infer Value> ? Value : never;

async function readFast(bytes: Uint8Array, { cuts, sliceBytes, compression }: Journey): Promise<SlowReading> {
  const wire = compression === "gzip" ? gzipSync(bytes) : compression === "zstd" ? zstdCompressSync(bytes) : bytes;
  const pipeline = createRecordingPipeline();
  const draft = pipeline.open({ source: "stream", receivedAt: 0 });
  const budget = createByteBudget(1 << 30);
  try {
    const taken = await takeBody({ chunks: chunksOf(wire, cuts), bytes: wire.byteLength }, draft, {
      compression,
      maxBytes: 1 << 30,
      tooLarge: "",
      reservation: budget.open(),
      turns: { next: () => Promise.resolve() },
      sliceBytes,
      checkDeadline() {},
    });
    if (taken.isEmpty) return { kind: "empty" };
    expect(taken.bytes).toBe(bytes.byteLength);
    await draft.commit(taken.bytes);
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    return { kind: "damaged", index: error.valueIndex ?? -1 };
  }
  const [commit] = pipeline.commits;
  return {
    kind: "values",
    texts: [...(commit?.records ?? []).map(({ line }) => line), ...(commit?.skipped ?? []).map(({ text }) => text)],
  };
}

/** What the slow reading of the values comes to, as records. */
function asRecords(reading: SlowReading): SlowReading {
  if (reading.kind !== "values") return reading;
  const into: Unwrapped = { records: [], skipped: [] };
  for (const text of reading.texts) unwrap(JSON.parse(text), text, into);
  return { kind: "values", texts: [...into.records.map(({ line }) => line), ...into.skipped.map(({ text }) => text)] };
}

function chunksOf(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.byteLength + 1)), bytes.byteLength].toSorted((a, b) => a - b);
  return places.slice(1).map((end, index) => bytes.slice(places[index] ?? 0, end));
}

describe("a HEC body", () => {
  test(
    "gives the same records however it is cut, spaced and compressed",
    async () => {
      await fc.assert(
        fc.asyncProperty(anyBody, anyJourney, async (bytes, journey) => {
          const slow = readBodySlowly(bytes);
          expect(slow.kind).not.toBe("damaged");
          expect(await readFast(bytes, journey)).toEqual(asRecords(slow));
        }),
        runs(0.35),
      );
    },
    timeoutMs,
  );

  test(
    "is refused when it is torn, unless it is torn exactly between two values",
    async () => {
      await fc.assert(
        fc.asyncProperty(anyBody, fc.nat(), anyJourney, async (bytes, cut, journey) => {
          const torn = bytes.subarray(0, cut % (bytes.byteLength + 1));
          expect(await readFast(torn, journey)).toEqual(asRecords(readBodySlowly(torn)));
        }),
        runs(0.25),
      );
    },
    timeoutMs,
  );

  test(
    "gives the same answer as the slow reading when bytes are changed, added or lost",
    async () => {
      const anyChange = fc.record({
        at: fc.nat(),
        lose: fc.integer({ min: 0, max: 2 }),
        add: fc.oneof(
          fc.uint8Array({ maxLength: 3 }),
          fc.constantFrom(...'{}[],:"\\ \n0-'.split("")).map((character) => Buffer.from(character)),
        ),
      });
      await fc.assert(
        fc.asyncProperty(
          anyBody,
          fc.array(anyChange, { minLength: 1, maxLength: 3 }),
          anyJourney,
          async (bytes, changes, journey) => {
            let changed = Buffer.from(bytes);
            for (const { at, lose, add } of changes) {
              const place = at % (changed.byteLength + 1);
              changed = Buffer.concat([changed.subarray(0, place), add, changed.subarray(place + lose)]);
            }
            expect(await readFast(changed, journey)).toEqual(asRecords(readBodySlowly(changed)));
          },
        ),
        runs(0.4),
      );
    },
    timeoutMs,
  );

  test("torn at every place of the samples, is answered as the slow reading says", () => {
    const text = samples.slice(-3).join("");
    for (let end = 0; end <= text.length; end++) {
      const torn = text.slice(0, end);
      let values = 0;
      const splitter = new ValueSplitter(() => values++);
      let index: number | undefined;
      try {
        for (let at = 0; at < torn.length; at += 997) splitter.push(torn.slice(at, at + 997));
        splitter.end();
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        index = error.valueIndex;
      }
      const slow = readBodySlowly(Buffer.from(torn));
      expect(index).toBe(slow.kind === "damaged" ? slow.index : undefined);
      if (slow.kind === "values") expect(values).toBe(slow.texts.length);
    }
  });
});

describe("large bodies", () => {
  test("leave room for other work between their slices", async () => {
    const turns = createTurns();
    const order: string[] = [];
    const body = async (name: string): Promise<void> => {
      for (let slice = 0; slice < 3; slice++) {
        await turns.next();
        order.push(name);
      }
    };
    const other = new Promise<void>((resolve) => setImmediate(() => (order.push("other"), resolve())));
    await Promise.all([body("a"), body("b"), other]);
    expect(order.indexOf("other")).toBeLessThan(2);
    expect(order.filter((name) => name !== "other")).toEqual(["a", "b", "a", "b", "a", "b"]);
  });
});
