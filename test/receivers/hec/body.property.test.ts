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
import { createLimiter } from "../../../src/http/limiter.ts";
import { readBodyInto } from "../../../src/receivers/hec/body.ts";
import { createTurnQueue } from "../../../src/receivers/intake.ts";
import { eventOf, recordOfLine } from "../../../src/records/envelope.ts";
import type { RawRecord } from "../../../src/records/types.ts";
import type { Compression } from "../../../src/runtime/decompress.ts";
import { createRecordingPipeline } from "../../support/recording-pipeline.ts";
import { bytesOf, textOf, unwrapped } from "../../support/records.ts";
import { readBodySlowly, type SlowReading } from "../../support/slow-body.ts";
import { timeoutMs } from "../../support/wait.ts";

const cases = Number(process.env["HEC_PROPERTY_CASES"] ?? 0);
const runs = (share: number): fc.Parameters<unknown> =>
  cases > 0 ? { numRuns: Math.ceil(cases * share) } : { numRuns: Math.ceil(1500 * share), seed: 20_261_102 };
const limitMs = cases > 0 ? 3_600_000 : timeoutMs;

const fixtures = new URL("../../fixtures/", import.meta.url);
const samples = ["hec-flow.json", "hec-audit.json"].flatMap((name) => {
  const reading = readBodySlowly(readFileSync(new URL(`samples/${name}`, fixtures)));
  return reading.kind === "values" ? reading.texts : [];
});

/** Ordinary values, and strings made to look like boundaries between values. */
const anyValue = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...samples) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "{}",
      '{"event":{}}',
      '{"logs":1}',
      '{"a":"}{"}',
      '{"a":"}\\"}{"}',
      '{"a":"}\\n{","b":"\\\\"}',
      '{"ü":"€😀"}',
      '{"nodeId":"n","virtualTraffic":[{"txBytes":-1}]}',
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
const wrapped = fc
  .tuple(listed, whiteSpace, fc.constantFrom("", '"next":null', '"a":{"b":["}"]},"c":1'))
  .map(([list, separator, others]) => `{"logs":${list}${separator}${others === "" ? "" : `,${separator}${others}`}}`);
const anyText = fc.oneof(
  concatenated,
  regular,
  listed,
  wrapped,
  fc.tuple(regular, wrapped, listed).map((texts) => texts.join("")),
);
const byteOrderMark = fc.constantFrom("", "", "", "\uFEFF");
const anyBody = fc.tuple(byteOrderMark, anyText).map((texts) => new TextEncoder().encode(texts.join("")));

/** How the bytes are split and compressed in transit. */
const anyJourney = fc.record({
  pieceBytes: fc.oneof(
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 5, max: 64 }),
    fc.integer({ min: 64, max: 8192 }),
  ),
  compression: fc.constantFrom<(Compression | undefined)[]>(undefined, undefined, "gzip", "zstd"),
});
type Journey = typeof anyJourney extends fc.Arbitrary<infer Value> ? Value : never;

/** The result of a body, with its records sorted, because a batch groups them by type. */
type Reading =
  | { readonly kind: "empty" }
  | { readonly kind: "damaged"; readonly index: number }
  | { readonly kind: "records"; readonly records: readonly string[]; readonly skipped: number };

