/** Tests rows as delivery reads them: counts, positions, defects, and repeated decoding. */
import { describe, expect, spyOn, test } from "bun:test";
import type { DeliveryRow } from "../../src/export/requests.ts";
import { RowSource } from "../../src/export/rows.ts";
import { marked, replayed } from "../../src/export/selection.ts";
import { type Mark, type Redelivery, type Row, startOfJournal } from "../../src/journal/index.ts";
import { encodeLeftOut, keepsAll } from "../../src/records/flow/rows.ts";
import { auditValue } from "../support/records.ts";
import { acceptedAt, atOnce, contextWith, flowOf, readerOf, rowOf } from "./journal-rows.ts";

const context = contextWith();

/** The destination ports of a row's log records, or the bodies of plain ones. */
function contentsOf(row: DeliveryRow | undefined): readonly unknown[] {
  if (row === undefined) return [];
  const contents = atOnce(row.open());
  if (contents.kind === "plain") return contents.events.map((event) => event?.body);
  const found: unknown[] = [];
  for (let record = 0; record < row.records; record++) {
    const logRecords = row.firstLogRecord(record + 1) - row.firstLogRecord(record);
    for (let index = 0; index < logRecords; index++) {
      const event = context.describer.event(contents.columns, contents.first + record, index, row.acceptedAt);
      found.push(event.attributes["destination.port"]);
    }
  }
  return found;
}

function* rowsFrom(source: RowSource, from = 1): Generator<DeliveryRow> {
  for (let row = atOnce(source.next(from)); row !== undefined; row = atOnce(source.next(row.seq + 1))) yield row;
}

