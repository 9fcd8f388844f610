/** Journal rows from an in-memory list, for tests of code that reads them. */
import type { Awaitable, JournalReader, Row } from "../../src/journal/index.ts";
import { EndBook } from "../../src/processors/ends.ts";
import { FlowDescriber } from "../../src/processors/flow.ts";
import { type ProcessorSettings, processorSettingsOf } from "../../src/processors/settings.ts";
import { ClaimTable } from "../../src/records/flow/claims.ts";
import { FlowRowDecoder } from "../../src/records/flow/rows.ts";
import type { RowContext } from "../../src/export/rows.ts";
import type { JsonObject } from "../../src/records/types.ts";
import { connection, flowValue } from "../support/records.ts";
import { configWith } from "./settings.ts";

export const acceptedAt = Date.UTC(2026, 10, 2, 9, 15, 10);

export function rowOf(seq: number, values: readonly JsonObject[], members: Partial<Row> = {}): Row {
  return {
    seq,
    acceptedAt,
    source: "stream",
    type: "flow",
    records: values.length,
    text: Buffer.from(values.map((event) => JSON.stringify({ event })).join("\n")),
    leftOut: undefined,
    tally: undefined,
    damage: undefined,
    ...members,
  };
}

/** A flow record with that many connections, identified by their ports: `first`, `first + 1` … */
export function flowOf(connections: number, first = 1, members: JsonObject = {}): JsonObject {
  const virtualTraffic = Array.from({ length: connections }, (_, place) =>
    connection({ dst: `100.64.1.2:${first + place}` }),
  );
  return flowValue({ virtualTraffic, ...members });
}

/** A reader of those rows that notes each read. Their texts are copies, as a journal's are, because the reader owns them. */
export function readerOf(rows: readonly Row[]): Pick<JournalReader, "read"> & { readonly reads: number[] } {
  const reads: number[] = [];
  return {
    reads,
    read(fromSeq, limit) {
      reads.push(fromSeq);
      const found: Row[] = [];
      let bytes = 0;
      for (const row of rows) {
        if (row.seq < fromSeq) continue;
        if (found.length === limit.rows || (bytes >= limit.bytes && found.length > 0)) break;
        found.push({ ...row, text: new Uint8Array(row.text) });
        bytes += row.text.length;
      }
      return found;
    },
  };
}

export interface TestContext extends RowContext {
  readonly describer: FlowDescriber;
}

export function contextWith(assignments: readonly string[] = []): TestContext {
  const secrets = { identitySecret: "00".repeat(16), privacySalt: "salt", tailnet: 1 };
  const settings: ProcessorSettings = processorSettingsOf(configWith(assignments), secrets);
  const describer = new FlowDescriber(settings, new EndBook(settings));
  return { decoder: new FlowRowDecoder(new ClaimTable()), describer, settings };
}

/** Returns an answer that must not be a promise. @throws {Error} if it is one. */
export function atOnce<Answer>(answer: Awaitable<Answer>): Answer {
  if (answer instanceof Promise) throw new Error("it is answered later");
  return answer;
}
