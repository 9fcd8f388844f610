/** Tests rows in preparation: lines in a buffer, and parts from which the turn removes records. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Part, QuarantinePart } from "../../src/journal/index.ts";
import { packText, unpackText } from "../../src/journal/index.ts";
import { Lines, linesWithout, maxRowBytes, maxRowRecords, OpenPart, releaseColumns } from "../../src/pipeline/parts.ts";
import { OpenQuarantine, Samples } from "../../src/pipeline/quarantine.ts";
import { EdgeBook } from "../../src/processors/edges.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { FlowColumns } from "../../src/records/flow/columns.ts";
import { readFlow } from "../../src/records/flow/reader.ts";
import { FlowRowDecoder } from "../../src/records/flow/rows.ts";
import { Identifier, keyWords } from "../../src/records/identity.ts";
import { linesOf } from "../../src/records/json.ts";
import { settingsWith } from "../processors/given.ts";
import { plainRecord } from "../support/columns.ts";
import { bytesOf, connection, flowValue, rawOf, textOf } from "../support/records.ts";
import { seeded } from "../support/random.ts";

type Packed = Pick<Part, "body" | "length">;

const unpacked = ({ body, length }: Packed): Uint8Array => unpackText(body, length);
const linesIn = (packed: Packed): string[] => linesOf(unpacked(packed)).map(textOf);

describe("lines", () => {
  test("come back as they were appended, whatever they contain", () => {
    const line = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => !text.includes("\n"));
    fc.assert(
      fc.property(fc.array(line, { maxLength: 20 }), (appended) => {
        const lines = Lines.open();
        for (const text of appended) {
          const bytes = Buffer.from(`[${text}]`);
          lines.add(bytes, 1, bytes.length - 1);
        }
        expect(linesIn(lines.seal())).toEqual(appended);
        expect(linesIn(Lines.open().seal())).toEqual([]);
      }),
      seeded(),
    );
  });

  test("fill a row, and the last one may exceed its end", () => {
    const lines = Lines.open();
    lines.add(Buffer.alloc(maxRowBytes - 1, "x"), 0, maxRowBytes - 1);
    expect(lines.isFull).toBe(false);
    const large = Buffer.alloc(5 * maxRowBytes, "é");
    lines.add(large, 0, large.length);
    expect(lines.isFull).toBe(true);
    const packed = lines.seal();
    expect(packed.length).toBe(6 * maxRowBytes);
    expect(linesIn(packed)[1]).toBe(large.toString());
  });

  test("fill a row by their number, however short they are", () => {
    const lines = Lines.open();
    for (let line = 0; line < maxRowRecords; line++) {
      expect(lines.isFull).toBe(false);
      lines.add(bytesOf("{}"), 0, 2, new Uint32Array(keyWords));
    }
    expect(lines.isFull).toBe(true);
    expect(lines.seal().keys.length).toBe(maxRowRecords * keyWords);
  });

  test("can be removed, and the others are unchanged", () => {
    const text = Buffer.from('{"a":1}\n{"bb":2}\n{"\u{1f600}":3}\n{}');
    const stored = { body: packText(text), length: text.length, keys: new Uint32Array(4 * keyWords) };
    const left = (...dropped: number[]) => textOf(unpacked(linesWithout(stored, Uint8Array.from(dropped))));
    expect(left(0, 0, 0, 0)).toBe(text.toString());
    expect(left(1, 0, 0, 1)).toBe('{"bb":2}\n{"\u{1f600}":3}');
    expect(left(0, 1, 1, 0)).toBe('{"a":1}\n{}');
    expect(left(1, 1, 1, 1)).toBe("");
  });
});

test("a row is the received body only if its lines are the whole of it", () => {
  const text = bytesOf('{"a":1}{"bb":2}');
  const whole = { frame: packText(text), text };
  for (const [places, isBody] of [
    [[0, 7, 15], true],
    [[7, 15], false],
    [[0, 7], false],
  ] as const) {
    const lines = Lines.open(whole);
    for (const [at, to] of places.slice(1).entries()) lines.add(text, places[at] as number, to);
    const row = lines.seal();
    expect(row.body === whole.frame).toBe(isBody);
    expect(textOf(unpacked(row))).toBe(textOf(text.subarray(places[0], places.at(-1))));
  }
});

test("the keys of a part age from the last moment of any of its records", () => {
  const part = new OpenPart("audit", new EdgeBook(settingsWith()), undefined);
  for (const keysAt of [1, 3, 2]) part.add(bytesOf("{}"), 0, 2, new Uint32Array(keyWords), { flags: 0, keysAt });
  expect(part.seal(() => false).keysAt).toBe(3);
});

describe("buffers of a row", () => {
  const columnsOfParts = (parts: number) =>
    Array.from({ length: parts }, () => new OpenPart("flow", new EdgeBook(settingsWith()), undefined).columns);
  const isHeld = (columns: FlowColumns | undefined): boolean => columns?.txBytes.length !== 0;

  test("are reused: the columns of 16 rows are kept, and those of further rows are freed", () => {
    const released = columnsOfParts(20);
    for (const columns of released) releaseColumns(columns);
    const held = released.filter(isHeld);
    expect(held).toHaveLength(16);
    expect(new Set(columnsOfParts(16))).toEqual(new Set(held));
  });

  test("of more than 2 MiB are freed", () => {
    const [small, large] = columnsOfParts(2) as [FlowColumns, FlowColumns];
    for (; large.byteLength <= 2 * 1024 * 1024; large.entries++) large.beginEntry(0);
    for (const columns of [small, large]) releaseColumns(columns);
    expect([small, large].map(isHeld)).toEqual([true, false]);
    const heldAfter = (length: number): number => {
      const lines = Lines.open();
      lines.add(Buffer.alloc(length, "x"), 0, length);
      lines.seal();
      return lines.byteLength;
    };
    expect(heldAfter(maxRowBytes)).toBeGreaterThan(0);
    expect(heldAfter(3 * maxRowBytes)).toBe(0);
  });
});

const identifier = new Identifier("00".repeat(16), 1);

/** A part of these records, each with log records and flags according to its position. */
function flowPartOf(values: readonly object[]) {
  const part = new OpenPart("flow", new EdgeBook(settingsWith()), undefined);
  const columns = part.columns as FlowColumns;
  const claims = new ClaimTable();
  for (const [place, value] of values.entries()) {
    const { value: flow, recorded, line } = rawOf(value);
    readFlow(flow, recorded, claims, columns);
    const key = new Uint32Array(keyWords);
    identifier.flow(columns, place, key, 0);
    part.add(line, 0, line.length, key, { flags: place & 7, logRecords: place, keysAt: place });
  }
  return part.seal(() => false);
}