async function readFast(bytes: Uint8Array, { pieceBytes, compression }: Journey): Promise<Reading> {
  const wire = compression === "gzip" ? gzipSync(bytes) : compression === "zstd" ? zstdCompressSync(bytes) : bytes;
  const chunks = Array.from({ length: Math.ceil(wire.length / pieceBytes) }, (_, piece) =>
    // As from a connection, each chunk has a buffer of its own, which is freed once it is read.
    Uint8Array.from(wire.subarray(piece * pieceBytes, (piece + 1) * pieceBytes)),
  );
  const pipeline = createRecordingPipeline();
  const batch = pipeline.open({ source: "stream", receivedAt: 0 });
  try {
    const textBytes = await readBodyInto(
      batch,
      { chunks, bytes: wire.byteLength },
      {
        compression,
        maxBytes: 1 << 30,
        tooLarge: "",
        admission: createLimiter({ maxReading: 1, maxBytes: 1 << 30, maxWorking: 1 }).enter("192.0.2.1"),
        turns: createTurnQueue().open(60_000, "192.0.2.1"),
        enterLarge: () => Promise.resolve(),
      },
    );
    if (textBytes === undefined) return { kind: "empty" };
    expect(textBytes).toBe(bytes.byteLength);
    await batch.commit(textBytes);
  } catch (error) {
    if (!(error instanceof Refusal) || error.reason !== "unparsable") throw error;
    return { kind: "damaged", index: error.valueIndex ?? -1 };
  } finally {
    batch.drop();
  }
  const { records = [], invalid = [], skippedValues = 0 } = pipeline.commits[0] ?? {};
  const rejected = invalid.map(({ text, type }) => recordOfLine(bytesOf(text), type === "audit" ? "audit" : "flow"));
  return { kind: "records", records: [...records, ...rejected].map(shown).toSorted(), skipped: skippedValues };
}

/** The result that the slow reading implies. */
function expected(reading: SlowReading): Reading {
  if (reading.kind !== "values") return reading;
  const values = reading.texts.map((text) => unwrapped(JSON.parse(text), text));
  return {
    kind: "records",
    records: values.flatMap(({ records }) => records.map(shown)).toSorted(),
    skipped: values.reduce((sum, { skipped }) => sum + skipped.length, 0),
  };
}

/** Compares records by content, because a scanned bare record is stored bare. */
function shown({ type, line, time, recorded }: RawRecord): string {
  return `${type} ${time?.join(".")} ${recorded?.join(".")} ${textOf(eventOf(line))}`;
}

describe("a HEC body", () => {
  test(
    "gives the same records however it is split, spaced and compressed",
    async () => {
      await fc.assert(
        fc.asyncProperty(anyBody, anyJourney, async (bytes, journey) => {
          const slow = readBodySlowly(bytes);
          expect(slow.kind).not.toBe("damaged");
          expect(await readFast(bytes, journey)).toEqual(expected(slow));
        }),
        runs(0.35),
      );
    },
    limitMs,
  );

  test(
    "is refused if it is cut off, unless exactly between two values",
    async () => {
      await fc.assert(
        fc.asyncProperty(anyBody, fc.nat(), anyJourney, async (bytes, cut, journey) => {
          const torn = bytes.subarray(0, cut % (bytes.byteLength + 1));
          expect(await readFast(torn, journey)).toEqual(expected(readBodySlowly(torn)));
        }),
        runs(0.25),
      );
    },
    limitMs,
  );

  test(
    "gives the same answer as the slow reading if bytes are changed, added or lost",
    async () => {
      const anyChange = fc.record({
        at: fc.nat(),
        lose: fc.integer({ min: 0, max: 2 }),
        add: fc.oneof(
          fc.uint8Array({ maxLength: 3 }),
          fc.constantFrom(...'{}[],:"\\ \n0-'.split("")).map((character) => Buffer.from(character)),
        ),
      });
      const changes = fc.array(anyChange, { minLength: 1, maxLength: 3 });
      await fc.assert(
        fc.asyncProperty(anyBody, changes, anyJourney, async (bytes, list, journey) => {
          let changed = Buffer.from(bytes);
          for (const { at, lose, add } of list) {
            const place = at % (changed.byteLength + 1);
            changed = Buffer.concat([changed.subarray(0, place), add, changed.subarray(place + lose)]);
          }
          expect(await readFast(changed, journey)).toEqual(expected(readBodySlowly(changed)));
        }),
        runs(0.4),
      );
    },
    limitMs,
  );
});
