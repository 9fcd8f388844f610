/** Tests that a stored row is read as it was accepted, even if a later version would judge it differently. */
import { describe, expect, test } from "bun:test";
import { ClaimTable } from "../../../src/records/flow/claims.ts";
import { FlowColumns, leftOutReasons } from "../../../src/records/flow/columns.ts";
import { encodeLeftOut, FlowRowDecoder } from "../../../src/records/flow/rows.ts";
import { Identifier } from "../../../src/records/identity.ts";
import type { JsonObject } from "../../../src/records/types.ts";
import { columnsOf, plainRecord } from "../../support/columns.ts";
import { connection, enveloped, flowValue, sampleRecords, textOf } from "../../support/records.ts";

const broken = connection({ src: "nowhere:1" });

/** The columns of a row with these values, one per line. */
function decode(
  values: readonly unknown[],
  entries: readonly number[] = [],
  decoder = new FlowRowDecoder(new ClaimTable()),
) {
  const columns = new FlowColumns();
  const text = values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join("\n");
  decoder.decode(new TextEncoder().encode(text), encodeLeftOut({ entries }), columns);
  return columns;
}

const event = (members: JsonObject = {}) => enveloped(flowValue(members));
const leftOut = (columns: FlowColumns) =>
  [...columns.leftOut.subarray(0, columns.entries)].map((reason) => leftOutReasons[reason - 1]);

describe("a stored row", () => {
  test("of every sample is read back, scanned or not", () => {
    const lines = sampleRecords("hec-flow").map(({ line }) => textOf(line));
    const columns = decode([...lines, ...lines]);
    const expected = columnsOf(...lines.map((line) => JSON.parse(line) as unknown));
    expect(columns.records).toBe(20);
    for (let record = 0; record < 20; record++)
      expect(plainRecord(columns, record)).toEqual(plainRecord(expected, record % 10));
    expect(columns.defects.size).toBe(0);
  });

  test("is appended to the columns' content, and its list counts from its own first entry", () => {
    const columns = columnsOf(event({ virtualTraffic: [connection(), broken] }));
    const before = plainRecord(columns, 0);
    const decoder = new FlowRowDecoder(new ClaimTable());
    const row = [event(), event({ virtualTraffic: [broken, connection()] })];
    const text = new TextEncoder().encode(row.map((value) => JSON.stringify(value)).join("\n"));
    for (let times = 0; times < 2; times++) decoder.decode(text, encodeLeftOut({ entries: [1] }), columns);
    expect(plainRecord(columns, 0)).toEqual(before);
    expect(leftOut(columns).map((reason) => reason !== undefined)).toEqual([
      false,
      true,
      false,
      true,
      false,
      false,
      true,
      false,
    ]);
    expect(plainRecord(columns, 4)).toEqual(plainRecord(columnsOf(...row), 1));
  });

  test("of records without an envelope is read back", () => {
    const bare = sampleRecords("api-network").map(({ value }) => value);
    const columns = decode(bare);
    for (let record = 0; record < 10; record++)
      expect(plainRecord(columns, record)).toEqual(plainRecord(columnsOf(bare[record]), 0));
  });

  test("that is empty has no records", () => {
    expect(decode([]).records).toBe(0);
  });

  test("leaves out the entries of its list, with their original identity", () => {
    const values = [
      event(),
      event({ virtualTraffic: [connection(), broken, connection()] }),
      event(),
      event({ exitTraffic: [null] }),
    ];
    const columns = decode(values, [2, 6]);
    const accepted = columnsOf(...values);
    expect(columns.entries).toBe(7);
    const identifier = new Identifier("00", 1);
    for (let record = 0; record < 4; record++) {
      expect(plainRecord(columns, record)).toEqual(plainRecord(accepted, record));
      expect(identifier.uid(columns, record)).toBe(identifier.uid(accepted, record));
    }
    expect(leftOut(columns)).toEqual([
      undefined,
      undefined,
      "invalid_endpoint",
      undefined,
      undefined,
      undefined,
      "invalid_entry",
    ]);
  });

  test("leaves out an entry of its list that would be valid now, and keeps its text", () => {
    const columns = decode(
      [event(), event({ virtualTraffic: [connection(), connection({ dst: "100.64.9.9:1" })] }), event()],
      [2],
    );
    expect(leftOut(columns)).toEqual([undefined, undefined, "invalid_entry", undefined]);
    expect(plainRecord(columns, 1).entries[1]).toMatchObject({ source: "absent", counters: [0, 0, 0, 0] });
    expect(plainRecord(columns, 1).entries[1]?.text).toContain("100.64.9.9:1");
  });

  test("keeps an entry that is not in its list, even if it would be invalid now", () => {
    const columns = decode([event({ virtualTraffic: [broken, connection()] }), event()]);
    expect(leftOut(columns)).toEqual([undefined, undefined, undefined]);
    expect(plainRecord(columns, 0).entries[0]).toMatchObject({ source: "absent", destination: "absent" });
    expect(columns.leftOutTexts.size).toBe(0);
    expect(columns.defects.size).toBe(0);
  });

  test.each([
    ["that is no JSON", "{"],
    [
      "of a record that is refused by now",
      event({ end: "2020-01-01T00:00:00Z", virtualTraffic: [connection(), broken] }),
    ],
    ["of another shape", '{"event":[]}'],
  ])("has an empty record for a line %s, and its neighbours are unchanged", (_, line) => {
    const entries = typeof line === "string" ? 0 : 2;
    const columns = decode(
      [event(), line, event({ virtualTraffic: [broken, connection()] })],
      entries === 0 ? [1] : [2, 3],
    );
    expect(columns.records).toBe(3);
    expect([...columns.defects.keys()]).toEqual([1]);
    expect(columns.defects.get(1)).not.toBe("");
    expect(plainRecord(columns, 1)).toMatchObject({ nodeId: "", start: "none", entries: [] });
    expect(leftOut(columns)).toEqual([undefined, "invalid_endpoint", undefined]);
    expect(plainRecord(columns, 0)).toEqual(plainRecord(columnsOf(event()), 0));
  });

  test("with a damaged list is refused", () => {
    expect(() =>
      new FlowRowDecoder(new ClaimTable()).decode(new Uint8Array(0), Uint8Array.of(9), new FlowColumns()),
    ).toThrow(RangeError);
  });
});