describe("a part of flow records", () => {
  test("without some of them is the same as if they had never been added", () => {
    const entry = fc.constantFrom(connection(), connection({ src: "nonsense" }), connection({ txBytes: -1 }), {
      proto: 1,
    });
    const traffic = fc.array(entry, { maxLength: 4 }).map((virtualTraffic) => [connection(), ...virtualTraffic]);
    fc.assert(
      fc.property(fc.array(fc.tuple(traffic, fc.boolean()), { minLength: 1, maxLength: 150 }), (records) => {
        const start = (n: number): string => new Date(n * 3_600_000).toISOString();
        const values = records.map(([virtualTraffic], n) =>
          flowValue({ nodeId: `n${n}`, start: start(n), virtualTraffic }),
        );
        const part = flowPartOf(values);
        const reduced = part.without(Uint8Array.from(records, ([, isDropped]) => Number(isDropped)));
        const places = [...records.keys()].filter((place) => records[place]?.[1] === false);
        const alone = flowPartOf(places.map((place) => values[place] as object));

        expect(linesIn(reduced)).toEqual(linesIn(alone));
        expect([...reduced.keys]).toEqual([...alone.keys]);
        expect([...reduced.flags]).toEqual(places.map((place) => place & 7));
        expect([...(reduced.days ?? [])]).toEqual(places.map((place) => Math.floor(place / 24)));
        expect([...(reduced.logRecords ?? [])]).toEqual(places);
        const { records: count, leftOut, leftOutEntries } = alone;
        expect(reduced).toMatchObject({ records: count, leftOut, leftOutEntries });

        const decoded = new FlowColumns();
        new FlowRowDecoder(new ClaimTable()).decode(unpacked(reduced), reduced.leftOut, decoded);
        const plain = (columns: FlowColumns, record: number) => ({ ...plainRecord(columns, record), nodeId: "" });
        expect(places.map((_, at) => plain(decoded, at))).toEqual(
          places.map((place) => plain(part.columns as FlowColumns, place)),
        );
      }),
      seeded(60),
    );
  });
});