describe("a row", () => {
  test("numbers the log records of its records consecutively", () => {
    const source = new RowSource(readerOf([rowOf(1, [flowOf(2), flowOf(1, 3), flowOf(3, 4)])]), context);
    const row = atOnce(source.next(1)) as DeliveryRow;
    expect(row.records).toBe(3);
    expect(row.logRecords).toBe(6);
    expect([0, 1, 2, 3].map((record) => row.firstLogRecord(record))).toEqual([0, 2, 3, 6]);
    expect([0, 1, 2, 3, 4, 5].map((logRecord) => row.recordOf(logRecord))).toEqual([0, 0, 1, 2, 2, 2]);
    expect(contentsOf(row)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("assigns no log record to a record that has none", () => {
    const quiet = flowOf(0, 1, { virtualTraffic: [] });
    const row = atOnce(
      new RowSource(readerOf([rowOf(1, [quiet, flowOf(1), quiet, quiet, flowOf(1, 2)])]), context).next(1),
    );
    expect([0, 1].map((logRecord) => row?.recordOf(logRecord))).toEqual([1, 4]);
    expect(row?.defectOf(0)).toBeUndefined();
  });

  test("has the times of its events: the start of the window, else its end, else the time of receipt", () => {
    const { start, ...withoutStart } = flowOf(1) as { start: string };
    const row = atOnce(
      new RowSource(readerOf([rowOf(1, [{ start, ...withoutStart }, withoutStart])]), context).next(1),
    );
    expect([0, 1].map((logRecord) => row?.timeOf(logRecord))).toEqual([
      Date.UTC(2026, 10, 2, 9, 15),
      Date.UTC(2026, 10, 2, 9, 15, 5),
    ]);
    const { end: _, ...timeless } = withoutStart as { end?: string };
    expect(atOnce(new RowSource(readerOf([rowOf(1, [timeless])]), context).next(1))?.timeOf(0)).toBe(acceptedAt);
  });

  test("applies the limits and the left-out entries that were stored with it", () => {
    const leftOut = encodeLeftOut({ entries: [1], kept: Uint32Array.of(keepsAll, 1, 0) });
    const row = rowOf(1, [flowOf(3), flowOf(3, 4), flowOf(3, 7)], { leftOut });
    expect(contentsOf(atOnce(new RowSource(readerOf([row]), context).next(1)))).toEqual([1, 3, 4]);
  });

  test("of audit records has one log record each", () => {
    const row = rowOf(1, [auditValue(), auditValue({ action: "CREATE" })], { type: "audit" });
    const found = atOnce(new RowSource(readerOf([row]), context).next(1));
    expect(found?.logRecords).toBe(2);
    expect(contentsOf(found)).toEqual([expect.stringContaining("UPDATE"), expect.stringContaining("CREATE")]);
  });

  test.each(["tally", "invalid", "sample"] as const)("of type %s has no records", (type) => {
    const row = atOnce(new RowSource(readerOf([rowOf(1, [flowOf(1)], { type })]), context).next(1));
    expect(row).toMatchObject({ seq: 1, records: 0, logRecords: 0 });
  });
});

describe("what cannot be described", () => {
  test("a line that no longer decodes is a defect, but its neighbours are not", () => {
    const text = Buffer.from(`${JSON.stringify({ event: auditValue() })}\n{"event":`);
    const rows = [rowOf(1, [flowOf(1), { nodeId: 7 }, flowOf(1, 2)]), rowOf(2, [{}, {}], { type: "audit", text })];
    const [flows, audits] = [...rowsFrom(new RowSource(readerOf(rows), context))];
    expect([0, 1, 2].map((record) => typeof flows?.defectOf(record))).toEqual(["undefined", "string", "undefined"]);
    expect(contentsOf(flows)).toEqual([1, 2]);
    expect([0, 1].map((record) => typeof audits?.defectOf(record))).toEqual(["undefined", "string"]);
  });

  test("a damaged row has a defect for each record, and the rows beside it are intact", () => {
    const damaged = rowOf(2, [flowOf(1), flowOf(1)], { damage: "its checksum is wrong", text: new Uint8Array(0) });
    const nonsense = rowOf(3, [flowOf(1)], { leftOut: Uint8Array.of(9, 9, 9) });
    const rows = [rowOf(1, [flowOf(1)]), damaged, nonsense, rowOf(4, [flowOf(1, 2)])];
    const found = [...rowsFrom(new RowSource(readerOf(rows), context))];
    expect(found.map((row) => row.logRecords)).toEqual([1, 0, 0, 1]);
    expect(found[1]?.defectOf(1)).toContain("its checksum is wrong");
    expect(found[2]?.defectOf(0)).toBeDefined();
    expect(found[3]?.defectOf(0)).toBeUndefined();
    expect(contentsOf(found[3])).toEqual([2]);
  });
});

describe("reading", () => {
  const small = Array.from({ length: 40 }, (_, place) => rowOf(place + 1, [flowOf(1, place + 1)]));

  test("small rows are read together, and gaps are skipped", () => {
    const reader = readerOf(small.filter(({ seq }) => seq % 3 !== 0));
    const source = new RowSource(reader, context);
    const seqs = [...rowsFrom(source)].map((row) => row.seq);
    expect(seqs).toEqual(small.map(({ seq }) => seq).filter((seq) => seq % 3 !== 0));
    expect(reader.reads).toEqual([1, 41]);
  });

  test("rows that arrive one by one share a stretch, and none is read twice", () => {
    const rows: Row[] = [];
    const reader = readerOf(rows);
    const source = new RowSource(reader, context);
    for (const row of small) {
      expect(atOnce(source.next(row.seq))).toBeUndefined();
      rows.push(row);
      expect(contentsOf(atOnce(source.next(row.seq)))).toEqual([row.seq]);
    }
    reader.reads.length = 0;
    for (const row of rowsFrom(source)) expect(contentsOf(row)).toEqual([row.seq]);
    expect(reader.reads).toEqual([41]);
  });

  test("a row whose stretch was dropped is read again when opened", () => {
    const large = Array.from({ length: 12 }, (_, place) => rowOf(place + 1, [flowOf(5_000, 1), flowOf(3_000, 5_001)]));
    const reader = readerOf(large);
    const rows = [...rowsFrom(new RowSource(reader, context))];
    const before = reader.reads.length;
    expect(contentsOf(rows[0])).toHaveLength(8_000);
    expect(contentsOf(rows[11])).toHaveLength(8_000);
    expect(reader.reads.length).toBeGreaterThan(before);
  });

  test("a row that has left the journal cannot be opened", () => {
    const rows = [rowOf(1, [flowOf(1)])];
    const source = new RowSource(readerOf(rows), context);
    const row = atOnce(source.next(1));
    rows.length = 0;
    source.forget();
    expect(() => row?.open()).toThrow("row 1 has left the journal");
  });
});

describe("a selection", () => {
  const redelivery: Redelivery = { name: "replay", id: 1, cursor: startOfJournal, untilSeq: 4, total: 0 };

  test("of a replay ends at its last row, and rows received at other times have no records in it", () => {
    const rows = [1, 2, 3, 4].map((seq) => rowOf(seq, [flowOf(1, seq)], { acceptedAt: seq * 1_000 }));
    const selection = replayed({ ...redelivery, range: { since: 2_000, until: 9_000 } });
    const found = [...rowsFrom(new RowSource(readerOf(rows), context, selection))];
    expect(found.map(({ seq, records }) => [seq, records])).toEqual([
      [1, 0],
      [2, 1],
      [3, 1],
    ]);
  });

  test("of marks has only the log records of the marked records, under their own numbers", () => {
    const rows = Array.from({ length: 9 }, (_, place) =>
      rowOf(place + 1, [flowOf(1, 10), flowOf(2, 20), flowOf(1, 30), flowOf(1, 40)]),
    );
    const mark = (seq: number, from: number, to: number): Mark =>
      ({ id: seq, seq, from, to, why: "rejected", logRecords: 1, message: "", at: 0 }) as const;
    const source = new RowSource(readerOf(rows), context, marked([mark(4, 0, 1), mark(4, 1, 2), mark(7, 3, 4)]));
    const found = [...rowsFrom(source)].filter((row) => row.records > 0);
    expect(found.map((row) => [row.seq, row.records, contentsOf(row)])).toEqual([
      [4, 4, [10, 20, 21]],
      [7, 4, [40]],
    ]);
    expect(found[1]?.recordOf(0)).toBe(3);
    expect(atOnce(source.next(1))?.seq).toBe(4);
    expect(atOnce(source.next(8))).toBeUndefined();
  });
});

describe("memory", () => {
  const mebibyte = 1024 * 1024;

  /** How often the collector runs until the row has been read. */
  function collectionsBy(rows: readonly Row[], read: (source: RowSource) => void): number {
    const collect = spyOn(Bun, "gc").mockReturnValue(undefined);
    try {
      read(new RowSource(readerOf(rows), context));
      return collect.mock.calls.length;
    } finally {
      collect.mockRestore();
    }
  }

  test("is collected after each 64 MiB of the rows' text, and not earlier", () => {
    const text = new Uint8Array(mebibyte);
    const rows = Array.from({ length: 130 }, (_, place) => rowOf(place + 1, [], { type: "sample", text }));
    const counts = [63, 64, 127, 128, 130].map((last) =>
      collectionsBy(rows.slice(0, last), (source) => {
        for (const row of rowsFrom(source)) expect(row.seq).toBeLessThanOrEqual(last);
      }),
    );
    expect(counts).toEqual([0, 1, 1, 2, 2]);
  });

  test("is collected after 10,000 entries that are left out", () => {
    const leftOut = encodeLeftOut({ entries: Array.from({ length: 2_500 }, (_, entry) => entry) });
    const rows = [1, 2, 3, 4].map((seq) => rowOf(seq, [flowOf(2_501)], { leftOut }));
    const collectionsOf = (read: readonly Row[]) => collectionsBy(read, (source) => void [...rowsFrom(source)]);
    expect([collectionsOf(rows.slice(0, 3)), collectionsOf(rows)]).toEqual([0, 1]);
  });

  test("is collected after a row of more than 512 KiB of audit records", () => {
    const audits = (bytes: number): readonly Row[] => [
      rowOf(1, [auditValue({ old: "a".repeat(bytes) })], { type: "audit" }),
    ];
    const collectionsOf = (bytes: number) => collectionsBy(audits(bytes), (source) => void atOnce(source.next(1)));
    expect([collectionsOf(500 * 1024), collectionsOf(513 * 1024)]).toEqual([0, 1]);
  });

  /** That row as the main thread hands it over: its text of more than 1 KiB in a buffer of its own. */
  function handed(seq: number): Row {
    const row = rowOf(seq, [flowOf(20)]);
    expect(row.text.byteLength).toBeGreaterThan(1024);
    return { ...row, text: new Uint8Array(row.text) };
  }

  test("of a row's text is freed once it is decoded", () => {
    const rows = [handed(1), handed(2)];
    const source = new RowSource(readerOf([]), context);
    source.offer(rows);
    expect(contentsOf(atOnce(source.next(1)))).toHaveLength(20);
    expect(rows.map(({ text }) => text.byteLength)).toEqual([0, 0]);
  });

  test("of handed-over rows is reported as free once they are read or skipped", () => {
    const rows = [handed(1), handed(2), handed(3)];
    const { byteLength } = (rows[0] as Row).text;
    const source = new RowSource(readerOf([]), context);
    source.offer(rows.slice(0, 2));
    expect(source.readBytes).toBe(0);
    expect(atOnce(source.next(2))?.seq).toBe(2);
    expect(source.readBytes).toBe(2 * byteLength);
    source.offer(rows.slice(2));
    expect(atOnce(source.next(3))?.seq).toBe(3);
    expect(source.readBytes).toBe(3 * byteLength);
  });

  test("is not used twice for a row: one that was handed over is not read from the journal as well", () => {
    const row = handed(3);
    const source = new RowSource(readerOf([1, 2, 3, 4].map((seq) => rowOf(seq, [flowOf(20)]))), context);
    source.offer([row]);
    expect([...rowsFrom(source)].map(({ seq }) => seq)).toEqual([1, 2, 3, 4]);
    // It was read, not just skipped.
    expect(row.text.byteLength).toBe(0);
  });
});