test("a part of webhook events without some of them is the same as if they had never been added", () => {
  const events = Array.from({ length: 5 }, (_, n) => bytesOf(JSON.stringify({ event: { type: "test", n } })));
  const partOf = (places: readonly number[]) => {
    const part = new OpenPart("webhook", new EdgeBook(settingsWith()), undefined);
    for (const place of places) {
      const fact = place === 3 ? undefined : new Uint32Array(12).fill(place);
      const key = new Uint32Array(keyWords).fill(place);
      const event = events[place] as Uint8Array;
      part.add(event, 0, event.length, key, { flags: place, keysAt: place, fact });
    }
    return part.seal(() => false);
  };
  const reduced = partOf([0, 1, 2, 3, 4]).without(Uint8Array.of(1, 0, 1, 0, 0));
  const { body, flags, keys, facts, records } = partOf([1, 3, 4]);
  expect(reduced).toMatchObject({ body, flags, keys, records });
  expect([0, 1, 2].map((record) => reduced.facts?.[record])).toEqual([0, 1, 2].map((record) => facts?.[record]));
});

describe("quarantined texts", () => {
  test("are cut at 64 KiB, in a row for each type and reason, and are removed with their keys", () => {
    const open = new OpenQuarantine();
    const why = { class: "invalid", type: "flow", reason: "decode_error", detail: "d" } as const;
    for (const [place, text] of ["a", "b".repeat(100_000), "c"].entries())
      open.add(bytesOf(text), why, new Uint32Array(keyWords).fill(place));
    open.add(bytesOf("d"), { ...why, type: "audit" }, new Uint32Array(keyWords).fill(3));
    const [part, other] = open.seal() as [QuarantinePart, QuarantinePart];
    expect([part, other]).toMatchObject([
      { type: "flow", reason: "decode_error", lines: 3 },
      { type: "audit", reason: "decode_error", lines: 1 },
    ]);
    const reduced = part.without(Uint8Array.of(1, 0, 0));
    expect(reduced).toMatchObject({ type: "flow", lines: 2 });
    expect([...reduced.keys]).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    const [cut, whole] = linesIn(reduced).map((one) => JSON.parse(one) as { text: string; isCut?: true });
    expect(cut?.isCut).toBe(true);
    expect(Buffer.byteLength(cut?.text ?? "")).toBeLessThanOrEqual(64 * 1024);
    expect(whole).toEqual({ type: "flow", reason: "decode_error", detail: "d", text: "c" } as never);
  });
});

describe("a few values of unknown kinds are kept:", () => {
  test("three of a kind, distinguished by member names rather than contents", () => {
    const samples = new Samples();
    const texts = ['{"a":1,"b":"x"}', '{"a":2,"b":"y\\"z"}', '{"a":-3.5e1,"b":null}', '{"a":4,"b":true}'];
    expect(texts.map((text) => samples.wants(bytesOf(text)))).toEqual([true, true, true, false]);
    expect(samples.wants(bytesOf('{"b":1,"a":1}'))).toBe(true);
  });

  test("at most 64 kinds", () => {
    const samples = new Samples();
    const wanted = Array.from({ length: 1000 }, (_, n) => samples.wants(bytesOf(`{"kind${n}":1}`))).filter(Boolean);
    expect(wanted).toHaveLength(64);
    expect(samples.wants(bytesOf('{"kind0":2}'))).toBe(true);
  });

  test("a text without any structure is judged by its first characters only", () => {
    const samples = new Samples();
    const long = bytesOf(`"${"\\".repeat(1_000_000)}`);
    expect(Array.from({ length: 4 }, () => samples.wants(long))).toEqual([true, true, true, false]);
  });
});

test("an empty text packs and unpacks", () => {
  expect(linesOf(unpackText(packText(new Uint8Array()), 0))).toEqual([]);
});
